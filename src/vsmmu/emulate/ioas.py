# SPDX-License-Identifier: Apache-2.0
"""Emulated I/O address spaces: allowed ranges and mappings; no memory is pinned or read.

Source: drivers/iommu/iommufd/io_pagetable.c of Linux 7.3.
"""

from __future__ import annotations

import bisect
import errno
from typing import Final

from vsmmu.emulate.errno_error import KernelError

__all__ = ["AddressSpace"]

_PAGE: Final = 4096
_LAST: Final = (1 << 64) - 1
#: As vfio's dma_entry_limit, which type1 has and iommufd has not; here they lie in the memory of all.
_MOST_MAPPINGS: Final = 65535
#: Where the kernel lets interrupts through: MSI_IOVA_BASE in drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c.
_MSI: Final = (0x08000000, 0x080FFFFF)


class AddressSpace:
    """The mappings of one IOAS."""

    def __init__(self) -> None:
        # First and last addresses of mappings, in order; they do not overlap.
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        # Output bits of the page tables in it; none before the first device.
        self._widths: list[int] = []
        self.has_file_pages_only = True

    def add_table(self, bits: int) -> None:
        """A page table that reaches ``bits`` of address joins: it limits what can be mapped."""
        self._widths.append(bits)

    def remove_table(self, bits: int) -> None:
        """It leaves."""
        self._widths.remove(bits)

    @property
    def alignment(self) -> int:
        """What addresses must be multiples of."""
        return _PAGE if self._widths else 1

    def ranges(self) -> list[tuple[int, int]]:
        """The usable addresses, each range with its last."""
        if not self._widths:
            return [(0, _LAST)]
        return [(0, _MSI[0] - 1), (_MSI[1] + 1, (1 << min(self._widths)) - 1)]

    def map(self, start: int, length: int, *, fixed: bool) -> int:
        """Map ``length`` bytes at ``start``, or anywhere; where it is.

        :raise KernelError: EINVAL: no such addresses; EEXIST: something is mapped there; ENOSPC: no room.
        """
        if not length or (fixed and (start | length) % self.alignment):
            raise KernelError(errno.EINVAL)
        if start + length - 1 > _LAST:
            raise KernelError(errno.EOVERFLOW)
        if not fixed:
            start = self._free(length)
        last = start + length - 1
        if not any(low <= start and last <= high for low, high in self.ranges()):
            raise KernelError(errno.EINVAL)
        hit = self._hit(start, last)
        if hit:
            raise KernelError(errno.EEXIST)
        if len(self._firsts) >= _MOST_MAPPINGS:
            raise KernelError(errno.ENOMEM)
        self._firsts.insert(hit.start, start)
        self._lasts.insert(hit.start, last)
        return start

    def _hit(self, start: int, last: int) -> range:
        """The places of the mappings that a range meets; empty, and where one would be, if it meets none."""
        return range(bisect.bisect_left(self._lasts, start), bisect.bisect_right(self._firsts, last))

    def unmap(self, start: int, length: int) -> int:
        """Unmap whole mappings inside a range; how many bytes.

        :raise KernelError: ENOENT: a mapping reaches beyond the range, or there is none.
        """
        if start == 0 and length == _LAST:
            return self._forget(range(len(self._firsts)))
        if not length:
            raise KernelError(errno.EINVAL)
        end = start + length - 1
        if end > _LAST:
            raise KernelError(errno.EOVERFLOW)
        hit = self._hit(start, end)
        if not hit or self._firsts[hit[0]] < start or self._lasts[hit[-1]] > end:
            raise KernelError(errno.ENOENT)
        return self._forget(hit)

    def _forget(self, hit: range) -> int:
        which = slice(hit.start, hit.stop)
        size = sum(self._lasts[which]) - sum(self._firsts[which]) + len(hit)
        del self._firsts[which], self._lasts[which]
        return size

    def check_mapped(self, start: int, length: int) -> None:
        """See that a range is mapped without holes.

        :raise KernelError: ENOENT if it is not.
        """
        if not length:
            raise KernelError(errno.EINVAL)
        place = start
        for at in self._hit(start, start + length - 1):
            if self._firsts[at] > place:
                break
            place = self._lasts[at] + 1
        if place < start + length:
            raise KernelError(errno.ENOENT)

    def _free(self, length: int) -> int:
        for low, high in self.ranges():
            start = -(-low // _PAGE) * _PAGE
            for first, last in zip(self._firsts, self._lasts, strict=True):
                if start + length - 1 < first:
                    break
                start = max(start, -(-(last + 1) // _PAGE) * _PAGE)
            if start + length - 1 <= high:
                return start
        raise KernelError(errno.ENOSPC)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is mapped."""
        return not self._firsts
