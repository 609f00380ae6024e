# SPDX-License-Identifier: Apache-2.0
"""The model's diagnoses of a domain: placed at the element, with the remedy in libvirt's words."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.machine.domain.controllers import known_expanders
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.domain.reader import DomainReading
    from vsmmu.machine.model import Device

__all__ = ["WORDINGS", "Wording", "in_libvirts_words"]


class Wording(NamedTuple):
    """A diagnosis of the model, for a domain.

    :param of: its code in the model.
    :param code: its code for a domain; the same where it needs no other.
    :param next: the remedy; ``{known}`` are the domain's expanders.
    :param says: a word that the reason has to hold; empty for any.
    """

    of: str
    code: str
    next: str
    says: str = ""


_SSIDSIZE: Final = "write 0 to 20, or remove ssidsize and let vsmmu resolve it"
_IOMMUFD: Final = "let libvirt make the iommufd: <driver iommufd='yes'/> on every hostdev"
_OAS: Final = "write oas='44' or oas='48', or remove oas and let vsmmu resolve it"
_EMULATED: Final = "move it to a root port on bus 0"
#: The first row that fits is taken.
WORDINGS: Final = (
    Wording("qemu-oas-not-implemented", "oas-range", _OAS),
    Wording("qemu-oas-not-implemented-11.0", "oas-range", _OAS),
    Wording("qemu-value", "oas-range", _OAS, "'oas'"),
    Wording(
        "qemu-value",
        "ssidsize-range",
        "write 0 to 20, or remove ssidsize and let vsmmu resolve it",
        "'ssidsize'",
    ),
    Wording(
        "qemu-not-root-complex", "pcibus-no-expander", "name the index of a pcie-expander-bus{known}, or 0"
    ),
    Wording("qemu-second-iommu", "pcibus-twice", "give each SMMU a pcie-expander-bus of its own"),
    Wording("qemu-machine-iommu", "iommu-models-mixed", "remove one of the IOMMUs"),
    Wording("qemu-multiple-iommus", "iommu-models-mixed", "remove one of the IOMMUs"),
    Wording(
        "qemu-no-iommufd",
        "hostdev-without-iommufd",
        "add <driver iommufd='yes'/> to it, or <iommufd enabled='yes'/> to the domain",
    ),
    Wording("qemu-emulated-endpoint", "emulated-behind-accel", _EMULATED),
    Wording("qemu-endpoint-first", "emulated-behind-accel", _EMULATED),
    Wording("qemu-kvm", "no-kvm", "write <domain type='kvm'>"),
    Wording(
        "qemu-acpi", "no-acpi", "add <features><acpi/>, and a firmware: <os firmware='efi'> or a <loader>"
    ),
    Wording(
        "qemu-board-smmu",
        "board-smmu",
        "give the <iommu> accel='on' and pciBus, the index of an expander that the hostdev is behind",
    ),
    Wording(
        "two-host-smmus",
        "two-host-smmus",
        "give each host SMMU a pcie-expander-bus and an <iommu> with its index as pciBus",
    ),
    Wording(
        "two-iommufds",
        "two-iommufds",
        "let libvirt make the iommufd: <driver iommufd='yes'/> on every hostdev",
    ),
    Wording(
        "qemu-no-cold-plug",
        "qemu-no-cold-plug",
        "name the host SMMU: --smmu NAME; or put a hostdev behind the expander",
    ),
    Wording(
        "qemu-chassis", "qemu-chassis", "give every root port a <target chassis=''/> of its own, or none"
    ),
    Wording(
        "qemu-bus-number",
        "qemu-bus-number",
        "give every pcie-expander-bus a busNr with room for the buses behind it, or none",
    ),
)
#: Where libvirt itself refuses, QEMU never comes to say the same: its code -> that of the rule for domains.
_LIBVIRT_FIRST: Final[Mapping[str, str]] = MappingProxyType(
    {
        "qemu-no-primary-bus": "pcibus-missing",
        "qemu-not-virt": "machine-not-virt",
        "qemu-machine-iommu": "iommu-without-pcibus",
        "qemu-value": "value-refused",
        "qemu-bool": "value-refused",
        "qemu-json-type": "value-refused",
        **{entry.accel_message: "accel-missing" for entry in REGISTER_PROPERTIES if entry.accel_message},
    }
)


def in_libvirts_words(
    found: Iterable[Diagnostic], reading: DomainReading, own: Iterable[Diagnostic]
) -> Iterator[Diagnostic]:
    """The model's diagnoses as those of a domain; without what one of libvirt's own says already.

    :param own: what :func:`vsmmu.libvirt.lint.lint` found.
    """
    codes = {entry.code for entry in own}
    devices = {device.name: device for device in reversed(reading.machine.devices)}
    known = known_expanders(reading.controllers)
    for entry in found:
        if _LIBVIRT_FIRST.get(entry.code) not in codes:
            yield _worded(entry, reading, devices.get(entry.where), known)


def _worded(found: Diagnostic, reading: DomainReading, device: Device | None, known: str) -> Diagnostic:
    where, why = found.where, found.why
    if device is not None:
        element = reading.elements[device.number]
        where = f"line {element.line} <{element.name.rpartition(' ')[2]}>"
        why = why.replace(f" {device.origin.option}:", "")
    row = next((row for row in WORDINGS if row.of == found.code and row.says in found.why), None)
    if row is None:
        return msgspec.structs.replace(found, where=where, why=why)
    text = row.next.format(known=known)
    return msgspec.structs.replace(found, code=row.code, where=where, why=why, next=text)
