# SPDX-License-Identifier: Apache-2.0
"""``typing.NamedTuple`` for modules that a start loads: classes are made three times as quickly.

``typing`` compiles the annotation of every field, to refuse what is no type; mypy does that here. A start
makes some sixty such classes, and those compilations would add a sixth to it.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from typing import NamedTuple as NamedTuple

__all__ = ["NamedTuple"]

#: What every class body has and a tuple makes for itself.
_OWN = frozenset({"__module__", "__annotations__", "__dict__", "__weakref__"})


class _Maker(type):
    """Makes of the body of a class that derives from NamedTuple a subclass of tuple."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        fields = body.get("__annotations__", {})
        defaults = [body[field] for field in fields if field in body]
        made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])  # type: ignore[misc]
        made.__annotations__ = made.__new__.__annotations__ = fields
        for key, value in body.items():
            if key not in fields and key not in _OWN:
                setattr(made, key, value)
        return made


if not TYPE_CHECKING:

    class NamedTuple(metaclass=_Maker):
        """The base class; see the module."""
