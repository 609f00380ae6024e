# SPDX-License-Identifier: Apache-2.0
"""The output of a program that is run and waited for, in bounded time and space.

subprocess.run() keeps whatever comes until the time is up; a program that prints without end takes gigabytes.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ProgramOutput", "output_of"]

_CHUNK = 1 << 16


class ProgramOutput(NamedTuple):
    """What a program printed, and its exit status (that of a signal is negative)."""

    status: int
    stdout: bytes
    stderr: bytes


def output_of(
    argv: Sequence[str], seconds: float, limit: int, environment: Mapping[str, str] | None = None
) -> ProgramOutput:
    """Run a program, without input; it is killed with its children when its time is up or it says too much.

    :param limit: bytes of each stream.
    :raise subprocess.TimeoutExpired: the time is up.
    :raise OSError: it cannot be run.
    :raise ValueError: it has printed more than ``limit`` bytes, or a word of ``argv`` has a NUL.
    """
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            stdout, stderr = _read(process, deadline, limit)
            return ProgramOutput(process.wait(max(deadline - time.monotonic(), 0.01)), stdout, stderr)
        except subprocess.TimeoutExpired:
            raise subprocess.TimeoutExpired(argv, seconds) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _read(process: subprocess.Popen[bytes], deadline: float, limit: int) -> tuple[bytes, bytes]:
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    parts = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in parts:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                part = parts[key.fileobj]  # type: ignore[index]
                part += data
                if not data:
                    selector.unregister(key.fileobj)
                elif len(part) > limit:
                    raise ValueError(f"it prints more than {limit >> 10} KiB")
    return bytes(parts[process.stdout]), bytes(parts[process.stderr])
