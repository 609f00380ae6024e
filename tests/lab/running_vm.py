# SPDX-License-Identifier: Apache-2.0
"""VMs inside the lab: functions bound for them, QEMU in the background, its monitor from the outside."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vsmmu.lab import cpio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.lab import CommandResult, Session

FIRMWARE = "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd"
#: A VM that stops before its first instruction.
STOPPED = (
    f"-M virt,gic-version=3 -accel kvm -cpu host -m 256 -display none -nodefaults -bios {FIRMWARE} -S".split()
)
#: What the guest does: show its SMMU driver's lines and its PCI functions, and stay.
INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox dmesg | /bin/busybox grep -e 'oas .*-bit'
for device in /sys/bus/pci/devices/*; do
    /bin/busybox echo "function $(/bin/busybox cat $device/vendor)"
done
/bin/busybox echo guest is up
while :; do /bin/busybox sleep 10; done
"""
BIND = """
cd /sys/bus/pci/devices/$1
[ -e driver ] && echo $1 >driver/unbind
echo vfio-pci >driver_override
echo $1 >/sys/bus/pci/drivers_probe
"""
RELEASE = """
cd /sys/bus/pci/devices/$1
[ -e driver ] && echo $1 >driver/unbind
echo >driver_override
echo $1 >/sys/bus/pci/drivers_probe
"""
TALK = """
import json, sys
from vsmmu.monitor.qmp import CommandFailed, connect
with connect(sys.argv[1], 90) as monitor:
    for request in json.load(sys.stdin):
        try:
            reply = {"return": monitor.execute(request["execute"], **request.get("arguments", {}))}
        except CommandFailed as refused:
            reply = {"error": {"class": refused.error_class, "desc": refused.why}}
        print(json.dumps(reply))
"""


@contextmanager
def bound(lab: Session, *functions: str) -> Iterator[None]:
    """Functions on vfio-pci, and back again."""
    for function in functions:
        assert lab.run(["sh", "-c", BIND, "sh", function]).status == 0
    try:
        yield
    finally:
        for function in functions:
            lab.run(["sh", "-c", RELEASE, "sh", function])


def guest_files(lab: Session) -> None:
    """A kernel and an initramfs for a guest of the lab host."""
    files = {
        "init": INIT,
        "bin/busybox": lab.get("/usr/bin/busybox"),
        "dev/.keep": b"",
        "sys/.keep": b"",
    }
    archive = cpio.archive(files, executable={"init", "bin/busybox"})
    lab.put({"/root/running/Image": lab.artifacts.kernel, "/root/running/initramfs": archive})


#: The same VM with a guest in it.
GUEST = [
    *(word for word in STOPPED if word != "-S"),
    *"-no-reboot -kernel /root/running/Image -initrd /root/running/initramfs".split(),
    *("-append", "console=ttyAMA0 quiet acpi=force panic=-1", "-serial", "file:/tmp/running.console"),
]


class Vm:
    """A command that runs in the background until it is told to quit; its QMP socket is at ``socket``."""

    socket = "/tmp/running.qmp"
    log = "/tmp/running.log"

    def __init__(self, lab: Session, pid: int) -> None:
        self.lab = lab
        self.pid = pid

    def qmp(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Send commands; the replies."""
        result = self.lab.run(["python3", "-c", TALK, self.socket], stdin=json.dumps(requests).encode())
        assert result.status == 0, result.stderr.decode()
        return [json.loads(line) for line in result.stdout.splitlines()]

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """The console, once ``text`` stands in it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said = self.lab.run(["cat", "/tmp/running.console"]).stdout.decode(errors="replace")
            if text in said:
                return said
            assert self.alive, self.said()
            time.sleep(0.5)
        raise AssertionError(f"{text!r} did not come: {said[-2000:]}")

    @property
    def alive(self) -> bool:
        return self.lab.run(["test", "-e", f"/proc/{self.pid}"]).status == 0

    def said(self) -> str:
        return self.lab.run(["cat", self.log]).stdout.decode(errors="replace")


@contextmanager
def started(lab: Session, command: Sequence[str]) -> Iterator[Vm]:
    """``command`` with a monitor added to it, in the background, once the monitor is there."""
    script = f'rm -f {Vm.socket} /tmp/running.console; "$@" >{Vm.log} 2>&1 & echo $!'
    words = [*command, "-qmp", f"unix:{Vm.socket},server=on,wait=off"]
    result = lab.run(["sh", "-c", script, "sh", *words])
    vm = Vm(lab, int(result.stdout))
    try:
        end = time.monotonic() + 30
        while lab.run(["test", "-S", Vm.socket]).status:
            assert vm.alive, vm.said()
            assert time.monotonic() < end, vm.said()
            time.sleep(0.1)
        yield vm
    finally:
        lab.run(["sh", "-c", f"kill {vm.pid}; while [ -e /proc/{vm.pid} ]; do sleep 0.1; done"], timeout=30)


def vsmmu(lab: Session, *arguments: str) -> CommandResult:
    """Run vsmmu inside."""
    return lab.run(["vsmmu", *arguments], timeout=120)
