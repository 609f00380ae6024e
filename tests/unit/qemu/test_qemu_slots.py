# SPDX-License-Identifier: Apache-2.0
"""The places of PCI devices, held against what QEMU 11.1.3 answered (tests/golden/qemu-11.1.3-slots)."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import Q11_1, host, options, port, vfio, vm
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.drivers import is_pci
from vsmmu.machine.model import Device, Origin
from vsmmu.machine.topology import Topology
from vsmmu.qemu.bus_room import bus_hazards
from vsmmu.qemu.outcome import failure
from vsmmu.qemu.placement import Placement
from vsmmu.qemu.process import start
from vsmmu.qemu.realize import Refusal
from vsmmu.qemu.slot_address import SLOTS, read_address
from vsmmu.qemu.slots import Placed, Slots
from vsmmu.qemu.texts import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine

Case = dict[str, Any]

GOLDEN = Path(__file__).parents[2] / "golden" / "qemu-11.1.3-slots" / "answers.jsonl"
CASES: list[Case] = [json.loads(line) for line in GOLDEN.read_text().splitlines()]


class Walk:
    """Creates devices in order, as the model of the process does."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.placement = Placement(machine)
        self.slots = self.placement.slots

    def create(self, device: Device, *, hot: bool = False) -> Refusal | None:
        bus = Topology.of(self.machine).bus_of(device)
        assert bus is not None
        refused = next(self.slots.hot_plug_refusals(device, bus), None) if hot else None
        refused = refused or next(self.placement.before_realize(device, bus, hot=hot), None)
        refused = refused or next(iter(self.placement.after_realize(device)), None)
        if refused is not None:
            self.slots.remove(device.number)
        return refused

    def plug(self, asked: Case) -> str:
        kept = {key: value for key, value in asked.items() if key not in ("driver", "id")}
        number = len(self.machine.devices)
        device = Device(number, asked["driver"], asked["id"], kept, "json", Origin("", "device_add"))
        self.machine = self.machine._replace(devices=(*self.machine.devices, device))
        refused = self.create(device, hot=True)
        return failure(refused.code, device.name, "", "hot-plug", **refused.values).text if refused else ""

    def start(self) -> str:
        for device in self.machine.devices:
            if is_pci(device.driver) and (refused := self.create(device)):
                option = device.origin.option
                return failure(refused.code, device.name, option, "create", **refused.values).printed
        return ""

    def warnings(self) -> Iterator[str]:
        for device in self.machine.devices:
            placed = self.slots.address(device.number)
            if placed is not None and placed.warning and device.origin.place != "device_add":
                yield f"qemu-system-aarch64: {device.origin.option}: warning: {placed.warning}"

    def places(self) -> Iterator[tuple[str, int]]:
        for device in self.machine.devices:
            placed = self.slots.address(device.number)
            if placed is not None:
                yield device.id, placed.devfn


def differences(case: Case) -> list[str]:
    """What the tables say otherwise than QEMU did; empty if they agree."""
    walk = Walk(read_words(shlex.split(case["command"]), lambda name: b"").machine())
    refused = walk.start()
    said = [*walk.warnings(), *([refused] if refused else [])]
    printed = [line for line in case.get("stderr", []) if "warning: hub" not in line]
    found = [] if said == printed else [f"prints {said}"]
    if bool(refused) != bool(case["exit"]):
        found.append(f"refused: {refused!r}")
    if not case["exit"]:
        answers = [walk.plug(asked) for asked in case.get("plugs", [])]
        if answers != case.get("answers", []):
            found.append(f"answers {answers}")
        if dict(walk.places()) != case["devfn"]:
            found.append(f"places {dict(walk.places())}")
        # Whoever is warned of is not seen, and the hazard says so; it knows of more than QEMU warns of.
        unseen = {hazard.where for hazard in walk.slots.hazards() if hazard.code == "endpoint-not-in-slot-0"}
        if not set(re.findall(r'\bid(?:=|": ")(\w+)', " ".join(walk.warnings()))) <= unseen:
            found.append(f"unseen {unseen}")
    return found


@pytest.mark.parametrize("kind", sorted({case["id"].partition("-")[0] for case in CASES}))
def test_places_and_refusals_are_those_of_qemu(kind: str) -> None:
    cases = [case for case in CASES if case["id"].partition("-")[0] == kind]
    assert {case["id"]: found for case in cases if (found := differences(case))} == {}


def test_the_recording_reaches_every_row() -> None:
    texts = "\n".join(line for case in CASES for line in [*case.get("stderr", []), *case.get("answers", [])])
    rows = [code for code in MESSAGES if code.startswith(("qemu-slot-", "qemu-pxb-", "qemu-numa-"))]
    missing = [
        code
        for code in [*rows, "qemu-bus-number", "qemu-bridge-chassis"]
        if not re.search(re.sub(r"\\{.*?\\}", ".*", re.escape(MESSAGES[code].text)), texts)
    ]
    assert missing == []
    assert len(CASES) >= 150


