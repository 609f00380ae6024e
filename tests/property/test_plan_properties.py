# SPDX-License-Identifier: Apache-2.0
"""Whatever is planned into whatever VM: nothing collides, the model starts it, and it is complete."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from examples import Q11_1, function, host, smmu
from vsmmu.errors import Negative
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.topology import Topology
from vsmmu.plan.planner import Order, plan
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.process import start

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

HEAD = tuple("qemu-system-aarch64 -M virt -accel kvm -bios firmware.fd -nodefaults".split())


@st.composite
def orders(draw: st.DrawFn) -> tuple[Order, Host]:
    """A host, functions of it, and a VM with expanders and ports of its own."""
    smmus = draw(st.integers(1, 6))
    places = draw(st.lists(st.integers(0, smmus - 1), min_size=1, max_size=12))
    functions = [function(f"{place:04x}:{n + 1:02x}:00.0", f"smmu{place}") for n, place in enumerate(places)]
    facts = host(*(smmu(f"smmu{n}") for n in range(smmus)), *functions)
    words = [*HEAD]
    buses = ["pcie.0"]
    for number in draw(st.lists(st.integers(1, 255), max_size=4, unique=True)):
        buses.append(f"pcie.{len(buses)}")
        words += ["-device", f"pxb-pcie,id={buses[-1]},bus_nr={number},bus=pcie.0"]
    for index, bus in enumerate(draw(st.lists(st.sampled_from(buses), max_size=5))):
        words += ["-device", f"pcie-root-port,id=rp{index},bus={bus},chassis={index * 3}"]
    spare = draw(st.integers(0, 3))
    devices = tuple(entry.address for entry in functions)
    return Order(devices, spare, tuple(words) if draw(st.booleans()) else ()), facts


@given(orders())
@settings(max_examples=120, deadline=None)
def test_a_plan_collides_with_nothing_and_starts(case: tuple[Order, Host]) -> None:
    order, facts = case
    try:
        answer = plan(order, facts, Q11_1)
    except Negative as error:
        # A VM that lacks room for its own buses is refused as it is.
        own = start(read_words(order.words).machine(), facts, Q11_1).diagnostics if order.words else ()
        if error.code != "no-bus-numbers" and error.code not in {entry.code for entry in own}:
            raise
        return
    words = answer.command_line or answer.arguments
    machine = read_words(words).machine()
    assert words[: len(order.words)] == order.words
    # Complete: each function once, behind a vSMMU of its own SMMU.
    given_to = {port.function: entry.host_smmu for entry in answer.vsmmus for port in entry.endpoints}
    assert given_to == {entry.address: entry.smmu for entry in facts.functions}
    # Numbers: no two root complexes want one bus, no two ports one chassis.
    topology = Topology.of(machine)
    wanted = sorted((entry.first_bus, entry.last_bus) for entry in answer.vsmmus)
    assert all(before[1] < after[0] for before, after in pairwise(wanted))
    others = [
        int(device.text("bus_nr"))
        for device in machine.devices
        if device.driver == "pxb-pcie" and device.id not in {entry.expander for entry in answer.vsmmus}
    ]
    assert all(not first <= number <= last for number in others for first, last in wanted)
    assert all(entry.last_bus - entry.first_bus >= len(entry.ports) for entry in answer.vsmmus)
    assert wanted[-1][1] <= 255
    chassis = [device.text("chassis") for device in machine.devices if device.driver == "pcie-root-port"]
    assert len(chassis) == len(set(chassis))
    for entry in answer.vsmmus:
        assert {topology.root_of(device) for device in topology.behind(entry.expander)} == {entry.expander}
    # The values: nothing is left to resolve, and the model starts it with the registers of the plan.
    assert resolve_machine(machine, facts, Q11_1).edits == ()
    verdict = start(machine, facts, Q11_1)
    assert verdict.would_start()
    registers = {entry.device: entry.registers for entry in verdict.vsmmus}
    assert {entry.id: entry.registers for entry in answer.vsmmus} == registers
