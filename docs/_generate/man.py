# SPDX-License-Identifier: Apache-2.0
"""Man pages of vsmmu, of each verb and of the hook, from the option table and the verbs' own help."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import TYPE_CHECKING

import click

from vsmmu import __version__
from vsmmu.cli.group import VERBS, cli
from vsmmu.cli.hook import USAGE
from vsmmu.cli.option_table import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["man_pages"]

_NOTICE = '.\\" Made from the code by docs/_generate: change the code, then `make man`.'
_EXIT = "EXIT STATUS"


def man_pages() -> dict[str, str]:
    """The text of each page in roff, by file name."""
    root = click.Context(cli, info_name="vsmmu", **cli.context_settings)
    pages = {"vsmmu.1": _page("vsmmu", "values of QEMU's accelerated SMMUv3 for this host", _overview(root))}
    for verb, (_, line) in VERBS.items():
        name = f"vsmmu-{verb}"
        if command := cli.get_command(root, verb):
            pages[f"{name}.1"] = _page(name, line.rstrip(".?"), _verb(command, root, verb))
    pages["onDefineDomain.1"] = _page(
        "onDefineDomain", "KubeVirt's hook that fits a domain to this node", _hook()
    )
    return pages


def _page(name: str, summary: str, body: Iterable[str]) -> str:
    head = f'.TH {name.upper()} 1 "" "vsmmu {__version__}" "vsmmu"'
    lines = [_NOTICE, head, ".SH NAME", f"{_text(name)} \\- {_text(summary)}", *body]
    return "".join(f"{line}\n" for line in lines)


def _overview(root: click.Context) -> Iterator[str]:
    yield from (".SH SYNOPSIS", ".B vsmmu", "[\\fIOPTION\\fR]... \\fIVERB\\fR [\\fIARGUMENT\\fR]...")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(cli.help or "")
    yield ".SH VERBS"
    for verb, (_, line) in VERBS.items():
        yield from (".TP", f"\\fBvsmmu\\-{_text(verb)}\\fR(1)", _text(line))
    yield from _options(cli, root)
    yield f".SH {_EXIT}"
    yield from _exit_statuses()
    yield ".SH ENVIRONMENT"
    for variable, option in dict.fromkeys((row.variable, row.names) for row in OPTIONS if row.variable):
        yield from (".TP", f"\\fB{variable}\\fR", f"Stands for {_bold(option)} where it is not given.")
    yield from (".TP", "\\fBVSMMU_DEBUG\\fR", "Shows where a bug comes from.")
    yield from (".TP", "\\fBNO_COLOR\\fR", "No colours.")


def _verb(command: click.Command, root: click.Context, name: str, path: str = "vsmmu") -> Iterator[str]:
    context = click.Context(command, parent=root, info_name=name)
    whole = f"{path} {name}"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield from (".SH SYNOPSIS", f".B {_text(whole)}", _text(pieces))
    yield from (".SH DESCRIPTION", *_paragraphs(command.help or ""))
    yield from _options(command, context)
    for child, below in _children(command, context):
        yield from (
            line.replace(".SH ", f".SH {child.upper()}: ") for line in _verb(below, context, child, whole)
        )
    if command.epilog:
        yield from (".SH EXAMPLES", ".nf", *_examples(command.epilog), ".fi")
    if path == "vsmmu":
        yield from (".SH SEE ALSO", "\\fBvsmmu\\fR(1), which has the exit statuses and the environment.")


def _children(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        if found := command.get_command(context, name):
            yield name, found


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    found = (entry.get_help_record(context) for entry in command.get_params(context))
    records = [record for record in found if record and record[1]]  # arguments are told in the description
    if records:
        yield ".SH OPTIONS"
    for names, text in records:
        yield from (".TP", _bold(names), _text(" ".join(text.split())))


def _hook() -> Iterator[str]:
    usage, _, rest = USAGE.partition("\n")
    yield from (".SH SYNOPSIS", _text(usage.removeprefix("usage: ")))
    yield from (".SH DESCRIPTION", *_paragraphs(rest), ".SH SEE ALSO", "\\fBvsmmu\\-kubevirt\\fR(1)")


def _paragraphs(help_text: str) -> Iterator[str]:
    """A docstring: paragraphs, and blocks behind a ``\\b`` as they are."""
    for number, block in enumerate(cleandoc(help_text).split("\n\n")):
        if number:
            yield ".PP"
        if block.startswith("\b"):
            yield from (".nf", *map(_text, block.split("\n")[1:]), ".fi")
        else:
            yield _text(" ".join(block.split()))


def _examples(epilog: str) -> Iterator[str]:
    lines = cleandoc(epilog.replace("\b\n", "")).split("\n")
    yield from (_text(line.removeprefix("  ")) for line in lines if line != "Examples:")


def _exit_statuses() -> Iterator[str]:
    for line in (cli.epilog or "").splitlines():
        if found := re.fullmatch(r"\s+(\d+)\s+(.+)", line):
            yield from (".TP", f"\\fB{found[1]}\\fR", _text(found[2]))


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _text(text: str) -> str:
    """The text as roff has it: minus signs that can be copied, no line that is a request."""
    made = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    made = "".join(mark if mark.isascii() else f"\\[u{ord(mark):04X}]" for mark in made)
    return f"\\&{made}" if made.startswith((".", "\\(aq")) else made
