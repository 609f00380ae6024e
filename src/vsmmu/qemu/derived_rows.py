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
    return (
        *(_names(qemu, older, newer) if qemu.own_table is None else ()),
        DerivedRow("defaults of arm-smmuv3", _BEFORE_AUTO),
        *(DerivedRow(code, _BEFORE_AUTO) for code in MESSAGES if code.endswith(f"-{qemu}")),
        *_ats(qemu),
        DerivedRow("every other message", f"QEMU {newer}"),
    )


def _names(qemu: Qemu, older: str, newer: str) -> Iterator[DerivedRow]:
    for removed in DERIVED.get(qemu.version, ()):
        yield DerivedRow(f"{removed.type} without {', '.join(sorted(removed.names))}", removed.source)
    for (version, kind), names in CERTAIN.items():
        if version == qemu.version:
            yield DerivedRow(f"{kind} with {', '.join(sorted(names))}", "qemu/qemu at 0bb5ed78b0")
    yield DerivedRow(
        "every other name",
        f"QEMU {older} and {newer}: there if both have it, refused if neither has, unknown if one has",
    )


def _ats(qemu: Qemu) -> Iterator[DerivedRow]:
    if qemu.checks_ats is None:
        yield DerivedRow("whether ATS is compared", "unknown: not at d21a442a5a, but at 0bb5ed78b0")
