# SPDX-License-Identifier: Apache-2.0
"""Read what ``vsmmu baseline -o json`` printed, for ``resolve --baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from vsmmu.errors import InputRefused, UsageError
from vsmmu.fleet.documents import BaselineDocument, PoolBaseline
from vsmmu.host.files import read_bounded
from vsmmu.policy.options import Ceiling
from vsmmu.smmuv3.properties import PROPERTIES

__all__ = ["read_baseline"]

_MAX_BYTES: Final = 64 << 20


def read_baseline(spec: str) -> Ceiling:
    """The baseline in ``FILE``, or that of one pool in ``FILE#POOL``.

    :raise InputRefused: ``baseline-malformed``, ``baseline-too-large``, ``baseline-empty``.
    :raise UsageError: ``baseline-pool``: which of several pools?
    :raise HostLacks: ``file-missing``.
    """
    file, mark, pool = spec.partition("#")
    if mark and Path(spec).exists():
        file, mark, pool = spec, "", ""
    document = _decode(read_bounded(file, _MAX_BYTES, "baseline"), file)
    found = _choose(document, pool, file, named=bool(mark))
    try:
        values = {name: PROPERTIES[name].parse(text) for name, text in found.values.items()}
    except (KeyError, ValueError) as error:
        raise _malformed(file, str(error)) from None
    numbers = {name: value for name, value in values.items() if isinstance(value, int)}
    if not numbers:
        raise InputRefused(
            "baseline-empty", "no values hold on these hosts", where=spec, next="see vsmmu baseline"
        )
    lost = sum(entry.hosts for entry in found.left_out)
    return Ceiling(spec, found.hosts - lost, numbers)


def _decode(data: bytes, file: str) -> BaselineDocument:
    try:
        return msgspec.json.decode(data, type=BaselineDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(file, str(error)[:200]) from None


def _choose(document: BaselineDocument, pool: str, file: str, *, named: bool) -> PoolBaseline:
    if not named and len(document.pools) == 1:
        return document.pools[0]
    for entry in document.pools:
        if named and entry.pool == pool:
            return entry
    raise UsageError(
        "baseline-pool",
        f"{file} has no pool {pool!r:.80}" if named else f"{file} has several pools",
        next="name one: " + ", ".join(f"{file}#{entry.pool}" for entry in document.pools[:5]),
    )


def _malformed(file: str, why: str) -> InputRefused:
    return InputRefused(
        "baseline-malformed",
        "this is no baseline",
        where=file,
        why=why,
        next="make one with: vsmmu baseline -o json HOST... > FILE",
    )
