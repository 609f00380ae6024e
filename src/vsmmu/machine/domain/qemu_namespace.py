# SPDX-License-Identifier: Apache-2.0
"""Elements of libvirt's ``qemu`` namespace: words, properties and capabilities past libvirt's own schema.

``<qemu:override>`` is read: properties of devices by alias. What ``<qemu:commandline>`` appends and what
``<qemu:capabilities>`` hides from libvirt is not, and can change the VM. Source: docs/drvqemu.rst of libvirt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.domain.elements import QEMU_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.model import JsonValue

__all__ = ["Overrides", "namespace_doubts", "overrides_of"]

#: Alias of a device -> its properties as QEMU gets them; None for one that is taken away.
Overrides = dict[str, dict[str, "JsonValue | None"]]

_SHOWN: Final = 4
_NUMBERS: Final = frozenset({"signed", "unsigned"})
_NEXT: Final = (
    "give the whole command: virsh domxml-to-native qemu-argv --domain NAME | vsmmu check -, "
    "or the process id of the running QEMU"
)


def overrides_of(root: Element) -> Overrides:
    """The properties that ``<qemu:override>`` gives devices."""
    found: Overrides = {}
    for device in _below(root, "override", "device"):
        own = found.setdefault(device.get("alias"), {})
        for entry in _below(device, "frontend", "property"):
            own[entry.get("name")] = _value(entry.get("type"), entry.get("value"))
    found.pop("", None)
    return found


def namespace_doubts(root: Element) -> Iterator[Diagnostic]:
    """What may change the VM and was not looked at: an *unknown* for each element."""
    for element in root.children:
        if element.name == f"{QEMU_NAMESPACE} commandline":
            added = list(_options(element))
            if added:
                what = "what <qemu:commandline> adds was not looked at, so QEMU could refuse it"
                yield _doubt("domain-commandline", element, f"{what}: {_listed(added)}")
        elif element.name == f"{QEMU_NAMESPACE} capabilities" and element.children:
            changed = [entry.get("capability") for entry in element.children]
            what = "<qemu:capabilities> changes what libvirt takes QEMU for, so it could write another VM"
            yield _doubt("domain-capabilities", element, f"{what}: {_listed(changed)}")


def _options(element: Element) -> Iterator[str]:
    """The options that a rule reads, or that are not known."""
    from vsmmu.machine.command_line.assemble import RELEVANT  # few domains have such an element
    from vsmmu.machine.command_line.options import OPTIONS, options

    words = [entry.get("value") for entry in _below(element, "arg")]
    for option in options(words, 0):
        if option.name in RELEVANT or option.name not in OPTIONS:
            yield " ".join(filter(None, [words[option.first], option.text if option.name else ""]))


def _below(element: Element, *names: str) -> Iterator[Element]:
    path = [element]
    for name in names:
        path = [
            child for entry in path for child in entry.children if child.name == f"{QEMU_NAMESPACE} {name}"
        ]
    yield from path


def _value(kind: str, text: str) -> JsonValue | None:
    if kind == "remove":
        return None
    if kind == "bool":
        return text == "true"
    digits = text.removeprefix("-")
    return int(text) if kind in _NUMBERS and digits.isascii() and digits.isdecimal() else text


def _doubt(code: str, element: Element, what: str) -> Diagnostic:
    return Diagnostic(
        code,
        what,
        f"line {element.line} <{element.name.removeprefix(f'{QEMU_NAMESPACE} ')}>",
        why="it goes past what libvirt knows of a domain",
        next=_NEXT,
        severity="unknown",
    )


def _listed(texts: list[str]) -> str:
    shown = [text if len(text) < 80 else f"{text[:77]}..." for text in texts[:_SHOWN]]
    return ", ".join([*shown, f"{len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else shown)
