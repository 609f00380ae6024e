# SPDX-License-Identifier: Apache-2.0
"""Memory in ordinary pages, of commands and of domains."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import Q11_1, function, host, port, smmu, vfio, vm, with_pages
from vsmmu.host.judgements import PAGES
from vsmmu.machine.recognise import read_vm
from vsmmu.policy.checking import check
from vsmmu.policy.options import Options
from vsmmu.qemu.memory_pages import memory_in_small_pages
from vsmmu.qemu.process import start

BASE = "qemu-system-aarch64 -M virt -m 4G -nodefaults "
FILE = "-object memory-backend-file,id=f,size=4G,mem-path={} -machine memory-backend=f"
DIMM = "-object memory-backend-ram,id=r,size=1G -device pc-dimm,memdev=r"
DOMAIN = "<domain type='kvm'><os><type arch='aarch64' machine='virt'>hvm</type></os>{}</domain>"


@pytest.mark.parametrize(
    ("words", "small"),
    [
        ("", ["its memory"]),
        ("-mem-path /dev/hugepages", []),
        (FILE.format("/dev/hugepages"), []),
        (FILE.format("/dev/shm/vm"), ["f"]),
        ("-object memory-backend-ram,id=r,size=4G -machine memory-backend=r", ["r"]),
        ("-object memory-backend-memfd,id=m,size=4G -machine memory-backend=m", ["m"]),
        ("-object memory-backend-memfd,id=m,size=4G,hugetlb=on -machine memory-backend=m", []),
        ("-object memory-backend-memfd,id=m,size=4G,hugetlb=on -numa node,memdev=m", []),
        (f"{FILE.format('/dev/hugepages')} -object memory-backend-ram,id=r,size=1G", []),
        (f"{FILE.format('/dev/hugepages')} {DIMM}", ["r"]),
    ],
)
def test_of_a_command(words: str, small: list[str]) -> None:
    assert list(memory_in_small_pages(read_vm(BASE + words).machine())) == small


@pytest.mark.parametrize(
    ("backing", "small"),
    [
        ("", ["its memory"]),
        ("<memoryBacking><locked/></memoryBacking>", ["its memory"]),
        ("<memoryBacking><hugepages/></memoryBacking>", []),
    ],
)
def test_of_a_domain(backing: str, small: list[str]) -> None:
    assert list(memory_in_small_pages(read_vm(DOMAIN.format(backing)).machine())) == small


@given(
    st.sampled_from(PAGES),
    st.sampled_from(["memory-backend-memfd", "memory-backend-shm", "memory-backend-file"]),
    st.integers(1, 1 << 30).map(lambda size: size & ~0x3FF or 1024),
)
@settings(max_examples=40, deadline=None)
def test_with_the_pages_known_memory_with_a_file_is_judged_for_certain(
    page: int, kind: str, size: int
) -> None:
    path = ",mem-path=/var/vm" if kind.endswith("file") else ""
    words = f"{BASE} -object {kind},id=m,size={size}{path}"
    known = check(read_vm(words), with_pages(host(smmu()), page), Q11_1, Options())
    faults = [entry.severity for entry in known.diagnostics if entry.code == "qemu-object-value"]
    assert faults == ([] if size % page == 0 else ["error"])
    open_ = check(read_vm(words), host(smmu()), Q11_1, Options())
    doubts = [entry.severity for entry in open_.diagnostics if entry.code == "qemu-object-value"]
    assert doubts == ([] if size % (64 << 10) == 0 else ["error"] if size % (4 << 10) else ["unknown"])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [2 << 20, 32 << 20, 512 << 20, 1 << 30])
def test_with_the_pages_known_the_blocks_of_a_virtio_mem_are_too(page: int, size: int) -> None:
    words = (
        f"{BASE.replace('-m 4G', '')} -m 1G,maxmem=8G -object memory-backend-ram,id=m,size={size} "
        "-device virtio-mem-pci,memdev=m,bus=pcie.0"
    )
    found = check(read_vm(words), with_pages(host(smmu()), page), Q11_1, Options())
    faults = [entry.severity for entry in found.diagnostics if entry.code == "qemu-memory-device"]
    assert faults == ([] if size % (page * page // 8) == 0 else ["error"])


@pytest.mark.parametrize("page", PAGES)
def test_command_queues_are_as_long_as_a_page(page: int) -> None:
    facts = host(smmu("c", cmdqv=1), function("0000:04:00.0", "c"))
    machine = vm("cmdqv=auto", port(1), vfio("0000:04:00.0", 1))
    [found] = start(machine, with_pages(facts, page), Q11_1).diagnostics
    assert (found.code, f"{page // 16} entries" in found.what) == ("cmdqv-small-pages", True)
    [found] = start(machine, facts, Q11_1).diagnostics
    assert "256 or 1024 or 4096 entries" in found.what
