# SPDX-License-Identifier: Apache-2.0
"""What a resolution promises on any host, known well or badly, for any VM."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

import strategies
from strategies import hosts, options, qemus, vms
from vsmmu.diagnostic import Edit
from vsmmu.policy.alternatives import with_alternatives
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.process import start
from vsmmu.qemu.settings import read_settings
from vsmmu.qemu.versions import Qemu, machine_type
from vsmmu.smmuv3.properties import AUTO, PROPERTIES, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostSmmu
    from vsmmu.policy.options import Policy
    from vsmmu.policy.result import Resolution

#: Hosts on which there is something to resolve, and some on which nothing can start.
LIKELY = st.one_of(hosts(fit=True, most=1), hosts(fit=True), hosts(known=True, fit=True), hosts())
POLICIES = st.sampled_from(["common", "qemu"])


def values(resolution: Resolution) -> list[dict[str, str]]:
    return [{entry.name: entry.value for entry in vsmmu.properties} for vsmmu in resolution.vsmmus]


def number(name: str, text: str) -> int | None:
    """A value in the property's own unit; None for auto and what stays open."""
    value = PROPERTIES[name].spellings.get(text, AUTO)
    return None if value == AUTO else value  # type: ignore[return-value]


@given(on=LIKELY, vm=vms(least=1), qemu=qemus, policy=POLICIES, given=options())
def test_what_is_written_passes_the_model(
    on: Host, vm: strategies.Vm, qemu: Qemu, policy: Policy, given: Options
) -> None:
    resolution = resolve_machine(vm.machine, on, qemu, given._replace(policy=policy))
    assume(not resolution.problems)
    written = vm.command.edit(resolution.edits)
    verdict = start(written.machine(), on, qemu, given.functions)
    assert verdict.at_start == ("unknown" if verdict.of("unknown") else "starts")
    assert verdict == resolution.verdict


@given(on=LIKELY, vm=vms(least=1), qemu=qemus, policy=POLICIES, given=options())
def test_a_second_resolution_changes_nothing(
    on: Host, vm: strategies.Vm, qemu: Qemu, policy: Policy, given: Options
) -> None:
    first = resolve_machine(vm.machine, on, qemu, given._replace(policy=policy))
    assume(not first.problems)
    again = resolve_machine(vm.command.edit(first.edits).machine(), on, qemu, given._replace(policy=policy))
    assert again.edits == ()
    assert again.problems == ()
    assert values(again) == values(first)


@given(on=hosts(), vm=vms(least=1), qemu=qemus, given=options())
def test_common_does_not_depend_on_the_order_of_endpoints(
    on: Host, vm: strategies.Vm, qemu: Qemu, given: Options
) -> None:
    turned = vm._replace(vsmmus=tuple((text, addresses[::-1]) for text, addresses in vm.vsmmus))
    one, other = (resolve_machine(each.machine, on, qemu, given) for each in (vm, turned))
    assert values(one) == values(other)
    deferred = any(entry.action == "deferred" for vsmmu in one.vsmmus for entry in vsmmu.properties[:4])
    kept = any(entry.action == "kept" for vsmmu in one.vsmmus for entry in vsmmu.properties)
    # What is left to QEMU is the first device's, and what is kept may fail on either; of two host SMMUs the
    # first device's alone is asked for a vIOMMU. Else the answer is one.
    asked_once = {"qemu-viommu", "qemu-viommu-11.0"} if given.allow_mixed else set()
    if not deferred and not kept:
        codes = [{problem.code for problem in entry.problems} - asked_once for entry in (one, other)]
        assert codes[0] == codes[1]


@given(on=hosts(known=True), vm=vms(least=1, fixed=True), qemu=qemus)
def test_common_never_exceeds_what_any_endpoint_offers(on: Host, vm: strategies.Vm, qemu: Qemu) -> None:
    resolution = resolve_machine(vm.machine, on, qemu, Options(allow_mixed=True))
    for (_, addresses), vsmmu in zip(vm.vsmmus, resolution.vsmmus, strict=True):
        for entry in REGISTER_PROPERTIES:
            chosen = number(entry.name, vsmmu.property(entry.name).value)
            for address in addresses if chosen is not None else ():
                function = on.function(address)
                assert function is not None
                smmu = on.smmu(function.smmu or "")
                assert smmu is not None
                assert chosen <= entry.from_code(on.read_field(smmu, entry.source).interval.low)  # type: ignore[operator]


@given(on=hosts(), vm=vms(), qemu=qemus, policy=POLICIES, given=options())
def test_what_the_user_wrote_survives(
    on: Host, vm: strategies.Vm, qemu: Qemu, policy: Policy, given: Options
) -> None:
    machine = vm.machine
    resolution = resolve_machine(machine, on, qemu, given._replace(policy=policy))
    edited = machine.edited(resolution.edits)
    for before, after in zip(machine.vsmmus, edited.vsmmus, strict=True):
        for name, text in before.properties.items():
            assert text == "auto" or after.properties[name] == text
    assert [device for device in machine.devices if device not in machine.vsmmus] == [
        device for device in edited.devices if device not in edited.vsmmus
    ]


@given(on=hosts(), vm=vms(), qemu=qemus, given=options())
def test_only_what_is_auto_or_absent_is_edited(
    on: Host, vm: strategies.Vm, qemu: Qemu, given: Options
) -> None:
    machine = vm.machine
    kind = machine_type(machine.machine_type, qemu)
    assume(kind is not None)
    assert kind is not None
    for edit in resolve_machine(machine, on, qemu, given).edits:
        device = machine.devices[edit.device]
        setting = read_settings(device, machine, qemu, kind.version).values[edit.property]
        assert setting.value == AUTO or setting.written == "default"


