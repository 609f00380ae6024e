# SPDX-License-Identifier: Apache-2.0
"""Numbers that devices take only between two bounds: a table by property, with what QEMU says of others.

Found by writing numbers of many sizes into the properties of each type of device that 11.1.3 for Arm makes
alone or with a drive; each bound measured on both its sides (tests/golden/qemu-11.1.3/limits.jsonl).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import bare_name
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu import values
from vsmmu.qemu.findings import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Device

__all__ = ["beyond_limits", "number", "odd_backend", "odd_bar"]


class Limit(NamedTuple):
    """What a property takes.

    :param kinds: a pattern of the types that it is a property of, ``-pci`` and the like left out.
    :param said: QEMU's sentence for any other number, with ``{value}`` where it names it.
    """

    property: str
    kinds: str
    least: int
    most: int
    said: str


_ANY: Final = 1 << 64
_GIB: Final = 1 << 30
_PORTS: Final = (
    r"(aspeed\.)?pcie-root-port|cxl-(rp|upstream|downstream)|ioh3420|x3130-upstream|xio3130-downstream"
)
_RESERVING: Final = "pcie-root-port|cxl-rp|pci-bridge"
_CAP: Final = "PCI resource reserve cap: "
_SCSI: Final = "scsi-(hd|cd|block|generic)"
_LIMITS: Final = (
    Limit("aer_log_max", _PORTS, 0, 128, "Invalid aer_log_max {value}. The max number of aer log is 128"),
    Limit("aw-bits", "virtio-iommu", 32, 64, "aw-bits must be within [32,64]"),
    # Each SCSI controller has bounds of its own; none takes more than these.
    Limit("channel", _SCSI, 0, 0, "bad scsi channel id: {value}"),
    Limit("scsi-id", _SCSI, 0, 255, "bad scsi device id: {value}"),
    Limit("lun", _SCSI, 0, 16383, "bad scsi device lun: {value}"),
    Limit("lun", "ufs-lu", 0, 31, "lun must be between 0 and 31"),
    Limit("mcq-maxq", "ufs", 0, 31, "mcq-maxq must be less than 32"),
    Limit("mem-reserve", _RESERVING, 0, 4 * _GIB - 1, f"{_CAP}mem-reserve must be less than 4G"),
    Limit("mqes", "nvme", 1, _ANY, "mqes property cannot be less than 1"),
    Limit("nsid", "nvme-ns", 0, 256, "invalid namespace id (must be between 0 and 256)"),
    Limit("num-ports", "pci-ohci", 0, 15, "OHCI num-ports={value} is too big (limit is 15 ports)"),
    Limit("num_queues", "nvme", 2, 65536, "max_ioqpairs must be between 1 and 65535"),
    Limit("nutmrs", "ufs", 0, 8, "nutmrs must be less than or equal to 8"),
    Limit("nutrs", "ufs", 0, 32, "nutrs must be less than or equal to 32"),
    Limit("pi", "nvme-ns", 0, 3, "invalid 'pi' value"),
    Limit("ports", "usb-hub", 1, 8, "num_ports ({value}) out of range (1..8)"),
    Limit("pref32-reserve", _RESERVING, 0, 4 * _GIB - 1, f"{_CAP}pref32-reserve  must be less than 4G"),
    Limit("sd-spec-version", "sdhci", 2, 3, "Only Spec v2/v3 are supported"),
    Limit("spec_version", "sd-card", 2, 3, "Invalid SD card Spec version: {value}"),
    Limit("unit", "ide-(hd|cd|cf)", 0, 0, "Can't create IDE unit {value}, bus supports only 1 units"),
    Limit("usb_version", "usb-(kbd|mouse|tablet)", 1, 2, "Invalid usb version {value} for usb hid device"),
    Limit("vsl", "nvme", 1, _ANY, "vsl must be non-zero"),
)  # fmt: skip
#: Device -> the property that is the size of one of its BARs, which has to be a power of two.
_BARS: Final = {"pci-testdev": "membar", "nvme": "cmb_size_mb"}
_ASSERTION: Final = Refusal("qemu-bar-size", {})
_PMR: Final = "pmr backend size needs to be power of 2 in size"
#: Bytes of a record, where none are written.
_RECORD: Final = 8192
_RECORDS: Final = "ACPI ERST requires storage size be multiple of record size (8192KiB)"


def number(device: Device, name: str, usual: int) -> int:
    """A number as written; what the device has without, where it cannot be read."""
    text = device.text(name)
    found = (values.unsigned(text) if text else None) if not text[-1:].isalpha() else values.size(text)
    return usual if found is None else found


def beyond_limits(device: Device) -> Iterator[str]:
    """What QEMU says of each number that a device does not take."""
    kind = bare_name(device.driver)
    for limit in _LIMITS:
        if limit.property not in device.properties:
            continue
        written = number(device, limit.property, limit.least)
        if re.fullmatch(limit.kinds, kind) and not limit.least <= written <= limit.most:
            shown = written - (1 << 32) if 1 << 31 <= written < 1 << 32 else written
            yield limit.said.format(value=shown)


def odd_backend(device: Device, size: int) -> Iterator[Refusal]:
    """What QEMU says of a memory backend of this size behind a card."""
    if device.driver == "acpi-erst":
        if size % _RECORD and "record_size" not in device.properties:
            yield Refusal("qemu-device-value", {"text": _RECORDS})
    elif size.bit_count() > 1:
        yield Refusal("qemu-device-value", {"text": _PMR}) if device.driver == "nvme" else _ASSERTION


def odd_bar(device: Device) -> Iterator[Refusal]:
    """The assertion that ends QEMU where the size that is written for a BAR is no power of two."""
    if number(device, _BARS.get(device.driver, ""), 1).bit_count() > 1:
        yield _ASSERTION
