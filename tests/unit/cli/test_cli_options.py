# SPDX-License-Identifier: Apache-2.0
"""The table of options: every verb has what the table says and nothing else."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from vsmmu.cli.group import cli
from vsmmu.cli.option_table import OPTIONS, Option, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator

VM = "qemu-system-aarch64 -M virt -accel kvm -device pxb-pcie,id=p -device arm-smmuv3,accel=on,primary-bus=p"


def _commands(group: click.Group, lead: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{lead}{name} ")
        else:
            yield f"{lead}{name}", command


COMMANDS = dict(_commands(cli))


def _parameter(verb: str, key: str) -> click.Parameter:
    return next(entry for entry in COMMANDS[verb].params if entry.name == key)


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_has_the_rows_of_the_table_and_nothing_else(verb: str) -> None:
    given = [(tuple(entry.opts), entry.name) for entry in COMMANDS[verb].params]
    rows = [
        ((row.key,) if row.is_argument else tuple(row.names.split()), row.key) for row in options_of(verb)
    ]
    assert given == rows


def test_every_row_is_of_a_verb_that_exists() -> None:
    assert {verb for row in OPTIONS for verb in row.verbs} <= set(COMMANDS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_name_means_two_things_to_one_verb(verb: str) -> None:
    names = Counter(name for row in options_of(verb) for name in (*row.names.split(), row.key))
    own = {row.key for row in options_of(verb) if row.is_argument}
    assert all(count == 1 or name in own for name, count in names.items())


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: f"{row.verbs[0]} {row.names}")
def test_a_row_makes_sense(row: Option) -> None:
    assert row.is_argument or row.help.endswith("."), "help is a sentence"
    assert bool(row.choices) == (row.kind == "choice")
    assert row.most is None or row.kind in ("count", "number")
    assert not (row.supposed and row.default is not None)
    assert row.kind != "flag" or not (row.metavar or row.multiple or row.default is not None)
    if not row.is_argument and not row.hidden and row.kind not in ("flag", "choice") and row.default is None:
        assert row.metavar, "help has a word for the value"


VALUED = [
    (verb, row)
    for row in OPTIONS
    for verb in row.verbs
    if not (row.is_argument or row.bare or row.kind == "flag")
]


@pytest.mark.parametrize(
    ("verb", "row"), VALUED, ids=lambda entry: entry.names if isinstance(entry, Option) else entry
)
def test_an_option_takes_the_next_word_or_refuses_it(verb: str, row: Option) -> None:
    """Without one it would be as if the option had not been written: a VM judged without its baseline."""
    for word in ("-q", "--diff", "-o", "-1", "-x", "--", "--help"):
        with contextlib.suppress(click.UsageError):
            context = COMMANDS[verb].make_context(verb, [row.names.split()[-1], word])
            assert context.params[row.key] in (word, (word,), -1, Path(word)), word


def test_plan_takes_the_rows_of_resolve() -> None:
    shared = {row.names for row in options_of("plan")} & {row.names for row in options_of("resolve")}
    for name in shared - {"-o --output"}:
        assert [row for row in options_of("plan") if row.names == name] == [
            row for row in options_of("resolve") if row.names == name
        ]


def test_the_table_needs_no_click() -> None:
    code = "import sys, vsmmu.cli.option_table; print('click' in sys.modules, 'msgspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    "verb", ["resolve", "explain", "check", "plan", "inspect", "show", "label", "emulate"]
)
def test_a_variable_names_the_host_where_no_option_does(verb: str) -> None:
    assert _parameter(verb, "host_name" if verb == "emulate" else "host").envvar == "VSMMU_HOST"


def test_variables_are_read_and_options_go_before_them() -> None:
    environment = {"VSMMU_HOST": "builtin:gb200", "VSMMU_QEMU": "11.0"}
    arguments = ["explain", "--smmu", "0009:01:00.0"]
    answer = CliRunner().invoke(cli, [*arguments, "--", *VM.split()], env=environment)
    assert answer.output.splitlines()[0] == "host gb200, QEMU 11.0, virt-11.0"
    other = CliRunner().invoke(cli, [*arguments, "--qemu", "11.1", "--", *VM.split()], env=environment)
    assert other.output.splitlines()[0] == "host gb200, QEMU 11.1, virt-11.1"
    shown = CliRunner().invoke(cli, ["show"], env=environment)
    named = CliRunner().invoke(cli, ["show", "--host", "builtin:gb200"])
    assert shown.output == named.output


@pytest.mark.parametrize(
    ("arguments", "incomplete", "expected"),
    [
        (["show", "--host"], "builtin:gb", {"builtin:gb10", "builtin:gb200", "builtin:gb300"}),
        (["compare"], "builtin:gh", {"builtin:gh200", "builtin:gh200-no-cmdqv"}),
        (["resolve", "--qemu"], "11", {"11.0", "11.1"}),
        (["plan", "--policy"], "", {"common", "qemu"}),
        (["plan"], "--sp", {"--spare"}),
        (["explain"], "qemu-ri", {"qemu-ril", "qemu-ril-accel"}),
        (["fix", "--only"], "generic-i", {"generic-initiators-missing"}),
    ],
)
def test_a_shell_completes_what_the_table_knows(
    arguments: list[str], incomplete: str, expected: set[str]
) -> None:
    shell = ShellComplete(cli, {}, "vsmmu", "_VSMMU_COMPLETE")
    found = shell.get_completions(arguments, incomplete)
    assert {entry.value for entry in found} == expected
