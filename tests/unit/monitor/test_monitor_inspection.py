# SPDX-License-Identifier: Apache-2.0
"""Reading a VM back, calling drift by its name, and foretelling hot-plug; the VM is a fake in QOM's terms."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fake_qemu import PLAIN, FakeVm, listening

from examples import Q11_1, device, function, host, options, port, smmu
from vsmmu.cli.main import run
from vsmmu.errors import InputRefused, Negative
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.monitor import socket_discovery as running
from vsmmu.monitor.hotplug import predict
from vsmmu.monitor.inspection import inspect
from vsmmu.monitor.introspection import read_back
from vsmmu.monitor.socket_discovery import monitor_paths
from vsmmu.qemu.process import QemuProcess
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.host.facts import Host
    from vsmmu.monitor.inspection import Inspection

GB200_REGISTERS = (
    PLAIN.replace("IDR0.ATS", 1).replace("IDR3.RIL", 0).replace("IDR1.SSIDSIZE", 20).replace("IDR5.OAS", 5)
)
GPU, SECOND, ELSEWHERE = "0009:01:00.0", "0009:02:00.0", "0019:01:00.0"
GB200 = builtin_host("gb200")


def inspected(vm: FakeVm, facts: Host = GB200) -> Inspection:
    return inspect(read_back(vm), facts, Q11_1, "test")


def test_values_come_from_the_registers_and_not_from_qom() -> None:
    vsmmu = inspected(FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU})).vsmmus[0]
    assert {
        entry.name: (entry.configured, entry.guest, entry.host, entry.pin) for entry in vsmmu.properties
    } == {
        "ats": ("auto", "on", "on", "on"),
        "ril": ("auto", "off", "off", "off"),
        "ssidsize": ("auto", "20", "20", "20"),
        "oas": ("auto", "48", "48", "48"),
    }
    assert vsmmu.registers == GB200_REGISTERS.as_dict()
    assert not vsmmu.diagnostics
    assert not vsmmu.notes
    assert [entry.function for entry in vsmmu.endpoints] == [GPU]
    assert vsmmu.primary_bus == "pcie.s"


@pytest.mark.parametrize(("version", "noted"), [("11.1.3", False), ("11.2", True), ("12.0.50", True)])
def test_a_qemu_that_is_newer_than_the_model_is_noted(version: str, noted: bool) -> None:
    vm = FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU})
    (vsmmu,) = inspect(read_back(vm), GB200, parse_version(version), "test").vsmmus
    assert any("is newer than what was looked at" in note for note in vsmmu.notes) is noted


def test_sixteen_vsmmus_keep_their_own_registers() -> None:
    registers = {f"s{n}": PLAIN.replace("IDR1.SSIDSIZE", n) for n in range(16)}
    found = inspected(FakeVm(registers)).vsmmus
    assert {entry.device: entry.properties[2].guest for entry in found} == {
        f"s{n}": str(n) for n in range(16)
    }
    assert [entry.device for entry in found] == list(registers)


def test_what_is_configured_and_not_seen_is_drift() -> None:
    vm = FakeVm({"s": PLAIN})
    vm.tree["/machine/peripheral/s"]["oas"] = "48"
    assert [(entry.code, entry.where) for entry in inspected(vm).vsmmus[0].diagnostics] == [
        ("configured", "oas")
    ]


def test_a_host_that_offers_less_now_is_drift_with_qemus_words() -> None:
    facts = host(smmu(oas=44, ats=0, ril=0), function(GPU))
    drift = inspected(FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU}), facts).vsmmus[0].diagnostics
    assert ("host", "smmu0") in [(entry.code, entry.where) for entry in drift]
    assert "Host SMMUv3 supports only 44-bit IPA, but the vSMMU OAS implies 48-bit IPA" in str(drift)
    assert {entry.where for entry in drift if entry.code == "auto"} == {"ats", "oas"}


def test_a_host_that_offers_more_now_is_drift_only_under_auto() -> None:
    facts = host(smmu(oas=48, ats=0, ril=1, ssidsize=0), function(GPU))
    vm = FakeVm({"s": PLAIN}, {"s-a": GPU})
    drift = inspected(vm, facts).vsmmus[0].diagnostics
    assert [entry.what for entry in drift] == ["auto came out as 44, and would as 48 at the next start"]
    vm.tree["/machine/peripheral/s"]["oas"] = "44"
    assert not inspected(vm, facts).drift


@pytest.mark.parametrize(
    ("package", "version"),
    [("Debian 1:10.1.0+nvidia2-1", "nvidia-10.1"), ("Debian 1:10.1.0+ds-1", "10.1.0"), (None, "10.1.0")],
)
def test_a_fork_says_in_its_package_that_it_is_one(package: str | None, version: str) -> None:
    vm = FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU})
    vm.version = {"qemu": {"major": 10, "minor": 1, "micro": 0}, "package": package}
    running = read_back(vm)
    assert running.version == version
    if version.startswith("nvidia"):
        found = inspect(running, GB200, parse_version(running.version), "test")
        assert not found.drift
        assert found.qemu == version


def test_an_unknown_host_is_no_drift() -> None:
    facts = host(smmu(oas=None, ats=None, ril=None, ssidsize=None), function(GPU))
    found = inspected(FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU}), facts)
    assert not found.drift
    assert {entry.host for entry in found.vsmmus[0].properties} == {""}


def test_endpoints_by_descriptor_and_unknown_bits_are_noted() -> None:
    vm = FakeVm({"s": PLAIN._replace(idr0=PLAIN.idr0 | 1 << 30)}, {"s-a": "ffffffff:ffffffff:ffffffff.f"})
    notes = inspected(vm).vsmmus[0].notes
    assert any("--function vfio-s-a=BDF" in note for note in notes)
    assert any("IDR0 differs" in note and "0x40000000" in note for note in notes)


@pytest.mark.parametrize("change", ["version", "xp", "cycle", "region"])
def test_answers_in_another_form_are_refused(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = FakeVm({"s": PLAIN}, {"s-a": GPU})
    if change == "version":
        vm.version = {"qemu": "11.1.3"}
    elif change == "xp":
        monkeypatch.setattr(vm, "human_monitor_command", lambda command_line: "Cannot access memory\r\n")
    elif change == "cycle":
        vm.tree["/machine/peripheral/s-a"]["parent_bus"] = "/machine/peripheral/s-b/s-b"
        vm.tree["/machine/peripheral/s-b"]["parent_bus"] = "/machine/peripheral/s-a/s-a"
    else:
        vm.tree["/machine/unattached/system[0]"]["container"] = "/machine/unattached/platform-bus[0]"
    with pytest.raises(InputRefused) as caught:
        read_back(vm)
    assert caught.value.code == "strange-answer"


# --- hot-plug -----------------------------------------------------------------------------------------------


def foretold(vm: FakeVm, address: str, facts: Host = GB200, bus: str = "") -> Any:
    return predict(read_back(vm), facts, Q11_1, address, bus)


def test_the_port_is_chosen_behind_the_vsmmu_of_the_same_host_smmu() -> None:
    vm = FakeVm({"s": PLAIN, "t": GB200_REGISTERS}, {"s-a": ELSEWHERE, "t-a": GPU})
    answer = foretold(vm, SECOND)
    assert (answer.vsmmu, answer.bus, answer.answer) == ("t", "t-b", "starts")
    assert answer.command == {
        "driver": "vfio-pci", "host": SECOND, "bus": "t-b", "iommufd": "iommufd0", "id": "vfio-0009-02-00.0"
    }  # fmt: skip
    # Without one of its own, an empty vSMMU before one that stands for another host SMMU.
    vm = FakeVm({"s": GB200_REGISTERS, "t": GB200_REGISTERS}, {"s-a": ELSEWHERE})
    assert foretold(vm, GPU).vsmmu == "t"


def test_another_host_smmu_is_admitted_with_a_warning() -> None:
    answer = foretold(FakeVm({"s": GB200_REGISTERS}, {"s-a": ELSEWHERE}), GPU)
    assert answer.answer == "starts"
    assert "cannot attach" in answer.notes[0]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"oas": 44}, "qemu-oas"),
        ({"ats": 0}, "qemu-ats"),
        ({"ssidsize": 4}, "qemu-ssidsize"),
        ({"nesting": 0}, "qemu-viommu"),
        ({"IDR5_GRAN16K": 0}, "qemu-gran16k"),
        ({}, ""),
    ],
)
def test_the_prediction_is_the_models_own_for_the_same_vm(values: dict[str, int], code: str) -> None:
    facts = host(smmu(**values), function(GPU))  # type: ignore[arg-type]
    answer = foretold(FakeVm({"s": GB200_REGISTERS}), GPU, facts)
    machine = options(
        "-M virt -accel kvm -bios x -nodefaults -object iommufd,id=i0 -device pxb-pcie,id=pcie.1,bus=pcie.0",
        "-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on,ats=on,ril=off,ssidsize=20,oas=48",
        port(1),
    )
    vm = QemuProcess(machine, facts, Q11_1)
    assert vm.start().would_start()
    failed = vm.hot_plug(device(f"vfio-pci,host={GPU},bus=rp1,iommufd=i0,id=v"))
    found = [(entry.code, entry.why) for entry in answer.diagnostics]
    assert found == ([(failed.code, failed.printed)] if failed else [])
    assert [entry.code for entry in answer.diagnostics] == ([code] if code else [])


def test_refusals_that_need_no_facts() -> None:
    vm = FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU, "s-b": SECOND})
    assert foretold(vm, ELSEWHERE).diagnostics[0].code == "no-free-port"
    assert foretold(vm, GPU).diagnostics[0].code == "already-given"
    occupied = foretold(vm, ELSEWHERE, bus="s-a")
    assert occupied.diagnostics[0].what.startswith("PCI: slot 0 function 0 already occupied by vfio-pci")
    vm = FakeVm({"s": GB200_REGISTERS})
    vm.objects = []
    assert foretold(vm, GPU).diagnostics[0].code == "no-iommufd"
    for code, call in (
        ("no-such-device", lambda: foretold(vm, "0000:09:00.0")),
        ("no-such-bus", lambda: foretold(vm, GPU, bus="nope")),
        ("no-vsmmu", lambda: foretold(FakeVm({}), GPU)),
    ):
        with pytest.raises(Negative) as caught:
            call()
        assert caught.value.code == code


def test_a_port_that_takes_no_device_add_is_refused_in_qemus_words() -> None:
    """Texts by QEMU 11.1.3: tests/golden/qemu-11.1.3-slots."""
    vm = FakeVm({"s": GB200_REGISTERS})
    vm.tree["/machine/peripheral/s-a"]["hotplug"] = False
    vm.device("up", "x3130-upstream", "/machine/peripheral/s-b/s-b")
    vm.device("down", "xio3130-downstream", "/machine/peripheral/up/up", hotplug=True)
    for bus in ("s-a", "up"):
        (found,) = foretold(vm, GPU, bus=bus).diagnostics
        assert (found.code, found.what) == (
            "qemu-bus-no-hotplug",
            f"Bus '{bus}' does not support hotplugging",
        )
    (occupied,) = foretold(vm, GPU, bus="s-b").diagnostics
    assert occupied.what == (
        "PCI: slot 0 function 0 already occupied by x3130-upstream, new func vfio-pci cannot be exposed to "
        "guest."
    )
    # A free port is one that takes the function.
    assert (foretold(vm, GPU).bus, foretold(vm, GPU).answer) == ("down", "starts")
    vm.tree["/machine/peripheral/down"]["hotplug"] = False
    assert foretold(vm, GPU).diagnostics[0].code == "no-free-port"


def test_unknown_facts_leave_the_prediction_open() -> None:
    facts = host(smmu(oas=None), function(GPU))
    answer = foretold(FakeVm({"s": GB200_REGISTERS}), GPU, facts)
    assert (answer.answer, answer.diagnostics[0].code) == ("unknown", "qemu-oas")
    assert answer.diagnostics[0].needs == ("IDR5.OAS",)


# --- the verb -----------------------------------------------------------------------------------------------


@pytest.fixture
def vm_socket(tmp_path: Path) -> Any:
    with listening(tmp_path / "qmp", FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU}).serve) as path:
        yield path


def test_the_verb_prints_a_table_and_says_no_drift(
    vm_socket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", vm_socket, "--host", "builtin:gb200"]) == 0
    said = capsys.readouterr().out
    assert "QEMU 11.1.3, running" in said
    assert "  ssidsize  auto        20     20" in said
    assert said.endswith("no drift\n")


def test_drift_is_exit_status_1(vm_socket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = tmp_path / "facts.json"
    facts.write_bytes(encode_host(host(smmu(oas=44), function(GPU))))
    assert run(["inspect", vm_socket, "--host", str(facts), "-o", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "vsmmu.inspection/1"
    assert answer["drift"] is True


def test_pin_prints_what_starts_elsewhere(vm_socket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", vm_socket, "--host", "builtin:gb200", "--pin"]) == 0
    assert capsys.readouterr().out == "s ats=on,ril=off,ssidsize=20,oas=48\n"


def test_a_value_that_cannot_be_written_cannot_be_pinned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vm = FakeVm({"s": PLAIN.replace("IDR5.OAS", 2)})
    with listening(tmp_path / "qmp", vm.serve) as path:
        assert run(["inspect", path, "--host", "builtin:gb200", "--pin"]) == 1
    assert "oas of s came out as 40, which cannot be written [inexpressible]" in str(
        capsys.readouterr().err
    ).replace(": QEMU's auto copies what its explicit values do not reach", "")


def test_a_vm_without_the_device_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(tmp_path / "qmp", FakeVm({}).serve) as path:
        assert run(["inspect", path, "--host", "builtin:gb200"]) == 1
    assert "[no-vsmmu]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["999999999"], 5, "no-such-process"),
        (["no-such-domain"], 5, "no-"),
        (["/nowhere"], 5, "no-monitor"),
        (["/nowhere", "--function", "x"], 5, "no-monitor"),
    ],
)
def test_targets_that_are_not_there(
    arguments: list[str], status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", "--host", "builtin:gb200", *arguments]) == status
    assert f"[{code}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        ("-qmp unix:/a,server=on,wait=off", ["/a"]),
        ("--qmp unix:/a,b,server", ["/a"]),
        ("-qmp unix:/a,,b,server", ["/a,b"]),
        ("-chardev socket,id=c,path=/a,server=on -mon chardev=c,mode=control", ["/a"]),
        ("-mon c,mode=control -chardev socket,id=c,path=/a", ["/a"]),
        ("-chardev socket,id=c,path=/a -mon chardev=c", []),
        ("-chardev socket,id=c,path=/a -object monitor-qmp,id=m,chardev=c", ["/a"]),
        (
            """-chardev socket,id=c,path=/a -object '{"qom-type":"monitor-qmp","id":"m","chardev":"c"}'""",
            ["/a"],
        ),
        ("-chardev socket,id=c,path=/a -object monitor-hmp,id=m,chardev=c", []),
        ("-qmp chardev:c -chardev socket,id=c,path=/a", ["/a"]),
        ("-qmp stdio", []),
        # The argument of an option is not an option, whatever it looks like.
        ("-append -qmp unix:/a", []),
        ("-append -object -qmp unix:/a", ["/a"]),
        # An option of another QEMU does not hide the rest.
        ("-novel -qmp unix:/a", ["/a"]),
        ("-novel word -qmp unix:/a", ["/a"]),
        ("-qmp tcp:localhost:4444", []),
        ("", []),
    ],
)
def test_monitors_are_found_in_a_command_line(words: str, paths: list[str]) -> None:
    assert list(monitor_paths(read_words(["qemu-system-aarch64", *shlex.split(words)]))) == paths


def test_the_document_is_what_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from vsmmu.cli.schemas import schema_of

    inspection = inspected(FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU}))
    prediction = foretold(FakeVm({"s": GB200_REGISTERS}, {"s-a": GPU}), SECOND)
    document = json.loads(msgspec.json.encode(msgspec.structs.replace(inspection, hotplug=prediction)))
    jsonschema.Draft202012Validator(schema_of("inspection")).validate(document)


def test_pinning_a_process_writes_its_command_line(
    vm_socket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    smmu_word = "arm-smmuv3,primary-bus=pcie.s,id=s,accel=on"
    words = ("qemu-system-aarch64", "-M", "virt", "-device", smmu_word, "-qmp", f"unix:{vm_socket},server=on")
    monkeypatch.setattr(running, "process_words", lambda pid: words)
    assert run(["inspect", "1", "--host", "builtin:gb200", "--pin"]) == 0
    said = capsys.readouterr().out
    assert shlex.split(said)[4] == f"{smmu_word},ats=on,ril=off,ssidsize=20,oas=48"
    assert shlex.split(said)[:4] == list(words[:4])


def test_a_command_line_of_another_vm_is_not_pinned(
    vm_socket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("qemu-system-aarch64", "-M", "virt", "-qmp", f"unix:{vm_socket},server=on")
    monkeypatch.setattr(running, "process_words", lambda pid: words)
    assert run(["inspect", "1", "--host", "builtin:gb200", "--pin"]) == 3
    assert "[not-this-vm]" in capsys.readouterr().err
