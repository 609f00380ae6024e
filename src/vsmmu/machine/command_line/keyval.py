# SPDX-License-Identifier: Apache-2.0
"""QEMU's ``key=value,...`` syntaxes: QemuOpts (``-device``, ``-object``...) and keyval (``-machine``).

Both double a comma inside a value. They differ in what a word without ``=`` means, and in QemuOpts the
*first* ``id`` counts while of all other keys the last does. Rules as in QEMU's ``util/qemu-option.c``
(``get_opt_name_value``) and ``util/keyval.c`` (``keyval_parse_one``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import InputRefused
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Pair", "dashed", "escape", "merged", "opts_id", "parse_keyval", "parse_opts", "written"]


class Pair(NamedTuple):
    """One parameter of a QemuOpts string.

    :param key: its name; for the first word without ``=`` the implied one, for ``nofoo`` it is ``foo``.
    :param value: with the commas single again; ``on`` or ``off`` for a short-form boolean.
    :param start: offset of the parameter in the string.
    :param value_start: offset of the written value; -1 for a short-form boolean, which has none.
    :param end: offset after the value, where a comma or the end is.
    """

    key: str
    value: str
    start: int
    value_start: int
    end: int


def escape(value: str) -> str:
    """A value as it is written: every comma doubled."""
    return value.replace(",", ",,")


def written(settings: Mapping[str, str]) -> str:
    """Settings as a QemuOpts string."""
    return ",".join(f"{name}={escape(value)}" for name, value in settings.items())


def _value_end(text: str, start: int) -> int:
    """Where the value that begins at ``start`` ends: at the first comma that is not doubled."""
    while True:
        comma = text.find(",", start)
        if comma < 0:
            return len(text)
        if text[comma + 1 : comma + 2] != ",":
            return comma
        start = comma + 2


def _name_end(text: str, start: int) -> int:
    comma = text.find(",", start)
    if comma < 0:
        comma = len(text)
    equals = text.find("=", start, comma)
    return equals if equals >= 0 else comma


def parse_opts(text: str, implied: str = "") -> list[Pair]:
    """The parameters of a QemuOpts string, in order; every string has a reading.

    :param implied: the key of a first parameter without ``=`` (``driver`` for ``-device``).
    """
    pairs: list[Pair] = []
    start = 0
    while start < len(text):
        name_end = _name_end(text, start)
        if text[name_end : name_end + 1] == "=":
            key, value_start = text[start:name_end], name_end + 1
            end = _value_end(text, value_start)
            value = text[value_start:end].replace(",,", ",")
        elif implied and not pairs:
            key, value_start = implied, start
            end = _value_end(text, start)
            value = text[start:end].replace(",,", ",")
        else:
            key, value_start, end, value = text[start:name_end], -1, name_end, "on"
            if key.startswith("no"):
                key, value = key[2:], "off"
        pairs.append(Pair(key, value, start, value_start, end))
        start = end + 1
    return pairs


def opts_id(pairs: list[Pair]) -> str | None:
    """The ``id`` of a QemuOpts string; None if it has none.

    QEMU looks for it in a pass of its own that knows no implied key and stops at the first.
    """
    for index, pair in enumerate(pairs):
        if index == 0 and pair.start == pair.value_start:
            if pair.value in ("id", "noid"):
                return "on" if pair.value == "id" else "off"
        elif pair.key == "id":
            return pair.value
    return None


def merged(pairs: list[Pair]) -> dict[str, str]:
    """The parameters without ``id``; the last of repeated keys, at the place of the first."""
    return {pair.key: pair.value for pair in pairs if pair.key != "id"}


def parse_keyval(text: str, implied: str) -> list[tuple[str, str]]:
    """The parameters of a keyval string, in order; dotted keys stay flat.

    :raise ValueError: with QEMU's own words, or ``help`` if the string asks for help.
    """
    pairs: list[tuple[str, str]] = []
    start = 0
    while start < len(text):
        name_end = _name_end(text, start)
        name = text[start:name_end]
        if text[name_end : name_end + 1] == "=":
            if not _is_key(name):
                raise ValueError(f"Invalid parameter '{name}'")
            end = _value_end(text, name_end + 1)
            pairs.append((name, text[name_end + 1 : end].replace(",,", ",")))
        elif name in ("help", "?"):
            raise ValueError("help")
        elif name and implied and start == 0:
            end = name_end
            pairs.append((implied, name))
        elif name:
            raise ValueError(f"Expected '=' after parameter '{name}'")
        else:
            raise ValueError("Invalid parameter ''")
        start = end + 1
    return pairs


def _is_key(text: str) -> bool:
    """Whether a key is a name, then names and numbers behind dots (keyval_parse_one() in util/keyval.c)."""
    first, *rest = text.split(".")
    return _is_name(first) and all(part.isdecimal() or _is_name(part) for part in rest)


def _is_name(text: str) -> bool:
    return text[:1].isalpha() and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def dashed(settings: Mapping[str, str]) -> dict[str, str]:
    """The ``-machine`` options with ``_`` as ``-``, as QEMU does before it applies them.

    :raise InputRefused: ``option-syntax``, if both spellings of one are there.
    """
    options: dict[str, str] = {}
    for key, value in settings.items():
        name = key.replace("_", "-")
        if name != key and name in settings:
            raise InputRefused(
                "option-syntax",
                f"-machine has both {key!r} and {name!r}",
                why=f"Conflict between '{key}' and '{name}'",
                next="keep one of the two",
            )
        options[name] = value
    return options
