# SPDX-License-Identifier: Apache-2.0
"""Look a domain through for what libvirt lets pass and QEMU refuses or ignores; needs no host.

The rules are rows of :data:`vsmmu.libvirt.rules.RULES`; this module finds where they apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.libvirt.releases import missing_features
from vsmmu.machine.domain.controllers import EXPANDER, known_expanders
from vsmmu.machine.domain.elements import QEMU_NAMESPACE
from vsmmu.machine.domain.iommu import OTHER_MODELS, Iommu
from vsmmu.machine.domain.numbers import integer
from vsmmu.machine.drivers import is_vfio
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import AUTO, PROPERTIES
from vsmmu.versions import LATEST_LIBVIRT, LATEST_QEMU, Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.domain.reader import DomainReading

__all__ = ["lint", "misspelt"]

_CORRECTED: Final = frozenset(("attribute-misspelt", "model-draft"))
_COMMAND_LINE: Final = f"{QEMU_NAMESPACE} commandline"


def lint(
    reading: DomainReading,
    libvirt: Version | None = None,
    qemu: Version = LATEST_QEMU,
) -> tuple[Diagnostic, ...]:
    """Everything that the rules find, in the order of the elements.

    :param libvirt: the version that will define the domain; None for the newest known.
    :param qemu: the version that will run it.
    """
    libvirt = libvirt or LATEST_LIBVIRT
    smmus = [entry for entry in reading.iommus if entry.is_smmuv3]
    found: list[_Placed] = []
    known = known_expanders(reading.controllers)
    for iommu in smmus:
        found += _spelling(iommu)
        found += _values(iommu)
        found += _bus(iommu, reading, known)
    if smmus:
        found += _several(smmus, reading)
        found += _machine(smmus, reading)
    found += _iommufd(reading.root)
    if reading.machine.numa_nodes:
        from vsmmu.libvirt.cells import cell_faults  # few domains have any

        found += (_finding(rule, element, **values) for rule, element, values in cell_faults(reading.root))
    if any(entry.accelerated and entry.pci_bus for entry in smmus):
        found += _addresses(reading)
    for element, rule, values in missing_features(reading, smmus, libvirt, qemu):
        found.append(_finding(rule, element, **values))
    found.sort(key=lambda entry: entry.element.start)
    return tuple(entry.diagnostic for entry in found)


class _Placed(NamedTuple):
    """A rule that applies, and the element that it applies to."""

    element: Element
    diagnostic: Diagnostic

    def as_error(self) -> _Placed:
        """The same, where it keeps the VM from being what is written."""
        return self._replace(diagnostic=msgspec.structs.replace(self.diagnostic, severity="error"))


def _finding(code: str, element: Element, **values: object) -> _Placed:
    from vsmmu.libvirt.rules import RULES  # most domains break none

    rule = RULES[code]
    return _Placed(
        element,
        Diagnostic(
            code,
            rule.what.format(**values),
            where=f"line {element.line} <{element.name.rpartition(' ')[2]}>",
            why=rule.consequence.format(**values),
            next=rule.remedy.format(**values),
            severity=rule.severity,
        ),
    )


def misspelt(reading: DomainReading) -> Iterator[Diagnostic]:
    """The spellings that :meth:`vsmmu.machine.domain.document.DomainXml.edit` corrects, by line."""
    for iommu in reading.iommus:
        if iommu.is_smmuv3:
            found = (placed.diagnostic for placed in _spelling(iommu))
            yield from (entry for entry in found if entry.code in _CORRECTED)


def _spelling(iommu: Iommu) -> Iterator[_Placed]:
    if iommu.draft:
        yield _finding("model-draft", iommu.element, written=iommu.draft)
    for entry in iommu.misspelt:
        element = iommu.driver or iommu.element
        if entry.known:
            found = _finding("attribute-misspelt", element, written=entry.written, known=entry.known)
            other_smmu = entry.known not in PROPERTIES  # pciBus or accel: not the same SMMU with other values
            yield found.as_error() if other_smmu else found
        elif entry.written in OTHER_MODELS:
            yield _finding("attribute-of-other-model", element, written=entry.written)
        else:
            instead = ": PASID bits are ssidsize" if entry.written == "pasid" else ""
            yield _finding("attribute-unknown", element, written=f"{entry.written:.60}", instead=instead)


def _values(iommu: Iommu) -> Iterator[_Placed]:
    settings, element = iommu.passed_on, iommu.driver or iommu.element
    for name, value in settings.items():
        switch = name == "accel" or (name in PROPERTIES and PROPERTIES[name].is_switch)
        valid = value in ("on", "off") if switch else integer(name, value) is not None
        if value == AUTO:
            yield _finding("value-auto", element, name=name)
        elif not valid:
            accepted = "'on' or 'off'" if switch else "an integer"
            yield _finding("value-refused", element, name=name, value=f"{value:.60}", accepted=accepted)
    dependent = [name for name in PROPERTIES if name in settings and settings[name] != AUTO]
    if dependent and settings.get("accel") != "on":
        yield _finding("accel-missing", element, names=", ".join(dependent))


def _bus(iommu: Iommu, reading: DomainReading, known: str) -> Iterator[_Placed]:
    element = iommu.driver or iommu.element
    if not iommu.pci_bus:
        if iommu.accelerated:
            yield _finding("accel-without-pcibus", element)
        return
    index = integer("pciBus", iommu.pci_bus)
    controller = reading.controllers.get(index) if index is not None else None
    if index is not None and controller is None and index != 0:
        yield _finding("pcibus-missing", element, value=iommu.pci_bus, known=known)


def _several(smmus: list[Iommu], reading: DomainReading) -> Iterator[_Placed]:
    if len(reading.iommus) > 1:
        for iommu in reading.iommus:
            if not iommu.is_smmuv3 and iommu.model != "virtio":
                yield _finding("iommu-models-mixed", iommu.element, model=iommu.model)
        for at, iommu in enumerate(smmus):
            if not iommu.pci_bus:
                yield _finding("iommu-without-pcibus", iommu.element, effect=_vanishing(at, smmus))


def _vanishing(at: int, smmus: list[Iommu]) -> str:
    if at > 0:
        return "libvirt accepts it and leaves it out: it vanishes"
    if any(iommu.pci_bus for iommu in smmus):
        refusal = "virt machine already has iommu=smmuv3 set. Doesn't support incompatible iommus"
        return f"libvirt writes iommu=smmuv3 and the devices, and QEMU refuses: {refusal}"
    return "libvirt accepts it and makes one SMMU of them all"


def _machine(smmus: list[Iommu], reading: DomainReading) -> Iterator[_Placed]:
    root, machine = reading.root, reading.machine
    kind = root.find("os/type")
    arch = kind.get("arch") if kind is not None else ""
    if arch not in ("", "aarch64") or not machine.machine_type.startswith("virt"):
        place = kind or root
        yield _finding("machine-not-virt", place, machine=machine.machine_type, arch=arch or "no arch")
    if not any(iommu.accelerated for iommu in smmus):
        return
    for element in root.children:
        smmu = any("arm-smmuv3" in child.get("value") for child in element.children)
        if element.name == _COMMAND_LINE and smmu:
            yield _finding("commandline-smmu", element)


def _iommufd(root: Element) -> Iterator[_Placed]:
    for count, element in enumerate(root.all("iommufd")):
        if count > 0:
            yield _finding("iommufd-twice", element)
        if element.get("fdgroup") and element.get("enabled") != "yes":
            yield _finding("iommufd-fdgroup", element)


def _addresses(reading: DomainReading) -> Iterator[_Placed]:
    for device in reading.machine.devices:
        element = reading.elements[device.number]
        if is_vfio(device.driver) and element.start in reading.unplaced:
            yield _finding("hostdev-without-address", element, name=device.name)
    for controller in reading.controllers.values():
        address = controller.address
        if controller.model == EXPANDER and address is not None and address.bus != 0:
            yield _finding("expander-place", controller.element, value=address.bus)
