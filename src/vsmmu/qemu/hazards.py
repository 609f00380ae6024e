# SPDX-License-Identifier: Apache-2.0
"""Hazards: configurations that QEMU starts and that fail later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.host.judgements import ats_required, page_sizes
from vsmmu.qemu.values import unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.state import Endpoint, Vsmmu

__all__ = ["hazards_of"]

#: Where the device's own first extended capability is, and where one of eight bytes can be the last.
_FIRST: Final = 0x100
_LAST_PASID: Final = 0x1000 - 8
#: Bytes of a command of the SMMU.
_ENTRY: Final = 16


def hazards_of(
    machine: Machine,
    vsmmus: Sequence[Vsmmu],
    vsmmu_of: Mapping[int, Vsmmu],
    host: Host,
    early: Mapping[int, Sequence[Endpoint]],
) -> Iterator[Diagnostic]:
    """All hazards of a VM.

    :param vsmmu_of: vSMMUs by their root complex.
    :param early: vfio-pci endpoints that were realized when their root complex had no accelerated vSMMU yet.
    """
    for vsmmu in vsmmus:
        if vsmmu.cmdqv_active:
            yield from _short_queues(vsmmu, machine, host)
        yield from _two_host_smmus(vsmmu)
        yield from _two_iommufds(vsmmu)
        yield from _ats(vsmmu, host)
        yield from _pasid_without_room(vsmmu)
    for root, endpoints in early.items():
        behind = vsmmu_of.get(root)
        if behind is not None and behind.settings.accel:
            for endpoint in endpoints:
                yield _too_early(endpoint, behind)


def _two_host_smmus(vsmmu: Vsmmu) -> Iterator[Diagnostic]:
    known = [endpoint for endpoint in vsmmu.endpoints if endpoint.smmu is not None]
    for endpoint in known[1:]:
        if endpoint.smmu_name != known[0].smmu_name:
            first = known[0]
            yield Diagnostic(
                "two-host-smmus",
                f"{first.device.name} sits behind host SMMU {first.smmu_name} and {endpoint.device.name} "
                f"behind {endpoint.smmu_name}: QEMU starts, then cannot attach the second",
                where=vsmmu.name,
                next=f"give {endpoint.device.name} a pxb-pcie and an arm-smmuv3 of its own",
                severity="hazard",
            )
            return


def _short_queues(vsmmu: Vsmmu, machine: Machine, host: Host) -> Iterator[Diagnostic]:
    """A queue of the hardware lies in one page of the host: IDR1.CMDQS is log2 of the page's size, less 4."""
    from vsmmu.qemu.memory_pages import memory_in_small_pages

    memory = next(memory_in_small_pages(machine), None)
    if memory is None:
        return
    entries = " or ".join(f"{page // _ENTRY}" for page in page_sizes(host))
    yield Diagnostic(
        "cmdqv-small-pages",
        f"{vsmmu.name} gives the guest command queues of the hardware, and {memory} is in ordinary pages: "
        f"they have {entries} entries, by the size of the host's pages",
        where=vsmmu.name,
        next="put all memory on huge pages: -object memory-backend-file,mem-path=/dev/hugepages,prealloc=on,"
        "share=on with -machine memory-backend=; libvirt: <memoryBacking><hugepages/>",
        severity="warning",
    )


def _two_iommufds(vsmmu: Vsmmu) -> Iterator[Diagnostic]:
    for endpoint in vsmmu.endpoints[1:]:
        first, second = vsmmu.endpoints[0].device, endpoint.device
        if first.text("iommufd") != second.text("iommufd"):
            yield Diagnostic(
                "two-iommufds",
                f"{first.name} uses iommufd {first.text('iommufd')} and {second.name} "
                f"{second.text('iommufd')}: QEMU starts, then cannot attach the second",
                where=vsmmu.name,
                next="use one iommufd object for all endpoints behind one vSMMU",
                severity="hazard",
            )
            return


def _ats(vsmmu: Vsmmu, host: Host) -> Iterator[Diagnostic]:
    for endpoint in vsmmu.endpoints:
        needed = None if endpoint.function is None else ats_required(host, endpoint.function)
        if needed is not None and needed.answer:
            yield from _without_needed_ats(vsmmu, endpoint, needed.why)
        elif endpoint.ats_visible and _holds(vsmmu, "ats", 0):
            yield Diagnostic(
                "ats-not-offered",
                f"the guest sees the ATS capability of {endpoint.device.name}, but {vsmmu.name} has ats=off",
                where=endpoint.device.name,
                next="nothing to do if ATS is not wanted; else let the vSMMU offer it",
                severity="warning",
            )


def _holds(vsmmu: Vsmmu, name: str, code: int) -> bool:
    held = vsmmu.frozen.get(name)
    return held is not None and held.exact == code


def _without_needed_ats(vsmmu: Vsmmu, endpoint: Endpoint, why: str) -> Iterator[Diagnostic]:
    """A function that does nothing without ATS, where that is off, or of no use to Linux without PASIDs."""
    device = endpoint.device
    off = device.name if device.text("ats") == "off" else vsmmu.name if _holds(vsmmu, "ats", 0) else ""
    if off:
        yield Diagnostic(
            "ats-required",
            f"{device.name} needs ATS for basic operation, and {off} has ats=off: the guest cannot use it",
            where=device.name,
            why=why,
            next=f"let {off} have ATS; where the host has none, give the VM another function",
            severity="hazard",
        )
    elif _holds(vsmmu, "ssidsize", 0):
        yield Diagnostic(
            "ats-required-substreams",
            f"{device.name} needs ATS always on, and {vsmmu.name} has ssidsize=0: a guest with Linux 7.3 "
            "refuses the function",
            where=device.name,
            why="SMMU doesn't support ATS to be always on",
            next=f"write an ssidsize of at least 1 on {vsmmu.name}, where the host offers it",
            severity="warning",
        )


def _pasid_without_room(vsmmu: Vsmmu) -> Iterator[Diagnostic]:
    """QEMU makes a PASID capability where x-vpasid-cap-offset says, and goes on where it cannot."""
    held = vsmmu.frozen.get("ssidsize")
    if held is None or held.exact == 0:
        return
    for endpoint in vsmmu.endpoints:
        offset = unsigned(endpoint.device.text("x-vpasid-cap-offset") or "0")
        if offset and (not _FIRST < offset <= _LAST_PASID or offset % 4):
            yield Diagnostic(
                "pasid-capability",
                f"a PASID capability does not fit at {offset:#x} of {endpoint.device.name}: QEMU starts, and "
                "the guest's function has no PASID",
                where=endpoint.device.name,
                why=f"vfio: Placing PASID capability at offset {offset:#x} failed",
                next="remove x-vpasid-cap-offset: then it goes to the end of the configuration space",
                severity="warning",
            )


def _too_early(endpoint: Endpoint, vsmmu: Vsmmu) -> Diagnostic:
    return Diagnostic(
        "endpoint-before-vsmmu",
        f"{endpoint.device.name} is made before {vsmmu.name}, so it gets no vIOMMU: the guest's translation "
        "does not reach the host's SMMU",
        where=endpoint.device.name,
        next=f"put {vsmmu.name} before {endpoint.device.name}; QEMU makes key=value devices before JSON ones",
        severity="hazard",
    )
