# SPDX-License-Identifier: Apache-2.0
"""``vsmmu completion``: shell completion scripts for bash, zsh and fish."""

from __future__ import annotations

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu completion bash > ~/.local/share/bash-completion/completions/vsmmu
  vsmmu completion zsh > "${fpath[1]}/_vsmmu"
  vsmmu completion fish > ~/.config/fish/completions/vsmmu.fish
"""


@click.command("completion", epilog=_EXAMPLES)
@parameters("completion")
def command(shell: str) -> int:
    """Print the completion script for a shell."""
    from vsmmu.cli.group import cli
    from vsmmu.cli.shells import script

    console.raw(script(shell, cli))
    return 0
