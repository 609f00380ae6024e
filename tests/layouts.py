# SPDX-License-Identifier: Apache-2.0
"""Whole VMs for the platforms of today: golden in tests/golden/plan, tried with real QEMU and libvirt."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import HostFunction
from vsmmu.plan.planner import Order
from vsmmu.policy.options import Options

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.plan.selection import Grouping

__all__ = ["LAYOUTS", "Layout"]

_GB200 = ("0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0")
_GB300 = ("0008:06:00.0", "0009:06:00.0", "0018:06:00.0", "0019:06:00.0")
_GB200_NICS = ("0008:02:00.0", "0009:02:00.0", "0018:02:00.0", "0019:02:00.0")
_GB300_NICS = ("0008:07:00.0", "0009:07:00.0", "0018:07:00.0", "0019:07:00.0")


class Layout(NamedTuple):
    """A host and what a VM is given of it.

    :param nics: functions that are added to the facts, each beside the GPU of its segment.
    """

    name: str
    functions: tuple[str, ...]
    nics: tuple[str, ...] = ()
    group: Grouping = "smmu"
    assume_safe: bool = False

    def host(self) -> Host:
        """The built-in host, with the cards that a real one has besides."""
        facts = builtin_host(self.name)
        beside = {entry.address[:4]: entry for entry in facts.functions}
        cards = [
            HostFunction(
                address,
                smmu=beside[address[:4]].smmu,
                numa_node=beside[address[:4]].numa_node,
                vendor="15b3",
                device="1021",
                class_code="020700",
                driver="vfio-pci",
            )
            for address in self.nics
            if facts.function(address) is None
        ]
        return msgspec.structs.replace(facts, functions=(*facts.functions, *cards))

    def order(self, *words: str) -> Order:
        """What plan is asked for, for this command line."""
        return Order((*self.functions, *self.nics), words=words, group=self.group)

    def options(self) -> Options:
        """The options of a resolution."""
        return Options(assume_safe=self.assume_safe)

    def arguments(self) -> list[str]:
        """Functions and options of ``vsmmu plan``, but for the host."""
        safe = ["--assume-safe"] if self.assume_safe else []
        return [*safe, "--group", self.group, *self.functions, *self.nics]

    def naive(self, head: str) -> list[str]:
        """The words of a VM that has the functions and no vSMMU; the first function has no id.

        :param head: the emulator with the options of the machine.
        """
        words = shlex.split(head)
        for number, address in enumerate((*self.functions, *self.nics)):
            port = f"pcie-root-port,id=port{number},bus=pcie.0,chassis={number + 1}"
            device = f"vfio-pci,host={address},bus=port{number}" + (f",id=dev{number}" if number else "")
            words += ["-device", port, "-device", device]
        return words


LAYOUTS = {
    "gb200-1": Layout("gb200", _GB200[1:2]),
    "gb200-2": Layout("gb200", (_GB200[1], _GB200[3])),
    "gb200-4": Layout("gb200", _GB200),
    "gb200-4-and-2": Layout("gb200", _GB200, (_GB200_NICS[1], _GB200_NICS[3])),
    "gb200-4-and-4": Layout("gb200", _GB200, _GB200_NICS),
    "gb200-4-and-4-roots": Layout("gb200", _GB200, _GB200_NICS, "root-complex"),
    "gb300-4": Layout("gb300", _GB300),
    "gb300-4-and-4": Layout("gb300", _GB300, _GB300_NICS),
    "gb300-4-and-4-roots": Layout("gb300", _GB300, _GB300_NICS, "root-complex"),
    "gh200-1": Layout("gh200-no-cmdqv", ("0009:01:00.0",)),
    # Its SSIDSIZE is not published.
    "altra-2": Layout("altra", ("0000:01:00.0", "000c:01:00.0"), assume_safe=True),
}
