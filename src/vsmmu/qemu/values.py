# SPDX-License-Identifier: Apache-2.0
"""The one reader of written values: QEMU's booleans, numbers, sizes and enumerations, with its refusals.

QEMU has three parsers. ``-device``, ``-machine`` and ``-global`` in ``key=value`` form go through the keyval
visitor, ``-object`` in that form through the options visitor, and JSON through the plain one; they differ in
what they take and in their sentences. Sources: qapi/qobject-input-visitor.c, qapi/opts-visitor.c,
util/cutils.c and hw/core/qdev-properties-system.c of qemu/qemu; measured on 11.1.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from vsmmu.machine.model import Unread
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vsmmu.machine.model import JsonValue

__all__ = [
    "Form",
    "boolean",
    "interval",
    "quantity",
    "range_refusal",
    "refusal",
    "setter",
    "setter_refusal",
    "signed",
    "size",
    "unsigned",
]

#: Which of QEMU's parsers reads the value.
Form = Literal["keyval", "opts", "json"]

_BOOLEANS: Final = dict.fromkeys(("on", "yes", "true", "y"), True) | dict.fromkeys(
    ("off", "no", "false", "n"), False
)
# What C's strtoll() and strtoull() take with base 0, whole: white space before, a sign, the base as 0x, 0b
# (from glibc 2.38 on) or 0.
_INTEGER: Final = r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|(0[0-7]*)|([1-9][0-9]*))"
_HEX_SIZE: Final = r"[ \t\n\v\f\r]*\+?0+[xX]([0-9a-fA-F]+)"
_SIZE: Final = r"[ \t\n\v\f\r]*\+?([0-9]*)(?:\.([0-9]*))?([bBkKmMgGtTpPeE]?)"
_UNITS: Final = "BKMGTPE"
#: The least and the most of each type of integer.
_RANGES: Final = {
    f"{sign}int{bits}": (0, (1 << bits) - 1) if sign else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    for sign in ("u", "")
    for bits in (8, 16, 32, 64)
}
_MAX: Final = (1 << 64) - 1
#: OPTS_VISITOR_RANGE_MAX: a range of the options visitor has fewer numbers.
_WIDEST: Final = 65536
_MOST_DIGITS: Final = 40
_LEAST_WINDOW: Final = 512 << 30
_HEX: Final = r"[+-]?(?:0[xX])?[0-9a-fA-F]+"
_DEVFN: Final = rf"\s*({_HEX})(?:\.\s*({_HEX}))?"
_HOST: Final = rf"\s*(?:({_HEX}):)?\s*({_HEX}):\s*({_HEX})\.\s*([+-]?[0-9]+)"
_MAC: Final = r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}"
_TEXT: Final = frozenset({"str", "string"})


def boolean(text: str) -> bool | None:
    """A boolean in ``key=value`` form; None if QEMU refuses it."""
    return _BOOLEANS.get(text)


def _decimal(digits: str) -> int:
    """The number; one beyond all types where there are more digits than Python takes (4300)."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else 1 << 128


def _integer(text: str) -> int | None:
    if text.isascii() and text.isdigit() and (text[0] != "0" or text == "0"):
        return _decimal(text)  # as nearly all are written: a start need not compile the pattern
    match = re.fullmatch(_INTEGER, text)
    if match is None:
        return None
    sign, *digits, decimal = match.groups()
    parts = zip(digits, (16, 2, 8), strict=True)
    number = next((int(part, base) for part, base in parts if part), None)
    number = _decimal(decimal) if number is None else number
    return -number if sign == "-" else number


def unsigned(text: str) -> int | None:
    """An unsigned 64-bit number in ``key=value`` form, ``-1`` as its complement; None if it is none."""
    number = _integer(text)
    return None if number is None or abs(number) > _MAX else number & _MAX


def signed(text: str) -> int | None:
    """A signed 64-bit number in ``key=value`` form; None if it is none."""
    number = _integer(text)
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


