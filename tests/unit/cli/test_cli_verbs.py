# SPDX-License-Identifier: Apache-2.0
"""The verbs as a user calls them: answers on stdout, messages on stderr, a status that means something."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jsonschema
import msgspec
import pytest

from vsmmu.api import load_host
from vsmmu.cli.group import VERBS
from vsmmu.cli.main import run
from vsmmu.cli.schemas import DOCUMENTS, schema_of
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host
from vsmmu.probe.pci_ids import device_names

if TYPE_CHECKING:
    from pathlib import Path

SMMU = "arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on"
PINNED = f"{SMMU},ats=on,ril=off,ssidsize=20,oas=48"
BEFORE = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 -device "
).split(" ")[:-1]
PORT = ["-device", "pcie-root-port,id=rp1,bus=pcie.1,chassis=1"]
GPU = ["-device", "vfio-pci,id=gpu,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"]
GB200 = ["--host", "builtin:gb200"]


def vm(smmu: str = SMMU, *more: str) -> list[str]:
    return ["--", *BEFORE, smmu, *PORT, *(more or GPU)]


class Answer(NamedTuple):
    status: int
    out: str
    err: str


Vsmmu = Callable[..., Answer]


@pytest.fixture
def vsmmu(capsys: pytest.CaptureFixture[str]) -> Vsmmu:
    def call(*arguments: str) -> Answer:
        status = run(list(arguments))
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return call


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "vm.sh"
        path.write_text(text)
        return str(path)

    return write


# resolve


def test_resolve_gives_the_line_of_the_discussion_letter_for_letter(vsmmu: Vsmmu) -> None:
    answer = vsmmu("resolve", *GB200, *vm())
    assert answer == Answer(0, f"{' '.join([*BEFORE, PINNED, *PORT, *GPU])}\n", "")


@pytest.mark.parametrize("qemu", ["11.0", "11.1", "11.1.3"])
@pytest.mark.parametrize("machine", ["virt", "virt-11.0", "virt-10.2"])
def test_resolve_pins_the_same_for_old_qemu_and_old_machine_types(
    vsmmu: Vsmmu, qemu: str, machine: str
) -> None:
    arguments = [word.replace("virt,", f"{machine},") for word in vm()]
    assert PINNED in vsmmu("resolve", *GB200, "--qemu", qemu, *arguments).out


def test_resolve_keeps_a_script_and_its_comments(vsmmu: Vsmmu, script: Callable[[str], str]) -> None:
    text = "#!/bin/sh\n# the GPU\nexec " + " \\\n  ".join([*BEFORE, f'"{SMMU}"', *PORT, *GPU]) + "\n"
    answer = vsmmu("resolve", *GB200, script(text))
    assert answer.out == text.replace(SMMU, PINNED)


def test_resolve_edits_the_json_form(vsmmu: Vsmmu) -> None:
    device = '{"driver":"arm-smmuv3","primary-bus":"pcie.1","id":"iommu0","accel":true}'
    port = '{"driver":"pcie-root-port","id":"rp1","bus":"pcie.1","chassis":1}'
    gpu = '{"driver":"vfio-pci","id":"gpu","host":"0009:01:00.0","bus":"rp1","iommufd":"iommufd0"}'
    answer = vsmmu("resolve", *GB200, "-o", "nul", "--", *BEFORE, device, "-device", port, "-device", gpu)
    pinned = device[:-1] + ',"ats":"on","ril":"off","ssidsize":"20","oas":"48"}'
    assert answer.out.split("\0")[:-1] == [*BEFORE, pinned, "-device", port, "-device", gpu]


def test_resolve_keeps_what_the_user_wrote(vsmmu: Vsmmu) -> None:
    assert (
        f"{SMMU},ats=off,ril=off,ssidsize=20,oas=48 " in vsmmu("resolve", *GB200, *vm(f"{SMMU},ats=off")).out
    )


def test_resolve_refuses_what_qemu_would_refuse_with_its_text_and_the_remedy(vsmmu: Vsmmu) -> None:
    answer = vsmmu("resolve", *GB200, *vm(f"{SMMU},ril=on"))
    assert (answer.status, answer.out) == (1, "")
    assert "Failed to set vIOMMU: Host SMMUv3 doesn't support Range Invalidation [qemu-ril]" in answer.err
    assert "next: write ril=off" in answer.err


def test_resolve_twice_changes_nothing(vsmmu: Vsmmu) -> None:
    answer = vsmmu("resolve", *GB200, "--diff", *vm(PINNED))
    assert answer == Answer(0, "", "")


def test_diff_is_one_line_each_way_and_status_1(vsmmu: Vsmmu) -> None:
    answer = vsmmu("resolve", *GB200, "--diff", *vm())
    changed = [
        line for line in answer.out.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert (answer.status, changed) == (1, [f"-{SMMU}", f"+{PINNED}"])


def test_a_vm_without_endpoint_is_resolved_for_a_named_smmu(vsmmu: Vsmmu) -> None:
    empty = vm(SMMU, "-S")
    assert PINNED in vsmmu("resolve", *GB200, "--smmu", "0009:01:00.0", *empty).out
    assert "requires at least one cold-plugged VFIO device" in vsmmu("check", *GB200, *empty).out


def test_an_unknown_fact_is_refused_with_the_way_to_get_it(vsmmu: Vsmmu) -> None:
    arguments = [word.replace("0009:01:00.0", "0000:01:00.0") for word in vm()]
    answer = vsmmu("resolve", "--host", "builtin:altra", *arguments)
    assert (answer.status, answer.out) == (1, "")
    assert "IDR1.SSIDSIZE not known (the driver does not log IDR1.SSIDSIZE" in answer.err
    assert "next: vsmmu probe on that host" in answer.err
    safe = vsmmu("resolve", "--host", "builtin:altra", "--assume-safe", *arguments)
    assert f"{SMMU},ats=on,ril=off,ssidsize=0,oas=48 " in safe.out


# explain


def test_explain_shows_register_bits_source_rule_and_alternatives(vsmmu: Vsmmu) -> None:
    answer = vsmmu("explain", *GB200, *vm())
    assert answer.status == 0
    for text in (
        "ril=off        pinned: the host SMMU offers off (host)",
        "IDR3.RIL[10] = off: smmu3.0x0000000012000000 (0009:01:00.0), published [1]",
        "ril=on: QEMU would refuse: Host SMMUv3 doesn't support Range Invalidation",
        "[1] published: qemu-devel, March 2026",
        "with these values, QEMU 11.1 starts",
    ):
        assert text in answer.out


def test_explain_shows_the_whole_word_where_it_was_read(vsmmu: Vsmmu) -> None:
    arguments = [word.replace("0009:01:00.0", "0000:00:05.0") for word in vm()]
    answer = vsmmu("explain", "--host", "builtin:qemu-virt", *arguments)
    assert "IDR0.ATS[10] of 0x0d44101b = off" in answer.out
    # That host cannot nest, and the refusal says so.
    assert answer.status == 1
    assert "vIOMMU" in answer.out


# check


def test_check_predicts_a_start_and_what_the_guest_sees(vsmmu: Vsmmu) -> None:
    answer = vsmmu("check", *GB200, *vm())
    assert answer.status == 0
    assert "IDR0 0x0d44141a IDR1 0x02730510 IDR3 0x00001004 IDR5 0x00000075" in answer.out
    assert answer.out.endswith("verdict: starts\n")


def test_check_says_unknown_rather_than_yes(vsmmu: Vsmmu) -> None:
    arguments = [word.replace("0009:01:00.0", "0000:01:00.0") for word in vm()]
    answer = vsmmu("check", "--host", "builtin:altra", *arguments)
    assert answer.status == 1
    assert "verdict: unknown" in answer.out
    assert vsmmu("check", "--host", "builtin:altra", "--assume-safe", *arguments).status == 0


def test_check_for_this_very_host_looks_whether_the_files_are_there(
    vsmmu: Vsmmu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vsmmu.cli.inputs.read_host", lambda *_: load_host("builtin:gb200"))
    kernel = tmp_path / "Image"
    words = [*vm(), "-kernel", str(kernel)]
    answer = vsmmu("check", "--host", "live", *words)
    assert answer.status == 1
    assert f"could not load kernel '{kernel}'" in answer.out
    assert vsmmu("check", *GB200, *words).status == 0  # of another host nobody knows
    kernel.write_text("")
    assert vsmmu("check", "--host", "live", *words).status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("resolve", *GB200, *vm()),
        ("explain", *GB200, *vm()),
        ("check", *GB200, *vm()),
        ("check", "-o", "json", *GB200, *vm()),
        ("run", "--dry-run", *GB200, *vm()),
        ("plan", *GB200, "0009:01:00.0"),
        ("label", *GB200),
        ("baseline", "builtin:gb200"),
        ("compare", "builtin:gb200", "builtin:altra"),
        ("report", "builtin:gb200"),
    ],
    ids=" ".join,
)
def test_every_verb_says_that_a_qemu_is_newer_than_the_model(vsmmu: Vsmmu, words: tuple[str, ...]) -> None:
    verb, *rest = words
    answer = vsmmu(verb, "--qemu", "12.0", *rest)
    assert (answer.out + answer.err).count("QEMU 12.0 is newer than what was looked at") == 1, answer.err


def test_a_trace_says_which_rows_are_derived(vsmmu: Vsmmu) -> None:
    old = vsmmu("check", "--qemu", "11.0", "--trace", *GB200, *vm(PINNED)).out
    assert "not measured for QEMU 11.0, but derived:" in old
    assert "qemu-auto-11.0: qemu/qemu at 7e88c1a9d0" in old
    assert "derived" not in vsmmu("check", "--qemu", "11.1", "--trace", *GB200, *vm()).out
    assert "derived" not in vsmmu("check", "--qemu", "11.0", *GB200, *vm(PINNED)).out


def test_check_quiet_prints_nothing(vsmmu: Vsmmu) -> None:
    assert vsmmu("check", "-q", *GB200, *vm(f"{SMMU},ril=on")) == Answer(1, "", "")


def test_two_host_smmus_behind_one_vsmmu_are_refused_before_launch(vsmmu: Vsmmu) -> None:
    second = ["-device", "pcie-root-port,id=rp2,bus=pcie.1,chassis=2",
              "-device", "vfio-pci,id=gpu2,host=0019:01:00.0,bus=rp2,iommufd=iommufd0"]  # fmt: skip
    answer = vsmmu("resolve", *GB200, *vm(), *second)
    assert (answer.status, answer.out) == (1, "")
    assert "[two-host-smmus]" in answer.err
    assert "an arm-smmuv3 of its own" in answer.err
    assert vsmmu("check", *GB200, *vm(), *second).status == 1


# show, schema, help, completion


def test_show_has_one_line_for_each_smmu_and_function(vsmmu: Vsmmu) -> None:
    answer = vsmmu("show", *GB200, "0019:01:00.0")
    lines = [line for line in answer.out.splitlines() if line.startswith(("smmu3", "0019"))]
    assert [line.split()[0] for line in lines] == ["smmu3.0x0000100012000000", "0019:01:00.0"]
    assert lines[0].split()[3:7] == ["on", "off", "20", "48"]


def test_show_lists_the_builtin_hosts(vsmmu: Vsmmu) -> None:
    names = [line.split()[0] for line in vsmmu("show", "--list").out.splitlines()]
    assert {"builtin:gb200", "builtin:gh200", "builtin:gb10", "builtin:altra", "builtin:qemu-virt"} <= set(
        names
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("10de:2941", ["0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0"]),
        ("10DE:", ["0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0"]),
        (":2941", ["0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0"]),
        ("9:1:0.0", ["0009:01:00.0"]),
        ("smmu3.0x0000000012000000", ["0009:01:00.0", "0009:02:00.0"]),
    ],
)
def test_show_takes_what_lspci_takes(vsmmu: Vsmmu, device: str, expected: list[str]) -> None:
    facts = json.loads(vsmmu("show", *GB200, "-o", "json", device).out)
    assert [entry["address"] for entry in facts["functions"]] == expected
    assert {entry["name"] for entry in facts["smmus"]} == {entry["smmu"] for entry in facts["functions"]}


@pytest.mark.parametrize("device", ["10de:0001", ":", "10de", "1234:", "0009:09:00.0"])
def test_show_of_ids_that_no_function_has_is_a_no(vsmmu: Vsmmu, device: str) -> None:
    assert vsmmu("show", *GB200, device).status == 1


def test_show_leaves_domain_zero_out_as_lspci_does(vsmmu: Vsmmu) -> None:
    facts = json.loads(vsmmu("show", "--host", "builtin:qemu-virt", "-o", "json", "00:05.0").out)
    assert [entry["address"] for entry in facts["functions"]] == ["0000:00:05.0"]


def test_show_names_devices_by_the_pci_ids_of_this_machine(
    vsmmu: Vsmmu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = builtin_host("gb200")
    bare = tuple(msgspec.structs.replace(entry, label="") for entry in host.functions)
    facts = tmp_path / "facts.json"
    facts.write_bytes(encode_host(msgspec.structs.replace(host, functions=bare)))
    ids = tmp_path / "pci.ids"
    ids.write_text("10de  NVIDIA Corporation\n\t2941  GB200 [Grace]\n")
    monkeypatch.setattr(device_names, "__defaults__", ((str(ids),),))
    assert "10de:2941 NVIDIA Corporation GB200 [Grace]" in vsmmu("show", "--host", str(facts)).out
    assert "Corporation" not in vsmmu("show", "--host", str(facts), "-o", "json").out


def test_show_of_an_unknown_device_is_a_no(vsmmu: Vsmmu) -> None:
    answer = vsmmu("show", *GB200, "0001:00:00.0")
    assert (answer.status, answer.out) == (1, "")
    assert "[no-such-device]" in answer.err
    assert "did you mean 0008:01:00.0 or 0009:01:00.0 or" in vsmmu("show", *GB200, "01:00.0").err
    assert "did you mean smmu3.0x0000000012000000" in vsmmu("show", *GB200, "smmu3.0x000000001200000").err


@pytest.mark.parametrize("name", ["gb300", "builtin:gb300"])
def test_a_host_where_a_device_stands_is_said_with_its_option(
    vsmmu: Vsmmu, name: str, tmp_path: Path
) -> None:
    assert "next: to show the built-in host: vsmmu show --host builtin:gb300" in vsmmu("show", name).err
    facts = tmp_path / "facts.json"
    facts.touch()
    assert f"next: if it is a file of facts: vsmmu show --host {facts}" in vsmmu("show", str(facts)).err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_examples(vsmmu: Vsmmu, verb: str) -> None:
    answer = vsmmu("help", verb)
    assert answer.status == 0
    assert answer.out.startswith(f"Usage: vsmmu {verb}")
    assert answer.out == vsmmu(verb, "--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(vsmmu: Vsmmu, shell: str) -> None:
    assert "_VSMMU_COMPLETE" in vsmmu("completion", shell).out


# documents


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resolution", ["resolve", "-o", "json", *GB200, *vm()]),
        ("resolution", ["resolve", "-o", "json", *GB200, *vm(f"{SMMU},ril=on")]),
        ("resolution", ["explain", "-o", "json", *GB200, *vm()]),
        ("verdict", ["check", "-o", "json", *GB200, *vm()]),
        ("verdict", ["check", "-o", "json", *GB200, *vm(f"{SMMU},ril=on")]),
        ("host", ["show", "-o", "json", *GB200]),
        ("error", ["resolve", "-o", "json", "--host", "builtin:nope", *vm()]),
    ],
)
def test_json_is_one_document_that_its_schema_describes(
    vsmmu: Vsmmu, name: str, arguments: list[str]
) -> None:
    document = json.loads(vsmmu(*arguments).out)
    assert document["schema"] == f"vsmmu.{name}/1"
    jsonschema.validate(document, schema_of(name))


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_schemas_are_valid_and_can_be_printed(vsmmu: Vsmmu, name: str) -> None:
    schema = json.loads(vsmmu("schema", name).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert name in vsmmu("schema").out.split()


def test_the_json_answer_holds_the_edited_command_line(vsmmu: Vsmmu) -> None:
    document = json.loads(vsmmu("resolve", "-o", "json", *GB200, *vm()).out)
    assert document["command_line"] == [*BEFORE, PINNED, *PORT, *GPU]
    assert [entry["value"] for entry in document["written"]] == ["on", "off", "20", "48"]


# texts of other programs


def test_a_kernel_log_becomes_facts(vsmmu: Vsmmu, tmp_path: Path) -> None:
    log, lspci = tmp_path / "dmesg", tmp_path / "lspci"
    log.write_text("[  1.0] arm-smmu-v3 a.0.auto: oas 48-bit (features 0x001e1fbf)\n", encoding="utf-8")
    assert "on   ?    ?         ≥48" in vsmmu("show", "--kernel-log", str(log)).out
    known = vsmmu("show", "--kernel-log", str(log), "--kernel-release", "6.8", "-o", "json")
    facts = tmp_path / "facts.json"
    facts.write_text(known.out, encoding="utf-8")
    assert "on   off  ?         ≥48" in vsmmu("show", "--host", str(facts)).out
    lspci.write_text(
        "0009:01:00.0 3D\n\tCapabilities: [100 v1] Address Translation Service (ATS)\n0008:07:00.0 x\n",
        encoding="utf-8",
    )
    answer = vsmmu("show", *GB200, "--lspci", str(lspci), "-o", "json")
    assert '"ats_capability": {' in answer.out
    assert "no facts of 1 of its 2 functions, such as 0008:07:00.0" in answer.err
    assert vsmmu("show", "--kernel-log", str(lspci)).status == 3
    assert vsmmu("show", "--kernel-log", str(tmp_path / "none")).status == 5


def test_unknown_members_are_passed_over_with_a_note(vsmmu: Vsmmu, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text('{"schema":"vsmmu.host/1","name":"x","surprise":1}', encoding="utf-8")
    answer = vsmmu("show", "--host", str(facts))
    assert answer.status == 0
    assert "this vsmmu does not know surprise, and passes over it" in answer.err
