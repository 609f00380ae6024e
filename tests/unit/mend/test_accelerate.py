# SPDX-License-Identifier: Apache-2.0
"""An existing VM gets its vSMMUs: functions move, and keep everything but their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

import domains
from examples import Q11_1, with_nodes, without_memory
from vsmmu.errors import Negative
from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import MemoryRegion
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.topology import Topology
from vsmmu.plan.planner import Order, plan
from vsmmu.qemu.passthrough import initiator_nodes
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from conftest import Run
    from vsmmu.machine.vm import Vm

HOST = builtin_host("gb200")
LARGE = msgspec.structs.replace(
    HOST,
    functions=tuple(
        msgspec.structs.replace(entry, memory_regions=(MemoryRegion(2, f"{512 << 30:#x}", high=True),))
        for entry in HOST.functions
    ),
)
VALUES = "ats=on,ril=off,ssidsize=20,oas=48"
PLAIN = """#!/bin/sh
# two GPUs as people give them
GPU="-device vfio-pci,host=0019:01:00.0,id=gpu1,bus=rp2"
exec qemu-system-aarch64 -M virt,iommu=smmuv3 -accel kvm -bios fw -nodefaults \\
  -device pcie-root-port,id=rp1,chassis=1,bus=pcie.0 \\
  -device pcie-root-port,id=rp2,chassis=2,bus=pcie.0 \\
  -device vfio-pci,host=0009:01:00.0,id=gpu0,bus=rp1,x-no-mmap=on,romfile=r.rom,bootindex=1,addr=0.0 \\
  $GPU -device virtio-net-pci,netdev=n -netdev user,id=n
"""
NAIVE = """qemu-system-aarch64 -M virt,iommu=smmuv3 -accel kvm -bios fw -nodefaults \\
  -device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on,ril=on \\
  -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \\
  -device pxb-pcie,id=pcie.2,bus_nr=8,bus=pcie.0 \\
  -device vfio-pci,host=0009:01:00.0,id=gpu,bus=pcie.1
