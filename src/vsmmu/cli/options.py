# SPDX-License-Identifier: Apache-2.0
"""The options that several verbs share, and the ``FILE | -- COMMAND`` argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Final, NamedTuple, TypeVar

import click

__all__ = ["Question", "VmCommand", "given_words", "host_option", "output_option", "vm_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_WORDS: Final = "vsmmu.words"


class VmCommand(click.Command):
    """A verb about a VM: its command line stands after ``--``, or in a file, or on standard input."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep everything after the first ``--`` away from click, which would look for options in it."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_WORDS] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The usage line, with the form that click cannot know."""
        return ["[OPTIONS]", "[FILE | -- QEMU-COMMAND...]"]


def given_words(ctx: click.Context) -> tuple[str, ...] | None:
    """The words after ``--`` of a :class:`VmCommand`; None if there is no ``--``."""
    words: tuple[str, ...] | None = ctx.meta.get(_WORDS)
    return words


class Question(NamedTuple):
    """What the user asked, as given: nothing is read yet."""

    file: str | None
    words: tuple[str, ...] | None
    host: str
    qemu: str | None
    machine_type: str | None
    libvirt: str | None
    policy: str
    functions: tuple[str, ...]
    also: tuple[str, ...]
    smmu: tuple[str, ...]
    assume_safe: bool
    allow_mixed: bool
    pin_cmdqv: bool
    baseline: str | None = None


def host_option(function: _Function) -> _Function:
    """``--host``."""
    return click.option(
        "--host",
        default="live",
        show_default=True,
        metavar="live|FILE|builtin:NAME",
        help="Facts about the host: this machine, a facts file (- is standard input), or a built-in host.",
        shell_complete=_complete_host,
    )(function)


def output_option(*more: str) -> Callable[[_Function], _Function]:
    """``-o``: text, json, and what else a verb has."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json", *more]),
        default="text",
        show_default=True,
        help="Form of the answer.",
    )


def vm_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """All options that say which VM, which host, which QEMU and how; the verb gets one :class:`Question`."""

    def invoke(**given: Any) -> Any:
        mine = {name: given.pop(name) for name in Question._fields if name != "words"}
        words = given_words(click.get_current_context())
        return function(Question(words=words, **mine), **given)

    update_wrapper(invoke, function)  # also carries the verb's own options, which click keeps there
    for decorate in reversed(_VM_OPTIONS):
        invoke = decorate(invoke)
    return host_option(invoke)


def _complete_host(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001
    from click.shell_completion import CompletionItem

    from vsmmu.host.builtin import builtin_names

    known = ["live", *(f"builtin:{name}" for name in builtin_names())]
    found = [CompletionItem(name) for name in known if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


_VM_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    click.argument("file", required=False, type=click.Path(allow_dash=True), metavar="FILE"),
    click.option(
        "--qemu",
        metavar="VERSION|BINARY",
        help="Which QEMU will run it: 10.2, 11.0, 11.1, or a binary to ask.  [default: 11.1]",
    ),
    click.option(
        "--machine-type",
        metavar="virt-X.Y",
        help="The machine type, where the command line does not say it.",
    ),
    click.option(
        "--libvirt",
        metavar="VERSION",
        help="Which libvirt will define the domain, where the VM is domain XML.  [default: 12.8]",
    ),
    click.option(
        "--policy",
        type=click.Choice(["common", "qemu"]),
        default="common",
        show_default=True,
        help="common: the most that all functions behind a vSMMU can have. qemu: what QEMU's own auto "
        "would take, the first device's.",
    ),
    click.option(
        "--function",
        "functions",
        multiple=True,
        metavar="ID=BDF",
        help="The host function behind a vfio-pci with fd=. Repeatable.",
    ),
    click.option(
        "--also",
        multiple=True,
        metavar="[VSMMU=]BDF",
        help="A function that will be plugged in later; the values must fit it, too. Repeatable.",
    ),
    click.option(
        "--smmu",
        multiple=True,
        metavar="[VSMMU=]NAME|BDF",
        help="The host SMMU that a vSMMU without endpoints is for: its name, or a function behind it.",
    ),
    click.option(
        "--assume-safe",
        is_flag=True,
        help="Where a fact is unknown take what asks least: ats=off, ril=off, ssidsize=0, oas=44.",
    ),
    click.option(
        "--allow-mixed",
        is_flag=True,
        help="Let one vSMMU stand for two host SMMUs (QEMU starts, attaching fails later).",
    ),
    click.option(
        "--baseline",
        metavar="FILE[#POOL]",
        help="Take no more than all hosts of a pool offer: what vsmmu baseline -o json printed.",
    ),
    click.option("--pin-cmdqv", is_flag=True, help="Pin cmdqv, too, instead of leaving it to QEMU."),
)
