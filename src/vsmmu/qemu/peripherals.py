# SPDX-License-Identifier: Apache-2.0
"""Refusals of devices that are no part of an SMMU: balloons, frame buffers, boot order, own values.

Sources: system/balloon.c, hw/display/ramfb.c, system/bootdevice.c of qemu/qemu; each text measured with
11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import BRIDGES, HOST_BRIDGES
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.values import signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Bus
    from vsmmu.qemu.memory_devices import MemoryDevices
    from vsmmu.qemu.versions import Qemu

__all__ = ["Peripherals"]

#: How the types begin that bring memory besides that of ``-m``.
_MEMORY: Final = ("pc-dimm", "nvdimm", "virtio-mem")
_BALLOONS: Final = frozenset(
    f"virtio-balloon{form}" for form in ("", "-device", "-pci", "-pci-transitional", "-pci-non-transitional")
)
_NAMED_TWICE: Final = "qemu_ram_set_idstr: Assertion `!new_block->idstr[0]' failed."
#: Cards with a memory backend of their own, and the property that names it.
_BACKED: Final = {"acpi-erst": "memdev", "ivshmem-plain": "memdev", "nvme": "pmrdev"}
_FRAME_BUFFER: Final = "ramfb"
#: Properties of emulated devices that are judged elsewhere, or that take whatever their type takes.
_ORDINARY: Final = frozenset(
    "addr bootindex bus bus-reserve bus_nr chardev chassis drive hotplug io-reserve mac memdev mount_tag"
    " multifunction name netdev numa_node port pref64-reserve romfile serial slot".split()
)


class Peripherals:
    """The devices of a VM so far, as they are made one after the other.

    :param host: that of the VM; None where nothing is known of it.
    """

    def __init__(self, machine: Machine, qemu: Qemu, host: Host | None = None) -> None:
        self._machine = machine
        self._qemu = qemu
        self._host = host
        self._memory: MemoryDevices | None = None
        self._boot_order: set[int] = set()
        self._only_one: set[str] = set()
        #: The memory backends of acpi-erst.
        self._records: set[str] = set()

    def refusals(self, device: Device) -> Iterator[Refusal | Diagnostic]:
        """Every reason to refuse a device that is no PCI device, in QEMU's order; ask once for each."""
        yield from self.written(device)
        yield from self.realized(device)
        yield from self.blockers(device)

    def blockers(self, device: Device) -> Iterable[Refusal | Diagnostic]:
        """Why the VM cannot migrate with a device, where it must."""
        if not self._machine.only_migratable:
            return ()
        from vsmmu.qemu.migration import cannot_migrate  # a rare option

        found = cannot_migrate(device, self._qemu)
        return () if found is None else (found,)

    def written(self, device: Device) -> Iterator[Refusal]:
        """What QEMU says while it sets a device's properties; to be asked once for each."""
        number = signed(device.text("bootindex")) if device.text("bootindex") else None
        if number is None or number < 0:
            return
        if number in self._boot_order:
            yield Refusal("qemu-boot-index", {"value": number})
        self._boot_order.add(number)

    def realized(self, device: Device, bus: Bus | None = None) -> Iterator[Refusal | Diagnostic]:
        """What QEMU says when it realizes a device; to be asked once for each.

        A device of a libvirt domain gets properties that only libvirt writes.

        :param bus: that of a PCI device.
        """
        if device.driver.startswith(_MEMORY):
            yield from self._memory_devices().refusals(device)
        elif device.driver not in BRIDGES and (missing := self._missing(device)) is not None:
            name, text = missing
            yield Refusal("qemu-property-missing", {"property": name, "text": text})
        elif device.properties.keys() - _ORDINARY:
            yield from self._values(device, bus)
        if backend := device.text(_BACKED.get(device.driver, "")):
            yield from self._backed(device, backend)
        for kind, code in ((_BALLOONS, "qemu-balloon-twice"), ({_FRAME_BUFFER}, "qemu-ramfb-twice")):
            if device.driver in kind:
                if code in self._only_one:
                    yield Refusal(code, {})
                self._only_one.add(code)

    def _missing(self, device: Device) -> tuple[str, str] | None:
        """What :func:`missing_property` says, of a VM that is written as a whole."""
        if not self._is_whole(device):
            return None
        from vsmmu.qemu.needed_properties import missing_property  # a vfio-pci is not asked

        return missing_property(device)

    def _is_whole(self, device: Device) -> bool:
        """Whether all properties of a device are written: in a command line, or in a configuration file."""
        return self._machine.backends is not None or not device.origin.option.startswith("-")

    def _values(self, device: Device, bus: Bus | None) -> Iterator[Refusal | Diagnostic]:
        # Most devices have no numbers of their own.
        from vsmmu.qemu.device_limits import odd_bar
        from vsmmu.qemu.device_values import aborts, doubtful_values, refused_values
        from vsmmu.qemu.doubts import board_doubt

        for text in refused_values(device, in_port=self._is_port(bus)):
            yield Refusal("qemu-device-value", {"text": text})
        if aborts(device):
            yield Refusal("qemu-queues", {})
        yield from odd_bar(device)
        for text, needs in doubtful_values(device):
            yield board_doubt(Refusal("qemu-device-value", {"text": text, "device": device.name}), needs)

    def _backed(self, device: Device, backend: str) -> Iterator[Refusal | Diagnostic]:
        """What QEMU says of the memory backend of a card, which nobody else may have."""
        from vsmmu.qemu.device_limits import odd_backend  # few cards have one
        from vsmmu.qemu.doubts import board_doubt

        memory = self._memory_devices()
        if backend in self._records:
            refusal = Refusal("qemu-device-value", {"text": _NAMED_TWICE, "device": device.name})
            yield board_doubt(refusal, "what QEMU does with the backend of an acpi-erst")
        elif memory.is_busy(backend):
            yield Refusal("qemu-memory-twice", {"value": backend})
        if device.driver == "acpi-erst":
            self._records.add(backend)
        if size := memory.size_of(backend):
            yield from odd_backend(device, size)

    def _memory_devices(self) -> MemoryDevices:
        if self._memory is None:
            from vsmmu.host.judgements import PAGES, page_sizes
            from vsmmu.qemu.memory_devices import MemoryDevices  # few VMs have any

            pages = PAGES if self._host is None else page_sizes(self._host)
            self._memory = MemoryDevices(self._machine, pages)
        return self._memory

    def _is_port(self, bus: Bus | None) -> bool:
        """Whether a bus is PCI Express, and no root."""
        if bus is None or not 0 <= bus.owner < len(self._machine.devices):
            return False
        maker = self._machine.devices[bus.owner].driver
        return BRIDGES[maker] == "pcie" and maker not in HOST_BRIDGES
