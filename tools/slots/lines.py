# SPDX-License-Identifier: Apache-2.0
"""Command lines that ask QEMU for places of PCI devices: buses, addresses, multifunction, types, order."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Question", "questions"]

_PROGRAM: Final = ("qemu-system-aarch64", "-M", "virt", "-S", "-display", "none")
#: What makes each bus; the bus is called ``b``, but for the first.
BUSES: Final = {
    "pcie.0": (),
    "pxb": ("pxb-pcie,id=b,bus_nr=16,bus=pcie.0",),
    "port": ("pcie-root-port,id=b,chassis=200,bus=pcie.0",),
    "fixed-port": ("pcie-root-port,id=b,chassis=200,bus=pcie.0,hotplug=off",),
    "pxb-port": ("pxb-pcie,id=x,bus_nr=16,bus=pcie.0", "pcie-root-port,id=b,chassis=200,bus=x"),
    "ioh": ("ioh3420,id=b,chassis=200,bus=pcie.0",),
    "pcie-pci": ("pcie-pci-bridge,id=b,bus=pcie.0",),
    "port-pcie-pci": ("pcie-root-port,id=r,chassis=200,bus=pcie.0", "pcie-pci-bridge,id=b,bus=r"),
    "pci": ("pci-bridge,id=b,chassis_nr=1,bus=pcie.0",),
    "no-shpc": ("pci-bridge,id=b,chassis_nr=1,bus=pcie.0,shpc=off",),
    "dmi": ("i82801b11-bridge,id=b,bus=pcie.0",),
    "up": ("pcie-root-port,id=r,chassis=200,bus=pcie.0", "x3130-upstream,id=b,bus=r"),
    "down": (
        "pcie-root-port,id=r,chassis=200,bus=pcie.0",
        "x3130-upstream,id=u,bus=r",
        "xio3130-downstream,id=b,chassis=201,bus=u",
    ),
}
_TEXTS: Final = (
    None, "0", "1", "1.0", "0x1.0", "0.0", "0.1", "0x0", "01", "1f", "1F.7", "20", "3.8", "3.7", "-1", "-0",
    "+2", "", "1.", ".1", "x", "0x", " 2", "2 ", "3. 1", "0x3.0x1", "1.0.0", "100000003", "1g", "00:03.0",
    "10000000000000003", "-10000000000000003", "-fffffffd", "3.-ffffffff", "0X3.1", "3.0x", "0x 3",
)  # fmt: skip
_VALUES: Final[tuple[Any, ...]] = (
    None, 0, 1, 8, 9, 255, 256, -1, -2, 2**31, 2**63, True, False, 1.5, 8.0, [], {}, "1", "1.1", "0x1f", "",
    "-1", -(2**63) - 1,
)  # fmt: skip
_TYPES: Final = (
    "pci-testdev",
    "edu",
    "virtio-rng-pci",
    "virtio-rng",
    "qemu-xhci",
    "e1000e",
    "pcie-pci-bridge",
)


class Question(NamedTuple):
    """A command line, and what to tell QEMU's monitor then; ``names`` are the devices whose place matters."""

    id: str
    words: tuple[str, ...]
    names: tuple[str, ...]
    plugs: tuple[dict[str, Any], ...] = ()


class _Line:
    """A command line in the making: each device gets an id and, if it is a port, a chassis."""

    def __init__(self, *before: str, head: tuple[str, ...] = ("-nodefaults",)) -> None:
        self.words = [*_PROGRAM, *head]
        self.names = [text.partition("id=")[2].partition(",")[0] for text in before]
        for text in before:
            self.words += ["-device", text]

    def add(self, driver: str, *, as_json: bool = False, **properties: Any) -> _Line:
        name = f"d{len(self.names)}"
        given = {"id": name, **properties}
        if driver in ("pcie-root-port", "ioh3420", "xio3130-downstream"):
            given.setdefault("chassis", len(self.names) + 1)
        text = ",".join((driver, *(f"{key}={value}" for key, value in given.items() if value is not None)))
        if as_json:
            kept = {key: value for key, value in given.items() if value is not None}
            text = json.dumps({"driver": driver, **kept})
        self.words += ["-device", text]
        self.names.append(name)
        return self

    def ask(self, id: str, *plugs: dict[str, Any]) -> Question:
        return Question(id, tuple(self.words), tuple(self.names), plugs)


