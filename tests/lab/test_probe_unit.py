# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: it verifies, and a probe works inside the walls that it puts up."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from probe_machines import E1000E, RNG, Machine, machine  # noqa: F401 - fixture

UNIT = Path(__file__).parents[2] / "packaging/systemd/vsmmu-probe.service"
#: linux/capability.h
CAPABILITIES = {"CAP_DAC_OVERRIDE": 1, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYSLOG": 34}
ORDINARY = ("brk", "close", "fstat", "getdents64", "ioctl", "lseek", "mmap", "munmap", "newfstatat", "openat",
            "read", "readlinkat", "rt_sigaction", "write")  # fmt: skip
#: Do to this process what the unit does to its own, then become the command.
WALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def prctl(*arguments):
    if libc.prctl(*arguments, *[0] * (5 - len(arguments))) < 0:
        raise OSError(ctypes.get_errno(), "prctl")
if libc.unshare(0x00020000) < 0:  # CLONE_NEWNS
    raise OSError(ctypes.get_errno(), "unshare")
for source, target, flags in ((b"none", b"/", 0x44000), (b"none", b"/sys", 0x1021)):
    if libc.mount(source, target, None, flags, None) < 0:  # MS_REC|MS_PRIVATE; MS_BIND|MS_REMOUNT|MS_RDONLY
        raise OSError(ctypes.get_errno(), "mount")
for capability in set(range(41)) - set(map(int, sys.argv[1].split(","))):
    prctl(24, capability)  # PR_CAPBSET_DROP
prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
prctl(65, 1)  # PR_SET_MDWE: MemoryDenyWriteExecute
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def unit() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_unit_verifies(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/bin/vsmmu", shutil.which("true") or "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_probe_inside_the_walls(machine: Machine, unit: dict[str, str]) -> None:  # noqa: F811
    assert unit["MemoryDenyWriteExecute"] == "yes"
    assert unit["ProtectKernelTunables"] == "yes"
    allowed = ",".join(str(CAPABILITIES[name]) for name in unit["CapabilityBoundingSet"].split())
    with machine.on_vfio(E1000E):
        node = machine.sh(f"echo /dev/vfio/devices/$(ls /sys/bus/pci/devices/{E1000E}/vfio-dev)")
        machine.sh(f"chown 1000 {node}; echo 1 > /proc/sys/kernel/dmesg_restrict")
        try:
            result = machine.run("python3", "-c", WALLS, allowed, "vsmmu", "probe")
        finally:
            machine.sh("echo 0 > /proc/sys/kernel/dmesg_restrict")
        assert result.status == 0, result.stderr
        assert "IDR0 0x0d44101b" in result.stdout.decode()
        assert '"source": "the function\'s configuration space"' in machine.sh("cat /run/vsmmu/host.json")
        refused = machine.run("python3", "-c", WALLS, allowed, "vsmmu", "probe", "--bind", RNG)
    assert refused.status == 5
    assert "Read-only file system" in refused.stderr.decode()
    assert machine.driver(RNG) == "virtio-pci"


def test_the_system_calls_are_among_those_allowed(machine: Machine, unit: dict[str, str]) -> None:  # noqa: F811
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze to tell what the filter's groups hold")
    assert unit["SystemCallFilter"] == "~@resources @privileged"  # the last of two lines
    with machine.on_vfio(E1000E):
        # Calls that every program makes are not stopped at: that takes a minute under emulation.
        untraced = ",".join(sorted(ORDINARY))
        machine.sh(f"strace -f --seccomp-bpf -e 'trace=!{untraced}' -o /root/trace vsmmu probe")
    calls = machine.sh("sed -nE 's/^[0-9]+ +([a-z0-9_]+)\\(.*/\\1/p' /root/trace | sort -u").split()
    assert "flock" in calls
    calls += ORDINARY
    assert set(calls) - members("@system-service") == set()
    assert set(calls) & (members("@resources") | members("@privileged")) == set()


def members(group: str) -> set[str]:
    """The calls of a group, and of the groups in it."""
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    names = [
        line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")
    ]
    found = {name for name in names if not name.startswith("@")}
    for name in names:
        if name.startswith("@"):
            found |= members(name)
    return found
