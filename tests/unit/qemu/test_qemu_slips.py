# SPDX-License-Identifier: Apache-2.0
"""Slips that operators make, one row each, with what QEMU 11.1.3 said of them [recorded]."""

from __future__ import annotations

import pytest

import domains
from examples import Q11_1, function, host, options, port, smmu, vfio, vm
from vsmmu.errors import InputRefused
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.recognise import read_vm
from vsmmu.qemu.process import start

HEAD = "-M virt,gic-version=3 -accel kvm -cpu host -bios firmware.fd -nodefaults -object iommufd,id=i0"
MAP = "requires iommu MAP notifier which is not currently supported"
V1 = vfio("0000:01:00.0", 1)
VIRTIO = "-device virtio-rng-pci,bus=rp1"
MISSING = "-device vfio-pci,host=0000:01:00.0,bus=rp1,iommufd=nope"
KVM = "SMMUv3 accel=on requires KVM with kernel-irqchip=on support"
BYPASS = "Bypass option cannot be set for SMMUv3 associated PCIe RC"

#: What is written -> what QEMU says.
REFUSED = {
    f"-M virt,iommu=smmuv3 -accel kvm -nodefaults -object iommufd,id=i0 {port(1, 'pcie.0')} {V1}": (
        f"memory listener initialization failed: Region smmuv3-iommu-memory-region-0-0: device 00.00.0 {MAP}"
    ),
    f"{HEAD} -device vfio-pci,host=0000:01:00.0,iomufd=i0": "Property 'vfio-pci.iomufd' not found",
    f"{HEAD} -device pcie-root-port,id=r,adr=3": "Property 'pcie-root-port.adr' not found",
    f"{HEAD} -device pxb-pcie,id=p,busnr=8": "Property 'pxb-pcie.busnr' is not writable",
    "-M virt,bogus=1": "Property 'virt-11.1-machine.bogus' not found",
    f"{HEAD} -device edu,addr=3 -device edu,addr=3": (
        "PCI: slot 3 function 0 not available for edu, in use by edu,id=(null)"
    ),
    f"{HEAD} -device edu,addr=3 -device edu,addr=3.1": (
        "PCI: single function device can't be populated in function 3.1"
    ),
    f"{HEAD} -device edu,addr=3.1 -device edu,addr=3.0": (
        "PCI: 3.0 indicates single function, but 3.1 is already populated."
    ),
    f"{HEAD} -device pxb-pcie,id=p,bus_nr=8,bypass_iommu=yes -device arm-smmuv3,primary-bus=p": BYPASS,
    "-M virt,default-bus-bypass-iommu=true -device arm-smmuv3,primary-bus=pcie.0": BYPASS,
    f"{HEAD} -device pcie-root-port,id=r -device pxb-pcie,id=p": "Bus 0 is already in use",
    f"{HEAD} -device pxb-pcie,id=p,bus_nr=8,numa_node=1": "Illegal numa node 1",
    f"{HEAD} {port(1, 'pcie.0')} -device vfio-pci,fd=33,iommufd=i0,bus=rp1": "Segmentation fault",
    f"{HEAD} {port(1, 'pcie.0')} {vfio('0000:09:00.0', 1)}": "no such host device: No such file or directory",
    "-M virt,iommu=nested-smmuv3": "Invalid iommu value",
    f"{HEAD} {port(1, 'pcie.0')} {VIRTIO} {MISSING}": "Device 'nope' not found",
    f"{HEAD} {port(1, 'pcie.0')} {VIRTIO} {MISSING},addr=99": "Device 'nope' not found",
    f"{HEAD} {port(1, 'pcie.0')} {VIRTIO} {MISSING},fd=abc": "Device 'nope' not found",
    f"{HEAD} {port(1, 'pcie.0')} {VIRTIO} {MISSING},bogus=1": "Device 'nope' not found",
    "-M virt-.2": 'unsupported machine type: "virt-.2"',
    "-M virt -accel tcg -device arm-smmuv3,primary-bus=pcie.0,accel=yes": KVM,
}
#: What is written -> what QEMU says where its build has no such name.
UNKNOWN = {
    "-M virt -device nosuch": "'nosuch' is not a valid device model name",
    "-M virt -device arm-smmuv3-accel,bus=pcie.0": "'arm-smmuv3-accel' is not a valid device model name",
    "-M virt -object acpi-egm-memory,id=e": "Parameter 'qom-type' does not accept value 'acpi-egm-memory'",
}
#: QEMU starts these, and the guest misses something.
FAILS_LATER = {
    f"{HEAD} {port(1, 'pcie.0')} {V1} -device edu,bus=rp1": "endpoint-not-in-slot-0",
    f"{HEAD} -device pxb-pcie,id=p,bus_nr=129,bus=pcie.0 -device pxb-pcie,id=q,bus_nr=130,bus=pcie.0 "
    f"{port(1, 'p')} {port(2, 'q')}": "no-room-for-buses",
}


