# SPDX-License-Identifier: Apache-2.0
"""The part of ``vsmmu explain`` on what functions need besides a vSMMU: BARs, NUMA nodes, the MMIO window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.cli import console
from vsmmu.host.judgements import ats_required, generic_initiators
from vsmmu.host.mmio_window import spell_size
from vsmmu.machine.model import WINDOW_OPTION
from vsmmu.qemu.passthrough import initiator_nodes, needs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.host.evidence import Evidence
    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.passthrough import Needs

__all__ = ["needs_lines"]


def needs_lines(
    machine: Machine, host: Host, functions: Mapping[str, str], footnotes: dict[Evidence, int]
) -> Iterator[console.Line]:
    """A paragraph for each function that needs something, and one for the window.

    :param functions: the addresses of functions that the configuration does not name, by device.
    :param footnotes: evidence with its number; what is used is added.
    """
    needs = needs_of(machine, host, functions)
    for device, function in needs.given:
        lines = list(_function(machine, host, device, function, footnotes))
        if lines:
            yield ""
            yield console.Styled(device.name, "title"), f" {function.address}"
            yield from (f"  {line}" for line in lines)
    if needs.need is not None and needs.window is not None:
        yield ""
        yield _window(needs, written=WINDOW_OPTION in machine.machine_options)


def _function(
    machine: Machine, host: Host, device: Device, function: HostFunction, footnotes: dict[Evidence, int]
) -> Iterator[str]:
    for region in function.memory_regions or ():
        note = _note(host, region.evidence, footnotes)
        bound = "" if region.bound == "exact" else "at least "
        where = "above 4 GiB" if region.high else "below 4 GiB"
        yield f"BAR {region.index} = {bound}{spell_size(int(region.size, 16))}, {where}{note}"
    own = generic_initiators(host, function)
    if own.interval.low:
        here = ", ".join(initiator_nodes(machine, device.id)) or "none"
        yield f"NUMA nodes of its own = {own.interval.low}: {own.why}; in the guest: {here}"
    if host.egm:
        yield from _egm(machine, host, function, footnotes)
    needed = ats_required(host, function)
    if needed.answer:
        yield f"needs ATS: {needed.why}"


def _egm(
    machine: Machine, host: Host, function: HostFunction, footnotes: dict[Evidence, int]
) -> Iterator[str]:
    from vsmmu.qemu.egm import backing_node, region_of  # few hosts have any

    region = region_of(host, function.address)
    if region is None:
        return
    size = "a size that is not known" if region.length is None else spell_size(region.length)
    node = backing_node(machine, region)
    here = "not its memory" if node is None else f"the memory of node {node}"
    yield f"EGM = {region.path}, {size}{_note(host, region.evidence, footnotes)}; in the guest: {here}"


def _note(host: Host, key: str, footnotes: dict[Evidence, int]) -> str:
    """The kind of an evidence and the number of its footnote; empty if there is none."""
    evidence = host.evidence.get(key)
    if evidence is None:
        return ""
    return f", {evidence.kind} [{footnotes.setdefault(evidence, len(footnotes) + 1)}]"


def _window(needs: Needs, *, written: bool) -> console.Line:
    assert needs.need is not None  # noqa: S101 - its caller has seen to it
    assert needs.window is not None  # noqa: S101 - as above
    bound = "" if needs.need.exact else " at least"
    how = "written" if written else "QEMU's default"
    text = (
        f" {how}; their BARs need {spell_size(needs.need.least)}{bound}, and with "
        f"{spell_size(needs.need.ample)} all find room in any order"
    )
    return console.Styled(f"{WINDOW_OPTION}={spell_size(needs.window)}", "title"), text
