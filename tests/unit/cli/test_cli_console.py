# SPDX-License-Identifier: Apache-2.0
"""What is printed: control characters as escapes, colours only where a terminal wants them, valid JSON."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.cli import console, stdout
from vsmmu.cli.main import run
from vsmmu.diagnostic import SEVERITIES, Diagnostic
from vsmmu.document import encode_document

HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: Every character; hypothesis leaves surrogates out unless they are asked for.
ANYTHING = st.text(st.characters(categories=["L", "N", "P", "S", "Z", "Cc", "Cf", "Cs", "Co"]))
VM = "qemu-system-aarch64 -M virt,accel=kvm -device arm-smmuv3,accel=on,ril=on,primary-bus=nowhere".split()


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    # Not sys.stdout itself: pytest's capture puts its own there before the test.
    console.use_colour("auto")  # another test may have left it off
    for module in (console, stdout):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stdin=sys.stdin, stdout=terminal, stderr=terminal))
    return terminal


@given(st.lists(st.one_of(ANYTHING, st.integers(), st.none())))
def test_every_document_is_json_that_says_the_same(values: list[object]) -> None:
    data = encode_document(values)
    assert json.loads(data) == values
    assert not [m for m in data.decode() if m != "\n" and unicodedata.category(m) in HARMFUL]


def test_control_characters_are_shown_as_escapes(terminal: Terminal) -> None:
    console.say("a\x1b[31mb\x07\x9b\u202e\nc", ("d", console.Styled("\x1b[0m", "error")))
    console.remark("one\x1b\ntwo")
    assert terminal.text() == (
        "a\\x1b[31mb\\x07\\x9b\\u202e\\nc\nd\x1b[31m\\x1b[0m\x1b[0m\nvsmmu: one\\x1b\n  two\n"
    )


@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_severity_has_its_colour(terminal: Terminal, severity: str) -> None:
    found = Diagnostic("a-code", "it failed", "line 3", "no memory\nat all", "try again", severity)  # type: ignore[arg-type]
    console.say(*console.diagnosis(found))
    first, *rest = terminal.text().splitlines()
    assert first.startswith("\x1b[")
    assert first.endswith("m" + f"{severity}:\x1b[0m line 3: it failed [a-code]")
    assert rest == ["  no memory", "  at all", "  next: try again"]


@pytest.mark.parametrize(
    ("environment", "arguments", "coloured"),
    [
        ({}, [], True),
        ({"NO_COLOR": ""}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"TERM": "dumb"}, [], False),
        ({"TERM": "xterm"}, [], True),
        ({}, ["-o", "json"], False),
    ],
)
def test_colours_only_where_they_are_wanted(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: list[str],
    coloured: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(["check", "--host", "builtin:gb200", *arguments, "--", *VM]) == 1
    assert ("\x1b[" in terminal.text()) is coloured


def test_no_colours_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--host", "builtin:gb200", "--", *VM]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_what_the_encoding_lacks_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    console.say("\u2265 44")
    assert stream.buffer.getvalue() == b"\\u2265 44\n"  # type: ignore[attr-defined]