def _bus(name: str) -> str:
    return "pcie.0" if name == "pcie.0" else "b"


def _guest(name: str) -> str:
    """A type that the bus takes."""
    return {"pxb": "pcie-root-port", "up": "xio3130-downstream"}.get(name, "pci-testdev")


def _alone() -> Iterator[Question]:
    """One device: every address text on pcie.0 and a port, the common ones on every bus."""
    for number, text in enumerate(_TEXTS):
        yield _Line().add("pci-testdev", bus="pcie.0", addr=text).ask(f"text-{number}")
    for number, value in enumerate(_VALUES):
        line = _Line().add("edu", as_json=True, bus="pcie.0", addr=value)
        yield line.ask(f"json-{number}")
    line = _Line()
    line.words += ["-device", '{"driver":"edu","bus":"pcie.0","addr":null}']
    yield line.ask("json-null")
    for name, text in itertools.product(BUSES, (None, "0", "1", "0.1", "1f.7")):
        line = _Line(*BUSES[name]).add(_guest(name), bus=_bus(name), addr=text)
        yield line.ask(f"alone-{name}-{text}")
    for driver in ("virtio-net", "ahci", "lsi", "e1000-82540em", "pcie-root-port", "virtio-rng-pci"):
        yield _Line().add(driver, bus="pcie.0", addr="0").ask(f"name-{driver}")
        yield _Line(*BUSES["port"]).add(driver, bus="b", addr="2").ask(f"warned-{driver}")


def _pairs() -> Iterator[Question]:
    """Two devices on one bus: every order of functions, with and without multifunction."""
    places = (
        ("2.0", "2.1"),
        ("2.1", "2.0"),
        ("2", "2"),
        ("2.1", "2.1"),
        ("2.3", "2.1"),
        (None, "0"),
        ("1", None),
    )
    for name in ("pcie.0", "port", "pxb", "pci"):
        for (first, second), flags in itertools.product(places, ((None, None), ("on", None), (None, "on"))):
            if name != "pcie.0" and "2.3" in (first, second):
                continue
            line = _Line(*BUSES[name])
            for text, flag in zip((first, second), flags, strict=True):
                line.add(_guest(name), bus=_bus(name), addr=text, multifunction=flag)
            yield line.ask(f"pair-{name}-{first}-{second}-{flags[0]}-{flags[1]}")
    for flag in ("yes", "true", "y", "off", "no"):
        line = _Line().add("edu", bus="pcie.0", addr="4.0", multifunction=flag)
        yield line.add("edu", bus="pcie.0", addr="4.1").ask(f"flag-{flag}")
    line = _Line().add("edu", as_json=True, bus="pcie.0", addr="4.0", multifunction=True)
    yield line.add("edu", bus="pcie.0", addr="4.1").ask("flag-json")
    for bus in ("port", "pxb-port", "down", "ioh"):
        line = _Line(*BUSES[bus]).add("e1000e", bus="b").add("e1000e", bus="b").add("e1000", bus="b")
        yield line.ask(f"second-{bus}")


def _order() -> Iterator[Question]:
    """Who is first: key=value before JSON, cards of the board before both."""
    line = _Line().add("edu", as_json=True, bus="pcie.0").add("edu", bus="pcie.0")
    yield line.add("edu", as_json=True, bus="pcie.0").add("edu", bus="pcie.0", addr="2").ask("order-json")
    yield _Line().add("edu", as_json=True, bus="pcie.0", addr="1").add("edu", bus="pcie.0").ask("order-clash")
    yield _Line(head=()).add("edu", bus="pcie.0", addr="1").ask("order-default-card")
    yield _Line(head=("-nic", "none")).add("edu", bus="pcie.0").ask("order-no-card")
    for model in ("e1000", "virtio-net-pci", "virtio"):
        cards = ("-nic", f"hubport,hubid=0,model={model}") * 2
        yield _Line(head=("-nodefaults", *cards)).add("edu", bus="pcie.0", addr="2").ask(f"order-{model}")
        yield _Line(head=("-nodefaults", *cards)).add("edu", bus="pcie.0").ask(f"order-{model}-free")
    yield _Line("pxb-pcie,id=x,bus_nr=16").add("pcie-root-port").add("pcie-root-port").ask("order-newest")


