# SPDX-License-Identifier: Apache-2.0
"""Admission of a vfio-pci to an accelerated vSMMU: finalise ``auto``, compare, allocate the vIOMMU.

Source: smmuv3_accel_set_iommu_device(), smmuv3_accel_auto_finalise() and smmuv3_accel_check_hw_compatible()
in hw/arm/smmuv3-accel.c (86ec6639b1), vfio_pci_realize() in hw/vfio/pci.c; ioctls in this order: GET_HW_INFO,
GET_HW_INFO for CMDQV, VIOMMU_ALLOC, two HWPT_ALLOC, ATTACH.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.host.evidence import Evidence, Reading
from vsmmu.host.facts import HW_INFO_ARM_SMMUV3, Host, HostSmmu
from vsmmu.host.judgements import nest_parent, nesting
from vsmmu.qemu.cmdqv import probe_cmdqv
from vsmmu.qemu.compat import Mismatch, compare
from vsmmu.qemu.findings import Findings, Refused
from vsmmu.qemu.outcome import dated, failure
from vsmmu.smmuv3.fields import field
from vsmmu.smmuv3.interval import Interval
from vsmmu.smmuv3.properties import AUTO, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.machine.model import Device
    from vsmmu.qemu.message import Phase
    from vsmmu.qemu.state import Endpoint, Vsmmu
    from vsmmu.qemu.versions import Qemu

__all__ = ["Admission", "vfio_name"]

_NO_FUNCTION: Final = Evidence("unknown", "the function is not among the facts")


def vfio_name(device: Device, address: str | None) -> str:
    """What QEMU calls it after ``vfio ``: the host address, the end of sysfsdev, or the id for fd=."""
    if device.text("fd"):
        return device.id or f"VFIO_fd{device.text('fd')}"
    if device.text("sysfsdev"):
        return device.text("sysfsdev").rstrip("/").rpartition("/")[2]
    return address or device.text("host")


class Admission:
    """Admits endpoints to vSMMUs, by the facts of one host; refusals and doubts go into the findings."""

    def __init__(self, host: Host, qemu: Qemu, findings: Findings) -> None:
        self._host = host
        self._qemu = qemu
        self._findings = findings
        self._refused: set[tuple[str, str, str]] = set()
        self._doubted: set[tuple[str, str, str]] = set()
        self._compared: dict[tuple[object, ...], tuple[Mismatch, ...]] = {}

    def admit(self, vsmmu: Vsmmu, endpoint: Endpoint, phase: Phase) -> None:
        """Put ``endpoint`` behind ``vsmmu``; both are changed as QEMU would change them.

        What QEMU refuses is taken as mended, so that the next endpoint is not refused for the same thing.

        :raise Refused: if QEMU certainly refuses, and the findings end at the first refusal.
        """
        self._check_nest_parent(endpoint, phase)
        self._check_hw_info(endpoint, phase)
        self._auto_finalise(vsmmu, endpoint)
        self._check_compatible(vsmmu, endpoint, phase)
        if not vsmmu.viommu_smmu:
            self._alloc_viommu(vsmmu, endpoint, phase)
        try:
            self.check_vfio_ats(endpoint, phase)
        except Refused:
            if not vsmmu.endpoints:
                vsmmu.free_viommu()
            raise
        vsmmu.attached = "abort" if vsmmu.gbpa_abort else "bypass"

    def is_incoherent(self, endpoint: Endpoint) -> bool:
        """Whether vfio certainly refuses the function: __vfio_register_dev() wants a coherent IOMMU."""
        smmu = endpoint.smmu
        return smmu is not None and self._host.read(smmu.coherent, "coherent").exact == 0

    def check_vfio_ats(self, endpoint: Endpoint, phase: Phase) -> None:
        """vfio-pci's own ``ats``: hide the capability, or refuse, where the kernel says it cannot work.

        :raise Refused: ``ats=on`` although the kernel reports IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED.
        """
        wish = endpoint.device.text("ats") or AUTO
        if not self._qemu.has_vfio_ats or wish == "off":
            endpoint.ats_visible = False if wish == "off" else None
            return
        function = endpoint.function
        refused = self._host.read(function.ats_not_supported, "ats_not_supported").exact if function else None
        if wish == "on" and refused == 1:
            self._refuse("qemu-vfio-ats", endpoint, phase, endpoint.device.name)
        if wish == "on" and refused is None:
            self._doubt("qemu-vfio-ats", endpoint, ("ats_not_supported",), endpoint.device.name)
        capability = self._host.read(function.ats_capability, "ats_capability").exact if function else None
        if refused == 1 or capability == 0:
            endpoint.ats_visible = False
        elif refused == 0 and capability == 1:
            endpoint.ats_visible = True

    def _check_nest_parent(self, endpoint: Endpoint, phase: Phase) -> None:
        """IOMMU_HWPT_ALLOC_NEST_PARENT comes first of all."""
        smmu = endpoint.smmu
        if smmu is not None and nest_parent(self._host, smmu).answer is False:
            self._refuse("qemu-nest-parent", endpoint, phase)

    def _check_hw_info(self, endpoint: Endpoint, phase: Phase) -> None:
        smmu = endpoint.smmu
        if smmu is None:
            return
        kind = self._host.read(smmu.hw_info_type, "hw_info_type", 0xFFFFFFFF)
        if kind.exact is not None and kind.exact != HW_INFO_ARM_SMMUV3:
            self._refuse("qemu-hw-info-type", endpoint, phase, value=kind.exact)

    def _auto_finalise(self, vsmmu: Vsmmu, endpoint: Endpoint) -> None:
        """Settle what is ``auto``, once; later devices find ``auto_finalised`` set and change nothing."""
        if not vsmmu.auto_mode or vsmmu.auto_finalised:
            return
        open_ones = [entry for entry in REGISTER_PROPERTIES if entry.name not in vsmmu.frozen]
        for entry in open_ones:
            vsmmu.frozen[entry.name] = self._read(endpoint, entry.source).interval
        vsmmu.copied, vsmmu.copied_from = frozenset(entry.source for entry in open_ones), endpoint.smmu_name
        vsmmu.auto_finalised = True
        vsmmu.finalised_by = endpoint.device.name

    def _check_compatible(self, vsmmu: Vsmmu, endpoint: Endpoint, phase: Phase) -> None:
        for mismatch in self._mismatches(vsmmu, endpoint):
            code, key, name = mismatch.check.message, mismatch.check.key, vsmmu.device.name
            if mismatch.certain and not vsmmu.unsure:
                self._refuse(code, endpoint, phase, name, host=mismatch.host, guest=mismatch.guest)
                vsmmu.mended.add(key)
                continue
            self._doubt(code, endpoint, (key,), name, host=mismatch.host, guest=mismatch.guest)

    def _mismatches(self, vsmmu: Vsmmu, endpoint: Endpoint) -> tuple[Mismatch, ...]:
        """What does not fit; found out once for each host SMMU, which all endpoints behind it share."""
        state = (vsmmu, endpoint.smmu_name, vsmmu.auto_finalised, frozenset(vsmmu.mended))
        found = self._compared.get(state)
        if found is None:
            copied = vsmmu.copied if vsmmu.copied_from == endpoint.smmu_name else frozenset()
            passed = copied | vsmmu.mended
            found = tuple(compare(lambda key: self._read(endpoint, key), vsmmu.frozen, self._qemu, passed))
            self._compared[state] = found
        return found

    def _alloc_viommu(self, vsmmu: Vsmmu, endpoint: Endpoint, phase: Phase) -> None:
        wish = vsmmu.settings.value("cmdqv")
        able, refusal = probe_cmdqv(self._host, endpoint.smmu)
        if wish == 1 and able is False:
            self._refuse(refusal.code, endpoint, phase, vsmmu.device.name, **refusal.values)
        if wish == 1 and able is None:
            self._doubt(refusal.code, endpoint, ("cmdqv",), vsmmu.device.name)
        active = False if wish in (None, 0) else able
        smmu, function = endpoint.smmu, endpoint.function
        if active and smmu is not None and self._host.read(smmu.cmdqv_viommu, "cmdqv_viommu").exact == 0:
            self._refuse(dated("qemu-viommu", old=not self._qemu.has_auto), endpoint, phase)
        nests = None if smmu is None else nesting(self._host, smmu, function).answer
        if nests is False:
            self._refuse(dated("qemu-viommu", old=not self._qemu.has_auto), endpoint, phase)
        if nests is None:
            self._doubt("qemu-viommu", endpoint, ("nesting",))
        vsmmu.cmdqv_active = active
        vsmmu.viommu_smmu = endpoint.smmu_name
        vsmmu.viommu_owner = endpoint.device.name

    def _read(self, endpoint: Endpoint, key: str) -> Reading:
        smmu: HostSmmu | None = endpoint.smmu
        if smmu is None:
            return Reading(key, Interval(0, field(key).limit), _NO_FUNCTION)
        return self._host.read_field(smmu, key)

    def _refuse(
        self, code: str, endpoint: Endpoint, phase: Phase, setter: str = "", **values: object
    ) -> None:
        """Note a refusal once for each host SMMU: the next endpoint behind it fares the same.

        :param setter: the vSMMU or device that has what is refused written; each is another fault.
        """
        endpoint.answer = "refused"
        key = code, endpoint.smmu_name, setter
        if key in self._refused and not self._findings.stops:
            return
        self._refused.add(key)
        device = endpoint.device
        option = device.origin.option
        self._findings.refuse(failure(code, device.name, option, phase, vfio=self._vfio(endpoint), **values))

    def _doubt(
        self, code: str, endpoint: Endpoint, needs: tuple[str, ...], setter: str = "", **values: object
    ) -> None:
        """Note an open check, as :meth:`_refuse` does a refusal."""
        if endpoint.answer == "starts":
            endpoint.answer = "unknown"
        key = code, endpoint.smmu_name, setter
        if key in self._doubted:
            return
        from vsmmu.qemu.texts import MESSAGES  # most VMs need none

        self._doubted.add(key)
        name = endpoint.device.name
        text = MESSAGES[code].text.format(**values, device=name, vfio=self._vfio(endpoint))
        self._findings.note(
            Diagnostic(
                code,
                f"{', '.join(needs)} is not known, so QEMU could refuse",
                where=name,
                why=text,
                next="take facts on that host: vsmmu probe",
                severity="unknown",
                needs=needs,
            )
        )

    def _vfio(self, endpoint: Endpoint) -> str:
        return vfio_name(endpoint.device, endpoint.function.address if endpoint.function else None)
