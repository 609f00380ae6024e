# SPDX-License-Identifier: Apache-2.0
"""Host classes: hosts of equal capability are judged once.

A class is the set of different SMMU capabilities of a host. How many SMMUs of each kind there are does not
matter to which values fit, so it is no part of the class. Its fingerprint is that of the text ``host/1``
followed by the canonical texts of its capabilities, sorted, one a line.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vsmmu.errors import UsageError
from vsmmu.fleet.capability import Capability, capability_of, fingerprint
from vsmmu.host.judgements import direct_mapped

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction

__all__ = ["EVERYTHING", "HostClass", "Selection", "class_of", "parse_selection"]


class _HasIds(Protocol):
    """What a selection looks at."""

    @property
    def vendor(self) -> str | None: ...
    @property
    def device(self) -> str | None: ...


class Selection(NamedTuple):
    """Which SMMUs of a host count: those behind which there is such a function; empty: all.

    :param vendor: PCI vendor id, four hex digits.
    :param device: PCI device id; empty is any.
    """

    vendor: str = ""
    device: str = ""

    def takes(self, function: _HasIds) -> bool:
        """Whether this is one of the functions that matter."""
        return (not self.vendor or function.vendor == self.vendor) and (
            not self.device or function.device == self.device
        )

    def __str__(self) -> str:
        return f"{self.vendor}:{self.device}" if self.device else self.vendor


#: Every SMMU and every function.
EVERYTHING = Selection()


class HostClass:
    """What hosts of one kind can do.

    :param capabilities: the different ones among the host's SMMUs, in canonical order; none if it has no
        SMMU (or none that was selected).
    :param selection: which of its SMMUs were to count.
    """

    def __init__(self, capabilities: frozenset[Capability], selection: Selection = EVERYTHING) -> None:
        self.selection = selection
        self.capabilities = tuple(sorted(capabilities, key=lambda entry: entry.canonical))

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits, the same in every version of vsmmu."""
        return fingerprint("\n".join(["host/1", *(entry.canonical for entry in self.capabilities)]))


def class_of(host: Host, selection: Selection = EVERYTHING) -> HostClass:
    """The class of a host, counting only the SMMUs that ``selection`` takes.

    Functions that have to stay mapped 1:1 do not count, nor do SMMUs that have no others behind them: no VM
    can be given one.
    """
    return HostClass(frozenset(_capabilities(host, selection).values()), selection)


def _capabilities(host: Host, selection: Selection) -> dict[str, Capability]:
    behind: dict[str, list[HostFunction]] = {}
    fixed = set()
    for function in host.functions:
        if function.smmu is not None and selection.takes(function):
            if direct_mapped(function).answer:
                fixed.add(function.smmu)
            else:
                behind.setdefault(function.smmu, []).append(function)
    return {
        smmu.name: capability_of(host, smmu, behind.get(smmu.name, ()))
        for smmu in host.smmus
        if smmu.name in behind or not (selection.vendor or smmu.name in fixed)
    }


def parse_selection(text: str | None) -> Selection:
    """Read ``VENDOR`` or ``VENDOR:DEVICE``, four hex digits each.

    :raise UsageError: ``device-form``.
    """
    if not text:
        return EVERYTHING
    vendor, _, device = text.lower().partition(":")
    for part in (vendor, device or vendor):
        if len(part) != 4 or not set(part) <= set("0123456789abcdef"):
            raise UsageError(
                "device-form",
                f"{text!r:.40} is no PCI id",
                next="write VENDOR or VENDOR:DEVICE, as in 10de:2941",
            )
    return Selection(vendor, device)
