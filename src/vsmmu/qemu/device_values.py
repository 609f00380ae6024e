# SPDX-License-Identifier: Apache-2.0
"""Numbers of emulated cards that are of the property's type and that the card itself refuses.

Sources: virtio_net_device_realize(), virtio_blk_device_realize(), virtio_scsi_common_realize(),
virtio_rng_device_realize(), virtio_serial_device_realize(), blkconf_blocksizes(), virtio_pci_realize(),
nvme_check_params() of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import bare_name
from vsmmu.machine.model import Unread
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import size, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.machine.model import Device

__all__ = ["aborts", "doubtful_values", "refused_values"]

_SIZES: Final = frozenset({"logical_block_size", "physical_block_size"})
#: VIRTIO_QUEUE_MAX without those for control and events; its sentence says one less.
_SCSI_QUEUES: Final = 1022
#: As many as there are CPUs, in 32 bits and in the 16 of a virtio-blk.
_AUTO: Final = 0xFFFFFFFF
_AUTO_BLK: Final = 0xFFFF
#: VIRTIO_QUEUE_MAX, and VIRTQUEUE_MAX_SIZE.
_MOST_QUEUES: Final = 1024
_MOST_INT64: Final = (1 << 63) - 1
_NEITHER: Final = """device cannot work as neither modern nor legacy mode is enabled
Set either disable-modern or disable-legacy to off"""


def refused_values(device: Device, *, in_port: bool = False) -> Iterator[str]:
    """What QEMU says of a device's numbers when it makes it, the first first; nothing if it takes them.

    :param in_port: whether the device is in a PCI Express port, where a card has no legacy mode of its own.
    """
    if any(isinstance(value, Unread) for value in device.properties.values()):
        return  # only a shell knows them
    kind = bare_name(device.driver)
    if kind.startswith("virtio-"):
        yield from _modes(device, in_port=in_port)
    if _SIZES & device.properties.keys():
        yield from _block_sizes(device)
    rules = _RULES.get(kind)
    if rules is not None:
        yield from rules(device)


def _modes(device: Device, *, in_port: bool) -> Iterator[str]:
    if device.driver.endswith("-pci") and read_bool(device.properties.get("disable-modern")) is True:
        legacy = read_bool(device.properties.get("disable-legacy"))
        if legacy is True or (legacy is None and in_port):
            yield _NEITHER


def _number(device: Device, name: str, usual: int) -> int:
    """A number as written; what the device has without, where it cannot be read."""
    text = device.text(name)
    found = (unsigned(text) if text else None) if not text[-1:].isalpha() else size(text)
    return usual if found is None else found


def _power(number: int, least: int, most: int) -> bool:
    return least <= number <= most and number.bit_count() == 1


def _net(device: Device) -> Iterator[str]:
    for name, most, end in (("rx_queue_size", 1024, "."), ("tx_queue_size", 256, "")):
        number = _number(device, name, 256)
        if not _power(number, 256, 1024 if _sends_more(device, name) else most):
            yield f"Invalid {name} (= {number}), must be a power of 2 between 256 and {most}{end}"
    if device.text("duplex") not in ("", "half", "full"):
        yield "'duplex' must be 'half' or 'full'"


def _sends_more(device: Device, name: str) -> bool:
    """Whether a queue could be longer for what serves the card, which is not said here."""
    return name == "tx_queue_size" and bool(device.text("netdev"))


def doubtful_values(device: Device) -> Iterator[tuple[str, str]]:
    """What QEMU could say of a device's values, and what decides."""
    kind = bare_name(device.driver)
    length = _number(device, "tx_queue_size", 256)
    if kind == "virtio-net" and _sends_more(device, "tx_queue_size") and _power(length, 512, 1024):
        text = f"Invalid tx_queue_size (= {length}), must be a power of 2 between 256 and 256"
        yield text, f"whether {device.text('netdev')} is vhost-user or vhost-vdpa"
    if kind in ("loader", "guest-loader"):
        yield "Some ROM regions are overlapping", "the place of everything else that is loaded"
    if device.text("sriov-pf"):
        yield "PCI Express is required for SR-IOV VF", "how QEMU joins emulated functions by sriov-pf="


