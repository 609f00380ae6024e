# SPDX-License-Identifier: Apache-2.0
"""What the tool was made for, case by case: from the short form to values that start on this host."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from domains import domain
from examples import Q11_0, Q11_1, function, host, port, smmu, vfio, vm
from vsmmu.errors import Negative
from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Fact
from vsmmu.machine.command_line.argv import CommandLine, read_words
from vsmmu.machine.domain import document
from vsmmu.machine.topology import Topology
from vsmmu.policy import domain_xml
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve, resolve_machine
from vsmmu.qemu.process import QemuProcess, start

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.policy.options import Policy
    from vsmmu.policy.result import Resolution
    from vsmmu.qemu.versions import Qemu

GB200 = builtin_host("gb200")
SHORT = "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on"
SEED = f"{SHORT},ats=on,ril=off,ssidsize=20,oas=48"
HEAD = (
    "qemu-system-aarch64 -M virt -accel kvm -bios firmware.fd -nodefaults -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0"
)
TAIL = "-device pcie-root-port,id=rp1,bus=pcie.1 -device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"


def line(text: str) -> CommandLine:
    return read_words(shlex.split(text))


def resolved(
    text: str, on: Host = GB200, qemu: Qemu = Q11_1, options: Options | None = None
) -> tuple[str, Resolution]:
    """The command line with its values pinned, and why."""
    given = line(text)
    resolution = resolve_machine(given.machine(), on, qemu, options or Options())
    resolution.require()
    return shlex.join(given.edit(resolution.edits).words), resolution


# --- the seed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qemu", [Q11_0, Q11_1], ids=str)
def test_the_short_form_becomes_the_seeds_line_letter_for_letter(qemu: Qemu) -> None:
    assert resolved(f"{HEAD} {SHORT} {TAIL}", qemu=qemu)[0] == f"{HEAD} {SEED} {TAIL}"


def test_an_old_machine_type_gives_the_same_line() -> None:
    head = HEAD.replace("-M virt", "-M virt-11.0")
    assert resolved(f"{head} {SHORT} {TAIL}")[0] == f"{head} {SEED} {TAIL}"


@pytest.mark.parametrize("qemu", [Q11_0, Q11_1], ids=str)
def test_the_seeds_line_comes_back_as_it_is(qemu: Qemu) -> None:
    text, resolution = resolved(f"{HEAD} {SEED} {TAIL}", qemu=qemu)
    assert text == f"{HEAD} {SEED} {TAIL}"
    assert resolution.edits == ()
    assert {entry.rule for entry in resolution.vsmmus[0].properties} <= {"user", "default"}


def test_written_auto_is_replaced_in_place() -> None:
    text, _ = resolved(f"{HEAD} {SHORT},oas=auto,ats=auto {TAIL}")
    assert f"{SHORT},oas=48,ats=on,ril=off,ssidsize=20 " in text


def test_libvirts_json_form_is_edited_as_json() -> None:
    smmu_json = '{"driver":"arm-smmuv3","primary-bus":"pcie.1","id":"smmuv3.0","accel":true}'
    port_json = '{"driver":"pcie-root-port","id":"rp1","bus":"pcie.1","chassis":1}'
    vfio_json = '{"driver":"vfio-pci","host":"0009:01:00.0","id":"h0","iommufd":"iommufd0","bus":"rp1"}'
    rest = f"-device '{port_json}' -device '{vfio_json}'"
    text, _ = resolved(f"{HEAD} -device '{smmu_json}' {rest}")
    assert '"accel":true,"ats":"on","ril":"off","ssidsize":"20","oas":"48"}' in text
    assert rest in text


def test_what_the_user_wrote_is_kept() -> None:
    text, resolution = resolved(f"{HEAD} {SHORT},ats=off {TAIL}")
    assert f"{SHORT},ats=off,ril=off,ssidsize=20,oas=48 " in text
    ats = resolution.vsmmu("smmuv3.0").property("ats")
    assert (ats.action, ats.value, ats.rule) == ("kept", "off", "user")


def test_what_a_global_says_is_kept_too() -> None:
    text, resolution = resolved(f"{HEAD} -global arm-smmuv3.oas=44 {SHORT} {TAIL}")
    assert f"{SHORT},ats=on,ril=off,ssidsize=20 " in text
    assert resolution.vsmmu("smmuv3.0").property("oas").value == "44"


def test_a_value_that_the_host_lacks_is_refused_with_qemus_text_and_the_remedy() -> None:
    with pytest.raises(Negative) as caught:
        resolved(f"{HEAD} {SHORT},ril=on {TAIL}")
    error = caught.value
    assert error.code == "qemu-ril"
    assert error.why.endswith("Failed to set vIOMMU: Host SMMUv3 doesn't support Range Invalidation")
    assert error.next == "write ril=off, or remove it and let vsmmu resolve it"


# --- no cold-plugged device ---------------------------------------------------------------------------------

EMPTY = "-device pcie-root-port,id=rp1,bus=pcie.1"
COLD_PLUG = "arm-smmuv3 accel=on with 'auto' properties requires at least one cold-plugged VFIO device"


def test_without_a_cold_plugged_device_qemus_own_auto_stops() -> None:
    verdict = start(line(f"{HEAD} {SHORT} {EMPTY}").machine(), GB200, Q11_1)
    assert verdict.failure is not None
    assert verdict.failure.printed == f"qemu-system-aarch64: {COLD_PLUG}"
    assert "vsmmu resolve --smmu" in verdict.failure.remedy


def test_a_named_host_smmu_makes_it_start() -> None:
    options = Options(smmu={"": GB200.smmus[1].name})
    text, resolution = resolved(f"{HEAD} {SHORT} {EMPTY}", options=options)
    assert text == f"{HEAD} {SEED} {EMPTY}"
    assert resolution.vsmmus[0].host_smmus == (GB200.smmus[1].name,)
    assert start(line(text).machine(), GB200, Q11_1).would_start()


@pytest.mark.parametrize("named", ["0009:01:00.0", "9:1:0.0", "arm-smmu-v3.1.auto"])
def test_a_host_smmu_may_be_named_by_a_function_or_its_platform_device(named: str) -> None:
    options = Options(smmu={"smmuv3.0": named})
    _, resolution = resolved(f"{HEAD} {SHORT} {EMPTY}", options=options)
    assert resolution.vsmmus[0].host_smmus == (GB200.smmus[1].name,)


def test_no_name_is_needed_where_all_host_smmus_agree() -> None:
    assert resolved(f"{HEAD} {SHORT} {EMPTY}")[0] == f"{HEAD} {SEED} {EMPTY}"


def test_where_they_differ_one_must_be_named() -> None:
    on = host(smmu("a", oas=44), smmu("b"), function("0000:01:00.0", "a"))
    resolution = resolve_machine(vm("", port(1)), on, Q11_1)
    [problem] = resolution.problems
    assert problem.code == "smmu-unnamed"
    assert "--smmu" in problem.next
    assert resolution.vsmmu("s").property("oas").rule == "smmu-unnamed"
    assert resolution.vsmmu("s").property("ats").action == "pinned"
    assert resolve_machine(vm("", port(1)), on, Q11_1, Options(smmu={"s": "a"})).problems == ()


# --- two endpoints ------------------------------------------------------------------------------------------

MIXED = host(
    smmu("big", oas=48, ssidsize=20),
    smmu("small", oas=44, ssidsize=8, ats=0),
    function("0000:01:00.0", "big"),
    function("0000:02:00.0", "small"),
)
BIG, SMALL = "0000:01:00.0", "0000:02:00.0"


def pair(first: str, second: str, policy: Policy, *, mixed: bool = True) -> Resolution:
    machine = vm("", port(1), vfio(first, 1), port(2), vfio(second, 2))
    return resolve_machine(machine, MIXED, Q11_1, Options(policy=policy, allow_mixed=mixed))


def values(resolution: Resolution) -> dict[str, str]:
    return {entry.name: entry.value for entry in resolution.vsmmus[0].properties}


def test_common_gives_the_same_in_both_orders() -> None:
    one, other = pair(BIG, SMALL, "common"), pair(SMALL, BIG, "common")
    assert one.problems == other.problems == ()
    assert values(one) == values(other) == {
        "ats": "off", "ril": "on", "ssidsize": "8", "oas": "44", "cmdqv": "auto"
    }  # fmt: skip
    assert {entry.rule for entry in one.vsmmus[0].properties} == {"meet", "default"}


def test_qemus_own_policy_fails_in_one_order() -> None:
    assert pair(SMALL, BIG, "qemu").problems == ()
    problems = pair(BIG, SMALL, "qemu").problems
    assert [problem.code for problem in problems] == ["qemu-ssidsize", "qemu-oas", "qemu-ats"]
    assert "host=8, QEMU=20" in problems[0].why


def test_what_qemu_would_take_is_shown_where_it_differs() -> None:
    resolution = pair(BIG, SMALL, "common")
    assert resolution.vsmmus[0].property("oas").qemu_auto == "48"
    assert any("oas=44; QEMU's own auto would take 48" in note for note in resolution.notes)


@pytest.mark.parametrize("order", [(BIG, SMALL), (SMALL, BIG)])
def test_endpoints_behind_two_host_smmus_are_refused_before_launch(order: tuple[str, str]) -> None:
    resolution = pair(*order, "common", mixed=False)
    assert [problem.code for problem in resolution.problems] == ["two-host-smmus"]
    with pytest.raises(Negative, match="two host SMMUs"):
        resolution.require()


def test_two_functions_behind_one_host_smmu_are_no_problem() -> None:
    machine = vm("", port(1), vfio("0009:01:00.0", 1), port(2), vfio("0009:02:00.0", 2))
    resolution = resolve_machine(machine, GB200, Q11_1)
    assert resolution.problems == ()
    assert resolution.vsmmus[0].host_smmus == (GB200.smmus[1].name,)


# --- functions to come --------------------------------------------------------------------------------------


def test_a_function_to_come_lowers_what_it_lacks() -> None:
    options = Options(also={"s": (SMALL,)}, allow_mixed=True)
    resolution = resolve_machine(vm("", port(1), vfio(BIG, 1)), MIXED, Q11_1, options)
    assert resolution.problems == ()
    assert values(resolution)["oas"] == "44"


def test_a_function_to_come_makes_an_empty_vm_start() -> None:
    resolution = resolve_machine(vm("", port(1)), MIXED, Q11_1, Options(also={"": ("1:0.0",)}))
    assert resolution.problems == ()
    assert values(resolution)["oas"] == "48"
    assert resolution.vsmmus[0].endpoints == ("1:0.0",)


def test_a_function_to_come_behind_another_host_smmu_is_refused() -> None:
    resolution = resolve_machine(vm("", port(1), vfio(BIG, 1)), MIXED, Q11_1, Options(also={"s": (SMALL,)}))
    assert [problem.code for problem in resolution.problems] == ["two-host-smmus"]


# --- hosts that are hard ------------------------------------------------------------------------------------


def on_builtin(name: str, qemu: Qemu, *, safe: bool) -> Resolution:
    on = builtin_host(name)
    return resolve_machine(
        vm("", port(1), vfio(on.functions[-1].address, 1)), on, qemu, Options(assume_safe=safe)
    )


def test_gb10_has_less_than_can_be_written_so_qemu_11_1_is_left_to_copy_it() -> None:
    resolution = on_builtin("gb10", Q11_1, safe=True)
    oas = resolution.vsmmus[0].property("oas")
    assert resolution.problems == ()
    assert (oas.action, oas.value, oas.rule, oas.qemu_auto) == ("deferred", "auto", "inexpressible", "40")
    assert resolution.verdict is not None
    assert resolution.verdict.vsmmu("s").values["oas"] == "40"


def test_gb10_is_refused_on_11_0() -> None:
    problems = {problem.code: problem for problem in on_builtin("gb10", Q11_0, safe=True).problems}
    assert set(problems) == {"oas-inexpressible"}
    assert "11.1" in problems["oas-inexpressible"].next


def test_gb10_on_an_old_machine_type_gets_auto_written() -> None:
    on = builtin_host("gb10")
    machine = vm("", port(1), vfio(on.functions[-1].address, 1), head="-M virt-11.0")
    resolution = resolve_machine(machine, on, Q11_1, Options(assume_safe=True))
    assert resolution.problems == ()
    assert ("oas", "auto") in [(edit.property, edit.value) for edit in resolution.edits]


def test_altra_is_refused_with_the_way_to_find_out() -> None:
    [problem] = on_builtin("altra", Q11_1, safe=False).problems
    assert problem.code == "facts-unknown"
    assert "ssidsize" in problem.what
    assert "vsmmu probe" in problem.next
    assert "--assume-safe" in problem.next


def test_altra_is_resolved_on_the_safe_side() -> None:
    resolution = on_builtin("altra", Q11_1, safe=True)
    assert resolution.problems == ()
    assert values(resolution) == {"ats": "on", "ril": "off", "ssidsize": "0", "oas": "48", "cmdqv": "auto"}
    assert {name: resolution.vsmmus[0].property(name).rule for name in ("ril", "ssidsize")} == {
        "ril": "host",
        "ssidsize": "assume-safe",
    }


@pytest.mark.parametrize(("bits", "pinned"), [(44, "44"), (48, "48"), (52, "48"), (56, "48")])
def test_oas_is_clamped_to_what_can_be_written(bits: int, pinned: str) -> None:
    oas = resolve_machine(vm(), host(smmu(oas=bits)), Q11_1).vsmmus[0].property("oas")
    assert (oas.value, oas.rule) == (pinned, "host" if str(bits) == pinned else "clamp")


def test_ssidsize_is_clamped_to_20() -> None:
    resolution = resolve_machine(vm(), host(smmu(ssidsize=31)), Q11_1)
    ssidsize = resolution.vsmmus[0].property("ssidsize")
    assert (ssidsize.value, ssidsize.rule, ssidsize.qemu_auto) == ("20", "clamp", "31")
    assert resolution.problems == ()


def test_cmdqv_is_left_to_qemu_unless_it_is_asked_for() -> None:
    for able, pinned in ((1, "on"), (0, "off")):
        on = host(smmu(cmdqv=able))
        left = resolve_machine(vm(), on, Q11_1).vsmmus[0].property("cmdqv")
        assert (left.action, left.rule) == ("deferred", "default")
        asked = resolve_machine(vm(), on, Q11_1, Options(pin_cmdqv=True))
        assert (asked.vsmmus[0].property("cmdqv").value, asked.problems) == (pinned, ())


def test_queues_of_which_no_viommu_can_be_made_are_turned_off() -> None:
    """QEMU's auto would find them, and fail."""
    hollow = msgspec.structs.replace(smmu(cmdqv=1), cmdqv_viommu=Fact(0, "known"))
    resolution = resolve_machine(vm(), host(hollow), Q11_1)
    cmdqv = resolution.vsmmus[0].property("cmdqv")
    assert (cmdqv.value, cmdqv.rule, resolution.problems) == ("off", "host", ())
    assert resolution.verdict is not None
    assert resolution.verdict.answer == "starts"


