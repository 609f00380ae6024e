# SPDX-License-Identifier: Apache-2.0
"""The page of features with the least releases of each, from the table in the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markdown import code, page, table

from vsmmu.machine.features import FEATURES
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from vsmmu.versions import Version

__all__ = ["features"]


def features() -> str:
    """Each feature of a VM with the least Linux, configuration, QEMU and libvirt."""
    rows = [
        (
            code(row.id),
            code(row.title),
            _spell(row.kernel),
            code(row.config) if row.config else "",
            _spell(row.qemu),
            _spell(row.libvirt) or (f"{_spell(row.libvirt_seen)} has it" if row.libvirt_seen else ""),
        )
        for row in FEATURES.values()
    ]
    return page(
        "Features and the least releases",
        "What a VM may use, and the first Linux (of the host), QEMU and libvirt that have it. An empty place "
        "needs nothing; *has it* is a release that does, where the first one is not known. `vsmmu doctor "
        "--for VM` and `vsmmu report --for VM` hold hosts against it: "
        "[](../how-to/what-runs-where.md).",
        table(("id", "in a VM", "Linux", "option", "QEMU", "libvirt"), rows),
    )


def _spell(version: Version | None) -> str:
    return spell_version(version) if version else ""
