# SPDX-License-Identifier: Apache-2.0
"""Redaction of a VM: what decides whether it starts is kept, by a list; everything else is taken out.

Kept are types, ids, buses, addresses and switches. Names, paths, networks, serial numbers, passwords and
whatever nobody has thought of become ``REDACTED``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

from vsmmu.machine.command_line.keyval import escape as escape_opts
from vsmmu.machine.command_line.keyval import parse_opts
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.command_line.options import WrittenOption
    from vsmmu.machine.domain.elements import Element

__all__ = ["REDACTED", "redacted_domain", "redacted_option", "redacted_words"]

REDACTED: Final = "REDACTED"
#: Options of which single values are kept -> the key of a first value without one.
_OPTIONS: Final = {
    "machine": "type", "M": "type", "accel": "accel", "device": "driver", "object": "qom-type",
    "cpu": "model",
    "smp": "cpus", "m": "size", "numa": "type", "nic": "type",
}  # fmt: skip
#: Keys whose values are names of the VM's own parts, types, or addresses.
_KEYS: Final = frozenset(
    "type accel driver qom-type model id bus primary-bus addr iommufd chassis chassis_nr slot port bus_nr "
    "numa_node gic-version iommu msi kernel-irqchip stage memdev nodeid node cpus size maxcpus sockets cores "
    "threads host".split()
) | set(PROPERTIES)
#: Keys whose values are secrets or names even if they are numbers.
_SECRET: Final = re.compile(
    r"serial|mac|wwn|guid|uuid|pass|secret|data|pin|key|token|user|name|host|iqn|address"
)
_WORD: Final = re.compile(r"[\w.:@+-]{1,64}")
_BDF: Final = re.compile(r"(?:[0-9a-fA-F]{1,8}:)?[0-9a-fA-F]{1,2}:[0-9a-fA-F]{1,2}\.[0-7]")
_PLAIN: Final = re.compile(
    r"on|off|yes|no|true|false|auto|y|n|default|[0-9]{1,6}[bBkKmMgGtT]?i?B?|0x[0-9a-fA-F]{1,8}"
)
#: Objects that hold nothing of anybody.
_OBJECTS: Final = tuple(
    "iommufd memory-backend- acpi-generic-initiator acpi-egm-memory rng- iothread".split()
)
#: An EGM region of the host, which is nobody's name.
_EGM: Final = re.compile(r"/dev/egm[0-9]{1,7}")


def _value(key: str, value: object) -> object:
    """A value, if it may be shown."""
    text = str(value)
    if isinstance(value, bool):
        return value
    if key == "host":
        return value if _BDF.fullmatch(text) else REDACTED
    if key == "mem-path":
        return value if _EGM.fullmatch(text) else REDACTED
    if key in _KEYS:
        return value if _WORD.fullmatch(text) else REDACTED
    return value if _PLAIN.fullmatch(text) and not _SECRET.search(key) else REDACTED


def redacted_words(line: CommandLine) -> list[str]:
    """The command line as words: the emulator by its name, and its options; what precedes it is left out."""
    words = [line.program.rpartition("/")[2] or "qemu-system-aarch64"]
    for option in line.options():
        words += _words(option)
    return words


def _words(option: WrittenOption) -> Iterator[str]:
    if not option.name:
        yield REDACTED
        return
    yield f"-{option.name}"
    if option.last > option.first:
        yield redacted_option(option.name, option.text)


def redacted_option(name: str, text: str) -> str:
    """The argument of an option."""
    if name in ("global", "set"):
        head, equals, value = text.partition("=")
        if not equals or not _WORD.fullmatch(head):
            return REDACTED
        return f"{head}={_value(head.rpartition('.')[2], value)}"
    if name not in _OPTIONS:
        return REDACTED
    if text.startswith("{"):
        return _json(text)
    pairs = parse_opts(text, _OPTIONS[name])
    hidden = name == "object" and not (pairs and pairs[0].value.startswith(_OBJECTS))
    made = []
    for pair in pairs:
        kept = pair.key in ("qom-type", "id") if hidden else True
        value = str(_value(pair.key, pair.value)) if kept else REDACTED
        bare = pair is pairs[0] and not text.startswith(f"{pair.key}=") and pair.key == _OPTIONS[name]
        made.append(escape_opts(value) if bare else f"{pair.key}={escape_opts(value)}")
    return ",".join(made)


def _json(text: str) -> str:
    import json

    from vsmmu.machine.command_line.qjson import JsonError, parse_object

    try:
        members = {member.key: member.value for member in parse_object(text)}
    except JsonError:
        return REDACTED
    kind = str(members.get("qom-type", ""))
    hidden = bool(kind) and not kind.startswith(_OBJECTS)
    return json.dumps(
        {
            key: _value(key, value) if not hidden or key in ("qom-type", "id") else REDACTED
            for key, value in members.items()
        }
    )


#: Elements of a domain that say nothing of a start, and much of somebody.
_DROPPED: Final = frozenset("metadata description title".split())
#: Attributes whose values are types and places.
_ATTRIBUTES: Final = frozenset(
    "type model index bus slot function domain multifunction mode managed arch machine chassis port busNr "
    "pciBus iommufd enabled firmware placement check fallback controller unit target policy feature".split()
)
_DISK: Final = re.compile(r"[hsv]d[a-z]{1,2}")
_NAMED: Final = frozenset({"driver", "model", "alias", "feature", "backend"})
_TEXTS: Final = frozenset({"type"})


def redacted_domain(element: Element, indent: str = "") -> Iterator[str]:
    """The domain's lines, written anew; elements of other namespaces are left out."""
    attributes = "".join(
        f" {name}={quoteattr(_attribute(element.name, name, value))}"
        for name, value in element.attributes.items()
        if " " not in name and not name.startswith("xmlns")
    )
    inside = [child for child in element.children if " " not in child.name and child.name not in _DROPPED]
    text = _text(element)
    if not inside:
        end = f">{escape(text)}</{element.name}>" if text else "/>"
        yield f"{indent}<{element.name}{attributes}{end}"
        return
    yield f"{indent}<{element.name}{attributes}>"
    for child in inside:
        yield from redacted_domain(child, f"{indent}  ")
    yield f"{indent}</{element.name}>"


def _attribute(element: str, name: str, value: str) -> str:
    if element == "source" and name != "mode":
        kept = bool(_PLAIN.fullmatch(value)) and not _SECRET.search(name)
    elif name in _ATTRIBUTES or element == "driver" or (name == "name" and element in _NAMED):
        kept = bool(_WORD.fullmatch(value))
    elif element == "target" and name == "dev":
        kept = bool(_DISK.fullmatch(value))
    else:
        kept = bool(_PLAIN.fullmatch(value)) and not _SECRET.search(name)
    return value if kept else REDACTED


def _text(element: Element) -> str:
    if element.name == "emulator":
        return element.text.rpartition("/")[2]
    if not element.text or (element.name in _TEXTS and _WORD.fullmatch(element.text)):
        return element.text
    plain = element.text.isdecimal() and not _SECRET.search(element.name)
    return element.text if plain else REDACTED
