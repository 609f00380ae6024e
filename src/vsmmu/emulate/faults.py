# SPDX-License-Identifier: Apache-2.0
"""Fault injection: fail a certain call, always or once (``--fault CALL[:N]:ERRNO``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.emulate import vfio
from vsmmu.emulate.errno_error import errno_number
from vsmmu.emulate.iommufd import OPERATIONS
from vsmmu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Fault", "Faults", "parse_fault"]

_NAMES = (*(row.name for row in OPERATIONS.values()), *vfio.NAMES.values())


class Fault(NamedTuple):
    """``call`` fails with errno ``number``: its ``nth`` time, or every time if that is 0."""

    call: str
    nth: int
    number: int


def parse_fault(text: str) -> Fault:
    """Read ``VIOMMU_ALLOC:EOPNOTSUPP`` or ``VFIO_DEVICE_BIND_IOMMUFD:2:EBUSY``.

    :raise UsageError: ``fault``.
    """
    name, *middle = text.split(":")
    last = middle.pop() if middle else ""
    number = errno_number(last)
    found = [full for full in _NAMES if name in (full, full.removeprefix("IOMMU_"), _short(full))]
    counted = len(middle) <= 1 and all(part.isdecimal() and int(part) > 0 for part in middle)
    if not found or number is None or not counted:
        why = f"no call {name!r:.60}" if not found else f"no errno {last!r:.60}" if number is None else ""
        raise UsageError(
            "fault",
            f"--fault {text!r:.100} is not CALL:ERRNO or CALL:N:ERRNO",
            why=why,
            next=f"calls: {', '.join(sorted(_short(full) for full in _NAMES))}",
        )
    return Fault(found[0], int(middle[0]) if middle else 0, number)


def _short(full: str) -> str:
    return full.removeprefix("IOMMU_").removeprefix("VFIO_DEVICE_")


class Faults:
    """The faults of one run, with how often each call has been made."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = tuple(faults)
        self._made: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._faults)

    def errno(self, call: str) -> int:
        """The errno with which this call of ``call`` is to fail; 0 if it is not."""
        self._made[call] = self._made.get(call, 0) + 1
        for fault in self._faults:
            if fault.call == call and fault.nth in (0, self._made[call]):
                return fault.number
        return 0
