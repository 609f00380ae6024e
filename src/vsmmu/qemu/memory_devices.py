# SPDX-License-Identifier: Apache-2.0
"""Memory devices (pc-dimm, nvdimm, virtio-mem): backend, slot and node, and the room that ``-m`` leaves.

Sources: virt_memory_pre_plug() in hw/arm/virt.c, hw/mem/memory-device.c, hw/mem/pc-dimm.c, hw/mem/nvdimm.c,
hw/virtio/virtio-mem.c of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.host.mmio_window import spell_size
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.memory_pages import huge_page, is_small
from vsmmu.qemu.memory_size import memory_bytes
from vsmmu.qemu.realize import has_acpi
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import quantity, signed, size, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.machine.model import Device, Machine, MachineObject

__all__ = ["MemoryDevices"]

_MODULES: Final = frozenset({"pc-dimm", "nvdimm"})
_DIMM_NODE: Final = "'DIMM property node has value {node}' which exceeds the number of numa nodes: {most}"
_VIRTIO_NODE: Final = "'node' property has value '{node}', which exceedsthe number of numa nodes: {most}"
_MIB: Final = 1 << 20
#: MIN_NAMESPACE_LABEL_SIZE of include/hw/mem/nvdimm.h.
_LEAST_LABEL: Final = 128 << 10
#: QEMU_VMALLOC_ALIGN of include/qemu/osdep.h, on Arm and x86.
_ALIGNED: Final = 2 * _MIB


class MemoryDevices:
    """The memory devices of a VM so far, as they are made one after the other.

    :param pages: the sizes that pages of the host may have, see :func:`~vsmmu.host.judgements.page_sizes`.
    """

    def __init__(self, machine: Machine, pages: Sequence[int]) -> None:
        self._machine = machine
        self._pages = pages
        #: The memory backends in use.
        self._backends = {option.settings.get("memdev", "") for option in machine.numa}
        self._backends |= {machine.machine_options.get("memory-backend", "")}
        self._slots: set[int] = set()
        self._used: int | None = 0

    def is_busy(self, backend: str) -> bool:
        """Whether the board, a node or a device has a memory backend; from now on one has."""
        busy = backend in self._backends
        self._backends.add(backend)
        return busy

    def size_of(self, backend: str) -> int | None:
        """The size of a memory backend; None if it cannot be read."""
        entry = self._backend(backend)
        return quantity(entry.properties.get("size")) if entry is not None else None

    def refusals(self, device: Device) -> Iterator[Refusal | Diagnostic]:
        """What QEMU says when it realizes a memory device; to be asked once for each."""
        if device.driver in _MODULES:
            yield from self._module(device)
        elif self._room() == 0:
            yield Refusal("qemu-module-room", {})
        elif self._whole and not device.text("memdev"):
            yield _refused("'memdev' property must be set")
        else:
            if device.text("memdev") and self.is_busy(device.text("memdev")):
                yield _refused(f"'memdev' property specifies a busy memdev: {device.text('memdev')}")
            yield from self._virtio(device)
            yield from self._space(device)

    def _module(self, device: Device) -> Iterator[Refusal]:
        """A memory module; a persistent one that is there from the start needs no ACPI."""
        persistent = device.driver == "nvdimm"
        options = self._machine.machine_options
        if not persistent and not has_acpi(self._machine):
            yield Refusal("qemu-memory-module", {"value": "missing acpi-ged device"})
        if read_bool(options.get("mte")) is True:
            yield Refusal("qemu-memory-module", {"value": "MTE is enabled"})
        if persistent and read_bool(options.get("nvdimm")) is not True:
            yield Refusal("qemu-nvdimm", {})
        if self._whole and quantity(self._machine.memory.get("slots", "0"), unsigned) == 0:
            yield Refusal("qemu-module-slots", {})
        backend = device.text("memdev")
        if not backend:
            yield Refusal("qemu-module-without-memory", {})
        elif self.is_busy(backend):
            yield Refusal("qemu-memory-twice", {"value": backend})
        label = quantity(device.properties.get("label-size", 0))
        if label and label < _LEAST_LABEL:
            yield _refused(
                f"Property 'nvdimm.label-size' ({label:#x}) is required at least {_LEAST_LABEL:#x}"
            )
            return
        yield from self._node(device, _DIMM_NODE)
        yield from self._slot(device)
        yield from self._space(device)

    @property
    def _whole(self) -> bool:
        """Whether everything of the VM is said."""
        return self._machine.backends is not None

    def _room(self) -> int | None:
        """How much memory devices may bring; None if that cannot be read, or not everything is said."""
        ram, most = memory_bytes(self._machine), size(self._machine.memory.get("maxmem", "0"))
        if not self._whole or ram is None or most is None:
            return None
        return max(0, most - ram)

    def _node(self, device: Device, text: str) -> Iterator[Refusal]:
        node, most = quantity(device.properties.get("node", 0), unsigned), self._machine.numa_nodes
        if node is not None and most is not None and node >= max(1, most) and self._whole:
            yield _refused(text.format(node=node, most=max(1, most)))

    def _slot(self, device: Device) -> Iterator[Refusal]:
        most = quantity(self._machine.memory.get("slots", "0"), unsigned)
        written = signed(device.text("slot")) if device.text("slot") else None
        if not most or not self._whole:
            return
        if written is not None and written >= most:
            yield _refused(f"invalid slot number {written}, valid range is [0-{most - 1}]")
            return
        free = next((number for number in range(most) if number not in self._slots), None)
        slot = free if written is None or written < 0 else written
        if slot is None:
            yield _refused("no free slots available")
        elif slot in self._slots:
            yield _refused(f"slot {slot} is busy")
        else:
            self._slots.add(slot)

    def _space(self, device: Device) -> Iterator[Refusal]:
        own, room = self._size(device), self._room()
        if own is None or room is None or self._used is None:
            self._used = None
            return
        if own % _ALIGNED:
            yield _refused(f"backend memory size must be multiple of {_ALIGNED:#x}")
        elif self._used + own > room > 0:
            yield _refused(
                f"not enough space, currently {self._used:#x} in use of total space for memory devices "
                f"{room:#x}"
            )
        else:
            self._used += own

    def _size(self, device: Device) -> int | None:
        """What a device takes of the room; None if it cannot be read."""
        whole = self.size_of(device.text("memdev"))
        label = quantity(device.properties.get("label-size", 0))
        if whole is None or label is None:
            return None
        # Labels are behind the memory, which ends at a multiple of the alignment.
        return (whole - label) // _ALIGNED * _ALIGNED if label else whole

    def _backend(self, name: str) -> MachineObject | None:
        return next((entry for entry in self._machine.objects if entry.id == name), None)

    def _virtio(self, device: Device) -> Iterator[Refusal | Diagnostic]:
        sizes = (self._size(device) or 0, quantity(device.properties.get("requested-size", 0)) or 0)
        if "block-size" not in device.properties:
            yield from self._blocks_of_the_host(device, *sizes)
        elif (block := quantity(device.properties["block-size"])) is not None:
            if block < _MIB:
                yield _refused(f"'block-size' property has to be at least {_MIB:#x}")
            elif block.bit_count() != 1:
                yield _refused("'block-size' property has to be a power of two")
            yield from self._node(device, _VIRTIO_NODE)
            yield from _multiples(block, *sizes)
            return
        yield from self._node(device, _VIRTIO_NODE)

    def _blocks_of_the_host(self, device: Device, whole: int, wanted: int) -> Iterator[Refusal | Diagnostic]:
        """What a virtio-mem without ``block-size`` makes of its sizes: blocks are the host's huge pages."""
        blocks = [huge_page(page) for page in self._pages]
        unfit = [block for block in blocks if whole % block or wanted % block]
        backend = self._backend(device.text("memdev"))
        if unfit and len(blocks) == 1 and backend is not None and is_small(backend):
            yield from _multiples(blocks[0], whole, wanted)
        elif unfit:
            yield _block_of_the_host(device, blocks[-1])


def _multiples(block: int, whole: int, wanted: int) -> Iterator[Refusal]:
    if block.bit_count() == 1 and wanted % block:
        yield _refused(f"'requested-size' property has to be multiples of 'block-size' ({block:#x})")
    elif block.bit_count() == 1 and whole % block:
        yield _refused(f"'memdev' property memdev size has to be multiples of'block-size' ({block:#x})")


def _block_of_the_host(device: Device, largest: int) -> Diagnostic:
    return Diagnostic(
        "qemu-memory-device",
        "in what blocks this host gives memory was not looked at: without block-size they are as large as "
        "its huge pages, 2 MiB with pages of 4 KiB and 512 MiB with pages of 64 KiB",
        where=device.name,
        why="the sizes of a virtio-mem and of its memory backend have to be multiples of a block",
        next=f"write block-size=2M on {device.name}, or make both sizes multiples of {spell_size(largest)}",
        severity="unknown",
    )


def _refused(text: str) -> Refusal:
    return Refusal("qemu-memory-device", {"text": text})
