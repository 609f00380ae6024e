# SPDX-License-Identifier: Apache-2.0
"""Parameters of ``-numa``, read by type: QEMU's refusals of names and values, before it looks at nodes.

Sources: NumaOptions in qapi/machine.json, qapi/opts-visitor.c of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.values import interval, range_refusal, signed, size, unsigned
from vsmmu.qemu.values import refusal as said_of_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.machine.model import GroupOption

__all__ = ["KINDS", "MOST_NODES", "cpu_numbers", "nodes_by_number", "number", "option_refusal"]

_INDICES: Final = "drawer-id book-id socket-id die-id cluster-id module-id core-id thread-id"
_LATENCIES: Final = (
    "access-latency|read-latency|write-latency|access-bandwidth|read-bandwidth|write-bandwidth"
)
#: Type of option -> its parameters in QEMU's order, each with its type; those with ``*`` must be there.
KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "node": {
        "nodeid": "uint16",
        "cpus": "[uint16]",
        "mem": "size",
        "memdev": "str",
        "initiator": "uint16",
    },
    "dist": {"src": "uint16*", "dst": "uint16*", "val": "uint8*"},
    "cpu": dict.fromkeys(("node-id", *_INDICES.split()), "int64"),
    "hmat-lb": {
        "initiator": "uint16*",
        "target": "uint16*",
        "hierarchy": "memory|first-level|second-level|third-level*",
        "data-type": f"{_LATENCIES}*",
        "latency": "uint64",
        "bandwidth": "size",
    },
    "hmat-cache": {
        "node-id": "uint32*",
        "size": "size*",
        "level": "uint8*",
        "associativity": "none|direct|complex*",
        "policy": "none|write-back|write-through*",
        "line": "uint16*",
    },
}
_MOST_UINT16: Final = 0xFFFF
#: MAX_NODES of include/system/numa.h.
MOST_NODES: Final = 128


def option_refusal(option: GroupOption) -> Refusal | None:
    """What QEMU says of the names and values of one ``-numa``; None if it takes them."""
    settings = option.settings
    if "type" not in settings:
        return _missing("type")
    kinds = KINDS.get(settings["type"])
    if kinds is None:
        text = f"Parameter 'type' does not accept value '{settings['type']}'"
        return _value(text, f"write one of {', '.join(KINDS)}")
    for name, kind in kinds.items():
        if name not in settings:
            if kind.endswith("*"):
                return _missing(name)
        elif text := _refused(name, kind.rstrip("*"), option):
            return _value(text, f"correct {name}=")
    stray = next((name for name in settings if name != "type" and name not in kinds), None)
    if stray is None:
        return None
    return Refusal(
        "qemu-property-unknown",
        {"text": f"Invalid parameter '{stray}'", "remedy": f"remove {stray}= from -numa {settings['type']}"},
    )


def _refused(name: str, kind: str, option: GroupOption) -> str:
    if kind == "[uint16]":
        return next((text for written in option.cpus if (text := _refused_cpus(written))), "")
    written = option.settings[name]
    if not kind.startswith("uint"):
        return said_of_value(name, kind, written, "opts", {})
    text = said_of_value(name, "uint64", written, "opts", {})
    return text or range_refusal(name, kind, unsigned(written) or 0)


def _refused_cpus(written: str) -> str:
    """A list's elements have no name of their own, and QEMU prints its null pointer."""
    text = said_of_value("cpus", "[uint64]", written, "opts", {})
    most = max(unsigned(end) or 0 for end in interval(written)) if not text else 0
    return text or ("Parameter 'null' expects uint16_t" if most > _MOST_UINT16 else "")


def cpu_numbers(written: Iterable[str]) -> list[range]:
    """The CPUs of ``cpus=``, of values that :func:`option_refusal` has nothing to say of."""
    ends = [[unsigned(end) or 0 for end in interval(text)] for text in written]
    return [range(pair[0], pair[-1] + 1) for pair in ends]


def number(settings: Mapping[str, str], name: str) -> int | None:
    """A parameter's number; None if it is not written."""
    text = settings.get(name)
    if text is None:
        return None
    if name in ("size", "bandwidth"):
        return size(text)
    return signed(text) if name.endswith("-id") else unsigned(text)


def _missing(name: str) -> Refusal:
    return _value(f"Parameter '{name}' is missing", f"add {name}= to -numa")


def _value(text: str, remedy: str) -> Refusal:
    return Refusal("qemu-property-value", {"text": text, "remedy": remedy})


def nodes_by_number(options: Iterable[GroupOption]) -> dict[int, GroupOption]:
    """Each ``-numa node`` by its number: the one that is written, or how many nodes come before it."""
    nodes: dict[int, GroupOption] = {}
    for option in options:
        if option.settings.get("type") == "node":
            written = number(option.settings, "nodeid")
            nodes[len(nodes) if written is None else written] = option
    return nodes