def size(text: str) -> int | None:
    """A size in bytes: decimal with a unit of ``BKMGTPE`` and perhaps a fraction, or hexadecimal without."""
    if not text:
        return None
    match = re.fullmatch(_HEX_SIZE, text)
    if match is not None:
        number = int(match[1], 16)
        return number if number <= _MAX else None
    match = re.fullmatch(_SIZE, text)
    if match is None or not (match[1] or match[2]):
        return None
    unit = 1024 ** _UNITS.index(match[3].upper() or "B")
    fraction = (match[2] or "")[:_MOST_DIGITS]
    if unit == 1 and fraction.strip("0"):
        return None
    digits = _decimal(match[1]) * unit
    part = (int(fraction or "0") * unit * 2 + 10 ** len(fraction)) // (2 * 10 ** len(fraction))
    return digits + part if digits + part <= _MAX else None


def quantity(value: JsonValue, read: Callable[[str], int | None] = size) -> int | None:
    """A number of a property, in JSON or as text; None if it is none, or if only a shell knows it.

    :param read: reads the text: :func:`size`, :func:`signed` or :func:`unsigned`, by the property's type.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return read(value) if isinstance(value, str) and not isinstance(value, Unread) else None


def refusal(
    name: str,
    kind: str,
    value: JsonValue,
    form: Form,
    enums: Mapping[str, Sequence[str]],
    owner: str = "",
) -> str:
    """QEMU's sentence if it does not take ``value`` for a property; empty if it does, or cannot be judged.

    :param kind: the property's type as the table has it (``uint8``, ``OnOffAuto``, ``link<PCI>``).
    :param enums: accepted values by type.
    :param owner: the type to whom QEMU says that the property belongs, for a device.
    """
    if isinstance(value, Unread):
        return ""
    array = _is_structure(kind) or (form == "keyval" and kind.startswith("["))
    if array and (form == "keyval" or not isinstance(value, list)):
        return f"Invalid parameter type for '{name}', expected: array"
    if form == "json":
        return _refused_json(name, kind, value, enums, owner)
    if not isinstance(value, str):
        return ""
    if kind in ("bool", "boolean"):
        return "" if boolean(value) is not None else f"Parameter '{name}' expects 'on' or 'off'"
    if form == "opts":
        return _refused_option(name, kind, value)
    if kind == "size":
        return "" if size(value) is not None else f"Parameter '{name}' expects size"
    if kind in _RANGES or kind == "int":
        number = unsigned(value) if kind.startswith("u") else signed(value)
        return f"Parameter '{name}' expects integer" if number is None else range_refusal(name, kind, number)
    return _refused_text(name, kind, value, enums, owner)


def setter_refusal(option: str, text: str) -> str:
    """What the ``virt`` board says to a machine option's value that is of the right type; empty if nothing.

    Source: virt_set_highmem_mmio_size() in hw/arm/virt.c.
    """
    number = size(text) if option == "highmem-mmio-size" else None
    if number is None:
        return ""
    if number.bit_count() != 1:
        return f"{option} is not a power of 2"
    if number < _LEAST_WINDOW:
        return f"{option} cannot be set to a lower value than the default (512 GiB)"
    return ""


def _is_structure(kind: str) -> bool:
    return kind == "list" or kind.endswith("List")


def _refused_option(name: str, kind: str, text: str) -> str:
    if kind == "size":
        return "" if size(text) is not None else f"Parameter '{name}' expects a size value"
    element = kind.strip("[]")
    if element in ("uint64", "int64"):
        parts = interval(text) if kind.startswith("[") else [text]
        ends = [_option_number(part, element) for part in parts]
        good = None not in ends and 0 <= (ends[-1] or 0) - (ends[0] or 0) < _WIDEST
        more = " or range" if kind.startswith("[") else ""
        article = "an" if element == "int64" else "a"
        return "" if good else f"Parameter '{name}' expects {article} {element} value{more}"
    if "|" in kind:
        return "" if text in kind.split("|") else f"Parameter '{name}' does not accept value '{text}'"
    return ""


def interval(text: str) -> list[str]:
    """``0-3`` of the options visitor as its two ends; a sign of the first number is not the separator."""
    head, dash, tail = text[1:].partition("-")
    return [text[:1] + head, tail] if dash else [text]


def _option_number(text: str, kind: str) -> int | None:
    if kind == "int64":
        return signed(text)
    return None if text.lstrip().startswith("-") else unsigned(text)


def range_refusal(name: str, kind: str, number: int) -> str:
    """What QEMU says of a number beyond its type (``uint16``); empty if it is within."""
    if kind not in _RANGES or kind.endswith("64"):
        return ""
    low, high = _RANGES[kind]
    return "" if low <= number <= high else f"Parameter '{name}' expects {kind}_t"


def _refused_json(
    name: str, kind: str, value: JsonValue, enums: Mapping[str, Sequence[str]], owner: str
) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind in ("bool", "boolean"):
        return "" if isinstance(value, bool) else f"Invalid parameter type for '{name}', expected: boolean"
    if kind == "size" or (kind in _RANGES and kind.startswith("u")):
        if not whole or not isinstance(value, int) or not -(1 << 63) <= value <= _MAX:
            return f"Parameter '{name}' expects uint64"
        return range_refusal(name, kind, value & _MAX)
    if kind == "int" or kind in _RANGES:
        if not whole or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
            return f"Invalid parameter type for '{name}', expected: integer"
        return range_refusal(name, kind, value)
    if name == "addr" and kind == "str" and not isinstance(value, str):
        return _refused_devfn(name, value)
    if kind in _TEXT or kind in enums or "|" in kind or kind.startswith("link<"):
        if not isinstance(value, str):
            return f"Invalid parameter type for '{name}', expected: string"
        return _refused_text(name, kind, value, enums, owner)
    return ""


def _refused_devfn(name: str, value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"Invalid parameter type for '{name}', expected int or str"
    if not isinstance(value, int):
        return f"Invalid parameter type for '{name}', expected: integer"
    return range_refusal(name, "int32", value) or (
        "" if -1 <= value <= 255 else f"Parameter '{name}' expects a value between -1 and 255"
    )


def _refused_text(name: str, kind: str, text: str, enums: Mapping[str, Sequence[str]], owner: str) -> str:
    accepted = kind.split("|") if "|" in kind else enums.get(kind)
    if accepted is not None:
        return "" if text in accepted else f"Parameter '{name}' does not accept value '{text}'"
    if kind != "str" or not owner:
        return ""
    good = {"addr": _is_devfn, "mac": _is_mac, "host": _is_host}.get(name)
    if good is None or (name == "host" and not owner.startswith("vfio-")) or good(text):
        return ""
    return f"Property '{setter(owner) if name == 'mac' else owner}.{name}' doesn't take value '{text}'"


def setter(owner: str) -> str:
    """The type that holds the property: a virtio device hands it on to the one inside."""
    head, pci, _ = owner.partition("-pci")
    return f"{head}-device" if pci and owner.startswith(("virtio-", "vhost-")) else owner


def _is_devfn(text: str) -> bool:
    match = re.fullmatch(_DEVFN, text)
    if match is None:
        return False
    slot, function = (int(part or "0", 16) & 0xFFFFFFFF for part in match.groups())
    return slot <= 31 and function <= 7


def _is_mac(text: str) -> bool:
    return re.fullmatch(_MAC, text) is not None


def _is_host(text: str) -> bool:
    if text == normal_address(text) and text[4] == ":":
        return True
    match = re.fullmatch(_HOST, text)
    if match is None:
        return False
    numbers = [int(part or "0", 16) for part in match.groups()[:3]] + [int(match[4])]
    return all(0 <= number <= most for number, most in zip(numbers, (0xFFFF, 0xFF, 0x1F, 7), strict=True))
