# SPDX-License-Identifier: Apache-2.0
"""PCI controllers and guest addresses of a domain: bus names and occupied slots.

A controller's *index* is the ``bus`` of the addresses behind it and the ``pciBus`` of an ``<iommu>``; its
name on QEMU's command line is ``pci.INDEX`` (``pcie.0`` for the root), or an alias that starts with ``ua-``.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.domain.numbers import integer, number
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.model import JsonValue

__all__ = [
    "EXPANDER",
    "ROOT_PORT",
    "Address",
    "Controller",
    "address_of",
    "alias_of",
    "known_expanders",
    "make_controller",
    "read_controllers",
    "with_added",
]

EXPANDER: Final = "pcie-expander-bus"
ROOT_PORT: Final = "pcie-root-port"
_DOWNSTREAM: Final = "pcie-switch-downstream-port"
ROOTS: Final = frozenset({"pcie-root", "pci-root"})
_DRIVERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dmi-to-pci-bridge": "i82801b11-bridge",
        "pci-bridge": "pci-bridge",
        EXPANDER: "pxb-pcie",
        "pci-expander-bus": "pxb",
        ROOT_PORT: "pcie-root-port",
        _DOWNSTREAM: "xio3130-downstream",
        "pcie-switch-upstream-port": "x3130-upstream",
        "pcie-to-pci-bridge": "pcie-pci-bridge",
    }
)
_EXPANDERS: Final = frozenset({EXPANDER, "pci-expander-bus"})
_ALIAS: Final = r"ua-[A-Za-z0-9_-]{1,255}"
_MAX_CONTROLLERS: Final = 4096


class Address(NamedTuple):
    """A guest PCI address; ``bus`` is the index of a controller."""

    bus: int
    slot: int
    function: int

    @property
    def addr(self) -> str:
        """As libvirt writes QEMU's ``addr``."""
        return f"{self.slot:#x}" + (f".{self.function:#x}" if self.function else "")


class Controller(NamedTuple):
    """One PCI controller.

    :param name: its bus on QEMU's command line.
    :param driver: QEMU's; empty for the root, which the board makes.
    """

    element: Element
    number: int
    model: str
    name: str
    driver: str
    address: Address | None
    properties: Mapping[str, JsonValue]


def alias_of(element: Element, default: str) -> str:
    """The device's id on the command line: a user alias (``ua-...``), else libvirt's own."""
    alias = element.value("alias", "name")
    return alias if re.fullmatch(_ALIAS, alias) else default


def address_of(element: Element) -> Address | None:
    """The guest address; None if libvirt has yet to choose one, or it is no PCI address.

    :raise InputRefused: ``domain-address``, if a part of it is no number.
    """
    found = element.find("address")
    if found is None or found.get("type") != "pci":
        return None
    given = found.attributes
    parts = [integer(name, given.get(name, "0")) for name in ("domain", "bus", "slot", "function")]
    limits = (0, _MAX_CONTROLLERS, 0x1F, 7)
    if any(part is None or not 0 <= part <= limit for part, limit in zip(parts, limits, strict=True)):
        raise InputRefused(
            "domain-address",
            f"the PCI address of <{element.name}> is not one",
            where=f"line {found.line}",
            next="write bus='0x01' slot='0x00' function='0x0'",
        )
    _, bus, slot, function = (part or 0 for part in parts)
    # All zero is libvirt's "to be chosen": there the root complex has its own device.
    return Address(bus, slot, function) if bus or slot else None


def read_controllers(elements: Iterable[Element]) -> dict[int, Controller]:
    """The PCI controllers by index, in libvirt's order, which is that of the indexes where all are written.

    :raise InputRefused: ``domain-controller``: an index that is none or occurs twice;
        ``domain-controller-root``: the first one is not the root.
    """
    listed: list[tuple[int | None, Element]] = []
    order: list[int | None] = []
    taken: set[int | None] = set()
    for element in elements:
        if element.get("type") != "pci":
            continue
        index = _index(element, taken) if "index" in element.attributes else None
        taken.add(index)
        place = _position(index, order)
        order.insert(place, index)
        listed.insert(place, (index, element))
    # As libvirt does (measured, 12.8): those without an index take the lowest that are free, in their order.
    free = (index for index in range(len(listed)) if index not in taken)
    found = {next(free) if index is None else index: element for index, element in listed}
    _check_root(found)
    numbers = _bus_numbers(found)
    return {
        index: make_controller(element, index, {"bus_nr": numbers.get(index, 0)})
        for index, element in found.items()
    }


