# SPDX-License-Identifier: Apache-2.0
"""click's command tree: the verbs, their help, and what click has against the arguments.

Nothing is imported of a verb before it is called. What :mod:`vsmmu.cli.plain_form` reads never comes here.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from vsmmu.cli import console
from vsmmu.cli.late_modules import load_msgspec
from vsmmu.errors import EXIT_OK, UsageError

__all__ = ["VERBS", "cli", "no_such_verb", "run"]

#: Verb -> (module that defines ``command``, one line for the overview). Order is that of the overview.
VERBS: Final[dict[str, tuple[str, str]]] = {
    "resolve": ("vsmmu.cli.resolve", "Pin what is auto to values that fit the host."),
    "explain": ("vsmmu.cli.explain", "Say why each value, and what others would do."),
    "check": ("vsmmu.cli.check", "Would QEMU start this VM here, and if not, why?"),
    "fix": ("vsmmu.cli.fix", "Mend what keeps a VM from starting, where that is certain."),
    "capture": ("vsmmu.cli.capture", "Print the QEMU command that a script would start."),
    "run": ("vsmmu.cli.run", "Resolve, check, and start QEMU."),
    "plan": ("vsmmu.cli.plan", "Lay a VM out for functions of the host."),
    "inspect": ("vsmmu.cli.inspect", "What did a running VM resolve to, and does it still fit?"),
    "show": ("vsmmu.cli.show", "Show a host: its SMMUs and what each offers."),
    "probe": ("vsmmu.cli.probe", "Ask the kernel what the host's SMMUs are."),
    "doctor": ("vsmmu.cli.doctor", "Is this host ready, and what to do if not?"),
    "bundle": ("vsmmu.cli.bundle", "Pack what a bug report needs, without names and secrets."),
    "compare": ("vsmmu.cli.compare", "Would what runs on one host run on another?"),
    "baseline": ("vsmmu.cli.baseline", "Say which values hold on all hosts of a pool."),
    "report": ("vsmmu.cli.report", "Show many hosts: classes, what holds them back, drift."),
    "kubevirt": ("vsmmu.cli.kubevirt", "Serve KubeVirt's hook; print capabilities for it."),
    "label": ("vsmmu.cli.label", "Write the host's class and facts for Kubernetes (NFD)."),
    "emulate": ("vsmmu.cli.emulate", "Run a program against another host's kernel interface."),
    "lab": ("vsmmu.cli.lab", "An emulated Arm host with a real kernel, to try all of this in."),
    "schema": ("vsmmu.cli.schema", "Print the JSON Schema of an answer."),
    "completion": ("vsmmu.cli.completion", "Print the completion script for a shell."),
    "version": ("vsmmu.cli.version", "Show the version."),
    "help": ("vsmmu.cli.help", "Show help for a verb."),
}

#: The first verb of each group of the overview -> the group's title.
_TITLES: Final = {
    "resolve": "A VM",
    "show": "The host",
    "compare": "Many hosts",
    "kubevirt": "Kubernetes",
    "emulate": "Without the hardware",
    "schema": "vsmmu itself",
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


def no_such_verb(name: str) -> UsageError:
    """The error for a verb that there is not, with the one that may have been meant."""
    from vsmmu.suggestion import did_you_mean

    advice = f"{did_you_mean(name, VERBS)}vsmmu --help lists all"
    return UsageError("no-such-verb", f"there is no verb {name!r:.60}", next=advice)


class _Verbs(click.Group):
    """A group whose commands are imported when they are called, not to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        if not ctx.resilient_parsing:  # the verb is to be run, and not completed
            load_msgspec()
        module = importlib.import_module(VERBS[cmd_name][0])
        if isinstance(module.command, click.Command):
            return module.command
        from vsmmu.cli.options import vm_command

        return vm_command(cmd_name, module.command, module.EXAMPLES)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the verb that a misspelt one was meant to be."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise no_such_verb(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, VERBS))
        rows: dict[str, list[tuple[str, str]]] = {}
        for name, (_, line) in VERBS.items():
            title = _TITLES.get(name) or next(reversed(rows))
            rows.setdefault(title, []).append((f"{name:{width}}", line))
        for title, verbs in rows.items():
            with formatter.section(title):
                formatter.write_dl(verbs)


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXIT_STATUSES,
    invoke_without_command=True,
)
@click.option("-V", "--version", is_flag=True, help="Show the version and exit.")
@click.option(
    "--color",
    type=click.Choice(console.WHEN),
    help="Colour what is printed, or not; auto: on terminals, unless NO_COLOR is set.  [default: auto]",
)
@click.pass_context
def cli(ctx: click.Context, version: bool, color: console.When | None) -> None:
    """Fit an accelerated vSMMUv3 (-device arm-smmuv3,accel=on) to the host that it runs on.

    \b
    vsmmu show --host builtin:gb200
    vsmmu resolve --host builtin:gb200 -- qemu-system-aarch64 -M virt ...
    vsmmu explain --host facts.json vm.sh
    vsmmu check --qemu 11.0 < /proc/$(pidof qemu-system-aarch64)/cmdline
    """
    if color is not None:
        console.use_colour(color)
    if version:
        from vsmmu.cli.version import say_version

        say_version()
    elif ctx.invoked_subcommand is None:
        console.raw(f"{ctx.get_help()}\n")


def run(arguments: list[str]) -> int:
    """Parse a command line, run its verb, and return its exit status.

    :raise UsageError: what click has against it.
    :raise ReaderGone: nobody reads its help.
    """
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


def _usage(error: click.ClickException) -> UsageError:
    """What click has against the arguments."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "vsmmu"
    if isinstance(error, click.NoSuchOption) and context is not None and context.parent is not None:
        option = error.option_name
        if any(option in entry.opts for entry in cli.params):
            what, verb = f"{option} is an option of vsmmu itself", path.partition(" ")[2]
            return UsageError("usage", what, where=path, next=f"write it in front of {verb}")
    # click gives each choice a line of its own.
    message = error.format_message().replace("\n\t", " ").rstrip(".")
    return UsageError("usage", message, where=path, next=f"{path} --help")
