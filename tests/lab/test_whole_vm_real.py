# SPDX-License-Identifier: Apache-2.0
"""A planned VM with GPU-like functions boots: its NUMA nodes, its MMIO window, and one that is too small."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from running_vm import STOPPED

from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import Host, MemoryRegion
from vsmmu.host.files import encode_host
from vsmmu.lab import cpio
from vsmmu.machine.command_line.argv import read_words
from vsmmu.plan.planner import Order, plan
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

GPU, OTHER = "0009:01:00.0", "0019:01:00.0"
INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox dmesg | /bin/busybox grep -e 'oas .*-bit' -e "can't assign; no space"
for device in /sys/bus/pci/devices/*; do
    /bin/busybox grep -q 0x10de $device/vendor || continue
    /bin/busybox echo gpu node $(/bin/busybox cat $device/numa_node)
    /bin/busybox echo bar $(/bin/busybox sed -n 5p $device/resource)
done
for name in has_generic_initiator has_cpu has_memory; do
    /bin/busybox echo nodes $name $(/bin/busybox cat /sys/devices/system/node/$name)
done
/bin/busybox poweroff -f
"""
QEMU = [
    "qemu-system-aarch64",
    *(word for word in STOPPED if word != "-S"),
    *"-serial stdio -no-reboot -kernel /root/whole/Image -initrd /root/whole/initramfs -append".split(),
    "console=ttyAMA0 quiet acpi=force panic=-1",
]


def gpus(size: int) -> Host:
    """A GB200 whose GPUs have one BAR of this size, as their vfio driver shows it."""
    region = MemoryRegion(4, f"{size:#x}", True)
    functions = [
        msgspec.structs.replace(entry, memory_regions=(region,)) if entry.vendor == "10de" else entry
        for entry in builtin_host("gb200").functions
    ]
    return msgspec.structs.replace(builtin_host("gb200"), functions=tuple(functions))


def boot(lab: Session, facts: Host, words: Sequence[str]) -> str:
    files = {"init": INIT, "bin/busybox": lab.get("/usr/bin/busybox"), "dev/.keep": b"", "sys/.keep": b""}
    initramfs = cpio.archive(files, executable={"init", "bin/busybox"})
    lab.put({
        "/root/whole/Image": lab.artifacts.kernel,
        "/root/whole/initramfs": initramfs,
        "/root/whole/host.json": encode_host(facts),
    })  # fmt: skip
    result = lab.run(["vsmmu", "emulate", "-q", "--host", "/root/whole/host.json", "--", *words], timeout=180)
    assert result.status == 0, result.stderr.decode()
    return result.stdout.decode(errors="replace")


def test_the_guest_has_the_planned_nodes_and_bars(lab: Session) -> None:
    facts = gpus(128 << 30)
    planned = plan(Order((GPU, OTHER), words=tuple(QEMU)), facts, LATEST)
    assert planned.command_line is not None
    assert (planned.mmio_window, planned.answer) == (512 << 30, "starts")
    said = boot(lab, facts, planned.command_line)
    assert "oas 48-bit" in said
    # A port without I/O space is nothing that a GPU misses.
    assert not re.search(r"\[mem [^]]*\]: can't assign", said), said
    bars = [line.split()[1:] for line in said.splitlines() if line.startswith("bar ")]
    assert [int(end, 16) - int(begin, 16) + 1 for begin, end, _ in bars] == [128 << 30] * 2
    assert said.count("gpu node 0") == 2
    nodes = dict(re.findall(r"^nodes (\w+) (\S*)\r?$", said, re.M))
    # Of 16: with arm64's default CONFIG_NODES_SHIFT=4 a kernel has room for nodes 0 to 15.
    assert nodes["has_generic_initiator"] == "1-15"
    assert (nodes["has_cpu"], nodes["has_memory"]) == ("0", "0")


def test_a_window_that_is_too_small_is_predicted_and_seen(lab: Session) -> None:
    facts = gpus(512 << 30)
    devices = (GPU, OTHER)
    planned = plan(Order(devices, words=tuple(QEMU)), facts, LATEST)
    assert planned.command_line is not None
    small = [word.replace("highmem-mmio-size=2T", "highmem-mmio-size=512G") for word in planned.command_line]
    assert small != list(planned.command_line)
    found = start(read_words(small).machine(), facts, LATEST).diagnostics
    assert [entry.code for entry in found] == ["mmio-window-small"]
    said = boot(lab, facts, small)
    assert re.search(r"BAR 4 \[mem size 0x8000000000 64bit pref\]: can't assign; no space", said), said
