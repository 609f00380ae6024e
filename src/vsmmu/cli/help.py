# SPDX-License-Identifier: Apache-2.0
"""``vsmmu help``: the same as ``--help``, for those who type it this way."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("help")
@click.argument("verb", required=False)
@click.pass_context
def command(ctx: click.Context, verb: str | None) -> int:
    """Show help for VERB, or the overview."""
    from vsmmu.cli.main import VERBS, cli
    from vsmmu.errors import UsageError

    root = ctx.find_root()
    if verb is None:
        click.echo(root.get_help())
        return 0
    found = cli.get_command(root, verb)
    if found is None:
        raise UsageError(
            "no-such-verb", f"there is no verb {verb!r:.60}", next=f"there are: {', '.join(VERBS)}"
        )
    with click.Context(found, info_name=verb, parent=root, max_content_width=100) as sub:
        click.echo(sub.get_help())
    return 0
