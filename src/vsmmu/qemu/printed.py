# SPDX-License-Identifier: Apache-2.0
"""QEMU's own messages of a start, out of a log, held against the prediction for that start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.qemu.outcome import Verdict

__all__ = ["compare_printed"]

#: Parts of messages that do not say that a start has failed.
_HARMLESS: Final = (": warning: ", ": info: ", "terminating on signal", "char device redirected")


def compare_printed(printed: Sequence[str], verdict: Verdict) -> Iterator[Diagnostic]:
    """Whether QEMU said at that start what is predicted; nothing where it said nothing of weight.

    :param printed: its messages, a line each: ``qemu-system-aarch64: TEXT``.
    :return: at most one: a *note* if it is the same, else a *warning*: the facts or the QEMU may be others.
    """
    said = [line for line in printed if not any(part in line for part in _HARMLESS)]
    if not said:
        return
    predicted = [entry for entry in verdict.diagnostics if entry.severity in ("error", "unknown", "hazard")]
    line = said[-1]
    message = line.rpartition(": ")[2]
    same = next((entry for entry in predicted if message and message in entry.why), None)
    if same is not None:
        yield Diagnostic(
            "as-printed",
            "at that start QEMU said what is predicted here",
            next=same.next,
            severity="note",
        )
        return
    yield Diagnostic(
        "not-as-printed",
        "at that start QEMU said something else than is predicted here",
        why=line,
        next="give the facts of that host, and its QEMU: --host FILE --qemu VERSION",
        severity="warning",
    )
