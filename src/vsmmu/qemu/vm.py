# SPDX-License-Identifier: Apache-2.0
"""The executable model of a QEMU process with accelerated vSMMUs: start it, plug into it, see what it says.

The phases are QEMU's: the machine, each device in order of creation (realize and plug), machine-done, reset;
afterwards hot-plug, unplug, and the guest's writes to GBPA. The first refusal ends a start. Sources:
hw/arm/smmuv3.c, hw/arm/smmuv3-accel.c, hw/arm/virt.c, hw/vfio/pci.c of qemu/qemu; behaviour that is marked
as measured in :mod:`vsmmu.qemu.texts` was held against 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from vsmmu.machine.endpoints import host_address
from vsmmu.machine.model import VSMMU_DRIVER, Device, Machine
from vsmmu.qemu.admission import Admission, Refused, vfio_name
from vsmmu.qemu.drivers import BRIDGES, CONVENTIONAL, ROOT_COMPLEXES, VFIO, is_pci
from vsmmu.qemu.hazards import hazards_of
from vsmmu.qemu.outcome import Answer, Doubt, Failure, Step, Verdict, failure
from vsmmu.qemu.realize import Plug, refusals
from vsmmu.qemu.settings import SettingsError, VsmmuSettings, read_settings
from vsmmu.qemu.state import Endpoint, Vsmmu
from vsmmu.qemu.versions import MachineType, Qemu, machine_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.host.facts import Host
    from vsmmu.qemu.texts import Phase

__all__ = ["Vm", "start"]

_ROOT: Final = "pcie.0"


class _Bus(NamedTuple):
    """A PCI bus: the root complex's bus that it hangs off, and whether a PCIe-to-PCI bridge lies between."""

    root: str
    conventional: bool = False
    cxl: bool = False


