# SPDX-License-Identifier: Apache-2.0
"""The result as a table: cases, agreed, disagreed, by kind; and which messages were provoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.qemu.texts import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.compare import Judgement

__all__ = ["Tally", "render", "tally"]


class Tally(NamedTuple):
    """Sums over judgements.

    :param kinds: kind -> (cases, disagreements).
    :param messages: code -> how often it came as predicted.
    """

    kinds: dict[str, tuple[int, int]]
    messages: dict[str, int]
    complaints: tuple[str, ...]

    @property
    def cases(self) -> int:
        """All of them."""
        return sum(cases for cases, _ in self.kinds.values())


def tally(judgements: Iterable[Judgement]) -> Tally:
    """Add up."""
    kinds: dict[str, tuple[int, int]] = {}
    messages = dict.fromkeys(MESSAGES, 0)
    complaints: list[str] = []
    for judgement in judgements:
        cases, bad = kinds.get(judgement.run.kind, (0, 0))
        kinds[judgement.run.kind] = (cases + judgement.cases, bad + len(judgement.complaints))
        complaints += [f"{judgement.run.name}: {complaint}" for complaint in judgement.complaints]
        for code in judgement.messages:
            messages[code] = messages.get(code, 0) + 1
    return Tally(kinds, messages, tuple(complaints))


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
    lines += ["", *result.complaints] if result.complaints else []
    return "\n".join(lines)
