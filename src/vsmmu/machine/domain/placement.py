# SPDX-License-Identifier: Apache-2.0
"""Guest PCI addresses by libvirt's own rule: controllers that it adds, and a place for what has none.

libvirt walks twice (qemuDomainAssignPCIAddresses() in src/qemu/qemu_domain_address.c). First it finds out how
many buses there have to be: one for each index that an address names, and more for devices that find no
room. Then it gives the controllers and the devices without address a place, in an order that is fixed. Both
walks look for the first bus that takes the device (virDomainPCIAddressGetNextAddr(), src/conf/domain_addr.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.domain.controllers import (
    EXPANDER,
    ROOT_PORT,
    Address,
    Controller,
    make_controller,
    with_added,
)
from vsmmu.machine.domain.elements import Element
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["PCI", "PCIE", "GuestPlacement", "Wanted", "place", "placed"]

#: What a bus takes, beside models of controllers: conventional devices and Express ones.
PCI: Final = "pci"
PCIE: Final = "pcie"
#: A root port that is added for a bridge to conventional PCI, and kept for it while buses are counted.
_KEPT_PORT: Final = "pcie-root-port for pcie-to-pci-bridge"
_TO_PCI: Final = "pcie-to-pci-bridge"
_BRIDGE: Final = "pci-bridge"
_MAX_BUSES: Final = 256
_FUNCTIONS: Final = 8


class _Model(NamedTuple):
    """Rules of a model of controller: what its bus takes, unasked or only where it is written, and slots."""

    takes: frozenset[str]
    unasked: bool
    first: int
    last: int


_CONVENTIONAL: Final = frozenset({PCI, _BRIDGE})
_PORT: Final = _Model(frozenset({PCIE, "pcie-switch-upstream-port", _TO_PCI}), True, 0, 0)
_NOTHING: Final = _Model(frozenset(), False, 0, 31)
_MODELS: Final[Mapping[str, _Model]] = {
    "pci-root": _Model(_CONVENTIONAL | {"pci-expander-bus"}, True, 1, 31),
    "pcie-root": _Model(frozenset({PCIE, ROOT_PORT, "dmi-to-pci-bridge", EXPANDER}), False, 1, 31),
    _BRIDGE: _Model(_CONVENTIONAL, True, 1, 31),
    _TO_PCI: _Model(_CONVENTIONAL, True, 1, 31),
    "pci-expander-bus": _Model(_CONVENTIONAL, True, 0, 31),
    "dmi-to-pci-bridge": _Model(_CONVENTIONAL, False, 0, 31),
    ROOT_PORT: _PORT,
    "pcie-switch-downstream-port": _PORT,
    _KEPT_PORT: _PORT._replace(takes=frozenset({_TO_PCI})),
    "pcie-switch-upstream-port": _Model(frozenset({"pcie-switch-downstream-port"}), False, 0, 31),
    EXPANDER: _Model(frozenset({ROOT_PORT, "dmi-to-pci-bridge"}), False, 0, 31),
}


class Wanted(NamedTuple):
    """A device on a PCI bus, with or without an address.

    :param key: tells it from the others.
    :param connector: :data:`PCI`, :data:`PCIE`, or the model of a controller.
    :param function: the one that it has to be, for the parts of one USB controller; None for any.
    :param together: what has to share a slot has the same; empty for all others.
    :param integrated: whether libvirt puts it on bus 0, as part of the board.
    """

    key: int
    connector: str
    address: Address | None = None
    function: int | None = None
    together: str = ""
    integrated: bool = False


class _Bus:
    """What is on one bus: functions by slot, and the slots whose first device was a root port."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.rules = _MODELS.get(model, _NOTHING)
        self.used: dict[int, set[int]] = {}
        self.shared: set[int] = set()

    def reserve(self, wanted: Wanted, slot: int, function: int) -> None:
        if slot not in self.used and wanted.connector == ROOT_PORT:
            self.shared.add(slot)
        self.used.setdefault(slot, set()).add(function)

    def free(self, wanted: Wanted, index: int) -> Address | None:
        """The first place for a device; root ports share a slot, everything else gets one of its own."""
        rules = self.rules
        board = wanted.integrated and index == 0
        if wanted.integrated and not board:
            return None
        if not board:
            unasked = wanted.connector in (PCI, PCIE)
            if wanted.connector not in rules.takes or (unasked and not rules.unasked):
                return None
        for slot in range(rules.first, rules.last + 1):
            if slot not in self.used:
                return Address(index, slot, wanted.function or 0)
            if wanted.connector == ROOT_PORT and slot in self.shared:
                for function in range(_FUNCTIONS):
                    if function not in self.used[slot]:
                        return Address(index, slot, function)
        return None


