# SPDX-License-Identifier: Apache-2.0
"""The entry point: find the verb, run it, turn what it raises into a message and an exit status.

A start of vsmmu lies on the path of a VM's start, so nothing is imported before a verb asks for it.
"""

from __future__ import annotations

import gc
import importlib
import re
import sys
from typing import Final, NoReturn

import click

from vsmmu.cli import console
from vsmmu.cli.outcome import end_quickly, exit_status
from vsmmu.errors import EXIT_OK, UsageError, VsmmuError

__all__ = ["VERBS", "cli", "main", "no_such_verb", "run"]

#: Verb -> (module that defines ``command``, one line for the overview). Order is that of the overview.
VERBS: Final[dict[str, tuple[str, str]]] = {
    "resolve": ("vsmmu.cli.resolve", "Pin what is auto to values that fit the host."),
    "explain": ("vsmmu.cli.explain", "Say why each value, and what others would do."),
    "check": ("vsmmu.cli.check", "Would QEMU start this VM here, and if not, why?"),
    "capture": ("vsmmu.cli.capture", "Print the QEMU command that a script would start."),
    "run": ("vsmmu.cli.run", "Resolve, check, and start QEMU."),
    "plan": ("vsmmu.cli.plan", "Lay a VM out for functions of the host."),
    "inspect": ("vsmmu.cli.inspect", "What did a running VM resolve to, and does it still fit?"),
    "show": ("vsmmu.cli.show", "Show a host: its SMMUs and what each offers."),
    "probe": ("vsmmu.cli.probe", "Ask the kernel what the host's SMMUs are."),
    "doctor": ("vsmmu.cli.doctor", "Is this host ready, and what to do if not?"),
    "emulate": ("vsmmu.cli.emulate", "Run a program against another host's kernel interface."),
    "compare": ("vsmmu.cli.compare", "Would what runs on one host run on another?"),
    "baseline": ("vsmmu.cli.baseline", "Say which values hold on all hosts of a pool."),
    "report": ("vsmmu.cli.report", "Show many hosts: classes, what holds them back, drift."),
    "kubevirt": ("vsmmu.cli.kubevirt", "Serve KubeVirt's hook; print capabilities for it."),
    "label": ("vsmmu.cli.label", "Write the host's class and facts for Kubernetes (NFD)."),
    "lab": ("vsmmu.cli.lab", "An emulated Arm host with a real kernel, to try all of this in."),
    "schema": ("vsmmu.cli.schema", "Print the JSON Schema of an answer."),
    "completion": ("vsmmu.cli.completion", "Print the completion script for a shell."),
    "help": ("vsmmu.cli.help", "Show help for a verb."),
}

#: One VM and one host in, one answer out: what they leave in cycles, or open, goes with the process.
_SHORT: Final = (["resolve"], ["explain"], ["check"], ["run"], ["--version"])

_EXIT_STATUSES: Final = """\b
Exit status:
  0   yes, or done
  1   no: unresolvable, would not start, differs
  2   the command line of vsmmu is wrong
  3   input refused: malformed or too large
  4   no permission
  5   the host lacks an interface, or there are no facts
  70  a bug of vsmmu
"""


def no_such_verb(name: str) -> UsageError:
    """The error for a verb that there is not, with the one that may have been meant."""
    import difflib

    near = difflib.get_close_matches(name, VERBS, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return UsageError("no-such-verb", f"there is no verb {name!r:.60}", next=f"{meant}vsmmu --help lists all")


class _Verbs(click.Group):
    """A group whose commands are imported when they are called, not to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(VERBS[cmd_name][0]).command
        assert isinstance(command, click.Command)  # noqa: S101 - each verb's module defines one
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the verb that a misspelt one was meant to be."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise no_such_verb(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXIT_STATUSES,
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def cli(ctx: click.Context, version: bool) -> None:
    """Fit an accelerated vSMMUv3 (-device arm-smmuv3,accel=on) to the host that it runs on.

    \b
    vsmmu show --host builtin:gb200
    vsmmu resolve --host builtin:gb200 -- qemu-system-aarch64 -M virt ...
    vsmmu explain --host facts.json vm.sh
    vsmmu check --qemu 11.0 < /proc/$(pidof qemu-system-aarch64)/cmdline
    """
    if version:
        from vsmmu import __version__

        console.say(f"vsmmu {__version__}")
    elif ctx.invoked_subcommand is None:
        console.raw(f"{ctx.get_help()}\n")


def main() -> NoReturn:
    """Run the command line of this process and exit with the status that :mod:`vsmmu.errors` names."""
    if sys.argv[1:2] not in _SHORT:
        sys.exit(run(sys.argv[1:]))
    gc.disable()
    end_quickly(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; every outcome becomes an exit status, and nothing a traceback."""
    json = _wants_json(arguments)
    console.use_colour(not json)
    return exit_status(lambda: _run(arguments), _report if json else None)


def _run(arguments: list[str]) -> int:
    try:
        result = cli.main(arguments, prog_name="vsmmu", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2
            error.show()
            return error.exit_code
        raise _usage(error) from None
    except click.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as stop:
        if stop.code != 1:  # a signal's
            raise
        # click's way to say that nobody reads its help; verbs return their status.
        raise console.ReaderGone from None
    return result if isinstance(result, int) else EXIT_OK


def _report(error: VsmmuError) -> None:
    from vsmmu.cli.documents import error_document

    console.answer(error_document(error))


def _usage(error: click.ClickException) -> UsageError:
    """What click has against the arguments."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "vsmmu"
    return UsageError("usage", error.format_message().rstrip("."), where=path, next=f"{path} --help")


def _wants_json(arguments: list[str]) -> bool:
    """Whether ``-o json`` is among the arguments, which may be too wrong for click to say so."""
    mine = arguments[: arguments.index("--")] if "--" in arguments else arguments
    pairs = zip(mine, [*mine[1:], ""], strict=True)
    return any(_JSON.fullmatch(f"{word} {value}") or _JSON.fullmatch(word) for word, value in pairs)


#: ``-o json``, ``-qo json``, ``-ojson``, ``--output json``, ``--output=json``.
_JSON: Final = re.compile(r"(-[a-z]*o ?|--output[ =])json")
