# SPDX-License-Identifier: Apache-2.0
"""Every rule word and every problem of a resolution has a case that shows it."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from examples import Q10_2, Q11_0, Q11_1, function, host, options, port, smmu, vfio, vm
from vsmmu.host.evidence import Fact
from vsmmu.host.facts import SCHEMA, Host
from vsmmu.policy import candidates, resolver, rules
from vsmmu.policy.alternatives import with_alternatives
from vsmmu.policy.options import Ceiling, Options
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.versions import Qemu, parse_version
from vsmmu.smmuv3.fields import oas_code

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine
    from vsmmu.policy.result import PropertyResolution, Resolution

A, B = "0000:01:00.0", "0000:02:00.0"
V1, V2 = (port(1), vfio(A, 1)), (port(2), vfio(B, 2))
TWO = host(smmu("a", oas=48), smmu("b", oas=44), function(A, "a"), function(B, "b"))
PAIR = host(smmu(), function(A), function(B))


class Case(NamedTuple):
    """A property of ``s``, and what the rule makes of it."""

    name: str
    value: str
    on: Host = host()
    machine: Machine = vm()
    qemu: Qemu = Q11_1
    options: Options = Options()

    def resolution(self) -> Resolution:
        return resolve_machine(self.machine, self.on, self.qemu, self.options)

    def property(self) -> PropertyResolution:
        return self.resolution().vsmmu("s").property(self.name)


CANNOT = {
    "the kernel says no": {"ats_not_supported": 1},
    "the device has no capability": {"ats_capability": 0},
    "the root complex has no ATS": {"root_complex_ats": 0},
}
RULES = {
    "user": Case("oas", "44", machine=vm("oas=44")),
    "host": Case("oas", "48"),
    "meet": Case("oas", "44", TWO, vm("", *V1, *V2), options=Options(allow_mixed=True)),
    "clamp": Case("ssidsize", "20", host(smmu(ssidsize=21))),
    "baseline": Case("oas", "44", options=Options(ceiling=Ceiling("pool", 3, {"oas": 44}))),
    "first-device": Case("oas", "48", TWO, vm("", *V1), options=Options(policy="qemu")),
    "ats-no-endpoint": Case("ats", "off", host(smmu(), function(**CANNOT["the kernel says no"]))),
    "ats-not-masked": Case("ats", "off", host(smmu(), function(**CANNOT["the root complex has no ATS"]))),
    "ats-required": Case(
        "ats",
        "on",
        host(smmu(), function(cxl_cache=1), function(B, **CANNOT["the root complex has no ATS"])),
        vm("", *V1, *V2),
    ),
    "inexpressible": Case("oas", "auto", host(smmu(oas=42))),
    "default": Case("cmdqv", "auto"),
    "assume-safe": Case("ril", "off", host(smmu(ril=None)), options=Options(assume_safe=True)),
    "unknown": Case("ril", "", host(smmu(ril=None))),
    "smmu-unnamed": Case("oas", "", TWO, vm("", port(1))),
}
#: Rule -> what is done, what the reason must name, and the facts that it stands on.
SAYS = {
    "user": ("kept", ["argument 12"], ["smmu0 IDR5.OAS 48"]),
    "host": ("pinned", ["48"], ["smmu0 IDR5.OAS 48"]),
    "meet": ("pinned", ["all 2 host SMMUs"], ["a IDR5.OAS 48", "b IDR5.OAS 44"]),
    "clamp": ("pinned", ["offers 21", "written is 20"], ["smmu0 IDR1.SSIDSIZE 21"]),
    "baseline": (
        "pinned",
        ["offers 48", "baseline allows 44"],
        ["smmu0 IDR5.OAS 48", "baseline pool oas 44"],
    ),
    "first-device": ("pinned", ["first device", "48"], ["a IDR5.OAS 48"]),
    "ats-no-endpoint": ("pinned", ["no function"], ["smmu0 IDR0.ATS on"]),
    "ats-not-masked": ("pinned", ["v1 cannot use ATS", "the guest would see"], ["smmu0 IDR0.ATS on"]),
    "ats-required": ("pinned", ["v1 needs ATS", "CXL.cache"], ["smmu0 IDR0.ATS on"]),
    "inexpressible": ("deferred", ["at most 42", "written is 44"], ["smmu0 IDR5.OAS 42"]),
    "default": ("deferred", ["does without"], ["smmu0 cmdqv off"]),
    "assume-safe": ("pinned", ["not known", "off"], ["smmu0 IDR3.RIL unknown"]),
    "unknown": ("open", ["IDR3.RIL is not known", "nobody looked"], ["smmu0 IDR3.RIL unknown"]),
    "smmu-unnamed": ("open", ["2 host SMMUs differ", "no endpoint"], ["a IDR5.OAS 48", "b IDR5.OAS 44"]),
}


def test_the_documented_rules_are_those_with_a_case() -> None:
    documented = set(re.findall(r"^``([a-z-]+)``  ", rules.__doc__ or "", re.MULTILINE))
    assert documented == set(RULES) == set(SAYS)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_chooses_the_value_and_says_why(rule: str) -> None:
    entry = RULES[rule].property()
    action, reasons, sources = SAYS[rule]
    assert (entry.rule, entry.value, entry.action) == (rule, RULES[rule].value, action)
    assert [reason for reason in reasons if reason not in entry.why] == [], entry.why
    assert [f"{source.smmu} {source.field} {source.value}" for source in entry.sources] == sources


@pytest.mark.parametrize("rule", RULES)
def test_only_an_open_property_stands_in_the_way(rule: str) -> None:
    resolution = RULES[rule].resolution()
    is_open = RULES[rule].property().action == "open"
    assert bool(resolution.problems) is is_open


# --- the joint view of ATS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", CANNOT)
def test_ats_is_off_where_the_only_function_cannot_use_it(reason: str) -> None:
    entry = resolve_machine(vm(), host(smmu(), function(**CANNOT[reason])), Q11_1).vsmmus[0].property("ats")
    assert (entry.value, entry.rule[:4]) == ("off", "ats-")


@pytest.mark.parametrize("reason", ["the kernel says no", "the device has no capability"])
def test_ats_stays_on_for_the_others_where_the_capability_is_hidden(reason: str) -> None:
    on = host(smmu(), function(A, **CANNOT[reason]), function(B))
    entry = resolve_machine(vm("", *V1, *V2), on, Q11_1).vsmmus[0].property("ats")
    assert (entry.value, entry.rule) == ("on", "host")


def test_ats_is_off_for_all_where_one_would_show_a_capability_that_must_not_be_used() -> None:
    on = host(smmu(), function(A, ats_not_supported=1), function(B))
    old = resolve_machine(vm("", *V1, *V2), on, Q11_0).vsmmus[0].property("ats")
    assert (old.value, old.rule) == ("off", "ats-not-masked")
    assert "v1 cannot use ATS" in old.why


def test_ats_off_on_the_endpoint_counts_from_11_1_on() -> None:
    machine = vm("", port(1), vfio(A, 1, "ats=off"))
    assert resolve_machine(machine, host(), Q11_1).vsmmus[0].property("ats").rule == "ats-no-endpoint"


def test_ats_off_from_a_global_counts_too() -> None:
    machine = vm(head="-M virt -global vfio-pci.ats=off")
    assert resolve_machine(machine, host(), Q11_1).vsmmus[0].property("ats").rule == "ats-no-endpoint"


def test_what_nobody_knows_of_a_function_does_not_switch_ats_off() -> None:
    on = host(smmu(), function(ats_capability=None, ats_not_supported=None))
    assert resolve_machine(vm(), on, Q11_1).vsmmus[0].property("ats").value == "on"


def test_an_smmu_without_ats_is_the_reason_that_is_told() -> None:
    on = host(smmu(ats=0), function(ats_capability=0))
    assert resolve_machine(vm(), on, Q11_1).vsmmus[0].property("ats").rule == "host"


def test_qemus_own_policy_looks_at_the_smmu_alone() -> None:
    on = host(smmu(), function(ats_capability=0))
    entry = resolve_machine(vm(), on, Q11_1, Options(policy="qemu")).vsmmus[0].property("ats")
    assert (entry.value, entry.rule) == ("on", "first-device")


# --- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "bound", "value"),
    [(48, "at-least", "48"), (44, "at-least", ""), (44, "at-most", ""), (42, "at-most", "auto")],
)
def test_a_bound_is_enough_where_every_value_within_gives_the_same(bits: int, bound: str, value: str) -> None:
    on = host(smmu(oas=Fact(oas_code(bits), "known", bound)))  # type: ignore[arg-type]
    assert resolve_machine(vm(), on, Q11_1).vsmmus[0].property("oas").value == value


def test_assume_safe_takes_the_least_that_is_sure() -> None:
    on = host(smmu(oas=Fact(oas_code(44), "known", "at-least"), ssidsize=Fact(8, "known", "at-least")))
    resolution = resolve_machine(vm(), on, Q11_1, Options(assume_safe=True))
    assert {
        entry.name: entry.value for entry in resolution.vsmmus[0].properties if entry.rule == "assume-safe"
    } == {
        "ssidsize": "8",
        "oas": "44",
    }


# --- problems -----------------------------------------------------------------------------------------------

NO_SMMU = Host(schema=SCHEMA, name="bare")
PROBLEMS = {
    "facts-unknown": RULES["unknown"],
    "smmu-unnamed": RULES["smmu-unnamed"],
    "oas-inexpressible": Case("oas", "", host(smmu(oas=40)), qemu=Q11_0),
    "function-unnamed": Case("oas", "", machine=vm("", port(1), "-device vfio-pci,fd=7,bus=rp1,iommufd=i0")),
    "function-unknown": Case("oas", "", machine=vm("", port(1), vfio("0000:09:00.0", 1))),
    "smmu-unknown": Case("oas", "", machine=vm("", port(1)), options=Options(smmu={"": "nobody"})),
    "no-smmu": Case("oas", "", NO_SMMU, vm("", port(1))),
    "two-host-smmus": Case("oas", "44", TWO, vm("", *V1, *V2)),
    "two-iommufds": Case(
        "oas", "48", PAIR, vm("", "-object iommufd,id=i1", *V1, port(2), vfio(B, 2).replace("=i0", "=i1"))
    ),
    "endpoint-before-vsmmu": Case("oas", "48", machine=options(
        "-M virt -accel kvm -bios fw -nodefaults -object iommufd,id=i0", port(1, "pcie.0"), vfio(A, 1),
        "-device arm-smmuv3,primary-bus=pcie.0,id=s,accel=on",
    )),
    "baseline-exceeded": Case(
        "oas", "48", machine=vm("oas=48"), options=Options(ceiling=Ceiling("pool", 3, {"oas": 44}))
    ),
    "no-such-device": Case("oas", "48", options=Options(also={"t": (A,)})),
    "qemu-acpi": Case("oas", "48", machine=vm(head="-M virt,acpi=off")),
}  # fmt: skip


@pytest.mark.parametrize("code", PROBLEMS)
def test_the_problem_is_found_and_says_what_next(code: str) -> None:
    case = PROBLEMS[code]
    problems = {problem.code: problem for problem in case.resolution().problems}
    assert code in problems
    assert problems[code].what
    assert problems[code].next
    assert case.property().value == case.value


def test_every_problem_of_the_source_has_a_case() -> None:
    source = "".join(inspect.getsource(module) for module in (candidates, resolver))
    written = set(re.findall(r'Diagnostic\(\s*f?"([a-z{}._-]+)"', source))
    written = {code.replace("{entry.name}", "oas") for code in written}
    assert written <= set(PROBLEMS)


def test_an_smmu_without_platform_device_is_not_taken_for_a_function_without_smmu() -> None:
    on = host(smmu("a"), function(A, "a"), function(B, None))
    resolution = resolve_machine(vm("", port(1)), on, Q11_1, Options(smmu={"": B}))
    assert [problem.code for problem in resolution.problems] == ["smmu-unknown"]


def test_cmdqv_cannot_be_pinned_for_a_host_without_smmus() -> None:
    resolution = resolve_machine(vm("", port(1)), NO_SMMU, Q11_1, Options(pin_cmdqv=True))
    assert resolution.vsmmu("s").property("cmdqv").action == "open"


def test_the_first_problem_is_raised_and_the_others_are_counted() -> None:
    machine = vm("", port(1), vfio("0000:08:00.0", 1), port(2), vfio("0000:09:00.0", 2))
    resolution = resolve_machine(machine, host(), Q11_1)
    assert len(resolution.problems) > 1
    with pytest.raises(Exception, match="1 more") as caught:
        resolution.require()
    assert caught.value.code == resolution.problems[0].code  # type: ignore[attr-defined]


# --- what needs no host -------------------------------------------------------------------------------------


def test_without_a_vsmmu_there_is_nothing_to_do() -> None:
    resolution = resolve_machine(options("-M virt"), host(), Q11_1)
    assert (resolution.edits, resolution.problems, resolution.vsmmus) == ((), (), ())
    assert "no arm-smmuv3 device" in resolution.notes[0]


def test_without_acceleration_written_auto_becomes_what_it_means() -> None:
    machine = options("-M virt -device arm-smmuv3,primary-bus=pcie.0,id=s,ats=auto,oas=auto")
    resolution = resolve_machine(machine, host(), Q11_0)
    assert [(edit.property, edit.value) for edit in resolution.edits] == [("ats", "off"), ("oas", "44")]
    assert resolution.problems == ()
    assert "nothing depends on the host" in resolution.notes[0]


def test_10_2_has_no_acceleration_to_resolve() -> None:
    resolution = resolve_machine(vm(), host(), Q10_2)
    codes = [problem.code for problem in resolution.problems]
    assert codes == ["qemu-no-property", "qemu-not-accelerated"]  # the second is left when accel is removed
    assert resolution.notes == ()


def test_a_newer_qemu_is_told_to_be_taken_for_the_newest_known() -> None:
    assert any(
        "newer than what was looked at" in note
        for note in resolve_machine(vm(), host(), parse_version("12.0")).notes
    )


def test_doubts_are_noted() -> None:
    resolution = resolve_machine(vm(), host(smmu(IDR1_SIDSIZE=None)), Q11_1)
    assert resolution.problems == ()
    assert any("IDR1.SIDSIZE" in note for note in resolution.notes)


def test_a_property_that_the_qemu_lacks_is_not_there_to_ask_for() -> None:
    with pytest.raises(KeyError):
        resolve_machine(vm(), host(), Q11_0).vsmmu("s").property("cmdqv")
    with pytest.raises(KeyError):
        resolve_machine(vm(), host(), Q11_0).vsmmu("nobody")


# --- alternatives -------------------------------------------------------------------------------------------


def alternatives(on: Host, name: str, machine: Machine | None = None) -> dict[str, str]:
    machine = machine or vm()
    told = with_alternatives(resolve_machine(machine, on, Q11_1), machine, on, Q11_1, Options())
    return {entry.value: entry.answer for entry in told.vsmmu("s").property(name).alternatives}


def test_each_alternative_is_tried_in_the_model() -> None:
    on = host(smmu(ril=0, oas=44, ssidsize=8))
    assert alternatives(on, "ril") == {"on": "refused", "auto": "starts"}
    assert alternatives(on, "oas") == {"48": "refused", "auto": "starts"}
    assert alternatives(on, "ssidsize") == {"0": "starts", "9": "refused", "20": "refused", "auto": "starts"}


def test_an_alternative_that_is_not_known_says_so() -> None:
    on = host(smmu(oas=Fact(oas_code(44), "known", "at-least")))
    assert alternatives(on, "oas", vm("oas=44")) == {"48": "unknown", "auto": "starts"}


def test_a_refused_alternative_quotes_qemu() -> None:
    on = host(smmu(ril=0))
    told = with_alternatives(resolve_machine(vm(), on, Q11_1), vm(), on, Q11_1, Options())
    first = told.vsmmu("s").property("ril").alternatives[0]
    assert first.effect == "QEMU would refuse: Host SMMUv3 doesn't support Range Invalidation"
    assert first.code == "qemu-ril"


def test_edits_leave_the_rest_of_the_machine_alone() -> None:
    machine = vm()
    assert machine.edited(()) == machine
    edited = machine.edited(resolve_machine(machine, host(), Q11_1).edits)
    assert [device for device in edited.devices if device.driver != "arm-smmuv3"] == [
        device for device in machine.devices if device.driver != "arm-smmuv3"
    ]


def test_off_is_no_choice_where_a_function_needs_ats() -> None:
    """Neither written, nor out of a baseline, nor because the host has none, nor on the safe side."""
    needy = function(cxl_cache=1)
    cases = (
        (vm("ats=off"), host(smmu(), needy), Options()),
        (vm(), host(smmu(), needy), Options(ceiling=Ceiling("pool", 3, {"ats": 0}))),
        (vm(), host(smmu(ats=0), needy), Options()),
        (vm(), host(smmu(ats=None), needy), Options(assume_safe=True)),
    )
    for machine, on, chosen in cases:
        [problem] = resolve_machine(machine, on, Q11_1, chosen).problems
        assert (problem.code, problem.severity) == ("ats-required", "hazard")
    assert resolve_machine(vm(), host(smmu(), needy), Q11_1).problems == ()
