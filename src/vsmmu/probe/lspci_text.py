# SPDX-License-Identifier: Apache-2.0
"""ATS and PASID capabilities of functions from the text that ``lspci -vv`` or ``-vvv`` prints.

Without privilege lspci prints ``Capabilities: <access denied>``, and without the extended configuration space
no capability at 0x100 or above: both leave the question open. Source: pciutils, lspci.c and ls-ecaps.c
(``Max PASID Width`` is hexadecimal).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.errors import InputRefused
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction

__all__ = ["MAX_LSPCI_BYTES", "Said", "add_capabilities", "read_lspci"]

MAX_LSPCI_BYTES: Final = 64 << 20
_KEY: Final = "lspci"
_HEAD: Final = re.compile(r"(?P<address>(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) \S")
_CAPABILITY: Final = re.compile(r"\s+Capabilities: \[(?P<offset>[0-9a-f]{2,3})(?: v\d{1,2})?\] (?P<name>.*)")
_WIDTH: Final = re.compile(r"\s+PASIDCap: .*Max PASID Width: (?P<width>[0-9a-f]{2})\b")
_ATS: Final = "Address Translation Service (ATS)"
_PASID: Final = "Process Address Space ID (PASID)"
_WIDEST: Final = 20


class Said(NamedTuple):
    """What the text has of one function; None where it leaves the question open.

    :param pasid_width: bits of a PASID, 0..20; None also if only the capability's name is printed.
    """

    address: str
    ats: bool | None = None
    pasid: bool | None = None
    pasid_width: int | None = None


def read_lspci(data: bytes, where: str) -> tuple[Said, ...]:
    """Every function of the text, in order.

    :param where: names the text in errors.
    :raise InputRefused: ``lspci-malformed``: no line begins with a PCI address.
    """
    found: dict[str, Said] = {}
    address = ""
    for line in data.decode("utf-8", "replace").splitlines():
        head = _HEAD.match(line)
        if head:
            address = normal_address(head["address"]) or ""
            if address:
                found[address] = Said(address)
        elif address in found:
            found[address] = _with_line(found[address], line)
    if not found:
        raise InputRefused(
            "lspci-malformed",
            "this is not what lspci prints",
            where=where,
            next="as root: lspci -vvv > FILE",
        )
    return tuple(found.values())


def add_capabilities(host: Host, said: tuple[Said, ...]) -> Host:
    """Add what lspci printed to the functions that the facts have; what was measured stays."""
    by_address = {entry.address: entry for entry in said}
    functions = tuple(
        _with_capabilities(function, by_address, host) if function.address in by_address else function
        for function in host.functions
    )
    if functions == host.functions:
        return host
    evidence = {**host.evidence, _KEY: Evidence("measured", "lspci", "the function's extended capabilities")}
    return msgspec.structs.replace(host, functions=functions, evidence=evidence)


def _with_line(said: Said, line: str) -> Said:
    capability = _CAPABILITY.match(line)
    if capability is None:
        width = _WIDTH.match(line)
        if width is None or int(width["width"], 16) > _WIDEST:
            return said
        return said._replace(pasid_width=int(width["width"], 16))
    if int(capability["offset"], 16) < 0x100:
        return said
    # An extended capability is printed, so lspci could read all of them.
    return said._replace(
        ats=bool(said.ats) or capability["name"].startswith(_ATS),
        pasid=bool(said.pasid) or capability["name"].startswith(_PASID),
    )


def _with_capabilities(function: HostFunction, said: dict[str, Said], host: Host) -> HostFunction:
    own = said[function.address]
    # A virtual function has no PASID capability; the physical one's counts for it (PCIe 9.3.7).
    pasid = said.get(function.physical_function, Said("")) if function.physical_function else own
    width = 0 if pasid.pasid is False else pasid.pasid_width
    stated = {
        "ats_capability": None if own.ats is None else int(own.ats),
        "pasid_capability": None if pasid.pasid is None else int(pasid.pasid),
        "pasid_width": width,
    }
    facts = {
        name: Fact(value, _KEY)
        for name, value in stated.items()
        if value is not None and host.read(getattr(function, name), name, _WIDEST).evidence.kind != "measured"
    }
    return msgspec.structs.replace(function, **facts)
