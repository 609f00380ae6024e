# SPDX-License-Identifier: Apache-2.0
"""The values that a shell offers for an argument: hosts, QEMU versions, functions and SMMUs, codes, names.

A completion that fails offers nothing: nobody can read an error while typing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vsmmu.errors import VsmmuError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.cli.option_table import Completed

__all__ = ["known_values"]


def known_values(what: Completed, ctx: click.Context) -> list[str]:
    """What may stand there.

    :param ctx: what was typed before; ``--host`` decides whose devices are meant.
    """
    if what == "qemu":
        from vsmmu.qemu.versions import FORK_RELEASES, RELEASES

        return [str(release) for release in (*RELEASES, *FORK_RELEASES)]
    if what == "schema":
        from vsmmu.cli.schemas import DOCUMENTS

        return list(DOCUMENTS)
    if what == "code":
        from vsmmu.explanation.table import all_codes

        return sorted(set(all_codes()))
    if what == "verb":
        root = ctx.find_root()
        return root.command.list_commands(root) if isinstance(root.command, click.Group) else []
    if what == "host":
        from vsmmu.host.builtin import builtin_names

        return ["live", *(f"builtin:{name}" for name in builtin_names())]
    return list(_devices(what, str(ctx.params.get("host") or "live")))


def _devices(what: Completed, spec: str) -> Iterable[str]:
    from vsmmu.api import load_host

    try:
        host = load_host(spec)
    except VsmmuError:
        return ()
    functions = [entry.address for entry in host.functions]
    return functions if what == "function" else [*(smmu.name for smmu in host.smmus), *functions]
