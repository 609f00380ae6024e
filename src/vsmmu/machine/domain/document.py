# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain: read it, get its machine, set properties of its vSMMUs, write it back.

Nothing but the attributes in question changes, not a byte of the rest::

    domain = read_domain_xml(data, "vm.xml")
    smmu = domain.machine().vsmmus[0]
    sys.stdout.buffer.write(domain.edit([Edit(smmu.number, "ats", "on")]).data)
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Edit, spelled
from vsmmu.machine.domain.elements import QEMU_NAMESPACE, parse
from vsmmu.machine.domain.iommu import DRAFT_MODELS, DRIVER_ORDER, SMMUV3, Iommu
from vsmmu.machine.domain.reader import DomainReading, read_domain
from vsmmu.machine.domain.spans import Splice, TagChange, apply, change_tag, verify_tag
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.topology import Topology
from vsmmu.smmuv3.properties import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vsmmu.diagnostic import Change
    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.model import JsonValue, Machine

__all__ = ["DomainXml", "read_domain_xml"]

#: Elements that are read, or say nothing about a start.
_JUDGED: Final = frozenset(
    "name uuid title description metadata os features iommufd devices emulator "
    "controller iommu hostdev".split()
)
#: Attributes of a NUMA cell that are read.
_OF_CELLS: Final = frozenset(("id", "cpus", "memory", "unit"))
_BETWEEN_TAGS: Final = r"(?<=>)(?=<)"


class DomainXml:
    """A domain, immutable; made by :func:`read_domain_xml`.

    :ivar data: the text, byte for byte.
    :ivar where: what it is called in errors.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where

    @cached_property
    def root(self) -> Element:
        """The ``<domain>`` element."""
        return parse(self.data, self.where)

    @cached_property
    def reading(self) -> DomainReading:
        """Everything that was read out of it."""
        return read_domain(self.root)

    def machine(self) -> Machine:
        """The VM that is meant, misspelt and ``auto`` attributes as well.

        :raise InputRefused: for text that is no domain, and addresses that are none.
        """
        return self.reading.machine

    def passed_on(self) -> Machine:
        """The VM that QEMU gets from libvirt, which drops the values whose attribute is misspelt.

        :raise InputRefused: as :meth:`machine`.
        """
        machine, pluggable = self.machine(), self.reading.pluggable
        if not any(iommu.misspelt for iommu in pluggable.values()):
            return machine
        return machine._replace(
            devices=tuple(
                device._replace(properties=_passed_on(device.properties, pluggable[device.number]))
                if device.number in pluggable
                else device
                for device in machine.devices
            )
        )

    def edit(self, edits: Iterable[Change]) -> DomainXml:
        """The same with properties set, and every SMMUv3 in libvirt's own words.

        That is: misspelt attributes get their names, and ``auto``, which libvirt refuses, becomes an absent
        attribute. Both happen without any edit, too.

        :raise Negative: ``not-editable``, for what domain XML cannot express.
        """
        wanted: dict[int, dict[str, str]] = {}
        others: list[Change] = []
        for edit in edits:
            if isinstance(edit, Edit) and edit.device in self.reading.pluggable:
                iommu = self.reading.pluggable[edit.device]
                value = AUTO if edit.value is None else spelled(edit.value)
                wanted.setdefault(iommu.element.start, {})[edit.property] = value
            else:
                others.append(edit)
        changes: dict[int, TagChange] = {}
        for iommu in self.reading.iommus:
            if iommu.is_smmuv3:
                changes |= _changes(iommu, wanted.get(iommu.element.start, {}))
        return self._changed(changes, others)

    @property
    def command_line(self) -> None:
        """None: a domain is no command line."""
        return None

    @property
    def domain(self) -> DomainXml:
        """The VM itself: a :class:`vsmmu.machine.vm.Vm` is a command line or a domain."""
        return self

    def apply(self, machine: Machine, edits: Iterable[Edit]) -> Machine:
        """What ``machine`` would be after :meth:`edit`: ``auto`` becomes an absent property."""
        changed = machine.edited(edits)
        return changed._replace(
            devices=tuple(
                device._replace(properties=_without_auto(device.properties))
                if device.number in self.reading.pluggable
                else device
                for device in changed.devices
            )
        )

    def reading_after(self, edits: Iterable[Edit]) -> DomainReading:
        """What would be read of the domain after :meth:`edit`, without writing or parsing anything."""
        edits = tuple(edits)
        wanted: dict[int, dict[str, str]] = {}
        for edit in edits:
            wanted.setdefault(edit.device, {})[edit.property] = spelled(edit.value)
        reading = self.reading
        pluggable = {
            number: iommu.corrected(wanted.get(number, {})) for number, iommu in reading.pluggable.items()
        }
        by_start = {iommu.element.start: iommu for iommu in pluggable.values()}
        return reading._replace(
            machine=self.apply(reading.machine, edits),
            iommus=tuple(
                by_start.get(entry.element.start) or entry.corrected({}) for entry in reading.iommus
            ),
            pluggable=pluggable,
        )

    def accelerate(self) -> DomainXml:
        """The same with ``accel='on'`` on every SMMUv3 with ``pciBus`` and a function of the host behind."""
        topology = Topology.of(self.machine())
        changes: dict[int, TagChange] = {}
        for number, iommu in self.reading.pluggable.items():
            bus = topology.primary_bus_of(self.machine().devices[number])
            behind = topology.endpoints_behind(bus.name) if bus is not None else ()
            wanted = not iommu.accelerated and any(is_vfio(endpoint.driver) for endpoint in behind)
            if wanted and iommu.driver is not None:
                changes[iommu.driver.start] = TagChange({"accel": "on"})
        return self._changed(changes)

    def not_judged(self) -> tuple[str, ...]:
        """The elements that are not looked at, each name once, in order."""
        devices = self.root.find("devices")
        found = [*self.root.children, *(devices.children if devices is not None else ())]
        found = [element for element in found if element.name != "cpu" or not _is_plain_cpu(element)]
        names = (element.name.replace(f"{QEMU_NAMESPACE} ", "qemu:") for element in found)
        return tuple(dict.fromkeys(f"<{name}>" for name in names if name not in _JUDGED))

    def text(self) -> str:
        """The domain as text."""
        return self.data.decode("utf-8")

    def render(self) -> bytes:
        """The domain, byte for byte where it was not edited."""
        return self.data

    def lines(self) -> list[str]:
        """The text's lines, ends kept; one tag a line if it is all one line (as KubeVirt writes it)."""
        text = self.text()
        if text.rstrip("\r\n").count("\n") < 2:
            text = re.sub(_BETWEEN_TAGS, "\n", text)
        return re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines knows more ends than diff and patch do

    def _changed(self, changes: Mapping[int, TagChange], others: Sequence[Change] = ()) -> DomainXml:
        splices: list[Splice] = []
        for start, change in changes.items():
            made = change_tag(self.data, start, change, DRIVER_ORDER)
            verify_tag(self.data, start, made, change)
            splices += made
        if others:
            from vsmmu.machine.domain.element_edits import element_edits  # values alone do not need it

            splices += element_edits(self.data, self.reading, others)
        return DomainXml(apply(self.data, splices), self.where) if splices else self


