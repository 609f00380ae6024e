# SPDX-License-Identifier: Apache-2.0
"""Records and censuses for the tests of fleets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.fleet.baseline import baseline_document
from vsmmu.fleet.census import Census, pool_key
from vsmmu.fleet.classes import EVERYTHING
from vsmmu.fleet.records import RecordReader
from vsmmu.qemu.versions import LATEST, Qemu

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.fleet.classes import Selection
    from vsmmu.fleet.documents import BaselineDocument
    from vsmmu.host.facts import Host

__all__ = ["baseline_of", "line", "named", "taken"]


def line(host: Host) -> bytes:
    return msgspec.json.encode(host) + b"\n"


def named(host: Host, name: str, **changes: object) -> Host:
    return msgspec.structs.replace(host, name=name, **changes)


def taken(hosts: Iterable[Host], selection: Selection = EVERYTHING) -> tuple[RecordReader, Census]:
    reader, census = RecordReader(selection), Census(pool_key(None))
    for number, host in enumerate(hosts, 1):
        census.add(reader.read(line(host), f"test:{number}"), "test")
    return reader, census


def baseline_of(
    hosts: Iterable[Host],
    qemu: Qemu = LATEST,
    selection: Selection = EVERYTHING,
    *,
    assume_safe: bool = False,
) -> BaselineDocument:
    reader, census = taken(hosts, selection)
    return baseline_document(census, reader.classes, qemu, str(selection), assume_safe=assume_safe)
