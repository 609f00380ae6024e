# SPDX-License-Identifier: Apache-2.0
"""Rows of the model that no binary of a version was asked for, each with what it is derived from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.qemu.device_tables import CERTAIN, DERIVED, between
from vsmmu.qemu.texts import MESSAGES
from vsmmu.qemu.versions import LATEST
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.qemu.forks import Fork
    from vsmmu.qemu.versions import Qemu

__all__ = ["DerivedRow", "derived_rows"]

#: The tree before the series that made ``auto`` work, which 11.0's values and texts were read from.
_BEFORE_AUTO = "qemu/qemu at 7e88c1a9d0 and d21a442a5a, before the auto series"


class DerivedRow(NamedTuple):
    """One row.

    :param row: a message's code, a type with its properties, or a feature in words.
    :param source: commits, or the versions that it was taken from.
    """

    row: str
    source: str


def derived_rows(qemu: Qemu) -> tuple[DerivedRow, ...]:
    """The rows of a version that are derived; empty for one whose binary was measured."""
    if not qemu.modelled:
        return (DerivedRow("every row", f"QEMU {LATEST}, the newest that was measured"),)
    neighbours = between(qemu.version)
    if neighbours is None:
        return ()
    older, newer = map(spell_version, neighbours)
    names = _names(qemu, older, newer) if qemu.own_table is None else ()
    if qemu.fork is not None:
        return (*names, *_of_fork(qemu, qemu.fork))
    return (
        *names,
        DerivedRow("defaults of arm-smmuv3", _BEFORE_AUTO),
        *(DerivedRow(code, _BEFORE_AUTO) for code in MESSAGES if code.endswith(f"-{qemu}")),
        *_ats(qemu),
        DerivedRow("every other message", f"QEMU {newer}"),
    )


def _of_fork(qemu: Qemu, fork: Fork) -> Iterator[DerivedRow]:
    options = ", ".join(entry.option for entry in fork.properties.values() if qemu.has(entry))
    yield DerivedRow(f"arm-smmuv3 with {options}", fork.source)
    if fork.doubtful:
        yield DerivedRow(f"arm-smmuv3 with {' or '.join(sorted(fork.doubtful))}", "unknown: builds differ")
    for name, members in fork.objects.items():
        yield DerivedRow(f"{name} with {', '.join(member for member, _, _ in members)}", fork.source)
    yield DerivedRow("pxb-cxl as primary-bus", fork.source)
    yield DerivedRow("ats of vfio-pci", "unknown: not looked at")
    if not qemu.defaults_known:
        yield DerivedRow("defaults of arm-smmuv3", "unknown: 11.1's auto with 11.0's machine types")
    if qemu.checks_ril is None:
        yield DerivedRow(
            "whether more range invalidation fits", "unknown: not at de349ca90f, but in releases"
        )
    if qemu.checks_ats is None:
        yield DerivedRow("whether ATS is compared", "unknown: not at de349ca90f")
    yield DerivedRow("every message", f"QEMU {spell_version(qemu.features)}, whose words differ in places")


def _names(qemu: Qemu, older: str, newer: str) -> Iterator[DerivedRow]:
    for removed in DERIVED.get(qemu.version, ()) if qemu.fork is None else ():
        yield DerivedRow(f"{removed.type} without {', '.join(sorted(removed.names))}", removed.source)
    for (version, kind), names in CERTAIN.items():
        if version == qemu.version and qemu.fork is None:
            yield DerivedRow(f"{kind} with {', '.join(sorted(names))}", "qemu/qemu at 0bb5ed78b0")
    yield DerivedRow(
        "every other name",
        f"QEMU {older} and {newer}: there if both have it, refused if neither has, unknown if one has",
    )


def _ats(qemu: Qemu) -> Iterator[DerivedRow]:
    if qemu.checks_ats is None:
        yield DerivedRow("whether ATS is compared", "unknown: not at d21a442a5a, but at 0bb5ed78b0")