@pytest.mark.parametrize(
    ("places", "unseen"),
    [
        (("0x0.0,multifunction=on", "0x0.1"), []),
        (("0x0", "0x1"), ["d1"]),
        (("0x1.1", "0x1.0,multifunction=on"), ["d0", "d1"]),
        (("0x0.1", "0x0.2"), ["d0", "d1"]),
        (("0x0.1", "0x0.0,multifunction=on"), []),
    ],
)
def test_the_guest_sees_slot_0_of_a_port_from_function_0_on(
    places: tuple[str, str], unseen: list[str]
) -> None:
    devices = " ".join(f"-device e1000e,id=d{n},bus=r,addr={text}" for n, text in enumerate(places))
    machine = options(f"-M virt -nodefaults -device pcie-root-port,id=r,bus=pcie.0 {devices}")
    found = list(Slots.of(machine, Topology.of(machine)).hazards())
    assert [hazard.where for hazard in found] == unseen
    assert all(hazard.severity == "hazard" and hazard.next for hazard in found)


def test_a_slot_without_function_0_ends_the_free_ones() -> None:
    machine = options("-M virt -nodefaults -device edu,bus=pcie.0,addr=3.1")
    topology = Topology.of(machine)
    assert Slots.of(machine, topology).free_slots(topology.buses[0]) == 2


def test_regions_are_counted_over_the_process() -> None:
    machine = options("-M virt -nodefaults -device edu,bus=pcie.0,addr=2 -device edu,bus=pcie.0,addr=3.1")
    placement, topology = Placement(machine), Topology.of(machine)
    for device in machine.devices:
        assert list(placement.before_realize(device, topology.buses[0])) == []
    assert [placement.region(device) for device in machine.devices] == [
        {"devfn": 16, "count": 0, "address": "02.0"},
        {"devfn": 25, "count": 1, "address": "03.1"},
    ]


def test_the_message_about_a_region_has_the_numbers_of_its_device() -> None:
    machine = vm(
        "ats=off,ril=on,ssidsize=0,oas=44",
        port(1), vfio("0000:01:00.0", 1), port(2),
        "-device pxb-pcie,id=x,bus_nr=40,bus=pcie.0 -device arm-smmuv3,primary-bus=x",
        "-device pcie-root-port,id=r,bus=x,chassis=9 "
        "-device vfio-pci,host=0000:02:00.0,bus=r,addr=2.1,iommufd=i0",
    )  # fmt: skip
    failed = start(machine, host(), Q11_1).failure
    assert failed is not None
    assert "Region smmuv3-iommu-memory-region-17-1: device 00.02.1 requires" in failed.text


def test_what_was_unplugged_leaves_its_place() -> None:
    machine = options("-M virt -nodefaults -device edu,bus=pcie.0 -device edu,id=d,bus=pcie.0,addr=1")
    topology = Topology.of(machine)
    root = topology.buses[0]
    slots = Slots.of(machine, topology)
    assert slots.free_slots(root) == SLOTS - 2
    assert slots.address(1) is None
    slots.remove(1)
    slots.remove(0)
    placed = slots.place(machine.devices[1], root)
    assert isinstance(placed, Placed)
    assert (placed.slot, placed.function) == (1, 0)


# Where the firmware AAVMF of QEMU 11.1.3 numbers all buses, and where it does not.
@pytest.mark.parametrize(
    ("numbers", "named", "remedy"),
    [
        ((129, 131), "", ""),
        ((129, 130), "x129", "130"),
        ((130, 129), "x129", "130"),
        ((240, 254), "", ""),
        ((255,), "x255", "254"),
    ],
)
def test_each_expander_needs_a_number_for_each_port(
    numbers: tuple[int, ...], named: str, remedy: str
) -> None:
    devices = " ".join(
        f"-device pxb-pcie,id=x{n},bus_nr={n},bus=pcie.0 -device pcie-root-port,bus=x{n},chassis={n}"
        for n in numbers
    )
    machine = options(f"-M virt -nodefaults {devices}")
    found = list(bus_hazards(machine, Topology.of(machine)))
    assert [hazard.where for hazard in found] == ([named] if named else [])
    assert all("bus_nr" in hazard.next and remedy in hazard.next for hazard in found)


def test_ports_on_the_root_bus_need_numbers_too() -> None:
    ports = " ".join(f"-device pcie-root-port,id=r{n},bus=pcie.0,chassis={n}" for n in range(5))
    for number, named in ((5, ["pcie.0"]), (6, [])):
        machine = options(f"-M virt -nodefaults {ports} -device pxb-pcie,id=x,bus_nr={number},bus=pcie.0")
        assert [hazard.where for hazard in bus_hazards(machine, Topology.of(machine))] == named
    machine = options(f"-M virt,highmem=off -nodefaults {ports} -device pxb-pcie,id=x,bus_nr=16,bus=pcie.0")
    assert [hazard.where for hazard in bus_hazards(machine, Topology.of(machine))] == ["x"]


@given(st.text("0123456789abcdefABCDEFxX.+- \t", max_size=12))
def test_an_address_is_a_place_or_a_refusal(text: str) -> None:
    devfn = read_address("edu", text)
    if isinstance(devfn, Refusal):
        assert failure(devfn.code, "d", "", "create", **devfn.values).text.endswith(f"value '{text}'")
    else:
        assert 0 <= devfn < 256
        assert read_address("edu", f"{devfn >> 3:x}.{devfn & 7}") == devfn