class _Walk:
    """One walk over controllers and devices."""

    def __init__(self, models: Mapping[int, str], *, grows: bool) -> None:
        default = ROOT_PORT if models.get(0) != "pci-root" else _BRIDGE
        self.buses = [_Bus(models.get(index, default)) for index in range(max(models) + 1)]
        self.grows = grows
        self.places: dict[int, Address] = {}
        self._slots: dict[str, Address] = {}
        #: Where the search for a connector goes on: nothing before has room for it, and never will.
        self._from: dict[tuple[str, bool], int] = {}

    def collect(self, devices: Iterable[Wanted]) -> None:
        """Take the addresses that are written."""
        for wanted in devices:
            if wanted.address is not None:
                self._take(wanted, wanted.address)

    def assign(self, devices: Iterable[Wanted]) -> None:
        """Find places for devices without address; those for which libvirt finds none get none."""
        for wanted in devices:
            if wanted.address is None and (found := self._next(wanted)) is not None:
                self._take(wanted, found)
                self.places[wanted.key] = found

    def _take(self, wanted: Wanted, address: Address) -> None:
        if address.bus >= len(self.buses) and self.grows:
            self._grow(wanted, address.bus)
        if address.bus < len(self.buses):
            self.buses[address.bus].reserve(wanted, address.slot, address.function)
        if wanted.together:
            self._slots.setdefault(wanted.together, address)

    def _next(self, wanted: Wanted) -> Address | None:
        if wanted.together in self._slots:
            return self._slots[wanted.together]._replace(function=wanted.function or 0)
        kind = wanted.connector, wanted.integrated
        for index in range(self._from.get(kind, 0), len(self.buses)):
            found = self.buses[index].free(wanted, index)
            if found is not None:
                return found
            self._from[kind] = index + 1
        if not self.grows or not self._grow(wanted, len(self.buses)):
            return None
        last = self.buses[-1]
        return Address(len(self.buses) - 1, last.rules.first, wanted.function or 0)

    def _grow(self, wanted: Wanted, index: int) -> bool:
        """Add buses up to ``index``, for a device that needs it; whether libvirt can."""
        missing = index - len(self.buses) + 1
        if wanted.connector in _PORT.takes:
            models = [ROOT_PORT] * missing
        elif wanted.connector == PCI:
            models = [_BRIDGE] * missing
            if not any(_BRIDGE in bus.rules.takes for bus in self.buses):
                models = [_KEPT_PORT, _TO_PCI, *models[2:]]
        else:
            return False
        if len(self.buses) + len(models) > _MAX_BUSES:
            return False
        self.buses += [_Bus(model) for model in models]
        return True


class GuestPlacement(NamedTuple):
    """What libvirt makes of a domain.

    :param added: index -> model of the controllers that it adds.
    :param places: key of a device without address -> the address that it gets; that of controllers that
        are added is ``-1 - index``, below every offset in a text.
    """

    added: Mapping[int, str]
    places: Mapping[int, Address]


def _added_key(index: int) -> int:
    return -1 - index


def place(
    models: Mapping[int, str], ports: Mapping[int, Wanted], devices: Sequence[Wanted]
) -> GuestPlacement:
    """Give a place to all controllers and devices of a domain.

    :param models: index -> model of the PCI controllers of the domain, the root with index 0 among them;
        nothing is placed on one with a model that nobody knows.
    :param ports: those of them that sit on a bus themselves, by index.
    :param devices: all others on PCI buses, in the order in which libvirt gives them addresses.
    """
    if max(models) >= _MAX_BUSES:
        return GuestPlacement({}, {})  # libvirt has no such bus number
    first = _Walk(models, grows=True)
    first.collect([*devices, *ports.values()])
    first.assign([*ports.values(), *devices])
    if max(models) == 0 < len(first.buses) - 1 and models[0] == "pcie-root":
        # In a domain that leaves controllers to libvirt, one port more, for hot-plug.
        first.assign([Wanted(_added_key(_MAX_BUSES), PCIE)])
    found = {index: bus.model for index, bus in enumerate(first.buses) if index not in models}
    added = {index: ROOT_PORT if model == _KEPT_PORT else model for index, model in found.items()}
    new = {index: Wanted(_added_key(index), model) for index, model in added.items()}
    second = _Walk({**models, **added}, grows=False)
    second.collect([*devices, *ports.values()])
    both = {**ports, **new}
    second.assign([both[index] for index in with_added(ports, new)])
    second.assign(devices)
    return GuestPlacement(added, second.places)


def placed(
    controllers: Mapping[int, Controller], placement: GuestPlacement, by: Element
) -> dict[int, Controller]:
    """The controllers, with those that libvirt adds, in the places that it gives them.

    :param by: the element that stands for added ones in messages.
    """
    found = {
        index: make_controller(
            entry.element, index, entry.properties, placement.places.get(entry.element.start)
        )
        for index, entry in controllers.items()
    }
    for index, model in placement.added.items():
        key = _added_key(index)
        attributes = {"type": "pci", "index": str(index), "model": model}
        element = Element("controller", attributes, key, by.line)
        found[index] = make_controller(element, index, {}, placement.places.get(key))
    return {index: found[index] for index in with_added(controllers, placement.added)}