def _full() -> Iterator[Question]:
    """Buses without a free slot, and with just one."""
    for name, count in (("pcie.0", 31), ("pcie.0", 32), ("port", 32), ("port", 33), ("dmi", 33), ("up", 33)):
        line = _Line(*BUSES[name])
        for _ in range(count):
            line.add(_guest(name), bus=_bus(name))
        yield line.ask(f"full-{name}-{count}")
    line = _Line()
    for slot in range(1, 32):
        line.add("edu", bus="pcie.0", addr=f"{slot:x}.0", multifunction="on")
    yield line.add("edu", bus="pcie.0", addr="9.5").ask("full-functions")
    line = _Line()
    for slot in range(1, 32):
        line.add("edu", bus="pcie.0", addr=f"{slot:x}.1")
    yield line.add("edu", bus="pcie.0", multifunction="on").ask("full-function-1")


def _expanders() -> Iterator[Question]:
    """Bus numbers, NUMA nodes, and buses that no expander may sit on."""
    on, ports = "pcie.0", ("pcie-root-port", "pcie-pci-bridge", "i82801b11-bridge", "ioh3420")
    for first in ports:
        yield _Line().add(first, bus=on).add("pxb-pcie", bus=on).ask(f"bus-0-{first}")
        yield _Line().add("pxb-pcie", bus=on).add(first, bus=on).ask(f"bus-0-{first}-after")
        yield _Line().add(first, bus=on).add("pxb-pcie", bus=on, bus_nr=1).ask(f"bus-1-{first}")
    yield _Line().add("edu", bus=on).add("pxb-pcie", bus=on).ask("bus-0-endpoint")
    yield _Line().add("pxb-pcie", bus=on).add("pxb-pcie", bus=on).ask("bus-0-twice")
    yield _Line().add("pxb-pcie", bus=on, bus_nr=9).add("pxb-pcie", bus=on, bus_nr=9).ask("bus-9-twice")
    yield _Line(*BUSES["pxb-port"]).add("pxb-pcie", bus=on).ask("bus-0-port-elsewhere")
    for name in BUSES:
        if name != "pcie.0":
            for driver, text in itertools.product(("pxb-pcie", "pxb"), (None, "1")):
                line = _Line(*BUSES[name]).add(driver, bus="b", bus_nr=30, addr=text)
                yield line.ask(f"expander-{name}-{driver}-{text}")
    yield _Line().add("pxb", bus=on, bus_nr=8).ask("expander-pxb")
    for driver, number in itertools.product(("pci-bridge", "pci-bridge-seat"), (None, 0, 1)):
        line = _Line().add(driver, bus=on, chassis_nr=number)
        yield line.ask(f"bridge-{driver}-{number}")
    nodes = ["-nodefaults", "-m", "128"]
    for node in range(2):
        nodes += ["-object", f"memory-backend-ram,id=m{node},size=64M"]
        nodes += ["-numa", f"node,nodeid={node},memdev=m{node}"]
    for head, node in itertools.product((("-nodefaults",), tuple(nodes)), (0, 1, 2, 127, 128, 129)):
        line = _Line(head=head).add("pxb-pcie", bus=on, bus_nr=8, numa_node=node)
        yield line.ask(f"numa-{len(head) // 2}-{node}")
    for room, node in itertools.product(("maxmem=1G", "slots=2,maxmem=1G"), (0, 1)):
        line = _Line(head=("-nodefaults", "-m", f"128,{room}")).add(
            "pxb-pcie", bus=on, bus_nr=8, numa_node=node
        )
        yield line.ask(f"numa-{room}-{node}")
    line = _Line().add("pcie-root-port", bus=on).add("pxb-pcie", bus=on, numa_node=1)
    yield line.ask("numa-before-bus-number")
    line = _Line().add("edu", bus=on, addr="2").add("pxb-pcie", bus=on, numa_node=1, addr="2")
    yield line.ask("slot-before-numa")


