# SPDX-License-Identifier: Apache-2.0
"""click's options and arguments, made of the rows of the option table; the ``VM | -- COMMAND`` argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import click

from vsmmu.cli.option_table import options_of
from vsmmu.cli.plain_form import Question, with_bare_values, with_question

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from vsmmu.cli.option_table import Completed, Option

__all__ = ["VmCommand", "given_words", "parameters", "vm_command"]

_Verb = Callable[..., Any]
_WORDS: Final = "vsmmu.words"


class VmCommand(click.Command):
    """A verb about a VM: its command line stands after ``--``, or an argument names it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep everything after the first ``--`` away from click, which would look for options in it."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_WORDS] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, list(with_bare_values(args, options_of(self.name or ""))))

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The usage line, with the form that click cannot know."""
        return ["[OPTIONS]", "[VM | -- QEMU-COMMAND...]"]


def given_words(ctx: click.Context) -> tuple[str, ...] | None:
    """The words after ``--`` of a :class:`VmCommand`; None if there is no ``--``."""
    words: tuple[str, ...] | None = ctx.meta.get(_WORDS)
    return words


def vm_command(verb: str, function: _Verb, examples: str) -> click.Command:
    """Click's command of a verb about a VM, of the function that takes its :class:`Question` and options."""
    return click.command(verb, cls=VmCommand, epilog=examples)(parameters(verb, Question)(function))


def parameters(verb: str, question: type[Any] | None = None) -> Callable[[_Verb], _Verb]:
    """All options and arguments that the table has for a verb.

    :param question: a NamedTuple; the verb then gets the values of its fields as one argument ``question``,
        and the words after ``--`` with them, if it has a field ``words``.
    """

    def decorate(function: _Verb) -> _Verb:
        invoke = function if question is None else _asking(function, question)
        for row in reversed(options_of(verb)):
            invoke = _argument(row)(invoke) if row.is_argument else _option(row)(invoke)
        return invoke

    return decorate


def _asking(function: _Verb, question: type[Any]) -> _Verb:
    def invoke(**given: Any) -> Any:
        if "words" in question._fields:
            given["words"] = given_words(click.get_current_context())
        return function(**with_question(given, question))

    return update_wrapper(invoke, function)


def _argument(row: Option) -> Callable[[_Verb], _Verb]:
    return click.argument(
        row.key,
        type=_type(row),
        nargs=-1 if row.multiple else 1,
        required=row.required,
        metavar=row.metavar or None,
        shell_complete=_completion(row),
    )


def _option(row: Option) -> Callable[[_Verb], _Verb]:
    given: dict[str, Any] = (
        {} if row.default is None else {"default": row.default, "show_default": row.default != ""}
    )
    if row.kind != "flag":
        given |= {"type": _type(row), "multiple": row.multiple, "shell_complete": _completion(row)}
    return click.option(
        *row.names.split(),
        row.key,
        is_flag=True if row.kind == "flag" else None,  # where that is False click 8.5 may read no value
        metavar=row.metavar or None,
        required=row.required,
        hidden=row.hidden,
        envvar=row.variable or None,
        show_envvar=bool(row.variable),
        help=f"{row.help}  [default: {row.supposed}]" if row.supposed else row.help,
        **given,
    )


def _type(row: Option) -> Any:
    if row.kind == "choice":
        return click.Choice(row.choices)
    # Not asked is whether a file can be read: who reads it says so, and one that is replaced need not be.
    if row.kind == "path":
        return click.Path(allow_dash=True, readable=False)
    if row.kind in ("old-file", "new-file"):
        from pathlib import Path

        return click.Path(exists=row.kind == "old-file", dir_okay=False, readable=False, path_type=Path)
    if row.kind == "count":
        return click.IntRange(0, None if row.most is None else int(row.most))
    if row.kind == "number":
        return _number(row)
    return int if row.kind == "integer" else str


def _number(row: Option) -> click.FloatRange:
    """More than 0, at most what the row says; neither infinite nor "nan", which no comparison refuses."""

    class Finite(click.FloatRange):
        def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
            if not isfinite(number := super().convert(value, param, ctx)):
                self.fail(f"{value} is no number that can be counted to.", param, ctx)
            return number

    return Finite(0, row.most, min_open=True)


def _completion(row: Option) -> Callable[..., list[CompletionItem]] | None:
    return partial(_complete, row.complete) if row.complete else None


def _complete(
    what: Completed,
    ctx: click.Context,
    param: click.Parameter,
    incomplete: str,
) -> list[CompletionItem]:
    from glob import escape, glob

    from click.shell_completion import CompletionItem

    from vsmmu.cli.known_values import known_values

    # Where a code may stand for a VM, files come first.
    pattern = f"{escape(incomplete)}*"
    if what == "code" and isinstance(param, click.Argument) and glob(pattern):  # noqa: PTH207 - has folders
        return [CompletionItem(incomplete, type="file")]
    found = [CompletionItem(name) for name in known_values(what, ctx) if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]