@st.composite
def a_better_smmu(draw: st.DrawFn, smmu: HostSmmu) -> HostSmmu:
    """The same SMMU with one of the four fields raised."""
    entry = draw(st.sampled_from(REGISTER_PROPERTIES))
    fact = smmu.fields[entry.source]
    assert fact.value is not None
    more = draw(st.integers(fact.value, entry.source_field.limit))
    raised = {**smmu.fields, entry.source: msgspec.structs.replace(fact, value=more)}
    return msgspec.structs.replace(smmu, fields=raised)


@given(on=hosts(known=True), vm=vms(least=1, fixed=True), data=st.data())
def test_a_more_capable_host_never_yields_less(on: Host, vm: strategies.Vm, data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(on.smmus) - 1))
    better = data.draw(a_better_smmu(on.smmus[which]))
    raised = msgspec.structs.replace(on, smmus=(*on.smmus[:which], better, *on.smmus[which + 1 :]))
    given = Options(allow_mixed=True)
    for less, more in zip(
        values(resolve_machine(vm.machine, on, strategies.examples.Q11_1, given)),
        values(resolve_machine(vm.machine, raised, strategies.examples.Q11_1, given)),
        strict=True,
    ):
        for name in less:
            # What is left to QEMU is less than the least that can be written.
            assert (number(name, less[name]) or 0) <= (number(name, more[name]) or 0)


@given(on=hosts(fit=True, known=True, most=1), vm=vms(most=1, least=1, fixed=True), policy=POLICIES)
def test_on_one_known_host_smmu_everything_starts(on: Host, vm: strategies.Vm, policy: Policy) -> None:
    resolution = resolve_machine(vm.machine, on, strategies.examples.Q11_1, Options(policy=policy))
    assert resolution.problems == ()
    assert resolution.verdict is not None
    assert resolution.verdict.would_start()


@given(on=hosts(), vm=vms(most=2), qemu=qemus, given=options())
def test_alternatives_are_told_for_whatever_was_chosen(
    on: Host, vm: strategies.Vm, qemu: Qemu, given: Options
) -> None:
    resolution = resolve_machine(vm.machine, on, qemu, given)
    told = with_alternatives(resolution, vm.machine, on, qemu, given)
    assert values(told) == values(resolution)
    for vsmmu in told.vsmmus:
        for entry in vsmmu.properties:
            tried = [alternative.value for alternative in entry.alternatives]
            assert entry.value not in tried
            assert len(set(tried)) == len(tried)


@given(on=hosts(), vm=vms(least=1), qemu=qemus, given=options())
def test_an_alternative_fares_as_in_a_start_of_the_whole_vm(
    on: Host, vm: strategies.Vm, qemu: Qemu, given: Options
) -> None:
    resolution = resolve_machine(vm.machine, on, qemu, given)
    told = with_alternatives(resolution, vm.machine, on, qemu, given)
    resolved = vm.machine.edited(resolution.edits)
    for vsmmu in told.vsmmus:
        device = resolved.device(vsmmu.device)
        assert device is not None
        near = {vsmmu.device, *vsmmu.endpoints}
        for entry in vsmmu.properties:
            row = qemu.property_of(entry.name)
            assert row is not None
            for other in entry.alternatives:
                changed = resolved.edited([Edit(device.number, entry.name, other.value)])
                whole = start(changed, on, qemu, given.functions)
                assert (other.answer == "refused") == (whole.failure is not None)
                if other.answer != "refused":
                    doubts = (
                        doubt.where in near and {row.source, row.name} & {*doubt.needs}
                        for doubt in whole.of("unknown")
                    )
                    # A doubt that two vSMMUs have about one host SMMU is noted once in a whole start.
                    assert other.answer == "unknown" or not any(doubts)


@given(on=hosts(), vm=vms(), qemu=qemus, given=options())
def test_the_same_question_has_the_same_answer(
    on: Host, vm: strategies.Vm, qemu: Qemu, given: Options
) -> None:
    one, other = (resolve_machine(vm.machine, on, qemu, given) for _ in range(2))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)


@given(on=LIKELY, vm=vms(least=1), qemu=qemus, policy=POLICIES, given=options())
def test_unpinned_it_is_as_if_nothing_had_been_written(
    on: Host, vm: strategies.Vm, qemu: Qemu, policy: Policy, given: Options
) -> None:
    given = given._replace(policy=policy)
    bare = vm._replace(vsmmus=tuple(("", addresses) for _, addresses in vm.vsmmus))
    anew = resolve_machine(vm.machine, on, qemu, given._replace(unpin=tuple(PROPERTIES)))
    assert values(anew) == values(resolve_machine(bare.machine, on, qemu, given))
    assume(not anew.problems)
    written = vm.command.edit(anew.edits)
    # Nothing but values of the vSMMUs has changed, each at its place; what was not written stands behind.
    for old, new in zip(vm.command.words, written.words, strict=True):
        assert new == old or (old.startswith("arm-smmuv3,") and _names(new).startswith(_names(old)))


def _names(word: str) -> str:
    """The words of an option's argument without the values of the five properties."""
    return re.sub(rf"\b({'|'.join(PROPERTIES)})=\w+", r"\1=", word)