def _plugged() -> Iterator[Question]:
    """device_add on every bus, empty and not, with and without an address."""

    def plug(name: str, driver: str = "edu", **properties: Any) -> dict[str, Any]:
        return {"driver": driver, "bus": _bus(name), "id": "hot", **properties}

    for name in BUSES:
        for text in (None, "0", "1", "0.1"):
            given = {} if text is None else {"addr": text}
            yield _Line(*BUSES[name]).ask(f"plug-{name}-{text}", plug(name, _guest(name), **given))
        again = {"driver": _guest(name), "bus": _bus(name), "id": "again"}
        yield _Line(*BUSES[name]).ask(f"plug-{name}-twice", plug(name, _guest(name)), again)
        if name not in ("pxb", "up", "pci", "pcie-pci", "port-pcie-pci"):
            yield _Line(*BUSES[name]).add("edu", bus=_bus(name)).ask(f"plug-{name}-busy", plug(name))
        line = _Line(*BUSES[name]).add(_guest(name), bus=_bus(name), addr="3.0", multifunction="on")
        yield line.ask(f"plug-{name}-function", plug(name, _guest(name), addr="3.1"))
    for driver in ("vfio-pci-nohotplug", "pxb-pcie", "VGA", "pcie-root-port", "virtio-iommu-pci", "pci-ohci"):
        for name in ("pcie.0", "port", "up"):
            yield _Line(*BUSES[name]).ask(f"plug-{name}-{driver}", plug(name, driver))
    line = _Line(*BUSES["pci"]).add("edu", bus="b", addr="1f")
    yield line.ask("plug-pci-31", plug("pci"))
    below = (
        {"driver": "edu", "bus": "b", "id": "f1", "addr": "0.1"},
        {"driver": "edu", "bus": "b", "id": "f0"},
    )
    yield _Line(*BUSES["port"]).ask("plug-functions-last", *below)
    yield _Line(*BUSES["port"]).ask("plug-functions-multi", below[0], {**below[1], "multifunction": True})
    yield _Line(*BUSES["port"]).ask("plug-functions-first", below[1], below[0])
    yield _Line(*BUSES["port"]).ask(
        "plug-number", {**plug("port", addr=300), "id": "high"}, plug("port", addr=0)
    )


def _mixed(seed: int, count: int) -> Iterator[Question]:
    """VMs of up to nine devices on three buses, by chance."""
    chance = random.Random(seed)  # noqa: S311 - the same questions each time
    for number in range(count):
        names = ["pcie.0", *chance.sample([name for name in BUSES if name != "pcie.0"], 1)]
        line = _Line(*BUSES[names[1]])
        for _ in range(chance.randint(2, 8)):
            name = chance.choice(names)
            text = chance.choice((None, None, None, f"{chance.randint(1, 9)}.{chance.choice((0, 0, 1, 2))}"))
            shared = text is not None and chance.random() < 0.7
            driver = _guest(name) if name in ("pxb", "up") else chance.choice(_TYPES)
            as_json = chance.random() < 0.2
            flag = (True if as_json else "on") if shared else None
            line.add(driver, as_json=as_json, bus=_bus(name), addr=text, multifunction=flag)
        yield line.ask(f"mixed-{number}")


def questions(seed: int = 1, mixed: int = 250) -> list[Question]:
    """All of them; the same ones for the same seed."""
    return [*_alone(), *_pairs(), *_order(), *_full(), *_expanders(), *_plugged(), *_mixed(seed, mixed)]
