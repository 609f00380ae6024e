# SPDX-License-Identifier: Apache-2.0
"""``vsmmu schema``: the JSON Schemas of the documents that vsmmu reads and prints."""

from __future__ import annotations

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

__all__ = ["command"]


@click.command("schema", epilog="\b\nExample:\n  vsmmu schema host > vsmmu.host-1.schema.json\n")
@parameters("schema")
def command(name: str | None) -> int:
    """Print the JSON Schema of a document, or without NAME the names there are."""
    from vsmmu.cli.schemas import DOCUMENTS, schema_of
    from vsmmu.errors import UsageError

    if name is None:
        console.say(*DOCUMENTS)
        return 0
    if name not in DOCUMENTS:
        from vsmmu.suggestion import did_you_mean

        raise UsageError(
            "no-such-schema",
            f"no document is called {name!r:.60}",
            next=f"{did_you_mean(name, DOCUMENTS)}choose one of: {', '.join(DOCUMENTS)}",
        )
    console.answer(schema_of(name))
    return 0