"""
NAIVE_DOMAIN = domains.domain(
    expander=domains.PARTS["expander"].replace("252", "8"),
    port="<controller type='pci' index='3' model='pcie-expander-bus'><target busNr='8'/></controller>",
    hostdev=domains.PARTS["hostdev"]
    .replace("<driver iommufd='yes'/>", "")
    .replace("bus='0x02'", "bus='0x01'"),
    iommu="<iommu model='smmuv3'/>"
    "<iommu model='smmuv3'><driver pciBus='1' accel='on' ril='on' ssidSize='8'/></iommu>",
)
TWIN = (
    b"<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0019' bus='0x01' "
    b"slot='0x00' function='0x0'/></source></hostdev>"
)
PLAIN_DOMAIN = domains.domain(
    expander="",
    port="",
    iommu="",
    features="",
    hostdev="<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0009' bus='0x01' "
    "slot='0x00' function='0x0'/></source><alias name='ua-gpu'/><rom bar='off'/><boot order='2'/></hostdev>",
)


def test_functions_move_and_keep_what_is_written(run: Run) -> None:
    mending = run(PLAIN, host=HOST, accelerate=True)
    assert mending.verdict.answer == "starts"
    machine = mending.vm.machine()
    topology = Topology.of(machine)
    gpu = machine.device("gpu0")
    assert gpu is not None
    kept = {name: gpu.text(name) for name in ("host", "x-no-mmap", "romfile", "bootindex")}
    assert kept == {"host": "0009:01:00.0", "x-no-mmap": "on", "romfile": "r.rom", "bootindex": "1"}
    assert "addr" not in gpu.properties
    assert {device.driver for device in topology.endpoints_behind("pcie.0")} == {"virtio-net-pci"}
    assert [smmu.text("ril") for smmu in machine.vsmmus] == ["off", "off"]
    text = mending.vm.text()
    assert text.startswith("#!/bin/sh\n# two GPUs as people give them\nGPU=")
    assert f"id=smmuv3.0,accel=on,{VALUES} \\\n" in text
    assert "iommu=smmuv3" not in text
    assert run(text, host=HOST, accelerate=True).applied == ()


def test_functions_get_nodes_and_a_window(run: Run) -> None:
    vm = PLAIN.replace("-bios fw", "-bios fw -smp 4 -m 8G").replace("id=gpu0,", "")
    mending = run(vm, host=HOST, accelerate=True)
    assert mending.verdict.answer == "starts"
    assert [found.code for found in mending.verdict.of("warning")] == []
    machine = mending.vm.machine()
    assert machine.machine_options["highmem-mmio-size"] == "1T"
    assert machine.numa[0].settings == {"type": "node", "nodeid": "0", "cpus": "0-3", "memdev": "ram0"}
    gpus = [device for device in machine.devices if device.driver == "vfio-pci"]
    nodes = {device.text("host"): initiator_nodes(machine, device.id) for device in gpus}
    assert nodes == {
        "0009:01:00.0": [str(node) for node in range(1, 9)],
        "0019:01:00.0": [str(node) for node in range(9, 17)],
    }
    assert [device.text("numa_node") for device in machine.devices if device.driver == "pxb-pcie"] == [
        "0"
    ] * 2


@pytest.mark.parametrize("unpin", [frozenset[str](), frozenset({"ats"}), frozenset(PROPERTIES)])
def test_a_written_window_is_only_changed_with_unpin(run: Run, unpin: frozenset[str]) -> None:
    vm = PLAIN.replace("iommu=smmuv3", "highmem-mmio-size=512G")
    mending = run(vm, host=LARGE, accelerate=True, unpin=unpin)
    larger = unpin == frozenset(PROPERTIES)
    assert mending.vm.machine().machine_options["highmem-mmio-size"] == ("2T" if larger else "512G")
    codes = [found.code for found in mending.verdict.of("warning")]
    assert codes == ([] if larger else ["mmio-window-small"])
    domain = PLAIN_DOMAIN.replace(
        b"model='pcie-root'/>",
        b"model='pcie-root'><pcihole64 unit='GiB'>512</pcihole64></controller>" + TWIN,
    )
    text = run(domain, host=LARGE, accelerate=True, unpin=unpin).vm.text()
    assert ("<pcihole64 unit='KiB'>2147483648</pcihole64>" in text) == larger
    assert ("<pcihole64 unit='GiB'>512</pcihole64>" in text) != larger


def test_memory_that_is_an_object_stays_and_the_nodes_are_missed(run: Run) -> None:
    vm = PLAIN.replace("virt,iommu=smmuv3", "virt,memory-backend=m").replace(
        "-bios fw", "-bios fw -m 4G -object memory-backend-memfd,id=m,size=4G"
    )
    mending = run(vm, host=HOST, accelerate=True)
    assert mending.verdict.answer == "starts"
    assert "-numa" not in mending.vm.text()
    missing = [found for found in mending.verdict.of("warning") if found.code == "generic-initiators-missing"]
    assert len(missing) == 2
    assert all("its memory is an object" in found.next for found in missing)
    assert any("its memory is an object" in note for note in mending.notes)


def test_a_vm_that_is_accelerated_gets_what_its_functions_lack(run: Run) -> None:
    for vm in (PLAIN, PLAIN_DOMAIN):
        whole = run(vm, host=HOST, accelerate=True).vm.text()
        bare = run(vm, host=without_memory(HOST), accelerate=True).vm
        assert "initiator" not in bare.text()
        assert "<acpi nodeset" not in bare.text()
        again = run(bare.text() if isinstance(vm, str) else bare.render(), host=HOST)
        machine, wanted = again.vm.machine(), read(whole, vm).machine()
        assert [found.code for found in again.verdict.of("warning")] == []
        for device in machine.devices:
            assert len(initiator_nodes(machine, device.id)) == len(initiator_nodes(wanted, device.id))


def read(text: str, like: str | bytes) -> Vm:
    data = text.encode()
    return read_source(data) if isinstance(like, str) else read_domain_xml(data, "vm.xml")


@pytest.mark.parametrize("vm", [NAIVE, NAIVE_DOMAIN], ids=["script", "domain"])
def test_the_naive_vm_is_mended_in_one_run(vm: str | bytes, run: Run) -> None:
    before = run(vm, host=HOST, only=frozenset(["none"]))
    assert len({found.code for found in before.left}) >= 6
    mending = run(vm, host=HOST, accelerate=True, unpin=frozenset(PROPERTIES))
    assert (mending.verdict.answer, mending.left) == ("starts", ())
    assert run(mending.vm.text() if isinstance(vm, str) else mending.vm.render(), host=HOST).applied == ()


def test_a_domain_comes_out_whole(run: Run) -> None:
    mending = run(PLAIN_DOMAIN, host=HOST, accelerate=True)
    assert mending.verdict.answer == "starts"
    text = mending.vm.text()
    assert "<alias name='ua-gpu'/><rom bar='off'/><boot order='2'/></hostdev>" in text
    assert "accel='on' ats='on' ril='off' ssidsize='20' oas='48'/>" in text
    assert "<acpi/>" in text
    assert run(text.encode(), host=HOST, accelerate=True).applied == ()


def test_functions_of_two_host_smmus_behind_one_vsmmu_part(run: Run) -> None:
    both = NAIVE.replace(
        "bus=pcie.1\n", "bus=pcie.1 -device vfio-pci,host=0019:01:00.0,id=other,bus=pcie.1\n"
    )
    assert run(both, host=HOST, unpin=frozenset(PROPERTIES)).verdict.answer == "fails-later"
    mending = run(both, host=HOST, unpin=frozenset(PROPERTIES), accelerate=True)
    assert mending.verdict.answer == "starts"
    assert len(mending.vm.machine().vsmmus) == 2


def test_a_function_that_nobody_knows_is_refused(run: Run) -> None:
    vm = PLAIN.replace("host=0009:01:00.0", "fd=30")
    with pytest.raises(Negative, match="gpu0") as raised:
        run(vm, host=HOST, accelerate=True)
    assert raised.value.code == "function-unknown"


def test_a_machine_without_a_model_is_handed_back(run: Run) -> None:
    for vm in (
        "qemu-system-x86_64 -M q35 -device vfio-pci,host=0009:01:00.0\n",
        domains.domain(os="<os><type arch='x86_64' machine='q35'>hvm</type></os>", iommu="", expander=""),
    ):
        mending = run(vm, host=HOST, accelerate=True)
        assert (mending.verdict.answer, mending.applied) == ("not-judged", ())


def test_what_concerns_other_functions_is_said(run: Run) -> None:
    assert all("0009" in note or "0019" in note for note in run(PLAIN, host=HOST, accelerate=True).notes)


def test_a_vsmmu_that_a_global_accelerates_keeps_its_functions(run: Run) -> None:
    served = (
        "qemu-system-aarch64 -M virt -accel kvm -bios fw -nodefaults -object iommufd,id=i "
        "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 -device arm-smmuv3,primary-bus=pcie.1,id=s "
        "-device pcie-root-port,id=rp,bus=pcie.1,chassis=1 "
        "-device vfio-pci,host=0009:01:00.0,id=gpu,bus=rp,iommufd=i -global arm-smmuv3.accel=on\n"
    )
    mending = run(served, host=HOST, accelerate=True)
    assert mending.verdict.answer == "starts"
    machine = mending.vm.machine()
    assert len(machine.vsmmus) == 1
    assert machine.device("gpu").text("bus") == "rp"


DRIVES = {
    "-drive file=d,if=virtio": "-drive file=d,if=none,id=virtio0",
    "-drive file=d": "-drive file=d,if=none,id=virtio0",
    "-drive if=virtio,id=root,file=d": "-drive if=none,id=root,file=d",
    "-drive file=d,if=virtio,index=3 -drive file=e,if=virtio": "-drive file=d,if=none,index=3,id=virtio3 "
    "-drive file=e,if=none,id=virtio0",
    "-drive file=d,media=cdrom,if=virtio -drive file=e,if=none,id=n": "-drive file=d,media=cdrom,if=none,"
    "id=virtio0 -drive file=e,if=none,id=n",
    "-hda d -cdrom s.iso": "-drive file=d,if=none,id=virtio0 "
    "-drive file=s.iso,media=cdrom,if=none,id=virtio2",
    "d.img": "-drive file=d.img,if=none,id=virtio0",
    "'d 1,2.img'": "-drive file=d 1,,2.img,if=none,id=virtio0",
    "-hdb 'd,1' -drive file=e,if=virtio": "-drive file=d,,1,if=none,id=virtio1 "
    "-drive file=e,if=none,id=virtio0",
}


@pytest.mark.parametrize("drives", DRIVES)
def test_disks_of_drives_stay_on_the_boards_bus(run: Run, drives: str) -> None:
    """QEMU makes them last of all, where the newest expander would take them and refuse them [measured]."""
    head = "qemu-system-aarch64 -M virt -accel kvm -bios fw -nodefaults "
    gpu = "-device vfio-pci,host=0009:01:00.0,id=gpu0"
    for text in (f"{head}{drives} {gpu}\n", f"{head}{gpu} -device virtio-rng-pci,bus=pcie.0 {drives}\n"):
        assert run(text, host=HOST).verdict.answer == "starts"
        mending = run(text, host=HOST, accelerate=True)
        assert mending.verdict.answer == "starts"
        assert DRIVES[drives] in mending.vm.render().decode().replace("'", "")
        machine = mending.vm.machine()
        topology = Topology.of(machine)
        disks = [device for device in machine.devices if device.driver == "virtio-blk-pci"]
        made = sum(drives.count(option) for option in ("-drive", "-hd", "-cdrom")) or 1
        assert len(disks) == made - drives.count("if=none")
        for disk in disks:
            bus = topology.bus_of(disk)
            assert bus is not None
            assert bus.name == "pcie.0"
        assert machine.devices[-len(disks) :] == tuple(disks)
        gpu0 = machine.device("gpu0")
        assert gpu0 is not None
        assert gpu0.text("bus") == "rp1"
        assert run(mending.vm.render().decode(), host=HOST, accelerate=True).applied == ()


def test_a_disk_that_only_a_shell_knows_is_left_with_its_refusal(run: Run) -> None:
    text = 'qemu-system-aarch64 -M virt -accel kvm -bios fw "$1" -device vfio-pci,host=0009:01:00.0\n'
    mending = run(text, host=HOST, accelerate=True)
    assert mending.verdict.answer == "unknown"
    assert '"$1"' in mending.vm.render().decode()


BOUND = (
    "-m 8G -smp 2 -object memory-backend-ram,id=m0,size=4G,host-nodes=0,policy=bind "
    "-numa node,nodeid=0,cpus=0,memdev=m0 -object memory-backend-ram,id=m1,size=4G,host-nodes=1,policy=bind "
    "-numa node,nodeid=1,cpus=1,memdev=m1"
)
GPUS = "-device vfio-pci,host=0009:01:00.0,id=gpu0 -device vfio-pci,host=0019:01:00.0,id=gpu1"


def test_distances_are_written_as_in_a_plan(run: Run) -> None:
    head = "qemu-system-aarch64 -M virt -accel kvm -bios fw -nodefaults"
    host = with_nodes(HOST)
    mending = run(f"{head} {BOUND} {GPUS}\n", host=host, accelerate=True)
    assert mending.verdict.answer == "starts"
    order = Order(("0009:01:00.0", "0019:01:00.0"), words=tuple(f"{head} {BOUND}".split()))
    planned = {(entry.source, entry.target, entry.value) for entry in plan(order, host, Q11_1).distances}
    given = [option.settings for option in mending.vm.machine().numa if option.settings["type"] == "dist"]
    assert {tuple(int(entry[name]) for name in ("src", "dst", "val")) for entry in given} == planned
    assert len(given) == 18 * 17 // 2


def test_no_distance_is_written_in_front_of_a_node(run: Run) -> None:
    text = f"qemu-system-aarch64 -M virt -accel kvm -bios fw -nodefaults {GPUS} {BOUND}\n"
    mending = run(text, host=with_nodes(HOST), accelerate=True)
    assert mending.verdict.answer == "starts"
    assert "numa dist" not in mending.vm.render().decode()


def test_distances_of_a_domain_are_written(run: Run) -> None:
    cells = "<cell id='0' cpus='0' memory='1' unit='GiB'/><cell id='1' cpus='1' memory='1' unit='GiB'/>"
    bound = "".join(f"<memnode cellid='{node}' mode='strict' nodeset='{node}'/>" for node in (0, 1))
    nodes = f"<numatune>{bound}</numatune><cpu mode='host-passthrough'><numa>{cells}</numa></cpu>"
    text = PLAIN_DOMAIN.replace(b"<devices>", f"{nodes}<devices>".encode(), 1)
    mending = run(text, host=with_nodes(HOST), accelerate=True)
    written = mending.vm.render().decode()
    count = written.count("<cell ")
    assert count >= 10
    assert written.count("<sibling ") == count * (count - 1) // 2


def test_disks_of_a_domain_keep_their_place(run: Run) -> None:
    disks = "".join(
        f"<disk type='file'><source file='/{name}'/><target dev='{name}' bus='virtio'/>{place}</disk>"
        for name, place in (
            ("vda", "<address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>"),
            ("vdb", ""),
        )
    )
    text = PLAIN_DOMAIN.replace(b"<memballoon", f"{disks}<memballoon".encode())
    mending = run(text, host=HOST, accelerate=True)
    machine = mending.vm.machine()
    assert b"bus='0x00' slot='0x05'" in mending.vm.render()
    first, second = (device for device in machine.devices if device.driver == "virtio-blk-pci")
    assert (first.text("bus"), first.text("addr")) == ("pcie.0", "0x5")
    behind = {device.text("bus") for device in machine.devices if device.driver == "vfio-pci"}
    assert second.text("bus") not in behind
    expanders = {device.id for device in machine.devices if device.driver == "pxb-pcie"}
    port = machine.device(second.text("bus"))
    assert port is not None
    assert port.text("bus") not in expanders
