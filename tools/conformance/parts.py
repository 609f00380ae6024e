# SPDX-License-Identifier: Apache-2.0
"""Parts of a QEMU command line with typed values, and their forms: ``key=value``, JSON, ``-readconfig``."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Part", "Size", "Value", "config_text", "words_of"]

Value = str | int | bool


class Size(int):
    """Bytes: a number in JSON, mebibytes elsewhere."""


#: Options whose argument begins with a type, and what a configuration file calls it.
_TYPED = {"-device": "driver", "-object": "qom-type", "-machine": "type", "-M": "type", "-netdev": "type"}
#: What ``-readconfig`` takes; QEMU calls a group after its option.
_GROUPS = ("-device", "-object", "-machine", "-netdev", "-chardev")


class Part(NamedTuple):
    """An option with its argument.

    :param kind: the first word of the argument where that is a type or a bare value; empty if none.
    :param values: the rest of the argument, with the types that a JSON form needs.
    :param form: how the argument is written; ``bare`` has no argument at all.
    """

    option: str
    kind: str = ""
    values: Mapping[str, Value] = MappingProxyType({})
    form: str = "keyval"

    @property
    def id(self) -> str:
        """The id; empty if it has none."""
        return str(self.values.get("id", ""))

    def argument(self) -> str:
        """The argument in its form."""
        if self.form == "json":
            return json.dumps({_TYPED[self.option]: self.kind, **self.values})
        written = [f"{name}={_text(value)}" for name, value in self.values.items()]
        return ",".join([self.kind, *written] if self.kind else written)

    def section(self) -> str:
        """The part as a section of a configuration file."""
        head = f'{self.option[1:]} "{self.id}"' if self.id else self.option[1:]
        values = {_TYPED.get(self.option, "type"): self.kind, **self.values}
        lines = [f'  {name} = "{_text(value)}"' for name, value in values.items() if name != "id"]
        return "\n".join([f"[{head}]", *lines, ""])

    @property
    def may_be_section(self) -> bool:
        """Whether a configuration file can hold it."""
        return self.option in _GROUPS and self.form == "keyval" and '"' not in self.argument()


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value >> 20}M" if isinstance(value, Size) else str(value)


def words_of(parts: Iterable[Part]) -> list[str]:
    """The words of a command line."""
    found: list[str] = []
    for part in parts:
        found += [part.option] if part.form == "bare" else [part.option, part.argument()]
    return found


def config_text(parts: Iterable[Part]) -> str:
    """A configuration file."""
    return "\n".join(part.section() for part in parts)
