# SPDX-License-Identifier: Apache-2.0
"""Accelerators, memory, CPUs, drives, NUMA and options against QEMU 11.1.3 and 10.2.2 without KVM for Arm."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from conformance.here import NOBODY
from recordings import Case, opaque_machines
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.argv import read_source, read_words
from vsmmu.machine.drivers import bare_name
from vsmmu.qemu import device_limits
from vsmmu.qemu.process import QemuProcess, start
from vsmmu.qemu.versions import LATEST, parse_version

GOLDEN = Path(__file__).parents[2] / "golden"


def recorded(folder: str, *names: str) -> list[dict[str, Any]]:
    texts = [(GOLDEN / folder / f"{name}.jsonl").read_text(encoding="utf-8") for name in names]
    return [json.loads(line) for text in texts for line in text.splitlines()]


CASES = recorded("qemu-11.1.3", "start", "sizes", "values", "options", "limits")
OLDER = recorded("qemu-10.2.2", "start", "sizes", "values")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["command"][-60:])
def test_the_model_says_what_qemu_said(case: dict[str, Any]) -> None:
    machine = read_words(shlex.split(case["command"])).machine()
    verdict = QemuProcess(machine, NOBODY, LATEST._replace(has_kvm=False), absent={"yes"}).start()
    assert verdict.at_start == ("starts" if case["exit"] == 0 else "refused")
    if verdict.failure is not None:
        assert verdict.failure.printed == "\n".join(case["stderr"])


@pytest.mark.parametrize("case", OLDER, ids=lambda case: case["command"][-60:])
def test_the_model_of_10_2_says_what_it_said(case: dict[str, Any]) -> None:
    machine = read_words(shlex.split(case["command"])).machine()
    older = parse_version("10.2")._replace(has_kvm=False)
    verdict = QemuProcess(machine, NOBODY, older, absent={"yes"}).start()
    said = "starts" if case["exit"] == 0 else "refused"
    assert verdict.at_start == ("unknown" if case.get("unknown") else said)
    if verdict.failure is not None:
        assert verdict.failure.printed == "\n".join(case["stderr"])


def opened(command: str) -> list[str]:
    """The command line as scripts, in each another value that only a shell knows."""
    places = [match.span(1) for match in re.finditer(r"(?<=[=])([^=,. ]+)", command) if match[1] != "tcg"]
    places += [
        match.span(1) for match in re.finditer(r"-(?:m|smp|name|boot|vnc) ([^=, ]+)(?=[, ]|$)", command)
    ]
    return [f"{command[:start]}$X{command[end:]}" for start, end in places]


@pytest.mark.parametrize(
    "command", [case["command"] for case in CASES if case["exit"] == 0], ids=lambda text: text[-60:]
)
def test_a_value_that_only_a_shell_knows_is_no_fault(command: str) -> None:
    for text in opened(command):
        try:
            machine = read_source(f"#!/bin/sh\n{text}\n".encode()).machine()
        except InputRefused as refused:
            if refused.code != "shell-expansion":  # a rule needs the value: the text is not judged
                raise
            continue
        verdict = QemuProcess(machine, NOBODY, LATEST._replace(has_kvm=False)).start()
        assert verdict.at_start != "refused", (text, verdict.failure)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["command"][-60:])
def test_words_that_only_a_shell_knows_leave_the_answer_open(case: Case) -> None:
    for machine in opaque_machines(case):
        answer = start(machine, NOBODY, LATEST._replace(has_kvm=False), absent={"yes"}).answer
        assert answer != ("refused" if case["exit"] == 0 else "starts"), machine.unread


@pytest.mark.parametrize(
    "words",
    [
        "-netdev user,id=n -device virtio-net-pci,netdev=n,tx_queue_size=1024",
        "-device pcie-root-port,id=r -device virtio-net-pci,bus=r,sriov-pf=pf",
        "-device loader,file=firmware.bin,addr=0x40000000",
        "-device guest-loader,kernel=Image,addr=0x49000000",
        "-device usb-ehci,maxframes=7",
        "-device nvme-subsys,id=s,fdp=on",
        "-device virtio-serial-pci,max_ports=40 -device virtconsole,nr=31",
        "-object memory-backend-ram,id=x,size=64K -device acpi-erst,memdev=x -device ivshmem-plain,memdev=x",
    ],
)
def test_what_something_else_decides_is_no_yes(words: str) -> None:
    given = shlex.split(f"qemu-system-aarch64 -M virt -accel tcg -nodefaults {words}")
    verdict = QemuProcess(read_words(given).machine(), NOBODY, LATEST._replace(has_kvm=False)).start()
    assert verdict.answer == "unknown"
    assert verdict.of("unknown")[0].code == "qemu-device-value"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('size = "zz"', "Parameter 'size' expects size"),
        ('size = "1G"\n prealloc-threads = "x"', "Parameter 'prealloc-threads' expects integer"),
        ('size = "1G"\n host-nodes = "x"', "Invalid parameter type for 'host-nodes', expected: array"),
    ],
)
def test_objects_of_a_file_are_read_in_another_way_than_those_of_the_command_line(
    line: str, said: str
) -> None:
    """Recorded from QEMU 11.1.3 with -readconfig."""
    text = f'[object "m"]\n qom-type = "memory-backend-ram"\n {line}\n'
    words = "qemu-system-aarch64 -M virt -accel tcg -nodefaults -readconfig vm.cfg".split()
    machine = read_words(words, lambda _: text.encode()).machine()
    verdict = QemuProcess(machine, NOBODY, LATEST._replace(has_kvm=False)).start()
    assert verdict.failure is not None
    assert verdict.failure.printed.endswith(f" {said}")


@pytest.mark.parametrize(
    ("sizes", "answer"),
    [
        ("size=128M -device virtio-mem-pci,memdev=m", "unknown"),
        ("size=1G -device virtio-mem-pci,memdev=m,requested-size=2M", "unknown"),
        ("size=1G -device virtio-mem-pci,memdev=m,requested-size=512M", "starts"),
        ("size=128M -device virtio-mem-pci,memdev=m,block-size=2M,requested-size=2M", "starts"),
    ],
)
def test_the_block_of_a_virtio_mem_without_block_size_is_the_hosts(sizes: str, answer: str) -> None:
    """virtio_mem_default_block_size() in hw/virtio/virtio-mem.c: the size of the host's huge pages."""
    text = f"qemu-system-aarch64 -M virt -accel tcg -m 1G,maxmem=4G -object memory-backend-ram,id=m,{sizes}"
    machine = read_words(shlex.split(f"{text} -nodefaults")).machine()
    assert QemuProcess(machine, NOBODY, LATEST._replace(has_kvm=False)).start().answer == answer


