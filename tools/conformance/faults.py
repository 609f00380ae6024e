# SPDX-License-Identifier: Apache-2.0
"""Faults that operators make, put into the parts of a VM: misspelt names, collisions, bad values, gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from conformance.parts import Part, Value

__all__ = ["FAULTS", "spoil"]

_LETTERS: Final = "abcdefghiklmnoprstuvwxyz_-0123456789"
_VALUES: Final[tuple[Value, ...]] = (
    "",
    "maybe",
    "yes",
    "ON",
    "-1",
    300,
    70000,
    "0x10",
    "1k",
    True,
    False,
    "none",
    "auto",
    0,
)


def _typo(random: Random, name: str) -> str:
    """One letter more, less or other, or two that changed places."""
    at = random.randrange(len(name))
    letter = random.choice(_LETTERS)
    return random.choice(
        (
            name[:at] + name[at + 1 :],
            name[:at] + letter + name[at:],
            name[:at] + letter + name[at + 1 :],
            name[:at] + name[at + 1 : at + 2] + name[at] + name[at + 2 :],
        )
    )


def _some(random: Random, parts: list[Part], *options: str) -> int | None:
    """The index of a part with one of these options."""
    found = [index for index, part in enumerate(parts) if part.option in options and part.form != "bare"]
    return random.choice(found) if found else None


def _misspell_type(random: Random, parts: list[Part]) -> None:
    index = _some(random, parts, "-device", "-device", "-object", "-M", "-machine")
    if index is not None and parts[index].kind:
        parts[index] = parts[index]._replace(kind=_typo(random, parts[index].kind))


def _misspell_property(random: Random, parts: list[Part]) -> None:
    index = _some(random, parts, "-device", "-device", "-device", "-object", "-M", "-machine")
    if index is not None and parts[index].values:
        name = random.choice(list(parts[index].values))
        values = {
            _typo(random, key) if key == name else key: value for key, value in parts[index].values.items()
        }
        parts[index] = parts[index]._replace(values={key: value for key, value in values.items() if key})


def _spoil_value(random: Random, parts: list[Part]) -> None:
    index = _some(random, parts, "-device", "-device", "-device", "-object", "-M", "-machine")
    if index is not None and parts[index].values:
        name = random.choice(list(parts[index].values))
        value = parts[index].values[name]
        other = _typo(random, value) if isinstance(value, str) and value and random.random() < 0.5 else None
        parts[index] = parts[index]._replace(
            values={**parts[index].values, name: random.choice(_VALUES) if other is None else other}
        )


def _collide(random: Random, parts: list[Part]) -> None:
    """One device gets an id, an address, a chassis or a bus number of another."""
    devices = [index for index, part in enumerate(parts) if part.option == "-device"]
    if len(devices) < 2:
        return
    first, second = random.sample(devices, 2)
    shared = [name for name in ("id", "chassis", "bus_nr", "addr", "host", "bus", "primary-bus")
              if name in parts[first].values]  # fmt: skip
    if shared:
        name = random.choice(shared)
        values = {**parts[second].values, name: parts[first].values[name]}
        if name == "addr" and "bus" in parts[first].values:
            values["bus"] = parts[first].values["bus"]
        parts[second] = parts[second]._replace(values=values)


def _same_place(random: Random, parts: list[Part]) -> None:
    """A device is written on the address of another, or beside it as its other function."""
    devices = [index for index, part in enumerate(parts) if part.option == "-device" and "bus" in part.values]
    if len(devices) < 2:
        return
    first, second = random.sample(devices, 2)
    address = random.choice(("1", "2", "0x3", "3.0", "3.1", "0.1"))
    other = random.choice((address, address.partition(".")[0] + ".1"))
    for index, text in ((first, address), (second, other)):
        values = {**parts[index].values, "addr": text, "bus": parts[first].values["bus"]}
        if random.random() < 0.3:
            values["multifunction"] = True
        parts[index] = parts[index]._replace(values=values)


def _drop(random: Random, parts: list[Part]) -> None:
    """An option is forgotten."""
    index = _some(random, parts, "-device", "-object", "-bios", "-netdev", "-drive", "-numa")
    if index is not None:
        del parts[index]


def _drop_property(random: Random, parts: list[Part]) -> None:
    index = _some(random, parts, "-device", "-object")
    if index is not None and parts[index].values:
        name = random.choice(list(parts[index].values))
        parts[index] = parts[index]._replace(
            values={key: value for key, value in parts[index].values.items() if key != name}
        )


def _swap(random: Random, parts: list[Part]) -> None:
    """Two options stand in the wrong order."""
    devices = [index for index, part in enumerate(parts) if part.option == "-device"]
    if len(devices) > 1:
        first, second = random.sample(devices, 2)
        parts[first], parts[second] = parts[second], parts[first]


def _twice(random: Random, parts: list[Part]) -> None:
    index = _some(random, parts, "-device", "-object", "-netdev")
    if index is not None:
        parts.insert(index, parts[index])


def _number(random: Random, parts: list[Part]) -> None:
    """A bus number, node or chassis that does not fit."""
    devices = [index for index, part in enumerate(parts) if part.kind in ("pxb-pcie", "pcie-root-port")]
    if devices:
        index = random.choice(devices)
        name = random.choice(
            ("bus_nr", "numa_node") if parts[index].kind == "pxb-pcie" else ("chassis", "slot")
        )
        value = random.choice((0, 1, 2, 33, 64, 127, 128, 255))
        parts[index] = parts[index]._replace(values={**parts[index].values, name: value})


#: What can go wrong; each is tried on the parts and may find nothing to spoil.
FAULTS: Final[tuple[Callable[[Random, list[Part]], None], ...]] = (
    _misspell_type, _misspell_property, _misspell_property, _spoil_value, _spoil_value, _collide, _same_place,
    _drop, _drop_property, _swap, _twice, _number,
)  # fmt: skip


def spoil(random: Random, parts: list[Part]) -> list[Part]:
    """The parts with one fault, as a rule."""
    spoilt = list(parts)
    random.choice(FAULTS)(random, spoilt)
    return spoilt
