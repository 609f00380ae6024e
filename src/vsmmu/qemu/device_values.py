# SPDX-License-Identifier: Apache-2.0
"""Numbers of emulated cards that are of the property's type and that the card itself refuses.

Sources: virtio_net_device_realize(), virtio_blk_device_realize(), virtio_scsi_common_realize(),
virtio_rng_device_realize(), virtio_serial_device_realize(), blkconf_blocksizes(), blkconf_geometry(),
virtio_pci_realize(), virtio_pci_device_plugged(), nvme_check_params(), pci_bridge_qemu_reserve_cap_init() of
qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import bare_name
from vsmmu.machine.model import Unread
from vsmmu.qemu.device_limits import beyond_limits, number
from vsmmu.qemu.settings import read_bool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.machine.model import Device

__all__ = ["aborts", "doubtful_values", "refused_values"]

_SIZES: Final = ("logical_block_size", "physical_block_size")
#: What has to be a multiple of the first of these, in QEMU's order.
_MULTIPLES: Final = ("min_io_size", "opt_io_size", "discard_granularity")
_BLOCKS: Final = frozenset({*_SIZES, *_MULTIPLES})
_GEOMETRY: Final = ("cyls", "heads", "secs")
#: The most heads of a disk's geometry.
_HEADS: Final = {"virtio-blk": 255, "scsi-hd": 255, "ide-hd": 16}
#: Virtio devices that may be legacy ones; the others are modern in any case.
_TRANSITIONAL: Final = frozenset(f"virtio-{kind}" for kind in "9p balloon blk net rng scsi serial".split())
_PLATFORM: Final = "VIRTIO_F_IOMMU_PLATFORM was supported by neither legacy nor transitional device"
#: VIRTIO_QUEUE_MAX without those for control and events; its sentence says one less.
_SCSI_QUEUES: Final = 1022
#: As many as there are CPUs, in 32 bits and in the 16 of a virtio-blk.
_AUTO: Final = 0xFFFFFFFF
_AUTO_BLK: Final = 0xFFFF
#: VIRTIO_QUEUE_MAX, and VIRTQUEUE_MAX_SIZE.
_MOST_QUEUES: Final = 1024
#: Bytes that end-to-end protection of an NVMe block takes.
_PROTECTION: Final = 8
_MOST_INT64: Final = (1 << 63) - 1
_MOST_UINT16: Final = 0xFFFF
#: BDRV_REQUEST_MAX_SECTORS.
_MOST_SECTORS: Final = 4194303
_NEITHER: Final = """device cannot work as neither modern nor legacy mode is enabled
Set either disable-modern or disable-legacy to off"""
#: 11.1.3 crashes where it refuses a number of these.
_EHCI: Final = frozenset({"usb-ehci", "ich9-usb-ehci1", "ich9-usb-ehci2"})
#: The highest number of a port, where a controller says nothing.
_PORTS: Final = 30
_OUT_OF_RANGE: Final = f"virtio-serial-bus: Out-of-range port id specified, max. allowed: {_PORTS}"
#: What QEMU checks in a way that is not modelled, and may say.
_CHECKED: Final = {
    ("acpi-erst", "record_size"): "ERST record_size {value} is invalid",
    ("nvme", "spdm_port"): "cannot connect: Connection refused",
    ("nvme-ns", "atomic.nabo"): "nabo must be less than or equal to nabsn and nabspf",
    ("nvme-ns", "zoned"): "insufficient drive capacity, must be at least the size of one zone (134217728B)",
    ("nvme-subsys", "fdp"): "fdp.nruh must be non-zero and less than 128",
    ("rocker", "world"): "invalid argument requested world {value} does not exist",
    ("sdhci", "capareg"): "SD timeout clock frequency can have valuein range 0-63 only",
    ("ufs", "wb-max-size"): "wb-min-size must be less than or equal wb-max-size",
    ("ufs", "wb-min-size"): "wb-min-size must be less than or equal wb-max-size",
}
_RESERVED: Final = (
    "Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility."
)
_ZASL: Final = (
    "zoned.zasl (Zone Append Size Limit) must be less than or equal to mdts (Maximum Data Transfer Size)"
)


def refused_values(device: Device, *, in_port: bool = False) -> Iterator[str]:
    """What QEMU says of a device's numbers when it makes it, the first first; nothing if it takes them.

    :param in_port: whether the device is in a PCI Express port, where a card has no legacy mode of its own.
    """
    if any(isinstance(value, Unread) for value in device.properties.values()):
        return  # only a shell knows them
    kind = bare_name(device.driver)
    if kind.startswith("virtio-"):
        yield from _modes(device, in_port=in_port)
    if _BLOCKS & device.properties.keys():
        yield from _block_sizes(device)
    if kind in _HEADS and any(number(device, name, 0) for name in _GEOMETRY):
        yield from _geometry(device, _HEADS[kind])
    yield from beyond_limits(device)
    rules = _RULES.get(kind)
    if rules is not None:
        yield from rules(device)


def _modes(device: Device, *, in_port: bool) -> Iterator[str]:
    if not device.driver.endswith(("-pci", "-pci-transitional")):
        return
    given = {name: read_bool(device.properties.get(f"disable-{name}")) for name in ("modern", "legacy")}
    modern_only = device.driver.endswith("-pci") and (in_port if given["legacy"] is None else given["legacy"])
    if given["modern"] is True and modern_only:
        yield _NEITHER
    may_be_legacy = bare_name(device.driver) in _TRANSITIONAL and not modern_only
    if may_be_legacy and read_bool(device.properties.get("iommu_platform")) is True:
        yield _PLATFORM


def _power(written: int, least: int, most: int) -> bool:
    return least <= written <= most and written.bit_count() == 1


def _net(device: Device) -> Iterator[str]:
    for name, most, end in (("rx_queue_size", 1024, "."), ("tx_queue_size", 256, "")):
        length = number(device, name, 256)
        if not _power(length, 256, 1024 if _sends_more(device, name) else most):
            yield f"Invalid {name} (= {length}), must be a power of 2 between 256 and {most}{end}"
    if device.text("duplex") not in ("", "half", "full"):
        yield "'duplex' must be 'half' or 'full'"


def _sends_more(device: Device, name: str) -> bool:
    """Whether a queue could be longer for what serves the card, which is not said here."""
    return name == "tx_queue_size" and bool(device.text("netdev"))


def doubtful_values(device: Device) -> Iterator[tuple[str, str]]:
    """What QEMU could say of a device's values, and what decides."""
    kind = bare_name(device.driver)
    length = number(device, "tx_queue_size", 256)
    if kind == "virtio-net" and _sends_more(device, "tx_queue_size") and _power(length, 512, 1024):
        text = f"Invalid tx_queue_size (= {length}), must be a power of 2 between 256 and 256"
        yield text, f"whether {device.text('netdev')} is vhost-user or vhost-vdpa"
    if kind in ("loader", "guest-loader"):
        yield "Some ROM regions are overlapping", "the place of everything else that is loaded"
    if kind in _EHCI and not 8 <= number(device, "maxframes", 128) <= 512:
        yield "Segmentation fault", "how this QEMU ends when it refuses maxframes="
    if kind in ("virtserialport", "virtconsole") and number(device, "nr", 0) > _PORTS:
        yield _OUT_OF_RANGE, "max_ports of its controller"
    for (owner, name), text in _CHECKED.items():
        if kind == owner and device.text(name) not in ("", "0", "off"):
            yield text.format(value=device.text(name)), f"what QEMU holds {name} of {kind} against"
    if device.text("sriov-pf"):
        yield "PCI Express is required for SR-IOV VF", "how QEMU joins emulated functions by sriov-pf="