def aborts(device: Device) -> bool:
    """Whether QEMU ends by abort() for a queue that no virtio device can have; it prints nothing then."""
    kind = bare_name(device.driver)
    queues, length = _number(device, "num-queues", 1), _number(device, "virtqueue_size", 256)
    if kind == "virtio-blk":
        return _MOST_QUEUES < queues < _AUTO_BLK
    return kind == "virtio-scsi" and length > _MOST_QUEUES


def _blk(device: Device) -> Iterator[str]:
    if "num-queues" in device.properties and _number(device, "num-queues", 1) == 0:
        yield "num-queues property must be larger than 0"
    queue = _number(device, "queue-size", 256)
    if queue <= 2:
        yield f"invalid queue-size property ({queue}), must be > 2"
    elif not _power(queue, 4, 1024):
        yield f"invalid queue-size property ({queue}), must be a power of 2 (max 1024)"


def _block_sizes(device: Device) -> Iterator[str]:
    sizes = {name: _number(device, name, 0) for name in sorted(_SIZES)}
    for name, found in sizes.items():
        if found and not _power(found, 512, 1 << 21):
            yield f"parameter {name} must be a power of 2 between 512 and 2097152"
    if (sizes["logical_block_size"] or 512) > (sizes["physical_block_size"] or 512):
        yield "logical_block_size > physical_block_size not supported"


def _scsi(device: Device) -> Iterator[str]:
    queues = _number(device, "num_queues", 1)
    if not 0 < queues <= _SCSI_QUEUES and queues != _AUTO:
        yield f"Invalid number of queues (= {queues}), must be a positive integer less than 1022."
    if (length := _number(device, "virtqueue_size", 256)) <= 2:
        yield f"invalid virtqueue_size property (= {length}), must be > 2"


def _rng(device: Device) -> Iterator[str]:
    if _number(device, "period", 1) == 0:
        yield "'period' parameter expects a positive integer"
    if not 0 < _number(device, "max-bytes", 1) <= _MOST_INT64:
        yield "'max-bytes' parameter must be positive, and less than 2^63"


def _serial(device: Device) -> Iterator[str]:
    ports = _number(device, "max_ports", 31)
    if ports == 0:
        yield "Maximum number of serial ports not specified"
    elif ports > 511:
        yield "maximum ports supported: 511"


def _nvme(device: Device) -> Iterator[str]:
    for name, usual, most in (("max_ioqpairs", 64, 65535), ("msix_qsize", 65, 2048)):
        if not 1 <= _number(device, name, usual) <= most:
            yield f"{name} must be between 1 and {most}"
    functions = _number(device, "sriov_max_vfs", 0)
    if not functions:
        return
    queues, interrupts = (_number(device, f"sriov_{name}_flexible", 0) for name in ("vq", "vi"))
    if not device.text("subsys"):
        yield "subsystem is required for the use of SR-IOV"
    elif not queues or not interrupts:
        yield "both sriov_vq_flexible and sriov_vi_flexible must be set for the use of SR-IOV"
    elif queues < functions * 2:
        yield f"sriov_vq_flexible must be greater than or equal to {functions * 2} (sriov_max_vfs * 2)"
    elif _number(device, "max_ioqpairs", 64) < queues + 2:
        yield "(max_ioqpairs - sriov_vq_flexible) must be greater than or equal to 2"
    elif interrupts < functions:
        yield f"sriov_vi_flexible must be greater than or equal to {functions} (sriov_max_vfs)"
    elif _number(device, "msix_qsize", 65) < interrupts + 1:
        yield "(msix_qsize - sriov_vi_flexible) must be greater than or equal to 1"


_RULES: Final[dict[str, Callable[[Device], Iterator[str]]]] = {
    "nvme": _nvme,
    "virtio-blk": _blk,
    "virtio-net": _net,
    "virtio-rng": _rng,
    "virtio-scsi": _scsi,
    "virtio-serial": _serial,
}
