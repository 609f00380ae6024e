# SPDX-License-Identifier: Apache-2.0
"""Ways to give a function of the host what it needs besides a vSMMU: MMIO window, NUMA nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.model import WINDOW_OPTION
from vsmmu.mend.fault import Way
from vsmmu.plan.needs import NoNodes, egm_changes, initiator_changes, window_changes
from vsmmu.qemu.egm import has_egm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.mend.fault import VmFault

__all__ = ["egm", "initiators", "window"]


def window(fault: VmFault) -> Iterator[Way]:
    """An MMIO window that is too small; one that is written is its owner's."""
    setting = fault.setting
    for edit in window_changes(setting.machine, setting.host, setting.options.functions)[0]:
        written = WINDOW_OPTION in setting.machine.machine_options
        yield Way(f"write {WINDOW_OPTION}={edit.value}", (edit,), unpins=written)


def initiators(fault: VmFault) -> Iterator[Way]:
    """A function without NUMA nodes for the memory that it brings; some that are too few are its owner's."""
    if (device := fault.device) is None:
        return
    setting = fault.setting
    try:
        changes = initiator_changes(setting.vm, device, setting.host, setting.options.functions)
    except NoNodes as missing:
        yield Way(str(missing))
        return
    if changes:
        yield Way("give it NUMA nodes of its own", changes)


def egm(fault: VmFault) -> Iterator[Way]:
    """A function whose EGM region is memory of the VM, of which its driver is not told."""
    setting = fault.setting
    if (device := fault.device) is None or setting.vm.domain is not None or not has_egm(setting.qemu):
        return
    changes = egm_changes(setting.vm, device, setting.host, setting.options.functions)
    if changes:
        yield Way("tell the guest's driver of its EGM", changes)
