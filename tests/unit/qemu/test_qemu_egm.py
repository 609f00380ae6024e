# SPDX-License-Identifier: Apache-2.0
"""EGM of a VM: memory that is a region of the host, and the objects that tell the guest's driver."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

import vsmmu
from domains import domain
from examples import with_egm
from vsmmu.host.builtin import builtin_host
from vsmmu.qemu.egm import has_egm
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.qemu.outcome import Verdict

FORK = "nvidia-11.0"
GRACE = with_egm(builtin_host("gb200"))
MEMORY = "-m 64G -object memory-backend-file,id=m0,mem-path=/dev/egm4,size=64G,share=on,prealloc=on"
NODES = "-numa node,nodeid=0,memdev=m0,cpus=0 " + " ".join(f"-numa node,nodeid={n}" for n in range(1, 9))
TOLD = "-object acpi-egm-memory,id=e0,pci-dev=v1,node=0"


def words(memory: str = MEMORY, nodes: str = NODES, more: str = TOLD) -> str:
    initiators = " ".join(f"-object acpi-generic-initiator,id=g{n},pci-dev=v1,node={n}" for n in range(1, 9))
    return (
        f"qemu-system-aarch64 -M virt,gic-version=3,highmem-mmio-size=1T -accel kvm -bios f.fd -nodefaults "
        f"{memory} {nodes} -object iommufd,id=i0 -device pxb-pcie,id=px1,bus_nr=16,bus=pcie.0,numa_node=0 "
        "-device arm-smmuv3,primary-bus=px1,id=s1,accel=on,ats=on,ril=off,ssidsize=20,oas=48,cmdqv=off "
        "-device pcie-root-port,id=rp1,bus=px1,chassis=1 "
        f"-device vfio-pci,host=0008:01:00.0,id=v1,bus=rp1,iommufd=i0 {initiators} {more}"
    )


def check(text: str, facts: Host = GRACE, qemu: str = FORK) -> Verdict:
    return vsmmu.check(vsmmu.read_vm(shlex.split(text)), facts, qemu=qemu)


def egm(verdict: Verdict) -> list[tuple[str, str]]:
    return [(entry.code, entry.severity) for entry in verdict.diagnostics if entry.code.startswith("egm-")]


SHARED = ("egm-shared", "warning")


def test_a_vm_whose_memory_is_its_functions_region_is_right() -> None:
    verdict = check(words())
    assert verdict.answer == "starts"
    assert egm(verdict) == [SHARED]  # the socket's other GPU is not in it
    [found] = [entry for entry in verdict.diagnostics if entry.code == "egm-shared"]
    assert "0009:01:00.0" in found.what


@pytest.mark.parametrize("qemu", [FORK, "nvidia-10.1", "11.1", "11.0"])
def test_memory_that_is_no_region_is_a_warning_with_the_way(qemu: str) -> None:
    ram = "-m 2G -object memory-backend-ram,id=m0,size=2G"
    own = words(ram, more="")
    own = own.replace("ssidsize=20", "pasid=on") if qemu == "nvidia-10.1" else own
    own = own.replace(",cmdqv=off", "") if qemu in ("nvidia-10.1", "11.0") else own
    verdict = check(own, qemu=qemu)
    assert verdict.answer in ("starts", "unknown")
    assert egm(verdict) == [("egm-memory", "warning")]
    [found] = [entry for entry in verdict.diagnostics if entry.code == "egm-memory"]
    assert ("mem-path=/dev/egm4,size=64G,share=on" in found.next) is has_egm(parse_version(qemu))
    assert ("nvidia-11.0" in found.next) is not has_egm(parse_version(qemu))
    assert "64G" in found.what


def test_a_size_that_the_kernel_does_not_say_is_not_printed() -> None:
    verdict = check(words("-m 2G -object memory-backend-ram,id=m0,size=2G", more=""), with_egm(GRACE, None))
    [found] = [entry for entry in verdict.diagnostics if entry.code == "egm-memory"]
    assert "size=SIZE" in found.next
    assert "G)" not in found.what
    assert egm(check(words(), with_egm(GRACE, None))) == [SHARED]


@pytest.mark.parametrize(
    ("change", "expected", "answer"),
    [
        (("64G", "63G"), ("egm-size", "warning"), "starts"),
        (("64G", "65G"), ("egm-size", "hazard"), "fails-later"),
        ((",share=on", ""), ("egm-private", "hazard"), "fails-later"),
        ((",share=on", ",share=off"), ("egm-private", "hazard"), "fails-later"),
        (("/dev/egm4", "/dev/egm9"), ("egm-unlisted", "unknown"), "unknown"),
    ],
)
def test_a_region_that_is_mapped_in_a_wrong_way(
    change: tuple[str, str], expected: tuple[str, str], answer: str
) -> None:
    verdict = check(words(MEMORY.replace(*change)))
    assert expected in egm(verdict)
    assert verdict.answer == answer


@pytest.mark.parametrize("more", ["", TOLD.replace("node=0", "node=3"), TOLD.replace("v1", "px1")])
def test_a_function_of_which_the_driver_is_not_told(more: str) -> None:
    assert ("egm-object", "warning") in egm(check(words(more=more)))


def test_the_missing_object_is_written_by_fix_for_a_qemu_that_has_it() -> None:
    vm = vsmmu.read_vm(shlex.split(words(more="")))
    fixed = vsmmu.fix(vm, GRACE, qemu=FORK)
    assert "acpi-egm-memory,id=egm0,pci-dev=v1,node=0" in fixed.vm.render().decode()
    assert egm(vsmmu.check(fixed.vm, GRACE, qemu=FORK)) == [SHARED]
    for qemu in ("11.1", "11.0"):
        left = vsmmu.fix(vm, GRACE, qemu=qemu)
        assert "acpi-egm-memory" not in left.vm.render().decode()
        assert "egm-object" in {entry.code for entry in left.verdict.diagnostics}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (TOLD.replace("node=0", "node=9"), "acpi-egm-memory: Specified node 9 is invalid."),
        (TOLD.replace("v1", "nobody"), "acpi-egm-memory: Specified device must be a PCI device."),
        (TOLD.replace("v1", "s1"), "acpi-egm-memory: Specified device must be a PCI device."),
    ],
)
def test_a_fork_looks_for_node_and_device_and_no_binary_was_asked(more: str, says: str) -> None:
    verdict = check(words(more=more))
    assert verdict.answer == "unknown"
    assert says in {entry.why for entry in verdict.diagnostics}
    assert check(words(more=more).replace("-M virt", "-M virt,acpi=off")).answer != "starts"


def test_without_nodes_no_node_is_there() -> None:
    verdict = check(words("-m 2G", "", TOLD).replace(",numa_node=0", ""))
    assert "acpi-egm-memory: Specified node 0 is invalid." in {entry.why for entry in verdict.diagnostics}


def test_a_domain_has_no_words_for_egm() -> None:
    vm = vsmmu.read_vm(domain(hostdev=domain_hostdev()))
    verdict = vsmmu.check(vm, GRACE, qemu="11.1")
    [found] = [entry for entry in verdict.diagnostics if entry.code == "egm-memory"]
    assert found.next.startswith("libvirt has no element for it")


def domain_hostdev() -> str:
    from domains import PARTS

    return PARTS["hostdev"]


def test_nothing_is_said_of_a_host_that_nobody_asked() -> None:
    assert egm(check(words(), builtin_host("gb200"))) == []
    assert egm(check(words("-m 2G -object memory-backend-ram,id=m0,size=2G"), builtin_host("gb200"))) == []
