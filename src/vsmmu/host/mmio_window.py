# SPDX-License-Identifier: Apache-2.0
"""Size of the MMIO window above 4 GiB that functions' memory BARs need in a VM.

Measured with QEMU 11.1.3, AAVMF and Linux 7.3.4: behind a port a BAR goes there if it is 64 bits wide and
prefetchable; each BAR is aligned to its own size, the window of a port and of an expander to its largest BAR;
windows are as long as what is in them. The board's window is 512 GiB (VIRT_HIGH_PCIE_MMIO) unless
more is said, and starts at its own size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vsmmu.host.facts import HostFunction

__all__ = ["DEFAULT_WINDOW", "WindowNeed", "spell_bars", "spell_size", "window_need"]

#: What the board takes unless highmem-mmio-size says more; nothing less can be said.
DEFAULT_WINDOW: Final = 512 << 30
#: For the small BARs of the VM's other devices.
_OTHERS: Final = 1 << 30
_UNITS: Final = ("", "K", "M", "G", "T", "P", "E")


class WindowNeed(NamedTuple):
    """What functions need of the window, in bytes.

    :param least: with less, BARs are certainly left out.
    :param ample: a power of two with which all are assigned, whatever order firmware takes.
    :param exact: whether all regions are known exactly; else both numbers are *at least*.
    """

    least: int
    ample: int
    exact: bool


class _Block(NamedTuple):
    """A range to be placed: its length, and what its start has to be a multiple of."""

    length: int
    alignment: int


def window_need(expanders: Iterable[Sequence[HostFunction]]) -> WindowNeed | None:
    """The need of functions grouped by expander, each behind a port of its own; None if nothing is known.

    A function of which no region is known makes the answer *at least*.
    """
    groups = [group for group in expanders if group]
    functions = [function for group in groups for function in group]
    if all(function.memory_regions is msgspec.UNSET for function in functions):
        return None
    exact = all(
        function.memory_regions is not msgspec.UNSET
        and all(region.bound == "exact" for region in function.memory_regions)
        for function in functions
    )
    ports = [[_placed(_bars(function)) for function in group] for group in groups]
    least = _placed([_placed(group) for group in ports]).length
    rounded = sum(_round_up(port.length, port.alignment) for group in ports for port in group)
    ample = 1 << (max(rounded + _OTHERS, DEFAULT_WINDOW) - 1).bit_length()
    return WindowNeed(least, ample, exact)


def _bars(function: HostFunction) -> list[_Block]:
    sizes = [int(region.size, 16) for region in function.memory_regions or () if region.high]
    return [_Block(size, 1 << (size - 1).bit_length()) for size in sizes if size]


def _placed(blocks: Sequence[_Block]) -> _Block:
    """The shortest window for blocks, largest alignment first, each in the first gap that takes it."""
    gaps: list[tuple[int, int]] = []
    end = 0
    for block in sorted(blocks, key=lambda entry: (-entry.alignment, -entry.length)):
        for index, (start, stop) in enumerate(gaps):
            first = _round_up(start, block.alignment)
            if first + block.length <= stop:
                gaps[index : index + 1] = [(start, first), (first + block.length, stop)]
                break
        else:
            first = _round_up(end, block.alignment)
            gaps.append((end, first))
            end = first + block.length
    return _Block(end, max((block.alignment for block in blocks), default=1))


def _round_up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def spell_size(size: int) -> str:
    """A size as QEMU reads it, in the largest unit that divides it: ``512G``, ``1T``."""
    unit = 0
    while size and size % 1024 == 0 and unit + 1 < len(_UNITS):
        size //= 1024
        unit += 1
    return f"{size}{_UNITS[unit]}"


def spell_bars(function: HostFunction) -> tuple[str, ...]:
    """Sizes of a function's BARs above 4 GiB, ``≥`` where the facts say at least; empty if none is known."""
    return tuple(
        f"{'' if region.bound == 'exact' else '≥'}{spell_size(int(region.size, 16))}"
        for region in function.memory_regions or ()
        if region.high
    )
