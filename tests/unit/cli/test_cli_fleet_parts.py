# SPDX-License-Identifier: Apache-2.0
"""A file that is read in parts by several processes gives what one process gives, mistakes and all."""

from __future__ import annotations

import json
import os
import random
import signal
from typing import TYPE_CHECKING

import msgspec
import pytest

from vsmmu.cli import fleet_inputs, fleet_parts
from vsmmu.cli.main import run
from vsmmu.host.builtin import builtin_host, builtin_names

if TYPE_CHECKING:
    from pathlib import Path

PARTS = 5
REPORT = ["report", "-o", "json", "--names", "7"]


def pool(path: Path, records: int = 200, seed: int = 1) -> Path:
    """JSON Lines of hosts in a mix of kinds, with mistakes, empty lines, and topologies to overflow."""
    chance = random.Random(seed)
    kinds = [msgspec.to_builtins(builtin_host(name)) for name in builtin_names()]
    lines = []
    for number in range(records):
        host = dict(chance.choice(kinds))
        host |= {"name": f"node-{number}", "taken_at": f"2026-01-{number % 28 + 1:02}T00:00:00Z"}
        if host["smmus"]:
            function = {"address": f"{chance.randrange(90):04x}:01:00.0", "smmu": host["smmus"][0]["name"]}
            host["functions"] = [function]
        lines.append(
            chance.choice(["", "{}", "[1]", '{"schema"', "x" * 300]) if number % 19 == 3 else json.dumps(host)
        )
    path.write_text("\n".join(lines) + "\n" * (seed % 2))
    return path


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many processors as parts, and no file too small."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(PARTS)))
    monkeypatch.setattr(fleet_parts, "_LEAST", 1000)


def both(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """What a verb answers with parts, and without."""
    monkeypatch.setattr("vsmmu.cli.report._now", lambda: "2026-01-01 00:00 UTC")
    answers = []
    for one in (False, True):
        if one:
            monkeypatch.setattr(fleet_parts, "split", lambda _: ())
        answers.append((run(arguments), *capsys.readouterr()))
    return answers


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "arguments",
    [
        REPORT,
        [*REPORT, "--pool", "kernel"],
        ["baseline", "-o", "json"],
        ["report", "-o", "html"],
        [*REPORT, "--strict"],
    ],
)
@pytest.mark.usefixtures("many")
def test_parts_give_what_one_process_gives(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    seed: int,
) -> None:
    path = pool(tmp_path / "pool.jsonl", seed=seed)
    assert len(fleet_parts.split(str(path))) == PARTS
    parts, whole = both([*arguments, str(path)], capsys, monkeypatch)
    assert parts == whole
    assert seed == 1 or "left out" in str(whole) or "--strict" in arguments


@pytest.mark.usefixtures("many")
def test_earlier_facts_and_more_sources_count_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, now = pool(tmp_path / "a.jsonl"), pool(tmp_path / "b.jsonl", seed=2)
    arguments = [*REPORT, "--since", str(earlier), "builtin:gb200", str(now), str(earlier)]
    parts, whole = both(arguments, capsys, monkeypatch)
    assert parts == whole
    assert json.loads(str(parts[1]))["moves"]  # type: ignore[index]


@pytest.mark.usefixtures("many")
def test_a_process_that_is_killed_is_done_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, mine, part = pool(tmp_path / "pool.jsonl"), os.getpid(), fleet_inputs._part

    def dies(*arguments: object) -> object:
        if os.getpid() != mine and arguments[1].start:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)
        return part(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fleet_inputs, "_part", dies)
    parts, whole = both([*REPORT, str(path)], capsys, monkeypatch)
    assert parts == whole


@pytest.mark.usefixtures("many")
def test_too_many_kinds_are_refused_at_the_same_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsmmu.fleet.records.MAX_CLASSES", 6)
    path = pool(tmp_path / "pool.jsonl")
    parts, whole = both([*REPORT, str(path)], capsys, monkeypatch)
    assert parts == whole
    assert "too-many-classes" in str(parts)


def test_parts_are_whole_lines_of_all_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(PARTS)))
    path = tmp_path / "x.jsonl"
    for text in (b"a" * 5000 + b"\nb\n", b"x\n" * 3000, b"a\n" + b"y" * 9000, b"[1]\n" + b"x\n" * 3000, b""):
        path.write_bytes(text)
        monkeypatch.setattr(fleet_parts, "_LEAST", 500)
        parts = fleet_parts.split(str(path))
        assert b"".join(text[part.start : part.end] for part in parts) in (text, b"")
        assert all(part.start == 0 or text[part.start - 1 : part.start] == b"\n" for part in parts)
    assert fleet_parts.split(str(tmp_path / "missing")) == ()
