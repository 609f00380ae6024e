# SPDX-License-Identifier: Apache-2.0
"""The hosts that ship with vsmmu: documented values of real platforms, each with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import UsageError
from vsmmu.host.files import builtin_files, load_host

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

__all__ = ["builtin_host", "builtin_names", "describe_likeness"]


def builtin_names() -> tuple[str, ...]:
    """All names that :func:`builtin_host` takes, sorted."""
    return tuple(builtin_files())


def builtin_host(name: str) -> Host:
    """The built-in host called ``name``.

    :raise UsageError: ``no-such-builtin``.
    """
    path = builtin_files().get(name)
    if path is None:
        from vsmmu.suggestion import did_you_mean

        meant = did_you_mean(name, builtin_names(), "builtin:{}")
        raise UsageError(
            "no-such-builtin",
            f"there is no built-in host {name!r:.60}",
            next=f"{meant}choose one of: {', '.join(builtin_names())}",
        )
    return load_host(path).listing_all()


def describe_likeness(host: Host) -> str:
    """One sentence on the built-in host that this one looks like; empty if none, or if it was measured.

    Nothing of the built-in host is used: that is for the user to ask for.
    """
    from vsmmu.host.recognition import recognise, spell_likeness

    found = recognise(host)
    if found is None or any(smmu.registers for smmu in host.smmus):
        return ""
    return spell_likeness(found, builtin_host(found.builtin))
