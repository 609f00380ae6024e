# SPDX-License-Identifier: Apache-2.0
"""Notices in facts: not probed in this boot, or read from a tree that is no running host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.host.evidence import Evidence

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = ["NOT_PROBED", "fake_notice", "not_probed"]

#: The key of the evidence for what only a probe would tell.
NOT_PROBED: Final = "not-probed"
_NEXT: Final = "bind an idle function behind it to vfio-pci and run as root: vsmmu probe"


def not_probed(note: str, *, readable_log: bool) -> Evidence:
    """Why a register is not known: nobody has asked the kernel since it started."""
    reasons = [note, "" if readable_log else "the kernel log may not be read here", _NEXT]
    return Evidence("unknown", "not probed in this boot", "; ".join(filter(None, reasons)))


def fake_notice(tree: Tree) -> tuple[str, ...]:
    """What facts from another tree than the machine's own have to say of themselves."""
    return () if tree.is_real else (f"read from the files below {tree.root}, not from a running machine",)
