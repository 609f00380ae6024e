# SPDX-License-Identifier: Apache-2.0
"""The lab host on which probing is tried: more functions than the default one, and how to prepare them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.lab import CommandResult, LabConfig, Session

E1000E, NVME, RNG = "0000:00:05.0", "0000:00:06.0", "0000:00:07.0"
#: A disk behind a root port of its own.
DISK = "0000:01:00.0"
#: Two functions in one group: there is no ACS between the functions of this device.
MATE, OTHER_MATE = "0000:02:00.0", "0000:02:00.1"
DEVICES = (
    "pcie-root-port,id=rp9,bus=pcie.0,addr=08.0,chassis=9",
    "virtio-blk-pci,bus=rp9,drive=null1,iommu_platform=on,disable-legacy=on",
    "pcie-root-port,id=rp10,bus=pcie.0,addr=09.0,chassis=10",
    "virtio-rng-pci,bus=rp10,addr=00.0,multifunction=on,iommu_platform=on,disable-legacy=on",
    "e1000e,bus=rp10,addr=00.1,romfile=",
)
CRASH = Path(__file__).with_name("crash_probe.py")
SWEEP = Path(__file__).parents[2] / "tools" / "sweep"
#: Function -> its driver, and a script that fails unless the function works under it.
READ = "dd if=/dev/$(basename {0}) bs=4096 count=16 | md5sum"
WORKS = {
    DISK: ("virtio-pci", READ.format(f"/sys/bus/pci/devices/{DISK}/virtio*/block/*")),
    NVME: ("nvme", READ.format(f"/sys/bus/pci/devices/{NVME}/nvme/nvme*/nvme*n1")),
    E1000E: ("e1000e", f"cat /sys/bus/pci/devices/{E1000E}/net/*/address"),
}
#: Become another user for good, then run the rest of the command line.
DEMOTE = """
import os, sys
user = int(sys.argv[1])
os.setgroups([]); os.setgid(user); os.setuid(user); os.chdir("/")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Machine:
    """A session with the words that these tests use."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def sh(self, script: str, timeout: float = 60) -> str:
        """Run a script that must succeed; what it printed."""
        result = self.session.run(["sh", "-e", "-c", script], timeout=timeout)
        assert result.status == 0, result.stderr.decode()
        return result.stdout.decode().strip()

    def vsmmu(self, *arguments: str, user: int = 0) -> CommandResult:
        """Run the project's command line in the lab."""
        return self.run("vsmmu", *arguments, user=user)

    def run(self, *argv: str, user: int = 0, env: dict[str, str] | None = None) -> CommandResult:
        """Run a program as somebody."""
        demote = ["python3", "-c", DEMOTE, str(user)] if user else []
        return self.session.run([*demote, *argv], timeout=60, env=env or {})

    def driver(self, address: str) -> str:
        """The function's driver; empty for none."""
        return self.sh(f"readlink /sys/bus/pci/devices/{address}/driver || true").rpartition("/")[2]

    def override(self, address: str) -> str:
        """The function's driver_override, as the kernel shows it."""
        return self.sh(f"cat /sys/bus/pci/devices/{address}/driver_override")

    def open_files(self) -> str:
        """The descriptors of /dev/iommu and vfio that any process has; empty for none."""
        return self.sh("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E '/dev/(iommu|vfio)' || true")

    def rebind(self, address: str, driver: str) -> None:
        """Give the function to a driver, or to none."""
        base = f"/sys/bus/pci/devices/{address}"
        # The kernel wants a newline to clear an override, and a driver to be named to set one.
        self.sh(
            f"[ ! -e {base}/driver ] || echo {address} > {base}/driver/unbind;"
            f"echo {driver if driver == 'vfio-pci' else ''} > {base}/driver_override;"
            f"[ -z '{driver}' ] || echo {address} > /sys/bus/pci/drivers/{driver}/bind"
        )

    @contextmanager
    def on_vfio(self, *addresses: str) -> Iterator[None]:
        """The functions are on vfio-pci in the block, and where they were after it."""
        before = {address: self.driver(address) for address in addresses}
        for address in addresses:
            self.rebind(address, "vfio-pci")
        try:
            yield
        finally:
            for address, driver in before.items():
                self.rebind(address, driver)

    @contextmanager
    def background(self, script: str) -> Iterator[str]:
        """A Python program that holds something: it prints a line when it does, and ends with the block."""
        self.session.put({"/root/background.py": script.encode()})
        pid = self.sh(
            "rm -f /root/ready; mkfifo /root/ready;"
            "python3 /root/background.py > /root/ready 2>/root/errors & echo $!;"
            "head -n 1 /root/ready >/dev/null"
        ).splitlines()[0]
        try:
            yield pid
        finally:
            self.sh(f"kill -9 {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.01; done")


@pytest.fixture
def machine(lab_sessions: Callable[[LabConfig], Session], lab_config: LabConfig) -> Machine:
    """Booted with a device tree: the kernel refuses nested translation."""
    return Machine(lab_sessions(lab_config.with_devices(*DEVICES)))


@pytest.fixture
def machine_acpi(lab_sessions: Callable[[LabConfig], Session], lab_config: LabConfig) -> Machine:
    """Booted through UEFI: ACPI, an IORT with CANWBS, nested translation."""
    return Machine(lab_sessions(lab_config.with_acpi().with_devices(*DEVICES)))
