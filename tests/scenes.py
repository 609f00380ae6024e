# SPDX-License-Identifier: Apache-2.0
"""A VM for every message of QEMU that the model knows: one that gets it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

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
from vsmmu.qemu import device_tables
from vsmmu.qemu.process import QemuProcess
from vsmmu.qemu.realize import MAX_VSMMUS
from vsmmu.qemu.versions import parse_version

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
    "qemu-queues": Scene(options("-M virt -device virtio-scsi-pci,virtqueue_size=2048")),
    "qemu-bar-size": Scene(options("-M virt -device pci-testdev,membar=3M")),
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
