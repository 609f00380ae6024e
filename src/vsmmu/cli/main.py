# SPDX-License-Identifier: Apache-2.0
"""The entry point: find the verb, run it, turn what it raises into a message and an exit status.

A start of vsmmu lies on the path of a VM's start, so nothing is imported before a verb asks for it.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final, NoReturn

import click

from vsmmu.errors import EXIT_BUG, EXIT_OK, VsmmuError

__all__ = ["VERBS", "answer_in_json", "cli", "main", "run"]

#: Verb -> (module that defines ``command``, one line for the overview). Order is that of the overview.
VERBS: Final[dict[str, tuple[str, str]]] = {
    "resolve": ("vsmmu.cli.resolve", "Pin what is auto to values that fit the host."),
    "explain": ("vsmmu.cli.explain", "Say why each value, and what others would do."),
    "check": ("vsmmu.cli.check", "Would QEMU start this VM here, and if not, why?"),
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

        click.echo(f"vsmmu {__version__}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run the command line of this process and exit with the status that :mod:`vsmmu.errors` names."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; every outcome becomes an exit status, and nothing a traceback."""
    _WANTED.clear()
    try:
        result = cli.main(arguments, prog_name="vsmmu", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else EXIT_OK
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except VsmmuError as error:
        _report(error)
        return error.exit_status
    except BrokenPipeError:
        # The reader went away (``| head``): point stdout elsewhere, or the interpreter complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("VSMMU_DEBUG"):
            raise
        kind = type(error).__name__
        click.echo(f"vsmmu: bug: {kind}: {error} (VSMMU_DEBUG=1 shows where; please report it)", err=True)
        return EXIT_BUG


def answer_in_json() -> None:
    """Said by ``-o json``: an error, too, is to be a document on stdout."""
    _WANTED.add("json")


def _report(error: VsmmuError) -> None:
    click.echo(f"vsmmu: {error}", err=True)
    if "json" in _WANTED:
        from vsmmu.cli.documents import encode, error_document

        click.echo(encode(error_document(error)), nl=False)


_WANTED: Final[set[str]] = set()