def test_an_unknown_cmdqv_cannot_be_pinned_but_on_the_safe_side() -> None:
    on = host(smmu(cmdqv=None))
    [problem] = resolve_machine(vm(), on, Q11_1, Options(pin_cmdqv=True)).problems
    assert (problem.code, "cmdqv" in problem.what) == ("facts-unknown", True)
    safe = resolve_machine(vm(), on, Q11_1, Options(pin_cmdqv=True, assume_safe=True))
    assert (safe.vsmmus[0].property("cmdqv").value, safe.problems) == ("off", ())


def test_a_domain_is_read_linted_and_laid_out_once_and_started_once_more_for_the_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: dict[str, int] = {}

    def count(name: str, home: object, attribute: str) -> None:
        real = getattr(home, attribute)

        def counting(*arguments: object, **named: object) -> object:
            counted[name] = counted.get(name, 0) + 1
            return real(*arguments, **named)

        monkeypatch.setattr(home, attribute, counting)

    count("parse", document, "parse")
    count("lint", domain_xml, "lint")
    count("start", QemuProcess, "start")
    count("topology", Topology, "of")
    answer = resolve(document.read_domain_xml(domain(), "vm.xml"), GB200, Q11_1)
    assert answer.vm is not None
    assert counted == {"parse": 1, "lint": 1, "start": 2, "topology": 1}
