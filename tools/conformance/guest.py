# SPDX-License-Identifier: Apache-2.0
"""Runs inside the lab, under the emulator: start each QEMU, read registers, hot-plug, write down what came.

``python3 guest.py RUNS.json WORKERS``. Standard library only: it is started
for every batch on an emulated processor.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main"]

#: Any firmware makes QEMU describe the machine by ACPI; it is never run.
FIRMWARE = "/tmp/conformance-firmware"  # noqa: S108 - inside the guest, where nobody else is
_OFFSETS = {"IDR0": 0x00, "IDR1": 0x04, "IDR3": 0x0C, "IDR5": 0x14}
_SMMU = re.compile(r"^\s*([0-9a-f]{16})-[0-9a-f]{16} \(prio \d+, i/o\): arm-smmuv3\b", re.MULTILINE)
_WORD = re.compile(r"0x([0-9a-f]{8})")
_ADDRESS = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b")
_START_TIMEOUT = 60.0
_ANSWER_TIMEOUT = 20.0


class Ended(Exception):
    """QEMU is gone, or does not answer."""


class Monitor:
    """QMP over a process' standard streams."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._pending = b""
        self.events: list[dict[str, Any]] = []

    def message(self, timeout: float) -> dict[str, Any]:
        """The next message; empty for a line that is none.

        :raise Ended: if none comes.
        """
        assert self._process.stdout is not None  # noqa: S101
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Ended
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                raise Ended
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            # Some messages of QEMU go to standard output.
            return {}
        return answer

    def execute(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = _ANSWER_TIMEOUT
    ) -> dict[str, Any]:
        """Give a command; its answer, with events kept for later.

        :raise Ended: if none comes.
        """
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(
                json.dumps({"execute": command, "arguments": arguments or {}}).encode() + b"\n"
            )
            self._process.stdin.flush()
        except OSError:
            raise Ended from None
        while True:
            message = self.message(timeout)
            if "return" in message or "error" in message:
                return message
            if "event" in message:
                self.events.append(message)

    def human(self, line: str) -> str:
        """What the human monitor prints for a line."""
        return str(self.execute("human-monitor-command", {"command-line": line}).get("return", ""))

    def wait_deleted(self, device: str) -> None:
        """Wait until a device is unplugged.

        :raise Ended: if that takes longer than seconds.
        """
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for event in self.events:
                if event["event"] == "DEVICE_DELETED" and event["data"].get("device") == device:
                    self.events.remove(event)
                    return
            message = self.message(5)
            if "event" in message:
                self.events.append(message)
        raise Ended


def registers(monitor: Monitor) -> list[dict[str, str]]:
    """The registers of every vSMMU, in the order of their addresses, which is that of their creation."""
    found = []
    addresses = sorted({int(match, 16) for match in _SMMU.findall(monitor.human("info mtree -f"))})
    for address in addresses:
        words = {}
        for name, offset in _OFFSETS.items():
            # A longer read gives zeros.
            match = _WORD.search(monitor.human(f"xp /1wx {address + offset:#x}"))
            words[name] = f"0x{match[1]}" if match else "?"
        found.append(words)
    return found


def step(monitor: Monitor, order: dict[str, Any], *, read: bool) -> dict[str, Any]:
    """Do one step."""
    if order["do"] == "reset":
        answer = monitor.execute("system_reset")
    elif order["do"] == "add":
        answer = monitor.execute("device_add", order["device"])
    else:
        answer = monitor.execute("device_del", order["device"])
        if "error" not in answer:
            monitor.wait_deleted(order["device"]["id"])
    error = answer.get("error", {}).get("desc", "")
    return {"error": error, "registers": registers(monitor) if read else []}


def run(order: dict[str, Any]) -> dict[str, Any]:
    """One QEMU from start to end."""
    began = time.monotonic()
    outcome: dict[str, Any] = {
        "name": order["name"],
        "started": False,
        "status": 0,
        "registers": [],
        "steps": [],
    }
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*order["argv"], "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        monitor = Monitor(process)
        try:
            monitor.execute("qmp_capabilities", timeout=_START_TIMEOUT)
            monitor.execute("query-status", timeout=_START_TIMEOUT)
            outcome["started"] = True
            outcome["registers"] = registers(monitor)
            last = len(order["steps"]) - 1
            for index, one in enumerate(order["steps"]):
                read = index == last or one["do"] == "reset" or len(order["steps"]) < 10
                outcome["steps"].append(step(monitor, one, read=read))
            process.kill()
            process.wait()
        except Ended:
            try:
                outcome["status"] = process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                outcome["status"] = -999
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        errors.seek(0)
        outcome["stderr"] = errors.read(1 << 16).decode(errors="replace")
    outcome["seconds"] = time.monotonic() - began
    return outcome


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
    Path(FIRMWARE).write_bytes(bytes(1 << 16))
    orders = json.loads(Path(runs).read_bytes())
    functions = Functions()
    with concurrent.futures.ThreadPoolExecutor(int(workers)) as pool:
        for done in concurrent.futures.as_completed([pool.submit(functions.run, order) for order in orders]):
            sys.stdout.write(json.dumps(done.result()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
