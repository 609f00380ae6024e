# SPDX-License-Identifier: Apache-2.0
"""The CPUs of ``-smp``: names, numbers and hierarchies that QEMU refuses.

Source: machine_parse_smp_config() in hw/core/machine-smp.c of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import Unread
from vsmmu.qemu.board_options import MOST_CPUS
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.values import signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["cpu_faults", "hierarchy"]

_CODE: Final = "qemu-cpus"
#: The levels that the ``virt`` board has, from the outermost, and those that only other boards have.
_LEVELS: Final = ("sockets", "clusters", "cores", "threads")
_FOREIGN: Final = ("modules", "dies", "books", "drawers")
#: SMPConfiguration of qapi/machine.json, in its order.
_NAMES: Final[tuple[str, ...]] = (
    "cpus", "drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads", "maxcpus",
)  # fmt: skip
#: A count is read as a 64-bit number and kept in 32 bits.
_KEPT: Final = (1 << 32) - 1


def cpu_faults(smp: Mapping[str, str], machine_type: str) -> Iterator[Refusal]:
    """Why QEMU refuses a hierarchy of CPUs, in its order: names and numbers, then what they make together.

    :param smp: the parameters of ``-smp`` as written, by name.
    :param machine_type: its full name (``virt-11.1``).
    """
    known = {name: text for name, text in smp.items() if not isinstance(text, Unread)}
    numbers = {name: signed(known[name]) for name in _NAMES if name in known}
    for name, number in numbers.items():
        if number is None:
            yield _refused(f"Parameter 'smp.{name}' expects integer")
    for name in (name for name in known if name not in _NAMES):
        yield _refused(f"Parameter 'smp.{name}' is unexpected")
    counts = {name: number & _KEPT for name, number in numbers.items() if number is not None}
    if len(counts) == len(smp) and (refusal := _hierarchy_refusal(counts, machine_type)) is not None:
        yield refusal


def _hierarchy_refusal(counts: Mapping[str, int], machine_type: str) -> Refusal | None:
    if 0 in counts.values():
        return _refused("Invalid CPU topology: CPU topology parameters must be greater than zero")
    for name in _FOREIGN:
        if counts.get(name, 1) > 1:
            return _refused(f"{name} > 1 not supported by this machine's CPU topology")
    most = counts.get("maxcpus", counts.get("cpus", 0))
    levels = hierarchy(counts, most)
    most = most or prod(levels.values())
    cpus = counts.get("cpus", most)
    spelled = " * ".join(f"{name} ({count})" for name, count in levels.items())
    if prod(levels.values()) != most:
        return _refused(
            "Invalid CPU topology: product of the hierarchy must match maxcpus: "
            f"{spelled} != maxcpus ({most})"
        )
    if most < cpus:
        return _refused(
            "Invalid CPU topology: maxcpus must be equal to or greater than smp: "
            f"{spelled} == maxcpus ({most}) < smp_cpus ({cpus})"
        )
    if most > MOST_CPUS:
        return _refused(
            f"Invalid SMP CPUs {_int32(most)}. The max CPUs supported by machine '{machine_type}' is "
            f"{MOST_CPUS}"
        )
    return None


def hierarchy(counts: Mapping[str, int], most: int, *, cores_first: bool = True) -> dict[str, int]:
    """The levels with what QEMU puts where nothing is written: cores first, then sockets, then threads.

    :param most: the most CPUs that are written; 0 if no number of CPUs is.
    :param cores_first: as of machine types from 6.2 on; before, sockets come first.
    """
    levels = {name: counts.get(name, 0) for name in _LEVELS}
    levels["clusters"] = levels["clusters"] or 1
    if not most:
        return {name: count or 1 for name, count in levels.items()}
    if not levels["cores"] and (cores_first or levels["sockets"]):
        levels["sockets"] = levels["sockets"] or 1
        levels["threads"] = levels["threads"] or 1
        levels["cores"] = most // (levels["sockets"] * levels["clusters"] * levels["threads"])
    elif not levels["sockets"]:
        levels["cores"] = levels["cores"] or 1
        levels["threads"] = levels["threads"] or 1
        levels["sockets"] = most // (levels["clusters"] * levels["cores"] * levels["threads"])
    if not levels["threads"]:
        levels["threads"] = most // (levels["sockets"] * levels["clusters"] * levels["cores"])
    return levels


def _int32(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


def _refused(text: str) -> Refusal:
    return Refusal(_CODE, {"text": text})
