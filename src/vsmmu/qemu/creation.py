# SPDX-License-Identifier: Apache-2.0
"""Creation of the machine and its devices by the modelled QEMU: every phase of a start.

The phases are QEMU's: the machine, each device in order of creation (realize and plug), machine-done, reset.
Sources: hw/arm/smmuv3.c, hw/arm/smmuv3-accel.c, hw/arm/virt.c, hw/vfio/pci.c of qemu/qemu; behaviour that is
marked as measured in :mod:`vsmmu.qemu.texts` was held against 11.1.3.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic, by_severity
from vsmmu.host.judgements import direct_mapped
from vsmmu.machine.drivers import BRIDGES, HOST_BRIDGES, is_bridge, is_pci, is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.machine.model import VSMMU_DRIVER, Device, Machine
from vsmmu.machine.topology import Bus, Topology
from vsmmu.qemu.admission import Admission, vfio_name
from vsmmu.qemu.board import (
    acpi_refusals,
    board_card,
    bypasses_iommu,
    lacks_cxl,
    machine_iommu,
    usable_accelerators,
    with_globals,
)
from vsmmu.qemu.doubts import default_values, second_iommu, too_many_queues, unlisted_function, vendor_machine
from vsmmu.qemu.findings import Refusal, Refused, doubtful
from vsmmu.qemu.hazards import hazards_of
from vsmmu.qemu.machine_checks import machine_checks
from vsmmu.qemu.naming import (
    TYPE_FAULTS,
    device_faults,
    mended_settings,
    with_meant_types,
)
from vsmmu.qemu.outcome import TraceStep, Verdict, answer_of, failure
from vsmmu.qemu.placement import Placement
from vsmmu.qemu.realize import MAX_VSMMUS, ONE_IOMMU_SINCE, Plug, refusals
from vsmmu.qemu.references import bus_refusal
from vsmmu.qemu.run import Run
from vsmmu.qemu.settings import VsmmuSettings, read_bool
from vsmmu.qemu.state import Endpoint, Vsmmu
from vsmmu.qemu.versions import VERSIONED, Qemu, is_vendor_machine, machine_type
from vsmmu.qemu.vfio import ENDING, VfioPlug, property_refusals, vfio_refusals

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.qemu.names import NameFault

__all__ = ["FIXED_DRIVERS", "Creation"]

#: The number that stands for the board where a root complex is named by its maker.
_BOARD: Final = -1
#: Interrupts of an SMMU, to which an active CMDQV adds one, and of the platform bus that they share.
_SMMU_LINES: Final = 4
_PLATFORM_LINES: Final = 64
#: What can be neither plugged into a running VM nor taken out.
FIXED_DRIVERS: Final = HOST_BRIDGES | {VSMMU_DRIVER}


class Creation(Run):
    """The start of a QEMU process: the machine and each device in order, as the model makes them.

    :param functions: addresses of host functions by device name, for vfio-pci with ``fd=``.
    :param absent: paths that are known not to exist on the host.
    :param topology: of ``machine`` or of one that differs in properties of its vSMMUs only; made if None.
    """

    def __init__(
        self,
        machine: Machine,
        host: Host,
        qemu: Qemu,
        functions: Mapping[str, str] | None = None,
        topology: Topology | None = None,
        absent: Container[str] = (),
    ) -> None:
        self._written = machine
        self.machine = machine = usable_accelerators(with_globals(with_meant_types(machine, qemu)), qemu)
        self.host = host
        super().__init__(qemu)
        self._findings.doubtful = doubtful(machine)
        self.functions = functions or {}
        self._absent = absent
        self.vsmmus: list[Vsmmu] = []
        self._named: dict[str, Vsmmu] = {}
        self._admission = Admission(host, qemu, self._findings)
        fits = topology is not None and machine is self._written
        self._topology = topology if topology is not None and fits else Topology.of(machine)
        # By the number of the device that made the root complex; -1 is the board's pcie.0.
        self._vsmmu_of: dict[int, Vsmmu] = {}
        self._early: dict[int, list[Endpoint]] = {}
        # By root complex: an emulated endpoint that was there before any vSMMU, and the maker of its bus.
        card = board_card(machine)
        self._emulated: dict[int, tuple[int, str]] = {_BOARD: (_BOARD, card)} if card else {}
        self._bypassed: set[int] = {_BOARD} if bypasses_iommu(machine) else set()
        # Owners of buses that hang off a PCIe-to-PCI bridge: devices there have no requester id of their own.
        self._conventional: set[int] = set()
        self._placement = Placement(machine, qemu, host)
        self._machine_iommu = machine_iommu(machine)
        self._bound: set[str] = set()
        # Ids of devices of an unknown type, and of those behind them.
        self._skipped: set[str] = set()

    # What a start does

    def start(self) -> Verdict:
        """Run all phases up to the first instruction of the guest.

        After a refusal, where QEMU ends, the model goes on as if it were mended, to find the others.
        """
        self._make_machine()
        self._phase = "create"
        for device in self.machine.devices:
            with suppress(Refused):
                self._create(device)
        self._phase = "machine-done"
        self._machine_done()
        self._phase = "reset"
        self.reset()
        return self.verdict()

    def _make_machine(self) -> None:
        # A fragment, without the emulator in front, says nothing of the machine: take the newest.
        name = self.machine.machine_type or ("" if self.machine.program else "virt")
        self.machine_type = machine_type(name, self.qemu)
        for device, option, found in machine_checks(
            self.machine, self.host, self.qemu, name, self.machine_type, self._absent
        ):
            if isinstance(found, Refusal):
                self._refuse(found.code, device, option, **found.values)
            elif isinstance(found, Diagnostic):
                self._findings.note(found)
            else:
                self._fault(found, device, option)
        if self.machine_type is None and (not name or name.startswith(VERSIONED)):
            self.machine_type = machine_type("virt", self.qemu)
            if is_vendor_machine(name):
                self._findings.note(vendor_machine(name, self.qemu))

    def _create(self, device: Device) -> None:
        if self._phase == "hot-plug" and device.driver in FIXED_DRIVERS:
            self._refuse("qemu-no-hotplug", device.name, "", driver=device.driver)
        faults = self._faults_of(device)
        for fault in faults:
            if fault.code in TYPE_FAULTS:
                self._fault(fault, device.name, device.origin.option)
                if not fault.nearest:
                    self._skipped.add(device.id)
                    return
        if is_pci(device.driver):
            self._create_pci(device, faults)
            return
        refused = bus_refusal(device, self.machine, self._topology, self.qemu)
        if refused is not None:
            values = {"driver": device.driver, **refused.values}
            self._stop(refused.code, device.name, device.origin.option, **values)
        if device.driver == VSMMU_DRIVER:
            self._create_vsmmu(device, faults)
        else:
            self._name_faults(device, faults)
            self._refuse_each(device, self._placement.peripherals.refusals(device))

    def _create_pci(self, device: Device, faults: Sequence[NameFault]) -> None:
        bus = self._bus_of(device, faults)
        if is_bridge(device.driver):
            self._create_bridge(device, bus)
            self._refuse_each(device, self._placement.peripherals.realized(device, bus))
        elif is_vfio(device.driver):
            self._create_vfio(device, bus)
        else:
            self._create_emulated(device, bus)
            self._refuse_each(device, self._placement.peripherals.realized(device, bus))
        self._refuse_each(device, self._placement.after_realize(device))

    def _refuse_each(self, device: Device, found: Iterable[Refusal | Diagnostic]) -> None:
        for refusal in found:
            if isinstance(refusal, Diagnostic):
                self._findings.note(refusal)
                continue
            values = {"driver": device.driver, **refusal.values}
            self._refuse(refusal.code, device.name, device.origin.option, **values)

    def _faults_of(self, device: Device) -> list[NameFault]:
        """Faults in the names and values of a device, as it is written."""
        hot = self._phase == "hot-plug"
        written = device if hot else self._written.devices[device.number]
        return list(device_faults(written, self._written, self.qemu))

    def _name_faults(self, device: Device, faults: Sequence[NameFault]) -> None:
        for fault in faults:
            if fault.code not in TYPE_FAULTS:
                self._fault(fault, device.name, device.origin.option)

    def _bus_of(self, device: Device, faults: Sequence[NameFault]) -> Bus:
        """The bus of a PCI device, on which it has got its place."""
        bus = self._topology.bus_of(device)
        if bus is None and device.text("bus") in self._skipped:
            self._skipped.add(device.id)
            raise Refused(failure("qemu-no-bus", device.name, "", self._phase, value=device.text("bus")))
        if bus is None:
            self._stop("qemu-no-bus", device.name, device.origin.option, value=device.text("bus"))
        fits = bus.owner in self._placement.slots  # else its bridge was refused before it had a bus
        hot = self._phase == "hot-plug"
        if fits and hot:
            self._refuse_each(device, self._placement.slots.hot_plug_refusals(device, bus))
        if is_vfio(device.driver):
            self._refuse_each(device, property_refusals(device, self.machine, self.qemu))
        self._name_faults(device, faults)
        if fits:
            self._refuse_each(device, self._placement.before_realize(device, bus, hot=hot))
        return bus

    def _create_bridge(self, device: Device, bus: Bus) -> None:
        if BRIDGES[device.driver] == "pci" or bus.owner in self._conventional:
            self._conventional.add(device.number)
        if read_bool(device.properties.get("bypass_iommu")):
            self._bypassed.add(device.number)

    def _create_vsmmu(self, device: Device, faults: Sequence[NameFault]) -> None:
        if self.machine_type is None:
            self._stop("qemu-not-virt", device.name, device.origin.option)
        known, version = len(self._findings.refusals), self._machine_version()
        settings = mended_settings(device, self.machine, self.qemu, version, faults, self._findings)
        if len(self._findings.refusals) == known:
            self._name_faults(device, faults)
        if (doubt := default_values(device.name, settings, self.qemu)) is not None:
            self._findings.note(doubt)
        plug = self._plug(device, settings)
        self._refuse_each(device, refusals(plug))
        bus = plug.bus or self._topology.later_bus_of(device)
        if plug.taken and self.qemu.version < ONE_IOMMU_SINCE:
            self._findings.note(second_iommu(device.name, settings.primary_bus, self.qemu))
        elif plug.taken or (settings.primary_bus and (bus is None or bus.owner in self._vsmmu_of)):
            return
        vsmmu = Vsmmu(device, settings, self.qemu)
        self.vsmmus.append(vsmmu)
        self._named.setdefault(vsmmu.name, vsmmu)
        self._vsmmu_of[bus.owner if bus else _BOARD] = vsmmu
        self._note(vsmmu.name, f"realized on {settings.primary_bus}; auto_mode={vsmmu.auto_mode}")

    def _plug(self, device: Device, settings: VsmmuSettings) -> Plug:
        bus = self._topology.primary_bus_of(device)
        missing = self._topology.missing_of(device)
        return Plug(
            settings=settings,
            machine=self.machine,
            qemu=self.qemu,
            bus=bus,
            ambiguous=missing is not None and missing.reason == "ambiguous",
            taken=bus is not None and bus.owner in self._vsmmu_of,
            bypassed=bus is not None and bus.owner in self._bypassed,
            cxl=bus is not None and bus.owner >= 0 and self.machine.devices[bus.owner].driver == "pxb-cxl",
            present=len(self.vsmmus),
            machine_iommu=self._machine_iommu,
        )

    def _create_emulated(self, device: Device, bus: Bus) -> None:
        vsmmu = self._vsmmu_of.get(bus.root_owner)
        hidden = bus.owner in self._conventional
        if vsmmu is None and not hidden:
            self._emulated[bus.root_owner] = max(
                self._emulated.get(bus.root_owner, (_BOARD, device.name)),
                (bus.owner, device.name),
                key=lambda entry: entry[0],
            )
        elif vsmmu is not None and vsmmu.settings.accel and not hidden:
            self._refuse("qemu-emulated-endpoint", device.name, device.origin.option)
        if device.driver.startswith("virtio-iommu"):
            if not bus.is_root:
                self._refuse("qemu-virtio-iommu-place", device.name, device.origin.option)
            if self._machine_iommu:
                self._refuse("qemu-multiple-iommus", device.name, device.origin.option)
            else:
                self._machine_iommu = "virtio-iommu"

    def _create_vfio(self, device: Device, bus: Bus) -> None:
        vsmmu = self._vsmmu_of.get(bus.root_owner)
        endpoint = self._endpoint(device)
        for refusal in vfio_refusals(self._vfio_plug(endpoint, bus, vsmmu)):
            refuse = self._stop if refusal.code in ENDING else self._refuse
            refuse(refusal.code, device.name, device.origin.option, **refusal.values)
        if device.text("iommufd") and endpoint.function is not None:
            self._bound.add(endpoint.function.address)
        if (
            endpoint.function is not None
            and direct_mapped(endpoint.function).answer
            and not device.text("iommufd")
        ):
            from vsmmu.host.obstacles import direct_region  # hardly any function has to stay mapped

            self._findings.note(direct_region(endpoint.function.address, device.name))
        if vsmmu is None:
            if device.text("iommufd"):
                self._admission.check_vfio_ats(endpoint, self._phase)
            if endpoint.function is None:
                address = self.functions.get(device.name) or host_address(device)
                self._findings.note(unlisted_function(device, address))
            self._early.setdefault(bus.root_owner, []).append(endpoint)
            self._note(device.name, "realized; no vSMMU on its root complex so far")
            return
        self._admission.admit(vsmmu, endpoint, self._phase)
        vsmmu.endpoints.append(endpoint)
        self._note(device.name, f"realized behind {vsmmu.name}: {vsmmu.summary()}")

    def _vfio_plug(self, endpoint: Endpoint, bus: Bus, vsmmu: Vsmmu | None) -> VfioPlug:
        device, function = endpoint.device, endpoint.function
        address = self.functions.get(device.name) or host_address(device)
        board_smmu = self._machine_iommu == "iommu=smmuv3" and bus.root_owner not in self._bypassed
        behind = vsmmu is not None or board_smmu
        return VfioPlug(
            endpoint=endpoint,
            name=vfio_name(device, function.address if function else None),
            address=address,
            bound=self._bound,
            vsmmu=vsmmu,
            board_smmu=board_smmu,
            conventional=bus.owner in self._conventional and not self._placement.is_first(device),
            incoherent=self._admission.is_incoherent(endpoint),
            direct=function is not None and direct_mapped(function).answer is True,
            absent=address is not None and function is None and self.host.complete,
            region=self._placement.region(endpoint.device) if behind else {},
        )

    def _endpoint(self, device: Device) -> Endpoint:
        address = self.functions.get(device.name) or host_address(device)
        function = self.host.function(address) if address else None
        smmu = self.host.smmu(function.smmu) if function is not None and function.smmu else None
        return Endpoint(device, function, smmu)

    def _machine_done(self) -> None:
        if lacks_cxl(self.machine):
            self._refuse("qemu-cxl-off", "", "")
        lines = sum(_SMMU_LINES + (vsmmu.cmdqv_active is not False) for vsmmu in self.vsmmus)
        if lines > _PLATFORM_LINES and len(self.vsmmus) <= MAX_VSMMUS:
            self._findings.note(too_many_queues(len(self.vsmmus), lines, _PLATFORM_LINES))
        # Each vSMMU in auto mode and each bus has a notifier, and QEMU calls the newest first [measured].
        failures: dict[int, tuple[str, str]] = {
            vsmmu.device.number: ("qemu-no-cold-plug", vsmmu.name)
            for vsmmu in self.vsmmus
            if vsmmu.never_settled
        }
        for root, vsmmu in self._vsmmu_of.items():
            if vsmmu.settings.accel and root in self._emulated:
                maker, early = self._emulated[root]
                failures[maker] = ("qemu-endpoint-first", early)
        for _, (code, name) in sorted(failures.items(), reverse=True):
            self._refuse(code, name, "")
        for found in acpi_refusals(self.machine, self.qemu):
            if isinstance(found, Refusal):
                self._refuse(found.code, "", "", **found.values)
            else:
                self._findings.note(found)
        for vsmmu in self.vsmmus:
            self._note(vsmmu.name, f"machine-done: {vsmmu.summary()}")

    def reset(self) -> None:
        """Reset the machine: GBPA gets its reset value (bypass), and every endpoint is attached by it."""
        for vsmmu in self.vsmmus:
            self.write_gbpa(vsmmu.name, abort=False)

    def write_gbpa(self, name: str, *, abort: bool) -> None:
        """The guest writes GBPA.ABORT of a vSMMU whose translation is off.

        :raise KeyError: if there is no vSMMU called ``name``.
        """
        vsmmu = self._named[name]
        vsmmu.gbpa_abort = abort
        if vsmmu.viommu_smmu:
            vsmmu.attached = "abort" if abort else "bypass"
            self._note(vsmmu.name, f"endpoints attached to the {vsmmu.attached} HWPT")

    # What is known at the moment

    def verdict(self) -> Verdict:
        """The answer so far."""
        refusals = [entry.diagnosed(str(self.qemu)) for entry in self._findings.refusals]
        failed = self.failure
        end = [] if failed is None else [TraceStep(failed.phase, failed.device, f"refused: {failed.text}")]
        hazards = [
            *hazards_of(self.machine, self.vsmmus, self._vsmmu_of, self.host, self._early),
            *self._placement.hazards(self.machine, self._topology),
        ]
        diagnostics = by_severity([*refusals, *hazards, *self._findings.noted()])
        return Verdict(
            answer=answer_of(diagnostics),
            qemu=str(self.qemu),
            machine_type=self.machine_type.name if self.machine_type else self.machine.machine_type,
            failure=self.failure,
            diagnostics=diagnostics,
            vsmmus=tuple(vsmmu.outcome() for vsmmu in self.vsmmus),
            trace=(*self.trace, *end),
        )
