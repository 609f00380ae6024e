# SPDX-License-Identifier: Apache-2.0
"""Planned VMs start in an unmodified QEMU, and their registers are those that the plan gave."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running_vm import GUEST, STOPPED, Vm, bound, guest_files, started, vsmmu

from examples import function, host, smmu, with_nodes
from layouts import LAYOUTS
from quoted import quoted
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host
from vsmmu.lab.build import ensure
from vsmmu.lab.cache import Cache
from vsmmu.machine.command_line.argv import read_words
from vsmmu.mend.mending import Wishes, mend
from vsmmu.plan.planner import Order, plan
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.lab import LabConfig, Session

pytestmark = pytest.mark.lab

CARD, DISK = "0000:00:05.0", "0000:00:06.0"
GOLDEN = Path(__file__).parents[1] / "golden" / "plan"
QEMU = ["qemu-system-aarch64", *STOPPED]


def many(smmus: int, functions: int) -> Host:
    """A host with functions spread evenly over its SMMUs."""
    parts = [smmu(f"smmu{number}", ril=0) for number in range(smmus)]
    places = ((n % smmus, n // smmus + 1) for n in range(functions))
    behind = [function(f"{domain:04x}:{bus:02x}:00.0", f"smmu{domain}") for domain, bus in places]
    return host(*parts, *behind)


def inspected(lab: Session, *more: str) -> dict[str, Any]:
    result = vsmmu(lab, "inspect", Vm.socket, "-o", "json", "--timeout", "60", *more)
    assert result.stdout, result.stderr.decode()
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def start_and_compare(lab: Session, facts: Host, devices: tuple[str, ...], spare: int = 0) -> None:
    lab.put({"/tmp/planned.json": encode_host(facts)})
    planned = plan(Order(devices, spare, tuple(QEMU)), facts, LATEST)
    assert planned.command_line is not None
    command = ["vsmmu", "emulate", "-q", "--host", "/tmp/planned.json", "--", *planned.command_line]
    with started(lab, command):
        found = inspected(lab, "--host", "/tmp/planned.json")
    assert not found["drift"]
    assert {entry["device"]: entry["registers"] for entry in found["vsmmus"]} == {
        entry.id: entry.registers for entry in planned.vsmmus
    }
    assert {
        entry["device"]: [port["function"] for port in entry["endpoints"]] for entry in found["vsmmus"]
    } == {entry.id: [port.function for port in entry.endpoints] for entry in planned.vsmmus}


def test_two_gpus_behind_two_smmus_of_a_gb200(lab: Session) -> None:
    start_and_compare(lab, builtin_host("gb200"), ("0009:01:00.0", "0019:01:00.0"))


@pytest.mark.parametrize("name", ["two", "three"])
def test_what_libvirt_makes_of_a_plan_starts(lab: Session, name: str) -> None:
    """The devices of libvirt 12.8's command line (tests/libvirt), with host= for its descriptors."""
    devices = json.loads((GOLDEN / f"libvirt-{name}.json").read_text())
    words = [*QEMU]
    for settings in devices:
        words += ["-object" if "qom-type" in settings else "-device", json.dumps(settings)]
    verdict = start(read_words(words).machine(), builtin_host("gb200"), LATEST)
    command = ["vsmmu", "emulate", "-q", "--host", "builtin:gb200", "--", *words]
    with started(lab, command):
        found = inspected(lab, "--host", "builtin:gb200")
    assert not found["drift"]
    assert [entry["registers"] for entry in found["vsmmus"]] == [entry.registers for entry in verdict.vsmmus]
    assert {entry["registers"]["IDR1"] for entry in found["vsmmus"]} == {"0x02730510"}


@pytest.mark.parametrize(("smmus", "functions"), [(1, 1), (1, 33), (3, 8), (16, 32)])
def test_every_size_starts(lab: Session, smmus: int, functions: int) -> None:
    facts = many(smmus, functions)
    start_and_compare(lab, facts, tuple(entry.address for entry in facts.functions), spare=1)


@pytest.mark.parametrize("smmus", range(1, 17))
def test_the_numbers_never_collide(lab_config: LabConfig, smmus: int) -> None:
    """Without KVM: the same expanders and ports around software vSMMUs, without endpoints."""
    facts = many(smmus, 32)
    planned = plan(Order(tuple(entry.address for entry in facts.functions), spare=1), facts, LATEST)
    words = []
    for option, value in zip(planned.arguments[::2], planned.arguments[1::2], strict=True):
        if value.startswith("arm-smmuv3"):
            value = value.partition(",accel=on")[0]
        if option == "-device" and not value.startswith("vfio-pci"):
            words += [option, value]
    start_software(lab_config, words)


