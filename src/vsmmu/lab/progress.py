# SPDX-License-Identifier: Apache-2.0
"""Progress of the slow steps: one line each, with the seconds it took."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SILENT", "Progress"]


class Progress:
    """Writes ``lab: STEP … 12.3 s`` to a stream, or nothing at all without one."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show *what* while the body runs, then how long it took or that it failed."""
        self._write(f"lab: {what} … ")
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self._write("failed\n")
            raise
        self._write(f"{time.monotonic() - started:.1f} s\n")


#: For callers that want no progress.
SILENT = Progress()