def aborts(device: Device) -> bool:
    """Whether QEMU ends by abort() for a queue that no virtio device can have; it prints nothing then."""
    kind = bare_name(device.driver)
    queues, length = number(device, "num-queues", 1), number(device, "virtqueue_size", 256)
    if kind == "virtio-blk":
        return _MOST_QUEUES < queues < _AUTO_BLK
    return kind == "virtio-scsi" and length > _MOST_QUEUES


def _blk(device: Device) -> Iterator[str]:
    if "num-queues" in device.properties and number(device, "num-queues", 1) == 0:
        yield "num-queues property must be larger than 0"
    queue = number(device, "queue-size", 256)
    if queue <= 2:
        yield f"invalid queue-size property ({queue}), must be > 2"
    elif not _power(queue, 4, 1024):
        yield f"invalid queue-size property ({queue}), must be a power of 2 (max 1024)"
    for name in ("discard", "write-zeroes"):
        sectors = number(device, f"max-{name}-sectors", 1)
        if read_bool(device.properties.get(name)) is not False and not 1 <= sectors <= _MOST_SECTORS:
            yield f"invalid max-{name}-sectors property ({sectors}), must be between 1 and {_MOST_SECTORS}"


def _block_sizes(device: Device) -> Iterator[str]:
    sizes = {name: number(device, name, 0) for name in _SIZES}
    for name, found in sorted(sizes.items()):
        if found and not _power(found, 512, 1 << 21):
            yield f"parameter {name} must be a power of 2 between 512 and 2097152"
    block = sizes["logical_block_size"] or 512
    if block > (sizes["physical_block_size"] or 512):
        yield "logical_block_size > physical_block_size not supported"
    for name in _MULTIPLES:
        found = number(device, name, 0)
        if name == "discard_granularity" and found not in (0, 512) and device.driver.startswith("ide-"):
            yield f"{name} must be 512 for ide"
        elif found % block:
            yield f"{name} must be a multiple of logical_block_size"
    if number(device, "min_io_size", 0) // block > _MOST_UINT16:
        yield "min_io_size must not exceed 65535 logical blocks"


