# SPDX-License-Identifier: Apache-2.0
"""What holds of the model of QEMU for any VM on any host."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import strategies
from examples import Q11_1, device, port
from strategies import ADDRESSES, hosts, qemus, vms
from vsmmu.diagnostic import Edit
from vsmmu.errors import InputRefused
from vsmmu.host.evidence import Fact
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import QemuProcess, start
from vsmmu.smmuv3.fields import field
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostSmmu
    from vsmmu.qemu.outcome import Verdict
    from vsmmu.qemu.versions import Qemu


def shown(verdict: Verdict) -> list[dict[str, str] | None]:
    return [vsmmu.registers for vsmmu in verdict.vsmmus]


# --- nothing but our own errors -----------------------------------------------------------------------------

NAMES = st.sampled_from(["pcie.0", "p", "q", "r1", "r2", "nope", "s", ""])
VALUES = st.sampled_from(["on", "off", "auto", "44", "48", "52", "0", "20", "21", "", "maybe"])
DEVICES = st.one_of(
    st.builds("pxb-pcie,bus={},id={}".format, NAMES, NAMES),
    st.builds("pcie-root-port,bus={},id={},chassis={}".format, NAMES, NAMES, st.integers(0, 3)),
    st.builds("pcie-pci-bridge,bus={},id={}".format, NAMES, NAMES),
    st.builds("e1000e,bus={}".format, NAMES),
    st.builds("virtio-iommu-pci,bus={}".format, NAMES),
    st.builds("arm-smmuv3,primary-bus={},accel={},{}={}".format, NAMES, VALUES,
              st.sampled_from(["ats", "ril", "ssidsize", "oas", "cmdqv", "stage", "bus", "foo"]), VALUES),
    st.builds("vfio-pci,host={},bus={},iommufd={},ats={}".format,
              st.sampled_from([*ADDRESSES, "x", ""]), NAMES, st.sampled_from(["i0", "i1", ""]), VALUES),
)  # fmt: skip
HEADS = st.sampled_from(
    ["", "-M virt", "-M virt-11.0", "-M virt,iommu=smmuv3", "-M virt,acpi=off", "-M q35", "-only-migratable"]
)


LATE = st.lists(DEVICES, max_size=3)


@given(
    head=HEADS, made=st.lists(DEVICES, max_size=8), late=LATE, on=hosts(), qemu=qemus, fragment=st.booleans()
)
def test_any_vm_ends_in_a_verdict_or_is_refused_as_input(
    head: str, made: list[str], late: list[str], on: Host, qemu: Qemu, fragment: bool
) -> None:
    words = shlex.split(f"{head} -accel kvm -bios fw -nodefaults -object iommufd,id=i0")
    words += [word for text in made for word in ("-device", text)]
    with contextlib.suppress(InputRefused):
        running = QemuProcess(
            read_words(words if fragment else ["qemu-system-aarch64", *words]).machine(), on, qemu
        )
        verdict = running.start()
        msgspec.json.encode(verdict)
        assert (verdict.failure is not None) == (verdict.answer == "refused")
        assert verdict.of("unknown") or verdict.answer != "unknown"
        for text in late if verdict.failure is None else ():
            running.hot_plug(device(text))


@given(
    made=st.permutations(["pxb-pcie,id=p,bus=pcie.0", "arm-smmuv3,primary-bus=p,id=s", "e1000e,bus=pcie.0"])
)
def test_only_an_order_with_the_root_complex_first_starts(made: list[str]) -> None:
    words = [word for text in made for word in ("-device", text)]
    machine = read_words(["qemu-system-aarch64", "-M", "virt", "-nodefaults", *words]).machine()
    on = strategies.examples.host()
    right = made.index("pxb-pcie,id=p,bus=pcie.0") < made.index("arm-smmuv3,primary-bus=p,id=s")
    assert (start(machine, on, Q11_1).answer == "starts") == right


# --- partial knowledge is sound -----------------------------------------------------------------------------


@st.composite
def weakened(draw: st.DrawFn, on: Host) -> Host:
    """The same host with less known of it: facts forgotten, or widened to a bound that still holds."""

    def weaken(fact: Fact, limit: int) -> Fact:
        how = draw(st.sampled_from(["keep", "keep", "forget", "at-least", "at-most"]))
        if how == "keep" or fact.value is None:
            return fact
        if how == "forget":
            return Fact(None, "open")
        low, high = (0, fact.value) if how == "at-least" else (fact.value, limit)
        return Fact(draw(st.integers(low, high)), "known", how)  # type: ignore[arg-type]

    def less(smmu: HostSmmu) -> HostSmmu:
        fields = {key: weaken(fact, field(key).limit) for key, fact in smmu.fields.items()}
        return msgspec.structs.replace(smmu, fields=fields, nesting=weaken(smmu.nesting, 1))

    functions = tuple(
        msgspec.structs.replace(each, ats_not_supported=weaken(each.ats_not_supported, 1))
        for each in on.functions
    )
    return msgspec.structs.replace(on, smmus=tuple(less(smmu) for smmu in on.smmus), functions=functions)


@given(on=hosts(known=True), vm=vms(), qemu=qemus, data=st.data())
def test_who_knows_less_never_says_the_opposite(
    on: Host, vm: strategies.QemuProcess, qemu: Qemu, data: st.DataObject
) -> None:
    partly = start(vm.machine, data.draw(weakened(on)), qemu)
    fully = start(vm.machine, on, qemu)
    assert fully.answer != "unknown"
    if partly.answer == "fails-later" and partly.of("unknown"):
        assert fully.answer in ("fails-later", "refused")  # how it fails hangs on what is not known
    elif partly.answer != "unknown":
        assert partly.answer == fully.answer
    for less, more in zip(shown(partly), shown(fully), strict=False):
        assert less is None or less == more


@given(on=hosts(known=True), vm=vms(), qemu=qemus)
def test_a_host_that_is_known_leaves_no_doubt(on: Host, vm: strategies.QemuProcess, qemu: Qemu) -> None:
    # Whether 11.0 compares ATS is open, whatever is known of the host.
    open_question = {"qemu-ats"} if qemu.checks_ats is None else set()
    assert {doubt.code for doubt in start(vm.machine, on, qemu).of("unknown")} <= open_question


# --- auto and explicit --------------------------------------------------------------------------------------


@given(on=hosts(known=True, fit=True, most=1), vm=vms(least=1))
def test_pinning_what_auto_took_gives_the_same_registers(on: Host, vm: strategies.QemuProcess) -> None:
    machine = vm.machine
    by_auto = start(machine, on, Q11_1)
    assume(by_auto.answer == "starts")
    numbers = {device.name: device.number for device in machine.vsmmus}
    pins = [
        Edit(numbers[vsmmu.device], entry.name, vsmmu.values[entry.name])
        for vsmmu in by_auto.vsmmus
        for entry in REGISTER_PROPERTIES
        if entry.spellings.get(vsmmu.values[entry.name]) in entry.pinnable
    ]
    pinned = start(machine.edited(pins), on, Q11_1)
    assert pinned.answer == "starts"
    assert shown(pinned) == shown(by_auto)


@given(on=hosts(known=True, fit=True), vm=vms(least=1, fixed=True))
def test_a_start_by_auto_has_the_first_devices_values(on: Host, vm: strategies.QemuProcess) -> None:
    assume("virt-" not in vm.head)
    for (_, addresses), vsmmu in zip(vm.vsmmus, start(vm.machine, on, Q11_1).vsmmus, strict=False):
        if not vsmmu.auto_finalised:
            continue
        function = on.function(addresses[0])
        assert function is not None
        smmu = on.smmu(function.smmu or "")
        assert smmu is not None
        for entry in REGISTER_PROPERTIES:
            code = on.read_field(smmu, entry.source).exact
            assert vsmmu.values[entry.name] == entry.spell(entry.from_code(code))  # type: ignore[arg-type]


# --- a life -------------------------------------------------------------------------------------------------

ACTIONS = st.one_of(
    st.tuples(st.just("plug"), st.sampled_from(ADDRESSES), st.integers(90, 93)),
    st.tuples(st.just("unplug"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("reset"), st.just(0), st.just(0)),
    st.tuples(st.just("abort"), st.booleans(), st.just(0)),
)


@given(
    on=hosts(known=True, fit=True, most=2), vm=vms(most=1, least=1), actions=st.lists(ACTIONS, max_size=10)
)
def test_nothing_that_happens_to_a_running_vm_changes_its_registers(
    on: Host, vm: strategies.QemuProcess, actions: list[tuple[str, object, int]]
) -> None:
    ports = " ".join(port(number) for number in range(90, 94))
    machine = read_words([*vm.command.words, *ports.split()]).machine()
    running = QemuProcess(machine, on, Q11_1)
    assume(running.start().at_start == "starts")
    before = running.verdict()
    for action, what, place in actions:
        act(running, action, what, place)
        now = running.verdict()
        assert shown(now) == shown(before)
        assert now.at_start == "starts"
        [vsmmu] = now.vsmmus
        assert vsmmu.auto_finalised == before.vsmmus[0].auto_finalised
        assert bool(vsmmu.attached) == bool(vsmmu.host_smmu) == bool(vsmmu.endpoints)


def act(running: QemuProcess, action: str, what: object, place: int) -> None:
    endpoints = running.vsmmus[0].endpoints
    if action == "plug":
        text = f"vfio-pci,host={what},bus=rp{place},iommufd=i0,id=h{place}"
        if running.machine.device(f"h{place}") is None:
            running.hot_plug(device(text))
    elif action == "unplug" and endpoints:
        running.unplug(endpoints[int(str(what)) % len(endpoints)].device.name)
    elif action == "reset":
        running.reset()
    elif action == "abort":
        running.write_gbpa("s0", abort=bool(what))


def test_the_strategies_make_what_starts_and_what_does_not() -> None:
    found: set[str] = set()

    @given(on=hosts(), vm=vms(least=1))
    def collect(on: Host, vm: strategies.QemuProcess) -> None:
        found.add(start(vm.machine, on, Q11_1).answer)

    collect()
    assert found == {"starts", "refused", "unknown"}


def test_duplicate_ids_are_refused_while_a_vm_runs_as_before() -> None:
    running = QemuProcess(strategies.examples.vm(), strategies.examples.host(), Q11_1)
    running.start()
    with pytest.raises(InputRefused, match="two devices have the id"):
        running.hot_plug(device("vfio-pci,host=0000:01:00.0,bus=rp1,iommufd=i0,id=v1"))
