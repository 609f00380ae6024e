# SPDX-License-Identifier: Apache-2.0
"""The trace of emulated calls: one decoded JSON line a call."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import msgspec

from vsmmu.emulate.errno_error import errno_name

if TYPE_CHECKING:
    from typing import BinaryIO

    from vsmmu.emulate.calls import CallRecord
    from vsmmu.emulate.complaints import Complaints

__all__ = ["Trace"]


class Trace:
    """Writes to a file, a line at a time; one that cannot be written ends, and the program goes on.

    :param complaints: told when that happens.
    """

    def __init__(self, file: BinaryIO, complaints: Complaints) -> None:
        self._file = file
        self._complaints = complaints
        self._lost = False
        self._start = time.monotonic()

    def call(
        self, pid: int, descriptor: int, record: CallRecord, value: int, error: int, began: float
    ) -> None:
        """Write one call; times in seconds from the start, microseconds for the answer."""
        now = time.monotonic()
        line: dict[str, Any] = {
            "time": round(began - self._start, 6),
            "pid": pid,
            "fd": descriptor,
            "call": record.name,
            "device": record.device,
            "in": record.argument,
            "out": record.result,
            "answer": errno_name(error) if error else value,
            "us": round((now - began) * 1e6),
        }
        self._write(line)

    def event(self, name: str, **values: Any) -> None:
        """Write something that is no call: the start, a function that comes or goes."""
        self._write({"time": round(time.monotonic() - self._start, 6), "event": name, **values})

    def close(self) -> None:
        """End the file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._lost:
            return
        try:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
        except OSError as error:
            self._lost = True
            self._complaints.trace_lost(error)
