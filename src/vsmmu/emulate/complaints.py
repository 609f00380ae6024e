# SPDX-License-Identifier: Apache-2.0
"""Failures of the emulator that must not end the program under it: a line on stderr, once of each kind."""

from __future__ import annotations

import contextlib
import sys

from vsmmu.diagnostic import Diagnostic

__all__ = ["Complaints"]


class Complaints:
    """Says each kind of failure once: a program can cause any of them without end."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def trace_lost(self, error: OSError) -> None:
        """The trace ends here."""
        self._say("emulate-trace-lost", "the trace ends here", error, "make room, and trace again")

    def own_failure(self, where: str, error: Exception) -> None:
        """A mistake of the emulator's, or of the machine under it."""
        self._say(
            "emulate-own-failure", f"cannot answer {where}", error, "report it, with what the program did"
        )

    def _say(self, code: str, what: str, error: Exception, next_step: str) -> None:
        if what in self._said:
            return
        self._said.add(what)
        why = f"{type(error).__name__}: {error}"[:300]
        found = Diagnostic(code, what, why=ascii(why)[1:-1], next=next_step)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"vsmmu: {found}\n")
            sys.stderr.flush()