@pytest.mark.parametrize("written", REFUSED)
def test_what_qemu_refuses_is_refused_in_its_words(written: str) -> None:
    facts = host(smmu(), function("0000:01:00.0")).listing_all()
    verdict = start(options(written), facts, Q11_1)
    assert verdict.answer == "refused"
    assert verdict.failure is not None
    assert verdict.failure.text == REFUSED[written]


@pytest.mark.parametrize("written", UNKNOWN)
def test_a_type_that_builds_differ_in_is_unknown_with_qemus_words(written: str) -> None:
    verdict = start(options(written), host(), Q11_1)
    assert verdict.answer == "unknown"
    assert UNKNOWN[written] in [found.why for found in verdict.diagnostics]


@pytest.mark.parametrize("written", FAILS_LATER)
def test_what_the_guest_never_sees_fails_later(written: str) -> None:
    verdict = start(options(written), host(), Q11_1)
    assert verdict.answer == "fails-later", verdict.diagnostics
    assert FAILS_LATER[written] in [found.code for found in verdict.of("hazard")]


def test_where_the_bus_goes_around_the_boards_smmu_a_function_starts() -> None:
    head = "-M virt,iommu=smmuv3,default_bus_bypass_iommu=on -accel kvm -nodefaults -object iommufd,id=i0"
    assert start(options(head, port(1, "pcie.0"), V1), host(), Q11_1).answer == "starts"
    root = "-device pxb-pcie,id=p,bus_nr=8,bypass_iommu=y"
    head = "-M virt,iommu=smmuv3 -accel kvm -nodefaults -object iommufd,id=i0"
    assert start(options(head, root, port(1, "p"), V1), host(), Q11_1).answer == "starts"
    assert start(options(head, root, port(1, "pcie.0"), V1), host(), Q11_1).answer == "refused"


def test_a_virtio_iommu_lets_a_function_start() -> None:
    head = "-M virt -accel kvm -nodefaults -object iommufd,id=i0 -device virtio-iommu-pci,bus=pcie.0"
    assert start(options(head, port(1, "pcie.0"), V1), host(), Q11_1).answer == "starts"


@pytest.mark.parametrize(
    "text",
    ["qemu-system-x86_64 -M q35 -nodefaults", "qemu-system-riscv64 -M virt -nodefaults"],
)
def test_another_machine_is_not_judged(text: str) -> None:
    assert start(read_vm(text.encode()).machine(), host(), Q11_1).answer == "not-judged"


@pytest.mark.parametrize("text", ["hello world\n", "a: 1\nb: [2]\n", "[Unit]\nDescription=x\n"])
def test_what_is_no_vm_is_refused_as_what_it_is(text: str) -> None:
    with pytest.raises(InputRefused):
        read_vm(text.encode()).machine()


def test_hostdevs_at_one_guest_address_are_refused_in_qemus_words() -> None:
    one = domains.PARTS["hostdev"]
    other = one.replace("domain='0x0009' bus='0x01'", "domain='0x0009' bus='0x02'")
    vm = read_vm(domains.domain(hostdev=one + other)).machine()
    failed = start(vm, builtin_host("gb200"), Q11_1).failure
    assert failed is not None
    text = "PCI: slot 0 function 0 not available for vfio-pci, in use by vfio-pci,id=hostdev0"
    assert failed.text == text


def test_a_vm_whose_names_are_right_still_starts() -> None:
    assert start(vm(), host(), Q11_1).answer == "starts"
