# SPDX-License-Identifier: Apache-2.0
"""A VM that starts, and one slip: a misspelt name, an address that is taken twice. Then it never starts."""

from __future__ import annotations

import contextlib
import random
import re
import shlex
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import vsmmu
from misspelling import Recorded, misspelt, names, recorded, with_slip
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.topology import Topology
from vsmmu.qemu.process import start
from vsmmu.qemu.slots import Slots

if TYPE_CHECKING:
    from vsmmu.qemu.outcome import Answer

RECORDED = recorded()
DOMAINS = sorted((Path(__file__).parents[1] / "golden" / "domain").glob("*.in.xml"))
#: A place of a device of the guest; the host's own address of a hostdev has no type.
GUEST_ADDRESS = re.compile(r"<address type=['\"]pci['\"][^>]*>")


def answer(of: Recorded, words: list[str]) -> Answer | str:
    try:
        return start(read_words(words).machine(), of.host, of.qemu).answer
    except InputRefused as refused:
        return refused.code


def test_the_recordings_start_here_too() -> None:
    assert len(RECORDED) > 350
    answers = Counter(answer(entry, entry.words) for entry in RECORDED)
    assert answers.keys() <= {"starts", "fails-later", "not-judged"}
    assert answers["not-judged"] < len(RECORDED) / 20


@settings(max_examples=400)
@given(of=st.sampled_from(RECORDED), data=st.data())
def test_a_misspelt_name_never_starts(of: Recorded, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(names(of.words)) or [None]))
    assume(name is not None)
    assert name is not None
    words = with_slip(of.words, name, data.draw(st.integers(0, 200)))
    # Of one letter nothing is left, and for some properties that is a value.
    assume(words != of.words and name.end - name.start > 1)
    assert answer(of, words) != "starts", shlex.join(words)


@settings(max_examples=200)
@given(of=st.sampled_from(RECORDED), data=st.data())
def test_a_second_device_at_an_address_never_starts(of: Recorded, data: st.DataObject) -> None:
    machine = read_words(of.words).machine()
    topology = Topology.of(machine)
    slots = Slots.of(machine, topology)
    names_of_buses = [bus.name for bus in topology.buses]  # of two of a name, bus= finds one
    placed = [
        (bus, place)
        for device in machine.devices
        if (bus := topology.bus_of(device))
        and device.form == "keyval"
        and names_of_buses.count(bus.name) == 1
        if (place := slots.address(device.number)) is not None
    ]
    assume(placed)
    bus, place = data.draw(st.sampled_from(placed))
    more = f"pcie-root-port,id=one-more,chassis=251,bus={bus.name},addr={place.slot:x}.{place.function}"
    words = [*of.words, "-device", more]
    assert answer(of, words) != "starts", shlex.join(words)


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.name)
def test_two_devices_of_a_domain_at_one_address_never_start(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for first, second in pairwise(GUEST_ADDRESS.finditer(text)):
        if first[0] != second[0]:
            changed = text[: second.start()] + first[0] + text[second.end() :]
            # An address of a function's source can be none of a guest's, whose only PCI domain is 0.
            with contextlib.suppress(InputRefused):
                judged = vsmmu.check(vsmmu.read_vm(changed), vsmmu.load_host("builtin:gb200"))
                assert judged.answer != "starts"


def test_a_slip_is_one() -> None:
    chance = random.Random(1)
    for _ in range(200):
        text = "".join(chance.choices("abc", k=chance.randrange(1, 9)))
        slip = misspelt(text, chance.randrange(99))
        assert abs(len(slip) - len(text)) <= 1
