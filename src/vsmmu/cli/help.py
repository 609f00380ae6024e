# SPDX-License-Identifier: Apache-2.0
"""``vsmmu help``: an alias of ``--help``."""

from __future__ import annotations

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

__all__ = ["command"]


@click.command("help")
@parameters("help")
@click.pass_context
def command(ctx: click.Context, verb: str | None) -> int:
    """Show help for VERB, or the overview."""
    from vsmmu.cli.group import cli, no_such_verb

    root = ctx.find_root()
    if verb is None:
        console.raw(f"{root.get_help()}\n")
        return 0
    found = cli.get_command(root, verb)
    if found is None:
        raise no_such_verb(verb)
    with click.Context(found, info_name=verb, parent=root, max_content_width=100) as sub:
        console.raw(f"{sub.get_help()}\n")
    return 0
