# SPDX-License-Identifier: Apache-2.0
"""Memory in ordinary pages, of commands and of domains."""

from __future__ import annotations

import pytest

from vsmmu.machine.recognise import read_vm
from vsmmu.qemu.memory_pages import memory_in_small_pages

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