def _geometry(device: Device, heads: int) -> Iterator[str]:
    for name, most in zip(_GEOMETRY, (_MOST_UINT16, heads, 255), strict=True):
        if not 1 <= number(device, name, 0) <= most:
            yield f"{name} must be between 1 and {most}"


def _scsi(device: Device) -> Iterator[str]:
    queues = number(device, "num_queues", 1)
    if not 0 < queues <= _SCSI_QUEUES and queues != _AUTO:
        yield f"Invalid number of queues (= {queues}), must be a positive integer less than 1022."
    if (length := number(device, "virtqueue_size", 256)) <= 2:
        yield f"invalid virtqueue_size property (= {length}), must be > 2"


def _rng(device: Device) -> Iterator[str]:
    if number(device, "period", 1) == 0:
        yield "'period' parameter expects a positive integer"
    if not 0 < number(device, "max-bytes", 1) <= _MOST_INT64:
        yield "'max-bytes' parameter must be positive, and less than 2^63"


def _balloon(device: Device) -> Iterator[str]:
    if read_bool(device.properties.get("free-page-hint")) is True and not device.text("iothread"):
        yield "'free-page-hint' requires 'iothread' to be set"


def _bochs(device: Device) -> Iterator[str]:
    memory = number(device, "vgamem", 16 << 20)
    if not 4 << 20 <= memory <= 256 << 20:
        yield f"bochs-display: video memory too {'small' if memory < 4 << 20 else 'big'}"


def _cirrus(device: Device) -> Iterator[str]:
    if (memory := number(device, "vgamem_mb", 4)) not in (4, 8, 16):
        yield f"Invalid cirrus_vga ram size '{memory}'"


def _bridge(device: Device) -> Iterator[str]:
    if {"pref32-reserve", "pref64-reserve"} <= device.properties.keys():
        yield "PCI resource reserve cap: PREF32 and PREF64 conflict"


def _namespace(device: Device) -> Iterator[str]:
    if number(device, "pi", 0) in (1, 2, 3) and number(device, "ms", 0) < _PROTECTION:
        yield "at least 8 bytes of metadata required to enable protection information"


def _port(device: Device) -> Iterator[str]:
    if device.text("nr") and number(device, "nr", 1) == 0:
        yield _RESERVED


def _serial(device: Device) -> Iterator[str]:
    ports = number(device, "max_ports", 31)
    if ports == 0:
        yield "Maximum number of serial ports not specified"
    elif ports > 511:
        yield "maximum ports supported: 511"


def _nvme(device: Device) -> Iterator[str]:
    for name, usual, most in (("max_ioqpairs", 64, 65535), ("msix_qsize", 65, 2048)):
        if not 1 <= number(device, name, usual) <= most:
            yield f"{name} must be between 1 and {most}"
    most = number(device, "mdts", 7)
    if most == 0 or 10 <= most % 32 <= 30:  # 1 << mdts, an int, is held against IOV_MAX
        yield "mdts exceeds IOV_MAX"
    if number(device, "zoned.zasl", 0) > most > 0:
        yield _ZASL
    functions = number(device, "sriov_max_vfs", 0)
    if not functions:
        return
    queues, interrupts = (number(device, f"sriov_{name}_flexible", 0) for name in ("vq", "vi"))
    if not device.text("subsys"):
        yield "subsystem is required for the use of SR-IOV"
    elif not queues or not interrupts:
        yield "both sriov_vq_flexible and sriov_vi_flexible must be set for the use of SR-IOV"
    elif queues < functions * 2:
        yield f"sriov_vq_flexible must be greater than or equal to {functions * 2} (sriov_max_vfs * 2)"
    elif number(device, "max_ioqpairs", 64) < queues + 2:
        yield "(max_ioqpairs - sriov_vq_flexible) must be greater than or equal to 2"
    elif interrupts < functions:
        yield f"sriov_vi_flexible must be greater than or equal to {functions} (sriov_max_vfs)"
    elif number(device, "msix_qsize", 65) < interrupts + 1:
        yield "(msix_qsize - sriov_vi_flexible) must be greater than or equal to 1"


_RULES: Final[dict[str, Callable[[Device], Iterator[str]]]] = {
    "bochs-display": _bochs,
    "cirrus-vga": _cirrus,
    "cxl-rp": _bridge,
    "nvme": _nvme,
    "nvme-ns": _namespace,
    "pci-bridge": _bridge,
    "pcie-root-port": _bridge,
    "virtio-balloon": _balloon,
    "virtio-blk": _blk,
    "virtio-net": _net,
    "virtio-rng": _rng,
    "virtio-scsi": _scsi,
    "virtio-serial": _serial,
    "virtserialport": _port,
}
