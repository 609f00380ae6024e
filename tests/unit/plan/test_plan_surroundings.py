# SPDX-License-Identifier: Apache-2.0
"""Surroundings of planned vSMMUs: MMIO window and NUMA nodes, in a fragment, a command line and a domain."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from domains import domain
from examples import Q11_1, function, host, smmu
from vsmmu.cli.main import run
from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import Host, MemoryRegion
from vsmmu.host.files import encode_host
from vsmmu.host.mmio_window import DEFAULT_WINDOW, spell_size, window_need
from vsmmu.kubevirt.create import create_vsmmus
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.plan.domain import with_host_devices
from vsmmu.plan.libvirt import devices_xml
from vsmmu.plan.libvirt_surroundings import with_surroundings
from vsmmu.plan.listing import listing
from vsmmu.plan.planner import Order, plan
from vsmmu.plan.surroundings import Surroundings
from vsmmu.qemu.passthrough import initiator_nodes
from vsmmu.qemu.process import start

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.host.facts import HostFunction
    from vsmmu.plan.model import Plan
    from vsmmu.plan.selection import Grouping

GB200 = builtin_host("gb200")
GPU, OTHER, NIC = "0009:01:00.0", "0019:01:00.0", "0009:02:00.0"
HEAD = "qemu-system-aarch64 -M virt -accel kvm -bios firmware.fd -nodefaults"
PF, VF = "0000:01:00.0", "0000:01:00.2"
GI = 1 << 30
BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}
GROUPS: tuple[Grouping, ...] = ("smmu", "root-complex")


def planned(*devices: str, on: Host = GB200, vm: str = "") -> Plan:
    return plan(Order(devices, words=tuple(shlex.split(vm))), on, Q11_1)


def with_bars(*sizes: int, bound: str = "exact", high: bool = True, number: int = 1) -> Host:
    """Functions with these BARs, all behind one SMMU."""
    regions = tuple(
        MemoryRegion(index, f"{size:#x}", high, bound)  # type: ignore[arg-type]
        for index, size in enumerate(sizes)
    )
    functions = [
        msgspec.structs.replace(function(f"0000:{bus:02x}:00.0", "smmu0"), memory_regions=regions)
        for bus in range(1, number + 1)
    ]
    return host(smmu(), *functions)


def need(facts: Host, *groups: int) -> tuple[int, int, bool]:
    functions = list(facts.functions)
    split: list[list[HostFunction]] = []
    for count in groups or (len(functions),):
        split.append(functions[:count])
        del functions[:count]
    found = window_need(split)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("sizes", "number", "least", "ample"),
    [
        # As seen: three of 256 GiB do not fit into 512 GiB, and do into 1 TiB.
        ((256 * GI,), 3, 768 * GI, 1024 * GI),
        ((512 * GI,), 1, 512 * GI, 1024 * GI),
        # As seen: two ports of 128 GiB and 16 MiB each take 0..128G+16M and 256G..384G+16M of 512 GiB.
        ((128 * GI, 16 << 20), 2, 384 * GI + (16 << 20), 1024 * GI),
        ((16 << 20,), 1, 16 << 20, 512 * GI),
    ],
)
def test_the_window_is_what_firmware_lays_out(
    sizes: tuple[int, ...], number: int, least: int, ample: int
) -> None:
    facts = with_bars(*sizes, number=number)
    assert need(facts) == need(facts, *[1] * number) == (least, ample, True)


def test_small_windows_fill_the_gaps_of_large_ones() -> None:
    large, small = with_bars(128 * GI, 16 << 20, number=2), with_bars(64 * GI)
    found = window_need([[large.functions[0]], [large.functions[1]], [small.functions[0]]])
    assert found is not None
    assert found.least == 384 * GI + (16 << 20)


def test_what_lies_below_4_gib_needs_no_window() -> None:
    assert need(with_bars(1 * GI, high=False)) == (0, DEFAULT_WINDOW, True)
    assert window_need([[function("0000:01:00.0", "smmu0")]]) is None
    assert need(with_bars(GI, bound="at-least"))[2] is False


def test_a_window_is_written_whenever_the_need_is_known() -> None:
    assert planned("0000:01:00.0", on=with_bars(16 << 20)).arguments[:2] == (
        "-machine",
        "highmem-mmio-size=512G",
    )
    large = with_bars(256 * GI, number=3)
    devices = [entry.address for entry in large.functions]
    assert planned(*devices, on=large).mmio_window == 1024 * GI
    assert planned(*devices, on=large).notes == ()
    # The VM's own is kept where it does, and made larger where it does not.
    vm = f"{HEAD} -machine highmem-mmio-size={{}}"
    assert planned(*devices, on=large, vm=vm.format("4T")).mmio_window == 0
    answer = planned(*devices, on=large, vm=vm.format("512G"))
    assert answer.command_line is not None
    machine = read_words(answer.command_line).machine()
    assert machine.machine_options["highmem-mmio-size"] == "1T"


def test_at_least_is_said() -> None:
    facts = with_bars(GI, bound="at-least")
    assert any("vsmmu probe would tell" in note for note in planned("0000:01:00.0", on=facts).notes)


@pytest.mark.parametrize(
    ("written", "warns"),
    [("", True), ("-machine highmem-mmio-size=512G", True), ("-machine highmem-mmio-size=1T", False)],
)
def test_check_warns_of_a_window_that_is_too_small(written: str, warns: bool) -> None:
    facts = with_bars(256 * GI, number=3)
    ports = " ".join(
        f"-device pcie-root-port,id=rp{number},bus=p,chassis={number} "
        f"-device vfio-pci,id=gpu{number},host=0000:0{number}:00.0,bus=rp{number},iommufd=i"
        for number in (1, 2, 3)
    )
    vm = (
        f"{HEAD} {written} -object iommufd,id=i -device pxb-pcie,id=p,bus_nr=8,bus=pcie.0 "
        f"-device arm-smmuv3,primary-bus=p,id=s,accel=on {ports}"
    )
    verdict = start(read_words(vm.split()).machine(), facts, Q11_1)
    found = [entry for entry in verdict.diagnostics if entry.code == "mmio-window-small"]
    assert [entry.severity for entry in found] == ["warning"] * warns
    if warns:
        assert "768G" in found[0].what
        assert "highmem-mmio-size=1T" in found[0].next


def test_a_fragments_nodes_begin_at_1() -> None:
    answer = planned(GPU, NIC, OTHER)
    assert [node.id for node in answer.nodes] == list(range(1, 17))
    assert all((node.cpus, node.memory) == ("", 0) for node in answer.nodes)
    nodes = [port.initiators for entry in answer.vsmmus for port in entry.ports]
    assert nodes == [tuple(range(1, 9)), (), tuple(range(9, 17))]
    assert any("node 0 is the one with the VM's CPUs and memory" in note for note in answer.notes)
    words = [word for word in answer.arguments if word.startswith("acpi-generic-initiator")]
    assert words[0] == "acpi-generic-initiator,id=gi0,pci-dev=vfio0,node=1"
    assert len(words) == 16


def test_a_command_line_without_nodes_gets_its_node_0() -> None:
    answer = planned(GPU, vm=f"{HEAD} -m 8G -smp 2,maxcpus=4")
    assert msgspec.structs.astuple(answer.nodes[0]) == (0, "0-3", 8 * GI, "")
    at = answer.arguments.index("-numa")
    assert answer.arguments[at - 1] == "memory-backend-ram,id=ram0,size=8G"
    assert answer.arguments[at + 1] == "node,nodeid=0,cpus=0-3,memdev=ram0"
    assert answer.vsmmus[0].numa_node == 0
    assert answer.answer == "starts"


@pytest.mark.parametrize(
    ("options", "cpus", "memory"),
    [
        ("", "0", 128 << 20),
        ("-m 512", "0", 512 << 20),
        ("-m size=2G -smp sockets=2,cores=4", "0-7", 2 * GI),
        ("-m 1G -smp 3,maxcpus=3", "0-2", GI),
    ],
)
def test_cpus_and_memory_are_the_vms_own(options: str, cpus: str, memory: int) -> None:
    answer = planned(GPU, vm=f"{HEAD} {options}")
    assert msgspec.structs.astuple(answer.nodes[0]) == (0, cpus, memory, "")


@pytest.mark.parametrize(
    "options",
    [
        "-m 1G,maxmem=2G",
        "-mem-path /dev/hugepages",
        "-object memory-backend-ram,id=m,size=1G -machine memory-backend=m -m 1G",
    ],
)
def test_where_node_0_cannot_be_made_nothing_is_written_and_why_is_said(options: str) -> None:
    answer = planned(GPU, vm=f"{HEAD} {options}")
    assert answer.nodes == ()
    assert not any("generic-initiator" in word for word in answer.arguments)
    assert any(note.startswith("no generic initiators are written") for note in answer.notes)


def test_nodes_of_the_vm_are_kept_and_counted_on() -> None:
    own = "-object memory-backend-ram,id=m,size=128M -numa node,nodeid=0,memdev=m -numa node,nodeid=1"
    answer = planned(GPU, vm=f"{HEAD} {own}")
    assert [node.id for node in answer.nodes] == list(range(2, 10))
    assert answer.vsmmus[0].ports[0].initiators == tuple(range(2, 10))


def test_fewer_nodes_where_the_host_shows_fewer() -> None:
    functions = [
        msgspec.structs.replace(
            entry,
            generic_initiators=msgspec.structs.replace(entry.ats_capability, value=2, evidence="memory"),
        )
        if entry.address == GPU
        else entry
        for entry in GB200.functions
    ]
    facts = msgspec.structs.replace(GB200, functions=tuple(functions))
    assert planned(GPU, on=facts).vsmmus[0].ports[0].initiators == (1, 2)


def test_check_warns_of_missing_initiators_and_the_answer_stays() -> None:
    words = list(planned(GPU, vm=HEAD).command_line or ())
    assert start(read_words(words).machine(), GB200, Q11_1).diagnostics == ()
    cut = words.index("acpi-generic-initiator,id=gi2,pci-dev=vfio0,node=3") - 1
    verdict = start(read_words(words[:cut]).machine(), GB200, Q11_1)
    assert verdict.answer == "starts"
    assert [(entry.code, entry.where) for entry in verdict.diagnostics] == [
        ("generic-initiators-missing", "vfio0")
    ]
    assert "8 NUMA nodes of its own on the host, and 2 here" in verdict.diagnostics[0].what


BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}


@pytest.mark.parametrize(
    "cpu",
    [
        "",
        "<cpu mode='host-passthrough'/>",
        "<cpu mode='host-passthrough'><numa><cell id='0' cpus='0-1' memory='1' unit='GiB'/></numa></cpu>",
    ],
)
def test_a_domain_with_the_plan_in_it_has_all_of_it(cpu: str) -> None:
    text = domain(**BARE).replace(
        b"<devices>", f"<memory unit='GiB'>2</memory><vcpu>2</vcpu>{cpu}<devices>".encode(), 1
    )
    given = read_domain_xml(text, "vm.xml")
    answer = plan(Order((GPU,), domain=given), GB200, Q11_1)
    around = Surroundings(answer.nodes, answer.mmio_window)
    grown = with_host_devices(with_surroundings(given, around), answer.vsmmus)
    machine = grown.machine()
    assert machine.machine_options["highmem-mmio-size"] == f"{512 << 20}K"
    assert machine.numa_nodes == 9
    assert initiator_nodes(machine, "hostdev0") == [str(node) for node in range(1, 9)]
    assert start(machine, GB200, Q11_1).diagnostics == ()
    first = grown.root.find("cpu/numa/cell")
    assert first is not None
    assert first.get("cpus") == "0-1"
    assert "<acpi nodeset='1-8'/>" in devices_xml(answer)


def test_a_smaller_hole_of_the_domain_is_made_larger() -> None:
    hole = b"model='pcie-root'><pcihole64 unit='GiB'>512</pcihole64></controller>"
    given = read_domain_xml(domain(**BARE).replace(b"model='pcie-root'/>", hole, 1), "vm.xml")
    assert given.machine().machine_options["highmem-mmio-size"] == "512G"
    grown = with_surroundings(given, Surroundings((), 2 << 40))
    assert grown.machine().machine_options["highmem-mmio-size"] == f"{2 << 30}K"
    assert grown.data.count(b"pcihole64") == 2


@pytest.mark.parametrize("acpi", ["", "<acpi nodeset='1'/>"])
def test_the_hook_surrounds_what_it_moves(acpi: str) -> None:
    """A function that is a generic initiator already stays as it is; the window comes all the same."""
    device = (
        "<hostdev mode='subsystem' type='pci' managed='no'>"
        f"<source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source>{acpi}</hostdev>"
    )
    text = domain(**BARE, more=device).replace(
        b"<devices>", b"<memory unit='GiB'>2</memory><vcpu>2</vcpu><devices>", 1
    )
    machine = create_vsmmus(read_domain_xml(text, "vm.xml"), GB200).machine()
    expected = ["1"] if acpi else [str(node) for node in range(1, 9)]
    assert initiator_nodes(machine, "hostdev0") == expected
    assert machine.numa_nodes == (0 if acpi else 9)
    assert [entry.driver for entry in machine.vsmmus] == ["arm-smmuv3"]
    assert machine.machine_options["highmem-mmio-size"] == f"{512 << 20}K"


def test_functions_can_be_kept_apart_by_root_complex() -> None:
    """As GB300's GPUs, two of which sit behind one SMMU, each on a PCI domain of its own."""
    devices = ("0008:06:00.0", "0009:06:00.0")
    together, apart = (plan(Order(devices, group=group), builtin_host("gb300"), Q11_1) for group in GROUPS)
    assert [len(entry.endpoints) for entry in together.vsmmus] == [2]
    assert [len(entry.endpoints) for entry in apart.vsmmus] == [1, 1]
    assert len({entry.host_smmu for entry in apart.vsmmus}) == 1
    assert apart.answer == "starts"