def test_a_bare_word_for_a_disk_is_named_as_qemu_names_it() -> None:
    """Recorded from QEMU 11.1.3."""
    machine = read_words("qemu-system-aarch64 -M virt -accel tcg -nodefaults a.img b.img".split()).machine()
    failure = QemuProcess(machine, NOBODY, LATEST._replace(has_kvm=False)).start().failure
    assert failure is not None
    assert failure.printed == "qemu-system-aarch64: b.img: drive with bus=0, unit=0 (index=0) exists"


@pytest.mark.parametrize(
    "limit", device_limits._LIMITS, ids=lambda limit: f"{limit.property} of {limit.kinds}"
)
def test_each_bound_was_measured_on_both_its_sides(limit: device_limits.Limit) -> None:
    bounds = range(1 << 33)
    told = {
        int(match[1])
        for case in recorded("qemu-11.1.3", "limits")
        for device in re.findall(r"-device (\S+)", case["command"])
        if re.fullmatch(limit.kinds, bare_name(device.partition(",")[0]))
        if (match := re.search(rf",{limit.property}=(\d+)(,|$)", device))
    }
    sides = {limit.least - 1, limit.least, limit.most, limit.most + 1}
    assert {side for side in sides if side in bounds} <= told


@pytest.mark.parametrize(
    ("backend", "answer"),
    [
        ("memory-backend-memfd,id=o,size=3M,hugetlb=on", "unknown"),
        ("memory-backend-memfd,id=o,size=1G,hugetlb=on", "starts"),
        ("memory-backend-memfd,id=o,size=3M", "starts"),
        ("memory-backend-file,id=o,size=1M,mem-path=m,align=4K", "unknown"),
        ("memory-backend-file,id=o,size=1M,mem-path=m,align=3", "refused"),
        ("memory-backend-file,id=o,size=1M,mem-path=m,align=64K", "starts"),
    ],
)
def test_what_the_pages_of_the_host_decide(backend: str, answer: str) -> None:
    text = f"qemu-system-aarch64 -M virt -accel tcg -nodefaults -object {backend}"
    verdict = QemuProcess(read_words(text.split()).machine(), NOBODY, LATEST._replace(has_kvm=False)).start()
    assert verdict.answer == answer
