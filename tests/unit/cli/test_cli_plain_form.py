# SPDX-License-Identifier: Apache-2.0
"""Command lines that are parsed without click mean what click takes them to mean."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.cli.group import VERBS
from vsmmu.cli.option_table import Option, options_of
from vsmmu.cli.options import vm_command
from vsmmu.cli.plain_form import parse_plainly

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[3]
ABOUT_A_VM: Final = ("resolve", "explain", "check", "run")
NAMED: Final = re.compile(rf"\bvsmmu ({'|'.join(ABOUT_A_VM)})\b((?:\\\n|[^`\n])*)")


def by_click(verb: str, arguments: list[str]) -> dict[str, Any] | None:
    """What click makes of the arguments; None if it has something against them."""
    command = vm_command(verb, lambda **given: given, "")
    try:
        given: dict[str, Any] = command.main(arguments, prog_name="vsmmu", standalone_mode=False)
    except click.ClickException:
        return None
    return given


def golden_lines() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command line of these verbs in the manual and their help, and around each golden command."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = [page.read_text() for page in pages] + [
        import_module(VERBS[verb][0]).EXAMPLES for verb in ABOUT_A_VM
    ]
    for text in texts:
        for verb, rest in NAMED.findall(text):
            lexer = shlex.shlex(rest.replace("\\\n", " "), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            try:
                words = list(lexer)
            except ValueError:  # prose with an apostrophe
                continue
            end = next((at for at, word in enumerate(words) if set(word) <= set("|&;<>()#")), len(words))
            yield verb, tuple(words[:end])
    for path in sorted((ROOT / "tests" / "golden" / "argv").glob("*.in")):
        words = path.read_bytes().decode().replace("\0", " ").split()
        for verb in ABOUT_A_VM:
            yield verb, ("--host", "builtin:gb200", "--", *words)


GOLDEN: Final = sorted(set(golden_lines()))


@pytest.mark.parametrize(
    "variables", [{}, {"VSMMU_HOST": "builtin:gb200", "VSMMU_QEMU": "11.0"}, {"VSMMU_HOST": ""}]
)
def test_golden_command_lines_mean_the_same(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VSMMU_HOST", "VSMMU_QEMU"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    plain = {(verb, words): parse_plainly(verb, list(words)) for verb, words in GOLDEN}
    accepted = {(verb, words): by_click(verb, list(words)) for verb, words in GOLDEN}
    assert {key: value for key, value in plain.items() if value} == {
        key: accepted[key] for key, value in plain.items() if value
    }
    left = [key for key, value in accepted.items() if value is not None and plain[key] is None]
    assert left == [], "what the manual shows is read without click"
    assert sum(value is not None for value in plain.values()) > 100


def _words(rows: tuple[Option, ...]) -> st.SearchStrategy[list[str]]:
    """Words that are, and look like, options of a verb and their values."""
    names = [name for row in rows if not row.is_argument for name in row.names.split()]
    values = [
        "-",
        "--",
        "",
        "x",
        "a=b",
        "common",
        "json",
        "text",
        "11.0",
        "--no",
        "-x",
        "é\udcff",
        "=",
        "--=",
        "-qo",
    ]
    joined = st.builds(lambda name, sign, value: name + sign + value, st.sampled_from(names),
                       st.sampled_from(["=", ""]), st.sampled_from(values))  # fmt: skip
    one = st.sampled_from(names) | st.sampled_from(values) | joined
    written = st.sampled_from([row for row in rows if not row.is_argument]).flatmap(_written)
    return st.lists(written | one.map(lambda word: [word]), max_size=7).map(
        lambda parts: [word for part in parts for word in part]
    )


def _written(row: Option) -> st.SearchStrategy[list[str]]:
    name = st.sampled_from(row.names.split())
    if row.kind == "flag":
        return name.map(lambda word: [word])
    value = st.sampled_from(row.choices or ("x", "a=b", "-"))
    return st.builds(lambda name, value: [name, value], name, value) | st.builds(
        lambda name, value: [f"{name}={value}"], name, value
    )


@pytest.mark.parametrize("verb", ABOUT_A_VM)
def test_whatever_is_parsed_plainly_means_the_same_to_click(verb: str) -> None:
    plain = 0

    @given(_words(options_of(verb)))
    def compare(arguments: list[str]) -> None:
        nonlocal plain
        mine = parse_plainly(verb, arguments)
        if mine is not None:
            plain += 1
            assert mine == by_click(verb, arguments)

    compare()
    assert plain > 10


@pytest.mark.parametrize("verb", ABOUT_A_VM)
def test_every_option_can_be_written_plainly(verb: str) -> None:
    for row in options_of(verb):
        if row.is_argument:
            continue
        value = [] if row.kind == "flag" else [row.choices[0] if row.choices else "x"]
        for name in row.names.split():
            mine = parse_plainly(verb, [name, *value])
            assert mine is not None, f"{verb} {name}"
            assert mine == by_click(verb, [name, *value])


def test_completion_is_left_to_click() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vsmmu", "resolve", "x"],
        env={**os.environ, "_VSMMU_COMPLETE": "bash_complete", "COMP_WORDS": "vsmmu res", "COMP_CWORD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "plain,resolve" in done.stdout
