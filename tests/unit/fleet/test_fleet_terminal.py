# SPDX-License-Identifier: Apache-2.0
"""A progress bar for people, on stderr only; and that no verb about fleets loads what it does not need."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fleet_examples import line, named
from vsmmu.host.builtin import builtin_host

if TYPE_CHECKING:
    from pathlib import Path

CODE = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
LOADED = CODE.replace(
    "sys.exit(run(sys.argv[1:]))", "run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "hosts.jsonl"
    record = line(named(builtin_host("gb200"), "n"))
    path.write_bytes(record * (10 * 2**20 // len(record)))
    return path


def on_a_terminal(path: Path) -> tuple[bytes, bytes]:
    """What goes to stdout, and what the terminal shows of stderr."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    words = [sys.executable, "-c", CODE, "baseline", "-o", "qemu", str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        out = process.stdout.read() if process.stdout else b""
    os.close(ours)
    return out, shown


def test_much_to_read_shows_a_bar_on_the_terminal(large: Path) -> None:
    out, shown = on_a_terminal(large)
    assert out == b"ats=on,ril=off,ssidsize=20,oas=48\n"
    assert b"reading facts" in shown
    assert b"100%" in shown


def test_little_to_read_shows_none(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(line(builtin_host("gb200")))
    assert on_a_terminal(path) == (b"ats=on,ril=off,ssidsize=20,oas=48\n", b"")


def test_no_bar_without_a_terminal(large: Path) -> None:
    words = [sys.executable, "-c", CODE, "baseline", "-o", "qemu", str(large)]
    done = subprocess.run(words, capture_output=True, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["baseline", "builtin:gh200"], {"jinja2", "vsmmu.picture", "vsmmu.lab"}),
        (["compare", "builtin:gh200", "builtin:gb200"], {"jinja2", "vsmmu.picture"}),
        (["report", "-o", "csv", "builtin:gh200"], {"jinja2", "vsmmu.picture"}),
        (["label", "--host", "builtin:gh200"], {"jinja2", "lxml"}),
        (["show", "--host", "builtin:gh200"], {"vsmmu.fleet"}),
    ],
)
def test_only_what_is_needed_is_loaded(arguments: list[str], unwanted: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.splitlines()[-1].split()
    assert unwanted & set(loaded) == set()