def read_domain_xml(data: bytes, where: str) -> DomainXml:
    """A domain from its text; it is parsed at once.

    :raise InputRefused: as :func:`vsmmu.machine.domain.elements.parse`.
    """
    domain = DomainXml(data, where)
    domain.root  # noqa: B018 - to refuse what is no domain here, and not at first use
    return domain


def _is_plain_cpu(cpu: Element) -> bool:
    """Whether all of ``<cpu>`` is looked at: a mode without model or features, and cells of NUMA nodes."""
    modes = ("", "host-passthrough", "maximum")
    if cpu.get("mode") not in modes or not cpu.attributes.keys() <= {"mode", "check"}:
        return False
    nodes = [cell for numa in cpu.children for cell in numa.children]
    return (
        all(numa.name == "numa" for numa in cpu.children)
        and all(cell.name == "cell" and cell.attributes.keys() <= _OF_CELLS for cell in nodes)
        and all(entry.name == "distances" for cell in nodes for entry in cell.children)
    )


def _changes(iommu: Iommu, wanted: Mapping[str, str]) -> dict[int, TagChange]:
    changes: dict[int, TagChange] = {}
    if iommu.element.get("model") in DRAFT_MODELS:
        changes[iommu.element.start] = TagChange({"model": SMMUV3})
    if iommu.driver is None:
        return changes
    written = iommu.driver.attributes
    renames: dict[str, str] = {}
    drop: set[str] = set()
    for entry in iommu.misspelt:
        if entry.known and entry.known not in written and entry.known not in renames.values():
            renames[entry.written] = entry.known
        elif entry.known:
            drop.add(entry.written)
    final = {**iommu.settings, **wanted}
    gone = {name for name, value in final.items() if value == AUTO}
    drop |= {name for name in written if renames.get(name, name) in gone}
    values = {name: value for name, value in wanted.items() if value != AUTO}
    renames = {old: new for old, new in renames.items() if old not in drop}
    if renames or drop or values:
        changes[iommu.driver.start] = TagChange(values, renames, frozenset(drop))
    return changes


def _without_auto(properties: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in properties.items() if value != AUTO}


def _passed_on(properties: Mapping[str, JsonValue], iommu: Iommu) -> dict[str, JsonValue]:
    dropped = iommu.settings.keys() - iommu.passed_on.keys()
    return {name: value for name, value in properties.items() if name not in dropped}
