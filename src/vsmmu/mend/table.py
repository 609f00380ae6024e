# SPDX-License-Identifier: Apache-2.0
"""The table of mends: diagnosis code to the ways that remove the fault; and the fix of each diagnosis."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.diagnostic import Edit
from vsmmu.mend import devices, names, needs, vsmmus
from vsmmu.mend.fault import VmFault, VmOnHost, Way
from vsmmu.smmuv3.properties import PROPERTIES, REALIZE_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.checking import Mender
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["AT_A_TIME", "MENDS", "mender", "ways"]

#: A code of the model of QEMU or of a rule for domains -> the ways to mend it; of two none is certain. The
#: first row is mended first: a misspelt name hides what the rest of its device means.
MENDS: Final[Mapping[str, Callable[[VmFault], Iterator[Way]]]] = MappingProxyType(
    {
        # Names
        "qemu-property-unknown": names.name,
        "qemu-no-property": names.name,
        "qemu-type-unknown": names.name,
        "draft-name": names.name,
        "attribute-misspelt": names.attribute,
        "attribute-of-other-model": names.attribute,
        "value-auto": names.attribute,
        "model-draft": names.draft_model,
        # Order and places
        "qemu-no-bus": devices.bus_first,
        "qemu-no-primary-bus": devices.expander_first,
        "endpoint-before-vsmmu": devices.vsmmu_first,
        "qemu-bus-takes-bridges": devices.port,
        "qemu-bus-number": devices.bus_number,
        "no-room-for-buses": devices.bus_number,
        "qemu-chassis": devices.chassis,
        "qemu-pxb-place": devices.expander_on_root,
        "qemu-slot-function": devices.first_function,
        "qemu-slot-multifunction": devices.own_function,
        "qemu-emulated-endpoint": devices.emulated,
        "qemu-endpoint-first": devices.emulated,
        # Functions of the host
        "qemu-no-iommufd": devices.iommufd,
        "qemu-fd-without-iommufd": devices.iommufd,
        "qemu-no-object": devices.iommufd_object,
        "qemu-fd-without-id": devices.id_for_fd,
        # The vSMMU and the machine
        "qemu-not-accelerated": vsmmus.accelerate,
        "accel-missing": names.accel_attribute,
        **{entry.accel_message: vsmmus.needs_accel for entry in REALIZE_ORDER if entry.accel_message},
        **{
            f"{entry.accel_message}-11.0": vsmmus.needs_accel
            for entry in REALIZE_ORDER
            if entry.accel_message
        },
        "qemu-stage": vsmmus.stage,
        "qemu-machine-iommu": vsmmus.machine_iommu,
        "qemu-machine-iommu-abort": vsmmus.machine_iommu,
        "iommu-without-pcibus": vsmmus.machine_iommu,
        "qemu-board-smmu": vsmmus.board_smmu,
        "qemu-bypass": vsmmus.bypass,
        "qemu-kvm": vsmmus.kvm,
        "qemu-acpi": vsmmus.acpi,
        # Values
        **dict.fromkeys(("qemu-ssidsize", "qemu-ril", "qemu-oas", "qemu-ats", "qemu-cmdqv"), vsmmus.value),
        **dict.fromkeys(("qemu-oas-not-implemented", "qemu-oas-not-implemented-11.0"), vsmmus.value),
        "qemu-auto-11.0": vsmmus.value,
        # What functions need besides
        "mmio-window-small": needs.window,
        "generic-initiators-missing": needs.initiators,
        "egm-object": needs.egm,
    }
)

#: A mend may look at the whole VM, so it is worked out for so many faults of a kind; fix then judges again.
AT_A_TIME: Final = 64


def ways(found: Diagnostic, setting: VmOnHost) -> tuple[Way, ...]:
    """The ways to mend a fault, where any is known; one alone is certain."""
    mend = MENDS.get(found.code)
    return () if mend is None else tuple(mend(VmFault(found, setting)))


def mender(*, unpin: Collection[str] = (), firmware: str = "") -> Mender:
    """What gives diagnoses their certain fixes.

    :param unpin: properties of a vSMMU whose written values may be changed.
    :param firmware: a UEFI firmware that is there for a command line without one.
    """

    def mend(
        found: Iterable[Diagnostic], vm: Vm, host: Host, qemu: Qemu, options: Options
    ) -> Iterator[Diagnostic]:
        setting = VmOnHost(vm, host, qemu, options, firmware)
        often: Counter[str] = Counter()
        for diagnostic in found:
            often[diagnostic.code] += 1
            few = often[diagnostic.code] <= AT_A_TIME
            yield _with_fix(diagnostic, setting, unpin=unpin) if few else diagnostic

    return mend


def _with_fix(found: Diagnostic, setting: VmOnHost, *, unpin: Collection[str]) -> Diagnostic:
    known = ways(found, setting)
    if not known:
        return found
    if len(known) > 1:
        text = "; or ".join(way.text for way in known)
        return msgspec.structs.replace(found, next=f"{len(known)} ways, and the choice is yours: {text}")
    way = known[0]
    if not way.changes:
        return msgspec.structs.replace(found, next=way.text)
    if way.unpins and not _may_change(way, unpin):
        return msgspec.structs.replace(found, next=f"{found.next}; vsmmu fix --unpin does it")
    return msgspec.structs.replace(found, fix=way.changes)


def _may_change(way: Way, unpin: Collection[str]) -> bool:
    """Whether a way only changes values of these properties, or of what the device itself lacks."""
    changed = {change.property for change in way.changes if isinstance(change, Edit)}
    values = changed & PROPERTIES.keys() or PROPERTIES.keys()
    return values <= set(unpin)
