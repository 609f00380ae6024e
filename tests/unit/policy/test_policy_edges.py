# SPDX-License-Identifier: Apache-2.0
"""The policy at its boundaries: what is no endpoint, what is the least, which words are said of it."""

from __future__ import annotations

import msgspec
import pytest

from examples import Q11_1, function, host, options, port, smmu, vfio, vm
from vsmmu.policy import result
from vsmmu.policy.alternatives import with_alternatives
from vsmmu.policy.options import Ceiling, Options
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu import installed, outcome

A, B = "0000:01:00.0", "0000:02:00.0"


@pytest.mark.parametrize("module", [result, installed, outcome])
def test_every_answer_is_immutable(module: object) -> None:
    structs = [
        entry for entry in vars(module).values() if getattr(entry, "__module__", "") == module.__name__
    ]  # type: ignore[attr-defined]
    made = [entry for entry in structs if isinstance(entry, type) and issubclass(entry, msgspec.Struct)]
    assert made
    assert [entry.__name__ for entry in made if not entry.__struct_config__.frozen] == []


def test_a_property_says_nothing_that_is_not_so() -> None:
    vsmmu = resolve_machine(vm(), host(), Q11_1).vsmmu("s")
    assert "alternatives" not in msgspec.to_builtins(vsmmu.property("oas"))


@pytest.mark.parametrize(
    ("name", "written", "effects"),
    [
        ("ats", "ats=on", {"off": "starts; the guest loses {title}"}),
        ("ats", "ats=off", {"on": "starts; the guest gets {title}"}),
        ("ril", "ril=on", {"off": "starts; the guest loses {title}"}),
        (
            "ssidsize",
            "ssidsize=8",
            {
                "0": "starts; the guest has fewer {title} than with 8",
                "9": "starts; the guest has more {title} than with 8",
                "20": "starts; the guest has more {title} than with 8",
            },
        ),
        ("oas", "oas=48", {"44": "starts; the guest has fewer {title} than with 48"}),
        ("oas", "oas=44", {"48": "starts; the guest has more {title} than with 44"}),
    ],
)
def test_an_alternative_says_what_the_guest_gets_or_loses(
    name: str, written: str, effects: dict[str, str]
) -> None:
    from vsmmu.smmuv3.properties import PROPERTIES

    machine = vm(written)
    told = with_alternatives(resolve_machine(machine, host(), Q11_1), machine, host(), Q11_1, Options())
    found = {entry.value: entry.effect for entry in told.vsmmu("s").property(name).alternatives}
    assert {value: found[value] for value in effects} == {
        value: text.format(title=PROPERTIES[name].title) for value, text in effects.items()
    }


@pytest.mark.parametrize(
    ("on", "why"),
    [
        (host(function(B)), f"host 'example' has no facts about it; it knows {B}"),
        (host(smmu(), function(A, None)), "no SMMU of the host translates it"),
    ],
)
def test_a_function_without_an_smmu_is_not_one_without_facts(on: object, why: str) -> None:
    problems = resolve_machine(vm(), on, Q11_1).problems  # type: ignore[arg-type]
    assert [problem.why for problem in problems if problem.code == "function-unknown"] == [why]


def test_only_functions_of_the_host_after_the_vsmmu_are_its_endpoints() -> None:
    early = (
        "-M virt -accel kvm -bios firmware.fd -nodefaults -object iommufd,id=i0",
        "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0",
        port(1), port(2), vfio(B, 2),
        "-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on",
        vfio(A, 1), port(3), "-device virtio-net-pci,bus=rp3",
    )  # fmt: skip
    on = host(smmu("a", oas=48), smmu("b", oas=44), function(A, "a"), function(B, "b"))
    vsmmu = resolve_machine(options(*early), on, Q11_1).vsmmu("s")
    (source,) = vsmmu.property("oas").sources
    assert (source.smmu, source.functions) == ("a", (A,))


def test_each_source_names_the_functions_behind_its_smmu() -> None:
    on = host(smmu("a", oas=48), smmu("b", oas=44), function(A, "a"), function(B, "b"))
    machine = vm("", port(1), vfio(A, 1), port(2), vfio(B, 2))
    sources = (
        resolve_machine(machine, on, Q11_1, Options(allow_mixed=True)).vsmmu("s").property("oas").sources
    )
    assert [(source.smmu, source.functions) for source in sources] == [("a", (A,)), ("b", (B,))]


@pytest.mark.parametrize(("cmdqv", "most", "rule"), [(1, 0, "baseline"), (0, 0, "host"), (1, 1, "host")])
def test_a_baseline_without_command_queues_bounds_cmdqv(cmdqv: int, most: int, rule: str) -> None:
    asked = Options(pin_cmdqv=True, ceiling=Ceiling("pool", 3, {"cmdqv": most}))
    entry = resolve_machine(vm(), host(smmu(cmdqv=cmdqv)), Q11_1, asked).vsmmu("s").property("cmdqv")
    assert (entry.rule, entry.value) == (rule, "on" if cmdqv and most else "off")
    assert ("has no command queues" in entry.why) == (not cmdqv)


def test_the_reason_of_an_open_property_names_field_and_evidence() -> None:
    problems = resolve_machine(vm(), host(smmu(ril=None, oas=None)), Q11_1).problems
    assert [problem.why for problem in problems] == ["IDR3.RIL, IDR5.OAS not known (nobody looked)"]


def test_only_a_software_vsmmu_that_is_edited_has_a_note() -> None:
    machine = options(
        "-M virt -accel kvm -bios firmware.fd -nodefaults",
        "-device pxb-pcie,id=x,bus_nr=8,bus=pcie.0 -device pxb-pcie,id=y,bus_nr=32,bus=pcie.0",
        "-device arm-smmuv3,primary-bus=x,id=s,oas=auto -device arm-smmuv3,primary-bus=y,id=t,oas=44",
    )
    notes = [note for note in resolve_machine(machine, host(), Q11_1).notes if "software SMMU" in note]
    assert [note.partition(":")[0] for note in notes] == ["s"]


def test_eight_of_many_functions_and_smmus_are_named() -> None:
    functions = [f"0009:{bus:02x}:00.0" for bus in range(10)]
    many = host(
        *(smmu(f"s{number}") for number in range(10)), *(function(entry, "s0") for entry in functions)
    )
    (unknown,) = resolve_machine(vm(), many, Q11_1).problems[:1]
    assert unknown.why.endswith(f"it knows {', '.join(functions[:8])}")
    named = resolve_machine(vm("", port(1)), many, Q11_1, Options(smmu={"s": "nowhere"})).problems
    names = [f"s{number}" for number in range(9)]
    texts = " ".join(str(problem) for problem in named)
    assert ", ".join(names[:8]) in texts
    assert ", ".join(names) not in texts