def test_the_list_says_what_functions_share_and_what_stands_against_them() -> None:
    found = {entry.function: entry for entry in listing(GB200).functions}
    assert list(found) == sorted(found, key=lambda address: (found[address].smmu, address))
    assert (found[GPU].smmu, found[GPU].root_complex) == (found[NIC].smmu, found[NIC].root_complex)
    assert (found[GPU].bars, found[GPU].initiators, found[GPU].obstacle) == (("≥256G",), 8, "")
    assert (found[NIC].bars, found[NIC].initiators) == ((), None)
    fixed = {entry.function: entry.obstacle for entry in listing(builtin_host("gb10")).functions}
    assert fixed["000f:01:00.0"].startswith("mapped 1:1")
    assert fixed["0000:01:00.0"] == ""


@pytest.mark.parametrize(("words", "status", "says"), [(["--list"], 0, "0009:02:00.0"), ([], 2, "no-device")])
def test_the_command_line_asks_for_functions_or_lists_them(
    words: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--host", "builtin:gb200", *words]) == status
    printed = capsys.readouterr()
    assert says in printed.out + printed.err


def test_sizes_are_spelled_in_the_largest_unit() -> None:
    assert [spell_size(size) for size in (0, 5, 1 << 10, 3 << 20, 512 << 30, 1 << 40)] == [
        "0", "5", "1K", "3M", "512G", "1T",
    ]  # fmt: skip


def test_virtual_functions_are_listed_with_their_physical_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    physical = msgspec.structs.replace(function(PF), virtual_functions=2, driver="mlx5_core")
    virtual = msgspec.structs.replace(function(VF), physical_function=PF, driver="vfio-pci")
    facts = tmp_path / "host.json"
    facts.write_bytes(encode_host(host(smmu(), physical, virtual)))
    assert run(["plan", "--list", "--host", str(facts)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines[1:]] == ["has 2 VFs", f"VF of {PF}"]


@pytest.mark.parametrize(
    ("wanted", "driver", "note"),
    [
        ("0000:01:00.0", "mlx5_core", "has 2 virtual functions, and vfio-pci takes it without any"),
        ("0000:01:00.0", "vfio-pci", ""),
        ("0000:01:00.2", "mlx5_core", ""),
        ("0000:01:00.2", "vfio-pci", "knows its token (vf-token=)"),
    ],
)
def test_what_keeps_qemu_from_physical_and_virtual_functions_is_said(
    wanted: str, driver: str, note: str
) -> None:
    physical = msgspec.structs.replace(function(PF), virtual_functions=2, driver=driver)
    virtual = msgspec.structs.replace(function(VF), physical_function=PF, driver="vfio-pci")
    notes = planned(wanted, on=host(smmu(), physical, virtual)).notes
    found = [text for text in notes if "virtual" in text]
    assert [note in text for text in found] == [True] * bool(note)