def start_software(lab_config: LabConfig, words: Sequence[str]) -> None:
    """Start a real QEMU with these arguments up to its first instruction, on this machine."""
    tools = ensure(Cache.default(), lab_config.kernel).tools
    machine = "-M virt -display none -nodefaults -S -qmp stdio -bios".split()
    talk = b'{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n{"execute":"quit"}\n'
    command = [*tools.qemu(), *machine, str(tools.firmware), *words]
    done = subprocess.run(command, input=talk, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b'"status": "prelaunch"' in done.stdout
    assert done.stderr == b""


BOUND = [
    word
    for node in (0, 1)
    for word in (
        "-object",
        f"memory-backend-ram,id=m{node},size=1G,host-nodes={node},policy=bind",
        "-numa",
        f"node,nodeid={node},cpus={node},memdev=m{node}",
    )
]
#: Registers of theirs were not published.
PARTLY_KNOWN = ("gh200-no-cmdqv", "altra")
MACHINE = "qemu-system-aarch64 -M virt -accel kvm -bios x -nodefaults -m 1G -smp 2"


def planned_words(name: str) -> list[str]:
    """What plan adds to a VM for a layout."""
    layout = LAYOUTS[name]
    return list(plan(layout.order(*MACHINE.split()), layout.host(), LATEST, layout.options()).arguments)


def accelerated_words(name: str) -> list[str]:
    """The options of a VM without vSMMU after fix --accelerate, without those of its machine."""
    layout = LAYOUTS[name]
    vm = read_words(layout.naive(MACHINE))
    mending = mend(vm, layout.host(), LATEST, layout.options(), Wishes(accelerate=True))
    assert mending.verdict.answer == ("unknown" if layout.name in PARTLY_KNOWN else "starts")
    assert mending.verdict.of("warning") == ()
    line = mending.vm.command_line
    assert line is not None
    window = line.machine().machine_options.get("highmem-mmio-size")
    head = len(MACHINE.split())
    return [*(("-machine", f"highmem-mmio-size={window}") if window else ()), *line.words[head:]]


def far_words(name: str) -> list[str]:
    """The same for a VM with two nodes that stand for the host's, whose distances are known."""
    layout = LAYOUTS[name]
    vm = [*MACHINE.replace("-m 1G", "-m 2G").split(), *BOUND]
    answer = plan(layout.order(*vm), with_nodes(layout.host()), LATEST, layout.options())
    assert answer.distances
    return [*BOUND, *answer.arguments]


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name.startswith("gb")])
def test_distances_of_the_host_are_taken(lab_config: LabConfig, name: str) -> None:
    words = as_software(far_words(name))
    # No machine but one with these nodes can bind memory to them.
    start_software(lab_config, ["-m", "2G", *(word.partition(",host-nodes")[0] for word in words)])


@pytest.mark.parametrize("words_of", [planned_words, accelerated_words])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_surroundings_of_every_layout_start(
    lab_config: LabConfig, name: str, words_of: Callable[[str], list[str]]
) -> None:
    """Window, nodes and initiators as written, around software vSMMUs, with other devices in the ports."""
    words = ["-m", "1G", *as_software(words_of(name))]
    assert any("generic-initiator" in word for word in words) == (LAYOUTS[name].name != "altra")
    start_software(lab_config, words)


def as_software(given: Sequence[str]) -> list[str]:
    """The words for a machine without functions: software vSMMUs, other devices in the ports."""
    words = ["-cpu", "max", "-smp", "2,sockets=2"]
    for option, value in zip(given[::2], given[1::2], strict=True):
        value = value.partition(",accel=on")[0] if value.startswith("arm-smmuv3") else value
        if value.startswith("vfio-pci"):
            parts = dict(part.split("=", 1) for part in value.split(",")[1:])
            value = f"pci-testdev,bus={parts['bus']}" + (f",id={parts['id']}" if "id" in parts else "")
        words += [option, value] if not value.startswith("iommufd") else []
    return words


def test_a_vm_with_ports_only_starts_and_takes_a_function(lab_acpi: Session) -> None:
    with bound(lab_acpi, CARD):
        assert vsmmu(lab_acpi, "probe").status == 0
        facts = json.loads(vsmmu(lab_acpi, "show", "-o", "json").stdout)
        name = facts["smmus"][0]["name"]
        planned = vsmmu(lab_acpi, "plan", name, "-o", "nul", "--", *QEMU)
        assert planned.status == 0, planned.stderr.decode()
        words = planned.stdout.decode().rstrip("\0").split("\0")
        # QEMU's own auto cannot do that.
        auto = [word.partition(",ats=")[0] if word.startswith("arm-smmuv3") else word for word in words]
        refused = lab_acpi.run(auto, timeout=60)
        assert refused.status == 1
        with quoted("qemu-system-arm", "11.1", lab_acpi.artifacts.versions()):
            assert b"requires at least one cold-plugged VFIO device" in refused.stderr
        with started(lab_acpi, words) as vm:
            told = inspected(lab_acpi, "--hotplug", CARD)["hotplug"]
            assert told["answer"] == "starts"
            reply = vm.qmp({"execute": "device_add", "arguments": told["command"]})
            assert reply == [{"return": {}}]
            assert inspected(lab_acpi)["vsmmus"][0]["endpoints"][0]["function"] == CARD


def test_firmware_finds_all_functions_of_a_plan_and_room_for_more(lab_acpi: Session) -> None:
    guest_files(lab_acpi)
    with bound(lab_acpi, CARD, DISK):
        assert vsmmu(lab_acpi, "probe").status == 0
        machine = ["qemu-system-aarch64", *GUEST]
        planned = vsmmu(lab_acpi, "plan", CARD, "--spare", "3", "-o", "nul", "--", *machine)
        assert planned.status == 0, planned.stderr.decode()
        with started(lab_acpi, planned.stdout.decode().rstrip("\0").split("\0")) as vm:
            said = vm.wait_for("guest is up")
            # The card, the expander's root ports (Red Hat, 1b36), and their own root complex.
            assert said.count("function 0x8086") == 1
            assert said.count("function 0x1b36") >= 1 + 4
            told = inspected(lab_acpi, "--hotplug", DISK)["hotplug"]
            assert vm.qmp({"execute": "device_add", "arguments": told["command"]}) == [{"return": {}}]
