# SPDX-License-Identifier: Apache-2.0
"""The result as a table: cases, agreed, disagreed, by kind; and which messages were provoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.qemu.texts import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from conformance.compare import Judgement

__all__ = ["Tally", "into_page", "render", "tally"]


class Tally(NamedTuple):
    """Sums over judgements.

    :param kinds: kind -> (cases, disagreements).
    :param messages: code -> how often it came as predicted.
    :param rows: code (``starts`` where there is none) -> how often QEMU did something else.
    :param undecided: VMs that QEMU started and the model had no answer for.
    """

    kinds: dict[str, tuple[int, int]]
    messages: dict[str, int]
    complaints: tuple[str, ...]
    rows: dict[str, int]
    undecided: int

    @property
    def cases(self) -> int:
        """All of them."""
        return sum(cases for cases, _ in self.kinds.values())


def tally(judgements: Iterable[Judgement]) -> Tally:
    """Add up."""
    kinds: dict[str, tuple[int, int]] = {}
    messages = dict.fromkeys(MESSAGES, 0)
    complaints: list[str] = []
    rows: dict[str, int] = {}
    undecided = 0
    for judgement in judgements:
        undecided += judgement.undecided
        if judgement.complaints:
            row = judgement.row or "starts"
            rows[row] = rows.get(row, 0) + 1
        cases, bad = kinds.get(judgement.run.kind, (0, 0))
        kinds[judgement.run.kind] = (cases + judgement.cases, bad + len(judgement.complaints))
        complaints += [f"{judgement.run.name}: {complaint}" for complaint in judgement.complaints]
        for code in judgement.messages:
            messages[code] = messages.get(code, 0) + 1
    return Tally(kinds, messages, tuple(complaints), rows, undecided)


def render(result: Tally) -> str:
    """For people."""
    width = max((len(kind) for kind in result.kinds), default=4)
    lines = [f"{'kind':{width}}  {'cases':>6}  {'agreed':>6}  {'disagreed':>9}"]
    for kind, (cases, bad) in sorted(result.kinds.items()):
        lines.append(f"{kind:{width}}  {cases:6}  {cases - bad:6}  {bad:9}")
    bad = sum(bad for _, bad in result.kinds.values())
    lines.append(f"{'all':{width}}  {result.cases:6}  {result.cases - bad:6}  {bad:9}")
    reached = {code: count for code, count in result.messages.items() if count}
    lines.append(f"\nmessages provoked: {len(reached)} of {len(result.messages)}")
    lines.append("not provoked: " + ", ".join(sorted(set(result.messages) - set(reached))))
    lines.append(f"started although the model did not know: {result.undecided}")
    if result.complaints:
        lines += ["", "rows that differ:"]
        lines += [f"{count:6}  {row}" for row, count in sorted(result.rows.items(), key=lambda e: -e[1])]
        lines += ["", *result.complaints]
    return "\n".join(lines)


def into_page(page: Path, result: Tally, run: str) -> None:
    """Put the table into a page of the manual, between the marks of this kind of run.

    :param run: the name in the marks: ``lab`` or ``here``.
    :raise ValueError: if the page has no such marks.
    """
    begin, end = f"<!-- conformance {run} -->", f"<!-- end of conformance {run} -->"
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page}: {begin} and {end} are not both there")
    rows = [(kind, *counts) for kind, counts in sorted(result.kinds.items())]
    rows.append(("all", result.cases, sum(bad for _, bad in result.kinds.values())))
    lines = ["| kind | cases | agreed | disagreed |", "|---|---|---|---|"]
    lines += [f"| {kind} | {cases} | {cases - bad} | {bad} |" for kind, cases, bad in rows]
    page.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")