def known_expanders(controllers: Mapping[int, Controller]) -> str:
    """The indexes of some expanders, for the end of a sentence; empty without one."""
    known = [str(entry.number) for entry in controllers.values() if entry.model == EXPANDER]
    return f" (here: {', '.join(known[:8])})" if known else ""


def _position(index: int | None, listed: Sequence[int | None]) -> int:
    """Where libvirt puts a controller into its list: in front of higher indexes, else at the end."""
    place = len(listed)
    while index is not None and place and (listed[place - 1] or 0) > index:
        place -= 1
    return place


def with_added(listed: Iterable[int], added: Iterable[int]) -> list[int]:
    """The indexes of a domain's controllers in libvirt's order, with those that libvirt adds to them."""
    order = list(listed)
    for index in added:
        order.insert(_position(index, order), index)
    return order


def _index(element: Element, taken: Container[int | None]) -> int:
    text = element.get("index")
    index = integer("index", text)
    if index is None or index in taken or not 0 <= index <= _MAX_CONTROLLERS:
        raise InputRefused(
            "domain-controller",
            f"index {text!r:.40} of a PCI controller is {'taken' if index in taken else 'no number'}",
            where=f"line {element.line}",
            next="give every PCI controller an index of its own",
        )
    return index


def _check_root(controllers: Mapping[int, Element]) -> None:
    first = controllers.get(0)
    if first is not None and (model := first.get("model")) and model not in ROOTS:
        raise InputRefused(
            "domain-controller-root",
            f"the PCI controller with index 0 is a {model:.40}, and libvirt wants the root there",
            where=f"line {first.line}",
            why="The PCI controller with index='0' must be model='pcie-root' for this machine type, "
            f"but model='{model:.40}' was found instead",
            next="write <controller type='pci' model='pcie-root'/> in front of it",
        )


def make_controller(
    element: Element, index: int, known: Mapping[str, JsonValue], place: Address | None = None
) -> Controller:
    """A controller of a domain.

    :param known: its ``bus_nr``, if it is an expander.
    :param place: where it is if its element has no address.
    """
    model = element.get("model")
    root = model in ROOTS
    address = None if root else address_of(element) or place
    name = f"pcie.{index}" if root and model == "pcie-root" else f"pci.{index}"
    properties: dict[str, JsonValue] = {}
    if model in _EXPANDERS:
        properties["bus_nr"] = known["bus_nr"]
        node = _node(element)
        if node is not None:
            properties["numa_node"] = node
    elif model in (ROOT_PORT, _DOWNSTREAM):
        default = 0
        if address is not None:
            default = address.slot if model == _DOWNSTREAM else (address.slot << 3) + address.function
        port, chassis = (number(element.find("target"), key) for key in ("port", "chassis"))
        properties["port"] = default if port is None else port
        properties["chassis"] = index if chassis is None else chassis
    elif model == "pci-bridge":
        chassis = number(element.find("target"), "chassisNr")
        properties["chassis_nr"] = index if chassis is None else chassis
    return Controller(
        element, index, model, alias_of(element, name), _DRIVERS.get(model, ""), address, properties
    )


def _node(element: Element) -> int | None:
    """The NUMA node of an expander; None if none is written, which an empty element is as well.

    :raise InputRefused: ``domain-number``.
    """
    written = element.find("target/node")
    text = written.unstripped if written is not None else ""
    node = integer("node", text) if text else None
    if text and (node is None or node < 0):
        raise InputRefused(
            "domain-number",
            f"<node> of a PCI controller holds {text!r:.40}, which libvirt takes for no number",
            where=f"line {element.line}",
            why="invalid NUMA node in target",
            next="write a decimal number, without blanks behind",
        )
    return node


def _bus_numbers(elements: Mapping[int, Element]) -> dict[int, int]:
    """``busNr`` of the expanders by index; libvirt chooses missing ones: 2 below the lowest, from 254."""
    expanders = {index: element for index, element in elements.items() if element.get("model") in _EXPANDERS}
    written = {index: number(element.find("target"), "busNr") for index, element in expanders.items()}
    numbers = {index: found for index, found in written.items() if found is not None}
    for index in sorted(expanders):
        if index not in numbers:
            numbers[index] = min(numbers.values(), default=256) - 2
    return numbers
