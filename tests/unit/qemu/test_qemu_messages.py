# SPDX-License-Identifier: Apache-2.0
"""Every message of QEMU that the model knows has a VM that gets it, and every hazard one that has it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from examples import (
    Q10_2,
    Q11_0,
    Q11_1,
    device,
    fact,
    function,
    host,
    many,
    options,
    port,
    queues,
    smmu,
    vfio,
    vm,
)
from vsmmu.host.facts import ReservedRegion
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu import device_tables
from vsmmu.qemu.process import QemuProcess, start
from vsmmu.qemu.realize import MAX_VSMMUS
from vsmmu.qemu.texts import MESSAGES
from vsmmu.qemu.versions import parse_version
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.outcome import Failure
    from vsmmu.qemu.versions import Qemu

PINNED = "ats=off,ril=on,ssidsize=0,oas=44"
V1 = vfio("0000:01:00.0", 1)
DIRECT = ReservedRegion("0xa1600000", "0xb97fffff", "direct")


#: Memory to plug.
MEMORY = "-m 128M,slots=2,maxmem=1G -object memory-backend-ram,id=m,size=128M"
NODES = "-m 128M -object memory-backend-ram,id=m,size=128M -numa node,cpus=0,memdev=m -numa node -numa node"
#: A QEMU whose binary was asked.
OWN = Q11_1._replace(own_table=(Path(device_tables.__file__).parent / "tables" / "11.1.json").read_bytes)


class Scene(NamedTuple):
    """A VM, and what becomes of it: ``then`` is plugged, or with a minus unplugged, once it runs."""

    machine: Machine
    on: Host = host()
    qemu: Qemu = Q11_1
    then: str = ""
    absent: tuple[str, ...] = ()

    def play(self) -> Failure:
        running = QemuProcess(self.machine, self.on, self.qemu, absent=self.absent)
        failure = running.start().failure
        if self.then:
            assert failure is None, failure
            last = self.then
            failure = running.unplug(last[1:]) if last[0] == "-" else running.hot_plug(device(last))
        assert failure is not None
        return failure


def software(values: str = "", *, head: str = "-M virt") -> Machine:
    """A VM whose one vSMMU is not accelerated."""
    return options(f"{head} -device arm-smmuv3,primary-bus=pcie.0,{values or 'accel=off'}")


def bare(values: str, head: str = "-M virt -accel kvm -bios firmware.fd -nodefaults") -> Machine:
    return options(f"{head} -device arm-smmuv3,accel=on,{values}")


SCENES = {
    "qemu-no-machine": Scene(options("-device arm-smmuv3")),
    "qemu-machine-type": Scene(options("-M virt-11.2")),
    "qemu-iommu-value": Scene(options("-M virt,iommu=auto")),
    "qemu-not-virt": Scene(options("-M sbsa-ref -device arm-smmuv3")),
    "qemu-no-property": Scene(vm(), qemu=Q10_2),
    "qemu-value": Scene(vm("ssidsize=21")),
    "qemu-json-type": Scene(options("-M virt -device", shlex.quote('{"driver":"arm-smmuv3","oas":44}'))),
    "qemu-bool": Scene(vm("accel=maybe")),
    "qemu-no-bus": Scene(vm("", "-device pcie-root-port,id=rp1,bus=nope")),
    "qemu-no-primary-bus": Scene(bare("primary-bus=nope")),
    "qemu-ambiguous-bus": Scene(
        options("-M virt -device pcie-root-port -device arm-smmuv3,primary-bus=pcie.0")
    ),
    "qemu-no-object": Scene(vm("", port(1), V1.replace("iommufd=i0", "iommufd=nope"))),
    "qemu-bus-takes-bridges": Scene(vm("", "-device virtio-net-pci,bus=pcie.1")),
    "qemu-chassis": Scene(vm("", port(1), port(1).replace("rp1", "rp2"))),
    "qemu-bus-number": Scene(vm("", "-device pxb-pcie,id=q,bus_nr=0x8,bus=pcie.0")),
    "qemu-pxb-place": Scene(vm("", port(1), "-device pxb-pcie,id=q,bus_nr=20,bus=rp1")),
    "qemu-machine-iommu": Scene(software(head="-M virt,iommu=smmuv3")),
    "qemu-machine-iommu-abort": Scene(options("-M virt,iommu=smmuv3 -device arm-smmuv3,accel=on")),
    "qemu-kvm": Scene(options("-M virt -bios firmware.fd -device arm-smmuv3,primary-bus=pcie.0,accel=on")),
    "qemu-oas-not-implemented": Scene(vm("oas=52")),
    "qemu-oas-not-implemented-11.0": Scene(vm("oas=52"), qemu=Q11_0),
    "qemu-auto-11.0": Scene(vm("ril=auto"), qemu=Q11_0),
    "qemu-ril-accel": Scene(software("ril=off")),
    "qemu-ats-accel": Scene(software("ats=on")),
    "qemu-oas-accel": Scene(software("oas=48")),
    "qemu-oas-accel-11.0": Scene(software("oas=48"), qemu=Q11_0),
    "qemu-ssidsize-accel": Scene(software("ssidsize=1")),
    "qemu-ssidsize-accel-11.0": Scene(software("ssidsize=1"), qemu=Q11_0),
    "qemu-pasid-accel": Scene(software("pasid=on"), qemu=parse_version("nvidia-10.1")),
    "qemu-cmdqv-accel": Scene(software("cmdqv=on")),
    "qemu-stage": Scene(vm("stage=2")),
    "qemu-only-migratable": Scene(vm(head="-M virt -only-migratable")),
    "qemu-unattached": Scene(bare("id=s")),
    "qemu-not-root-complex": Scene(
        options("-M virt -device pcie-root-port,id=rp1 -device arm-smmuv3,primary-bus=rp1")
    ),
    "qemu-second-iommu": Scene(vm("", "-device arm-smmuv3,primary-bus=pcie.1")),
    "qemu-bypass": Scene(
        bare("primary-bus=pcie.0", "-M virt,default-bus-bypass-iommu=on -accel kvm -bios fw")
    ),
    "qemu-acpi": Scene(bare("primary-bus=pcie.0", "-M virt -accel kvm")),
    "qemu-too-many": Scene(options("-M virt", many(MAX_VSMMUS + 1))),
    "qemu-emulated-endpoint": Scene(vm("", port(1), "-device e1000e,bus=rp1")),
    "qemu-no-iommufd": Scene(vm("", port(1), V1.replace("iommufd=i0,", ""))),
    "qemu-endpoint-first": Scene(
        bare(f"primary-bus=pcie.0,{PINNED}", "-M virt -accel kvm -bios fw -nodefaults -device e1000e")
    ),
    "qemu-no-host-device": Scene(vm("", port(1), V1.replace("host=0000:01:00.0,", ""))),
    "qemu-fd-without-iommufd": Scene(options("-M virt -nodefaults -device vfio-pci,fd=9,id=v")),
    "qemu-no-vfio-device": Scene(vm(), host(msgspec.structs.replace(smmu(), coherent=fact(0)))),
    "qemu-nest-parent": Scene(vm(), host(smmu(nesting=0, IDR0_S2P=0))),
    "qemu-hw-info-type": Scene(vm(), host(smmu(hw_info_type=0))),
    "qemu-stlevel": Scene(vm(), host(smmu(IDR0_ST_LEVEL=0))),
    "qemu-ttendian": Scene(vm(), host(smmu(IDR0_TTENDIAN=3))),
    "qemu-ttf": Scene(vm(), host(smmu(IDR0_TTF=1))),
    "qemu-sidsize": Scene(vm(), host(smmu(IDR1_SIDSIZE=15))),
    "qemu-ssidsize": Scene(vm("ssidsize=20"), host(smmu(ssidsize=19))),
    "qemu-ril": Scene(vm("ril=on"), host(smmu(ril=0))),
    "qemu-oas": Scene(vm("oas=48"), host(smmu(oas=44))),
    "qemu-ats": Scene(vm("ats=on"), host(smmu(ats=0))),
    "qemu-gran4k": Scene(vm(), host(smmu(IDR5_GRAN4K=0))),
    "qemu-gran16k": Scene(vm(), host(smmu(IDR5_GRAN16K=0))),
    "qemu-gran64k": Scene(vm(), host(smmu(IDR5_GRAN64K=0))),
    "qemu-cmdqv": Scene(vm("cmdqv=on")),
    "qemu-viommu": Scene(vm(), host(smmu(nesting=0))),
    "qemu-viommu-11.0": Scene(vm(PINNED), host(smmu(nesting=0)), qemu=Q11_0),
    "qemu-conventional": Scene(vm(PINNED, "-device pcie-pci-bridge,id=rp1,bus=pcie.1", f"{V1},addr=1")),
    "qemu-not-accelerated": Scene(vm(vsmmu="accel=off")),
    "qemu-vfio-ats": Scene(vm("", port(1), f"{V1},ats=on"), host(smmu(), function(ats_not_supported=1))),
    "qemu-board-smmu": Scene(
        options("-M virt,iommu=smmuv3 -accel kvm -object iommufd,id=i0 -nodefaults", port(1, "pcie.0"), V1)
    ),
    "qemu-no-such-function": Scene(vm("", port(1), vfio("0000:09:00.0", 1)), host().listing_all()),
    "qemu-fd-without-id": Scene(vm("", port(1), "-device vfio-pci,fd=7,iommufd=i0,bus=rp1")),
    "qemu-boot-index": Scene(options("-M virt -device igb,bootindex=1 -device e1000e,bootindex=1")),
    "qemu-balloon-twice": Scene(options("-M virt -device virtio-balloon-pci -device virtio-balloon-pci")),
    "qemu-ramfb-twice": Scene(options("-M virt -device ramfb -device ramfb")),
    "qemu-memory-module": Scene(options(f"-M virt {MEMORY} -device pc-dimm,memdev=m")),
    "qemu-nvdimm": Scene(options(f"-M virt {MEMORY} -bios fw.fd -device nvdimm,memdev=m")),
    "qemu-module-without-memory": Scene(options(f"-M virt {MEMORY} -bios fw.fd -device pc-dimm")),
    "qemu-memory-twice": Scene(
        options(f"-M virt {MEMORY} -bios fw.fd -device pc-dimm,memdev=m -device pc-dimm,memdev=m")
    ),
    "qemu-module-slots": Scene(options("-M virt -bios fw.fd -device pc-dimm")),
    "qemu-module-room": Scene(options("-M virt -device virtio-mem-pci")),
    "qemu-memory-device": Scene(
        options(
            "-M virt -m 1G,maxmem=2G -object memory-backend-ram,id=m,size=2G -device virtio-mem-pci,memdev=m"
        )
    ),
    "qemu-device-value": Scene(options("-M virt -device virtio-net-pci,rx_queue_size=100")),
    "qemu-memory": Scene(options("-M virt -m 1G,slots=2")),
    "qemu-cpus": Scene(options("-M virt -smp 4,sockets=3")),
    "qemu-vf-room": Scene(options("-M virt -device igb,addr=10")),
    "qemu-property-missing": Scene(options("-M virt -device nvme")),
    "qemu-flash-drive": Scene(options("-M virt,pflash0=fw")),
    "qemu-node-memory": Scene(options("-M virt -numa node,memdev=m")),
    "qemu-distance-node": Scene(options("-M virt", NODES, "-numa dist,src=0,dst=3,val=20")),
    "qemu-distance-small": Scene(options("-M virt", NODES, "-numa dist,src=0,dst=1,val=9")),
    "qemu-distance-local": Scene(options("-M virt", NODES, "-numa dist,src=1,dst=1,val=20")),
    "qemu-distance-missing": Scene(options("-M virt", NODES, "-numa dist,src=0,dst=1,val=20")),
    "qemu-distance-directions": Scene(
        options(
            "-M virt",
            NODES,
            "-numa dist,src=0,dst=1,val=20 -numa dist,src=1,dst=0,val=21",
            "-numa dist,src=0,dst=2,val=20 -numa dist,src=1,dst=2,val=20",
        )
    ),
    "qemu-distance-number": Scene(options("-M virt", NODES, "-numa dist,src=0,dst=128,val=20")),
    "qemu-node-mixed": Scene(options("-M virt", NODES, "-numa node,mem=1G")),
    "qemu-node-mem": Scene(options("-M virt -numa node,mem=1G")),
    "qemu-node-whole": Scene(options("-M virt,memory-backend=n", NODES)),
    "qemu-node-memory-twice": Scene(options("-M virt", NODES, "-numa node,memdev=m -m 256M")),
    "qemu-node-cpu-index": Scene(options("-M virt -smp 2", NODES, "-numa node,cpus=1-2")),
    "qemu-node-cpu-taken": Scene(options("-M virt", NODES, "-numa node,cpus=0 -numa node,cpus=0")),
    "qemu-node-cpu-unnamed": Scene(options("-M virt", NODES, "-numa cpu,core-id=0")),
    "qemu-node-cpu-early": Scene(options("-M virt -numa cpu,node-id=0", NODES)),
    "qemu-node-cpu-foreign": Scene(options("-M virt", NODES, "-numa cpu,node-id=0,die-id=0")),
    "qemu-node-cpu-none": Scene(options("-M virt", NODES, "-numa cpu,node-id=0,core-id=1")),
    "qemu-node-initiator": Scene(options("-M virt,hmat=on", NODES, "-numa node,initiator=9")),
    "qemu-hmat-off": Scene(options("-M virt", NODES, "-numa node,initiator=0")),
    "qemu-hmat": Scene(
        options(
            "-M virt,hmat=on",
            NODES,
            "-numa hmat-cache,node-id=9,size=1,level=1,line=8,associativity=none,policy=none",
        )
    ),
    "qemu-node-twice": Scene(options("-M virt -numa node,nodeid=0 -numa node,nodeid=0")),
    "qemu-node-many": Scene(options("-M virt -numa node,nodeid=128")),
    "qemu-node-missing": Scene(options("-M virt -numa node,nodeid=1")),
    "qemu-node-sum": Scene(options("-M virt -m 128 -numa node")),
    "qemu-errors-without-acpi": Scene(options("-M virt,ras=on -nodefaults")),
    "qemu-object-unknown": Scene(options("-M virt -object nosuch,id=n"), qemu=OWN),
    "qemu-multiple-iommus": Scene(options("-M virt,iommu=smmuv3 -nodefaults -device virtio-iommu-pci")),
    "qemu-property-unknown": Scene(vm("", f"{port(1)},chasis=1", V1)),
    "qemu-property-value": Scene(vm("", port(1), f"{V1},rombar=x")),
    "qemu-type-unknown": Scene(options("-M virt -nodefaults -device pci-device")),
    "qemu-direct-region": Scene(
        vm(), host(smmu(), msgspec.structs.replace(function(), reserved_regions=(DIRECT,)))
    ),
    "qemu-function-twice": Scene(vm("", port(1), V1, port(2), vfio("0000:01:00.0", 2))),
    "qemu-no-cold-plug": Scene(vm("", port(1))),
    "qemu-slot-address": Scene(options("-M virt -device edu,addr=zz")),
    "qemu-slot-type": Scene(options("""-M virt -device '{"driver":"edu","addr":true}'""")),
    "qemu-slot-number": Scene(options("""-M virt -device '{"driver":"edu","addr":256}'""")),
    "qemu-slot-taken": Scene(options("-M virt -device edu,addr=0")),
    "qemu-slot-full": Scene(options("-M virt " + "-device edu " * 32)),
    "qemu-slot-function": Scene(options("-M virt -device edu,addr=0.1")),
    "qemu-slot-multifunction": Scene(options("-M virt -device edu,addr=2.1 -device edu,addr=2.0")),
    "qemu-slot-shpc": Scene(options("-M virt -device pcie-pci-bridge,id=b -device edu,bus=b")),
    "qemu-slot-hot": Scene(vm(PINNED, port(1), V1), then="vfio-pci,host=0000:02:00.0,bus=rp1,iommufd=i0"),
    "qemu-pxb-bus": Scene(options("-M virt -device pxb,bus_nr=8")),
    "qemu-numa-node": Scene(options("-M virt -device pxb-pcie,bus_nr=8,numa_node=1")),
    "qemu-bridge-chassis": Scene(options("-M virt -device pci-bridge")),
    "qemu-no-hotplug": Scene(vm(PINNED, port(1)), then="arm-smmuv3,primary-bus=pcie.0"),
    "qemu-bus-no-hotplug": Scene(vm(PINNED, port(1)), then="e1000e,bus=pcie.0"),
    "qemu-cmdqv-unplug": Scene(vm(), host(smmu(cmdqv=1)), then="-v1"),
    "qemu-cmdqv-type": Scene(vm("cmdqv=on"), host(queues(type=2))),
    "qemu-cmdqv-version": Scene(vm("cmdqv=on"), host(queues(version=2))),
    "qemu-cmdqv-queues": Scene(vm("cmdqv=on"), host(queues(log2vcmdqs=0))),
    "qemu-cmdqv-sids": Scene(vm("cmdqv=on"), host(queues(log2vsids=3))),
    "qemu-no-iommufd-device": Scene(vm(), msgspec.structs.replace(host(), iommufd=fact(0))),
    "qemu-accel-not-built": Scene(vm(), qemu=Q11_1._replace(accel_built=False)),
    "qemu-accelerator": Scene(vm(), qemu=Q11_1._replace(has_kvm=False)),
    "qemu-irqchip-split": Scene(vm(head="-M virt,kernel-irqchip=split")),
    "qemu-file": Scene(options("-M virt -kernel /nonexistent"), absent=("/nonexistent",)),
    "qemu-fd-number": Scene(options("-M virt -object iommufd,id=i0,fd=x")),
    "qemu-cpu-model": Scene(options("-M virt -cpu cortex-m3")),
    "qemu-cpu-model-kvm": Scene(vm(head="-M virt -cpu neoverse-n1")),
    "qemu-highmem": Scene(options("-M virt,highmem=off -m 4G")),
    "qemu-gic-host": Scene(options("-M virt,gic-version=host")),
    "qemu-gic-version": Scene(vm(head="-M virt,gic-version=4")),
    "qemu-gic-v5-cpu": Scene(options("-M virt,gic-version=x-5")),
    "qemu-gic-v5-el2": Scene(options("-M virt,gic-version=x-5,virtualization=on -cpu max")),
    "qemu-accelerator-unknown": Scene(options("-M virt -accel maybe")),
    "qemu-accelerator-none": Scene(options("-M virt,accel=")),
    "qemu-accelerator-twice": Scene(options("-M virt,accel=tcg -accel tcg")),
    "qemu-initiator": Scene(
        options(
            "-M virt -m 128M -object memory-backend-ram,id=a,size=128M -numa node,memdev=a "
            "-object acpi-generic-initiator,id=i,pci-dev=gone,node=0"
        )
    ),
    "qemu-object-value": Scene(options("-M virt -object memory-backend-ram,id=m,size=0")),
    "qemu-only-migratable-device": Scene(options("-M virt -only-migratable -device virtio-sound-pci")),
    "qemu-gic-its": Scene(options("-M virt,its=on")),
    "qemu-gic-cpus": Scene(options("-M virt,gic-version=2 -smp 9")),
    "qemu-secure": Scene(vm(head="-M virt,secure=on")),
    "qemu-mte-cpu": Scene(options("-M virt,mte=on")),
    "qemu-cxl-off": Scene(options("-M virt -device pxb-cxl,id=c,bus_nr=8")),
    "qemu-virtio-iommu-place": Scene(
        options("-M virt", port(1, "pcie.0"), "-device virtio-iommu-pci,bus=rp1")
    ),
    "qemu-wrong-bus": Scene(options("-M virt -device qemu-xhci -device usb-kbd,bus=pcie.0")),
    "qemu-no-such-bus": Scene(options("-M virt -device usb-kbd")),
}
#: What the host decides, and no fact tells: such a VM is unknown.
OPEN = {
    "qemu-cpu-kvm": "-M virt -cpu cortex-a57",
    "qemu-virtualization": "-M virt,virtualization=on",
    "qemu-mte-kvm": "-M virt,mte=on",
    "qemu-gic-version": "-M virt,gic-version=2",
}


def test_every_message_has_a_scene() -> None:
    assert SCENES.keys() | OPEN.keys() == MESSAGES.keys()


@pytest.mark.parametrize("code", OPEN)
def test_what_only_the_host_knows_is_unknown(code: str) -> None:
    verdict = start(vm(head=OPEN[code]), host(), Q11_1)
    assert verdict.answer == "unknown"
    (doubt,) = verdict.of("unknown")
    assert doubt.code == code
    assert doubt.why
    assert doubt.next


@pytest.mark.parametrize("code", SCENES)
def test_the_message_is_reached_and_tells_what_to_do(code: str) -> None:
    failure = SCENES[code].play()
    assert failure.code == code
    assert failure.remedy
    assert not re.search(r"[{}]", failure.remedy + failure.text)


@pytest.mark.parametrize("code", [code for code, scene in SCENES.items() if not scene.then])
def test_a_start_that_is_refused_is_no_yes(code: str) -> None:
    scene = SCENES[code]
    verdict = start(scene.machine, scene.on, scene.qemu, absent=scene.absent)
    assert verdict.answer == "refused"
    assert not verdict.would_start(assume_safe=True)
    assert verdict.trace[-1].event.startswith("refused: ")


@pytest.mark.parametrize("code", [code for code, row in MESSAGES.items() if row.hint])
def test_a_hint_follows_on_lines_of_its_own(code: str) -> None:
    failure = SCENES[code].play()
    assert failure.printed.endswith(f"{failure.text}\n{MESSAGES[code].hint}")


@pytest.mark.parametrize("code", [code for code, row in MESSAGES.items() if row.aborts])
def test_where_qemu_aborts_nothing_stands_in_front(code: str) -> None:
    failure = SCENES[code].play()
    assert failure.printed == failure.text


@pytest.mark.parametrize(
    ("text", "bad"),
    [("oas=44,ssidsize=x,ats=y,ril=z", "ril"), ("ats=y,ssidsize=x", "ats"), ("ats=y,foo=1", "ats")],
)
def test_of_two_wrong_properties_the_first_in_qemus_hash_table_is_reported(text: str, bad: str) -> None:
    failure = start(vm(text), host(), Q11_1).failure
    assert failure is not None
    assert f"'{bad}'" in failure.text


def test_a_wrong_global_is_named_in_front() -> None:
    machine = options("-M virt -global arm-smmuv3.ats=maybe -device arm-smmuv3,primary-bus=pcie.0")
    failure = start(machine, host(), Q11_1).failure
    assert failure is not None
    assert failure.text == "Parameter 'ats' does not accept value 'maybe'"
    assert failure.printed == (
        "qemu-system-aarch64: -device arm-smmuv3,primary-bus=pcie.0: "
        f"can't apply global arm-smmuv3.ats=maybe: {failure.text}"
    )


def test_a_device_of_a_configuration_file_is_named_by_its_line() -> None:
    text = b'[device "S0"]\n  driver = "arm-smmuv3"\n'
    machine = read_words(
        ["qemu-system-aarch64", "-M", "virt", "-readconfig", "vm.cfg"], lambda _: text
    ).machine()
    failure = start(machine, host(), Q11_1).failure
    assert failure is not None
    assert failure.printed == "qemu-system-aarch64:vm.cfg:2: SMMU is not attached to any PCI bus!"


@pytest.mark.parametrize("wish", ["on", "off", "auto", "yes"])
def test_the_board_takes_acpi_as_on_off_or_auto(wish: str) -> None:
    failure = start(vm(head=f"-M virt,acpi={wish}"), host(), Q11_1).failure
    assert (failure.code if failure else "") == {"off": "qemu-acpi", "yes": "qemu-value"}.get(wish, "")


@pytest.mark.parametrize(
    ("options_of_kvm", "answer"),
    [
        ("-accel kvm", "starts"),
        ("-enable-kvm", "starts"),
        ("-M accel=kvm:tcg", "starts"),
        ("-accel kvm,kernel-irqchip=off", "qemu-kvm"),
        ("-accel kvm -M kernel-irqchip=off", "qemu-kvm"),
        ("-accel tcg", "qemu-kvm"),
        ("", "qemu-kvm"),
    ],
)
def test_acceleration_needs_kvm_with_its_interrupt_controller(options_of_kvm: str, answer: str) -> None:
    machine = options(
        f"-M virt {options_of_kvm} -bios firmware.fd -nodefaults -object iommufd,id=i0",
        "-device arm-smmuv3,primary-bus=pcie.0,accel=on -device vfio-pci,host=0000:01:00.0,iommufd=i0",
    )
    verdict = start(machine, host(), Q11_1)
    assert (verdict.failure.code if verdict.failure else verdict.answer) == answer


# --- hazards ------------------------------------------------------------------------------------------------


def test_every_message_of_a_property_is_one_of_qemus() -> None:
    for entry in PROPERTIES.values():
        named = {entry.accel_message, entry.host_message, entry.unimplemented_message} - {""}
        assert named <= set(MESSAGES)