class Vm:
    """One QEMU process.

    :param functions: addresses of host functions by device name, for vfio-pci with ``fd=``.
    """

    def __init__(
        self, machine: Machine, host: Host, qemu: Qemu, functions: Mapping[str, str] | None = None
    ) -> None:
        self.machine = machine
        self.host = host
        self.qemu = qemu
        self.functions = functions or {}
        self.machine_type: MachineType | None = None
        self.failure: Failure | None = None
        self.doubts: list[Doubt] = []
        self.trace: list[Step] = []
        self.vsmmus: list[Vsmmu] = []
        self._admission = Admission(host, qemu, self.doubts)
        self._buses: dict[str, _Bus] = {_ROOT: _Bus(_ROOT)}
        self._default_bus = _ROOT
        self._vsmmu_of: dict[str, Vsmmu] = {}
        self._early: dict[str, list[Endpoint]] = {}
        self._emulated: dict[str, str] = {_ROOT: "the default network card"} if machine.default_nic else {}
        self._machine_iommu = _machine_iommu(machine)
        self._bypassed = {_ROOT} if _bypasses(machine) else set()
        self._objects = {entry.id for entry in machine.objects}
        self._phase: Phase = "machine"

    # What a start does

    def start(self) -> Verdict:
        """Run all phases up to the first instruction of the guest, or to the first refusal."""
        try:
            self._make_machine()
            self._phase = "create"
            for device in self.machine.devices:
                self._create(device)
            self._phase = "machine-done"
            self._machine_done()
            self._phase = "reset"
            self.reset()
        except Refused as refused:
            self.failure = refused.failure
            self._note(refused.failure.device, f"refused: {refused.failure.text}")
        return self.verdict()

    def _make_machine(self) -> None:
        # A fragment, without the emulator in front, says nothing of the machine: take the newest.
        name = self.machine.machine_type or ("" if self.machine.program else "virt")
        if not name:
            self._refuse("qemu-no-machine", "", "")
        self.machine_type = machine_type(name, self.qemu)
        if self.machine_type is None:
            code = "qemu-machine-type" if name.startswith("virt-") else "qemu-not-virt"
            self._refuse(code, "", "", value=name)

    def _create(self, device: Device) -> None:
        if device.driver == VSMMU_DRIVER:
            self._create_vsmmu(device)
        elif is_pci(device.driver):
            bus = self._bus_of(device)
            if device.driver in ROOT_COMPLEXES:
                self._add_bus(device, _Bus(device.id, cxl=device.driver == "pxb-cxl"))
                if device.text("bypass_iommu") == "on":
                    self._bypassed.add(device.id)
            elif device.driver in BRIDGES:
                self._add_bus(device, _Bus(bus.root, bus.conventional or device.driver in CONVENTIONAL))
            else:
                self._create_endpoint(device, bus)

    def _bus_of(self, device: Device) -> _Bus:
        name = device.text("bus") if "bus" in device.properties else self._default_bus
        # ``pcie.0/rp1`` is a path; its last part is the bus.
        bus = self._buses.get(name.rpartition("/")[2])
        if bus is None:
            self._refuse("qemu-no-bus", device.name, device.origin.option, value=name)
        if bus.root == name and name != _ROOT and device.driver not in BRIDGES:
            self._refuse("qemu-bus-takes-bridges", device.name, device.origin.option)
        return bus

    def _add_bus(self, device: Device, bus: _Bus) -> None:
        if not device.id:
            return
        self._buses[device.id] = bus
        if device.driver in ROOT_COMPLEXES:
            # QEMU looks for a bus from the newest root complex on.
            self._default_bus = device.id

    def _create_vsmmu(self, device: Device) -> None:
        if self._phase == "hot-plug":
            self._refuse("qemu-no-hotplug", device.name, "")
        try:
            settings = read_settings(device, self.machine, self.qemu, self._machine_version())
        except SettingsError as error:
            raise Refused(error.failed) from None
        for refusal in refusals(self._plug(device, settings)):
            self._refuse(refusal.code, device.name, device.origin.option, **refusal.values)
        vsmmu = Vsmmu(device, settings)
        self.vsmmus.append(vsmmu)
        self._vsmmu_of[settings.primary_bus] = vsmmu
        self._note(vsmmu.name, f"realized on {settings.primary_bus}; auto_mode={vsmmu.auto_mode}")

    def _plug(self, device: Device, settings: VsmmuSettings) -> Plug:
        return Plug(
            device=device,
            settings=settings,
            machine=self.machine,
            qemu=self.qemu,
            buses=frozenset(self._buses),
            roots=frozenset(name for name, bus in self._buses.items() if bus.root == name and not bus.cxl),
            taken=frozenset(self._vsmmu_of),
            present=len(self.vsmmus),
            machine_iommu=self._machine_iommu,
            bypassed=frozenset(self._bypassed),
        )

    def _create_endpoint(self, device: Device, bus: _Bus) -> None:
        vsmmu = self._vsmmu_of.get(bus.root)
        if device.driver not in VFIO:
            if vsmmu is None:
                self._emulated.setdefault(bus.root, "" if bus.conventional else device.name)
            elif vsmmu.settings.accel and not bus.conventional:
                self._refuse("qemu-emulated-endpoint", device.name, device.origin.option)
            if device.driver == "virtio-iommu-pci":
                self._machine_iommu = "virtio-iommu"
            return
        self._create_vfio(device, bus, vsmmu)

    def _create_vfio(self, device: Device, bus: _Bus, vsmmu: Vsmmu | None) -> None:
        accelerated = vsmmu is not None and vsmmu.settings.accel
        option = device.origin.option
        backend = device.text("iommufd")
        if backend and backend.removeprefix("/objects/") not in self._objects:
            self._refuse("qemu-no-object", device.name, option, value=backend)
        if accelerated and not backend:
            self._refuse("qemu-no-iommufd", device.name, option)
        if not any(device.text(key) for key in ("host", "sysfsdev", "fd")):
            self._refuse("qemu-no-host-device", device.name, option)
        endpoint = self._endpoint(device)
        if vsmmu is None or not accelerated:
            if backend:
                self._admission.check_vfio_ats(endpoint, self._phase)
            self._early.setdefault(bus.root, []).append(endpoint)
            self._note(device.name, "realized; no accelerated vSMMU on its root complex so far")
            return
        if bus.conventional:
            name = vfio_name(device, endpoint.function.address if endpoint.function else None)
            self._refuse("qemu-conventional", device.name, option, vfio=name)
        self._admission.admit(vsmmu, endpoint, self._phase)
        vsmmu.endpoints.append(endpoint)
        self._note(device.name, f"realized behind {vsmmu.name}: {_summary(vsmmu)}")

    def _endpoint(self, device: Device) -> Endpoint:
        address = self.functions.get(device.name) or host_address(device)
        function = self.host.function(address) if address else None
        smmu = self.host.smmu(function.smmu) if function is not None and function.smmu else None
        return Endpoint(device, function, smmu)

    def _machine_done(self) -> None:
        for vsmmu in self.vsmmus:
            if vsmmu.auto_mode and not vsmmu.auto_finalised:
                self._refuse("qemu-no-cold-plug", vsmmu.name, "")
        for root, vsmmu in self._vsmmu_of.items():
            early = self._emulated.get(root)
            if vsmmu.settings.accel and early:
                self._refuse("qemu-endpoint-first", early, "")
        for vsmmu in self.vsmmus:
            self._note(vsmmu.name, f"machine-done: {_summary(vsmmu)}")

    # What can happen to a VM that runs

    def reset(self) -> None:
        """Reset the machine: GBPA gets its reset value (bypass), and every endpoint is attached by it."""
        for vsmmu in self.vsmmus:
            self.write_gbpa(vsmmu.name, abort=False)

    def write_gbpa(self, name: str, *, abort: bool) -> None:
        """The guest writes GBPA.ABORT of a vSMMU whose translation is off.

        :raise KeyError: if there is no vSMMU called ``name``.
        """
        vsmmu = next((entry for entry in self.vsmmus if entry.name == name), None)
        if vsmmu is None:
            raise KeyError(name)
        vsmmu.gbpa_abort = abort
        if vsmmu.viommu_smmu:
            vsmmu.attached = "abort" if abort else "bypass"
            self._note(name, f"endpoints attached to the {vsmmu.attached} HWPT")

    def hot_plug(self, device: Device) -> Failure | None:
        """``device_add`` into the running VM: None if it is admitted, else what QMP answers."""
        self._phase = "hot-plug"
        try:
            self._create(device)
        except Refused as refused:
            self._note(device.name, f"refused: {refused.failure.text}")
            return refused.failure
        return None

    def unplug(self, name: str) -> Failure | None:
        """``device_del`` of an endpoint: None if it goes, else what QMP answers.

        The last one takes the vIOMMU along; the resolved values stay.

        :raise KeyError: if no vSMMU has such an endpoint.
        """
        self._phase = "hot-plug"
        for vsmmu in self.vsmmus:
            for endpoint in vsmmu.endpoints:
                if endpoint.device.name == name:
                    return self._unplug(vsmmu, endpoint)
        raise KeyError(name)

    def _unplug(self, vsmmu: Vsmmu, endpoint: Endpoint) -> Failure | None:
        name = endpoint.device.name
        if vsmmu.cmdqv_active and vsmmu.viommu_owner == name:
            return failure("qemu-cmdqv-unplug", name, "", self._phase)
        vsmmu.endpoints.remove(endpoint)
        if not vsmmu.endpoints:
            vsmmu.viommu_smmu = vsmmu.viommu_owner = vsmmu.attached = ""
            vsmmu.cmdqv_active = False
        self._note(name, "unplugged" + ("" if vsmmu.endpoints else "; the vIOMMU is freed, the values stay"))
        return None

    # What is known at the moment

    def verdict(self) -> Verdict:
        """The answer so far."""
        answer: Answer = "refused" if self.failure else "unknown" if self.doubts else "starts"
        return Verdict(
            answer=answer,
            qemu=str(self.qemu),
            machine_type=self.machine_type.name if self.machine_type else self.machine.machine_type,
            failure=self.failure,
            doubts=tuple(self.doubts),
            hazards=tuple(hazards_of(self.vsmmus, self._vsmmu_of, self._early)),
            vsmmus=tuple(vsmmu.outcome() for vsmmu in self.vsmmus),
            trace=tuple(self.trace),
        )

    def _machine_version(self) -> tuple[int, int]:
        return self.machine_type.version if self.machine_type else self.qemu.version

    def _refuse(self, code: str, device: str, option: str, **values: object) -> NoReturn:
        values.setdefault("qemu", self.qemu)
        raise Refused(failure(code, device, option, self._phase, **values))

    def _note(self, device: str, event: str) -> None:
        self.trace.append(Step(self._phase, device, event))


def start(machine: Machine, host: Host, qemu: Qemu, functions: Mapping[str, str] | None = None) -> Verdict:
    """Would QEMU start this VM on this host? See :class:`Vm` for the parameters."""
    return Vm(machine, host, qemu, functions).start()


def _machine_iommu(machine: Machine) -> str:
    value = machine.machine_options.get("iommu", "")
    return f"iommu={value}" if value not in ("", "none") else ""


def _bypasses(machine: Machine) -> bool:
    options = machine.machine_options
    return "on" in (options.get("default-bus-bypass-iommu"), options.get("default_bus_bypass_iommu"))


def _summary(vsmmu: Vsmmu) -> str:
    values = ",".join(f"{name}={value}" for name, value in vsmmu.spelled().items())
    return f"auto_finalised={vsmmu.auto_finalised} {values}"
