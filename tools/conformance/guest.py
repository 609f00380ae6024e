# SPDX-License-Identifier: Apache-2.0
"""Runs of QEMU, in the lab under the emulator or here: start, read registers, hot-plug, note the answers.

``python3 guest.py RUNS.json WORKERS``. It is started for every batch on an emulated processor: few imports.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from vsmmu.errors import VsmmuError
from vsmmu.monitor.qmp import CommandFailed, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main", "run", "spare_descriptor"]

#: Any firmware makes QEMU describe the machine by ACPI; it is never run.
FIRMWARE = "/tmp/conformance-firmware"  # noqa: S108 - inside the guest, where nobody else is
FIRMWARE_SIZE = 1 << 16
#: Files in the directory of every QEMU, by name, and their sizes: a pflash has just this one.
FILES = {
    "bios.fd": 1 << 16,
    "code.fd": 1 << 26,
    "vars.fd": 1 << 26,
    "disk.img": 1 << 20,
    "kernel.img": 1 << 16,
}
#: What QEMU gets for ``iommufd,fd=`` where there is no /dev/iommu: any descriptor that is open.
IOMMUFD = 100
_OFFSETS = {"IDR0": 0x00, "IDR1": 0x04, "IDR3": 0x0C, "IDR5": 0x14}
_SMMU = re.compile(r"^\s*([0-9a-f]{16})-[0-9a-f]{16} \(prio \d+, i/o\): arm-smmuv3\b", re.MULTILINE)
_WORD = re.compile(r"0x([0-9a-f]{8})")
_ADDRESS = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b")
#: VIRT_PLATFORM_BUS of hw/arm/virt.c.
_PLATFORM_BUS = 0x0C000000
_START_TIMEOUT = 120.0
_ANSWER_TIMEOUT = 20.0
_UNPLUG_TIMEOUT = 5.0


def human(monitor: Monitor, line: str) -> str:
    """What the human monitor prints for a line."""
    monitor.extend(_ANSWER_TIMEOUT)
    return str(monitor.execute("human-monitor-command", command_line=line))


def wait_deleted(monitor: Monitor, device: str) -> None:
    """Wait until an unplugged device is gone.

    :raise VsmmuError: if that takes longer than seconds.
    """
    monitor.extend(_UNPLUG_TIMEOUT)
    while any(entry["name"] == device for entry in monitor.execute("qom-list", path="/machine/peripheral")):
        time.sleep(0.02)


def registers(monitor: Monitor) -> list[dict[str, str]]:
    """The registers of every vSMMU, in the order of their addresses, which is that of their creation.

    The board's own SMMU is none: it lies below the platform bus.
    """
    found = []
    listed = {int(match, 16) for match in _SMMU.findall(human(monitor, "info mtree -f"))}
    addresses = sorted(address for address in listed if address >= _PLATFORM_BUS)
    for address in addresses:
        words = {}
        for name, offset in _OFFSETS.items():
            # A longer read gives zeros.
            match = _WORD.search(human(monitor, f"xp /1wx {address + offset:#x}"))
            words[name] = f"0x{match[1]}" if match else "?"
        found.append(words)
    return found


def step(monitor: Monitor, order: dict[str, Any], *, read: bool) -> dict[str, Any]:
    """Do one step."""
    error = ""
    monitor.extend(_ANSWER_TIMEOUT)
    try:
        if order["do"] == "reset":
            monitor.execute("system_reset")
        elif order["do"] == "add":
            monitor.execute("device_add", **order["device"])
        else:
            monitor.execute("device_del", **order["device"])
            wait_deleted(monitor, order["device"]["id"])
    except CommandFailed as refused:
        error = refused.why
    return {"error": error, "registers": registers(monitor) if read else []}


def run(order: dict[str, Any], binary: str | None = None) -> dict[str, Any]:
    """One QEMU from start to end.

    :param binary: what to start under the name in the command line; None: the one of this name.
    """
    began = time.monotonic()
    outcome: dict[str, Any] = {
        "name": order["name"],
        "started": False,
        "status": 0,
        "registers": [],
        "steps": [],
    }
    ours, theirs = socket.socketpair()
    # On a socket of its own: some messages of QEMU go to standard output.
    control = ["-chardev", f"socket,id=conformance,fd={theirs.fileno()}", "-qmp", "chardev:conformance"]
    with ours, tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory() as directory:
        _make_files(directory, order.get("files", {}))
        with theirs:
            process = subprocess.Popen(
                [*order["argv"], *control], executable=binary,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=errors, cwd=directory, pass_fds=[theirs.fileno(), IOMMUFD],
            )  # fmt: skip
        try:
            _talk(Monitor(ours.fileno(), ours.fileno(), "QEMU", _START_TIMEOUT), order["steps"], outcome)
            process.kill()
            process.wait()
        except VsmmuError:
            try:
                outcome["status"] = process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                outcome["status"] = -999
        errors.seek(0)
        outcome["stderr"] = errors.read(1 << 16).decode(errors="replace")
    outcome["seconds"] = time.monotonic() - began
    return outcome


def _make_files(directory: str, texts: dict[str, str]) -> None:
    """Make what a command line may name, all zeros, and the texts that belong to this one."""
    for name, size in FILES.items():
        with Path(directory, name).open("wb") as file:
            file.truncate(size)
    for name, text in texts.items():
        Path(directory, name).write_text(text, encoding="utf-8")


def spare_descriptor() -> None:
    """Open what stands for /dev/iommu, under its number."""
    spare = os.open(os.devnull, os.O_RDWR)
    os.dup2(spare, IOMMUFD)
    os.close(spare)


def _talk(monitor: Monitor, steps: list[dict[str, Any]], outcome: dict[str, Any]) -> None:
    """Read the registers, and do the steps."""
    monitor.execute("query-status")
    outcome["started"] = True
    outcome["registers"] = registers(monitor)
    for index, one in enumerate(steps):
        read = index == len(steps) - 1 or one["do"] == "reset" or len(steps) < 10
        outcome["steps"].append(step(monitor, one, read=read))


class Functions:
    """The host's functions: each can be in one QEMU at a time."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._used: set[str] = set()

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run an order as soon as nobody else has its functions."""
        wanted = set(_ADDRESS.findall(json.dumps(order)))
        with self._free:
            self._free.wait_for(lambda: not wanted & self._used)
            self._used |= wanted
        try:
            return run(order)
        finally:
            with self._free:
                self._used -= wanted
                self._free.notify_all()


def main(arguments: list[str]) -> None:
    """Run everything in a file, a few at a time; print each outcome when it is there, one JSON line each."""
    runs, workers = arguments
    Path(FIRMWARE).write_bytes(bytes(FIRMWARE_SIZE))
    spare_descriptor()
    orders = json.loads(Path(runs).read_bytes())
    functions = Functions()
    with concurrent.futures.ThreadPoolExecutor(int(workers)) as pool:
        for done in concurrent.futures.as_completed([pool.submit(functions.run, order) for order in orders]):
            sys.stdout.write(json.dumps(done.result()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
