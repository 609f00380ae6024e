# SPDX-License-Identifier: Apache-2.0
"""``vsmmu version``: the version, as ``--version`` prints it."""

from __future__ import annotations

import click

from vsmmu.cli import console

__all__ = ["command", "say_version"]


@click.command("version")
def command() -> int:
    """Show the version."""
    say_version()
    return 0


def say_version() -> None:
    """Print name and version."""
    from vsmmu import __version__

    console.say(f"vsmmu {__version__}")
