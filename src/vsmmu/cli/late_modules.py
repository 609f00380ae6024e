# SPDX-License-Identifier: Apache-2.0
"""msgspec without what it loads beside itself: a VM's start waits for it, and uses none of that.

Of what ``import msgspec`` costs, two thirds are for other formats, for schemas, for inspection of types and
for older Pythons. Here other modules stand in for these while it is loaded: each is loaded when something is
asked of it. Only of UUIDs and decimal numbers msgspec knows nothing then.
"""

from __future__ import annotations

import sys
import typing
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_msgspec"]

#: What msgspec imports and calls only in its own functions; textwrap compiles patterns, inspect makes forty
#: structs.
_LATE: Final = ("msgspec.inspect", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml", "textwrap")
_FORWARD_REFERENCE: Final = typing.ForwardRef


def load_msgspec() -> None:
    """Import msgspec, unless somebody has; afterwards each module is to be had as always."""
    if "msgspec" in sys.modules:
        return
    stand_ins = {name: module for name, module in _stand_ins() if name not in sys.modules}
    sys.modules.update(stand_ins)
    vars(typing)["ForwardRef"] = _forward_reference
    try:
        import msgspec  # noqa: F401 - it is loaded
    finally:
        vars(typing)["ForwardRef"] = _FORWARD_REFERENCE
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name, stand_in) is stand_in:
                sys.modules.pop(name, None)


def _stand_ins() -> Iterator[tuple[str, Any]]:
    """What stands for a module that nobody has loaded; None if there is to be no such module."""
    for name in _LATE:
        yield name, _StandIn(name)
    # msgspec only wants to know these types, of which there is nothing in documents of ours.
    yield "uuid", _StandIn("uuid", UUID=_Unused, SafeUUID=_Unused)
    yield "decimal", _StandIn("decimal", Decimal=_Unused)
    # The types are those that are written in C; until 3.12 datetime has them in Python first.
    with suppress(ImportError):
        yield "datetime", import_module("_datetime")
    # Asked for get_type_hints, Required and NotRequired, which are typing's own since Python 3.11.
    yield "typing_extensions", None


class _Unused:
    """A type of which there are no instances."""

    unknown = None  # one of uuid.SafeUUID's


class _StandIn(ModuleType):
    """A module that knows what msgspec asks of it at once; for anything else the module itself is loaded."""

    def __init__(self, name: str, **known: object) -> None:
        super().__init__(name)
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks for a path
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def _forward_reference(name: str, **options: Any) -> Any:
    """typing's; none for the one that msgspec makes only to see what options there are.

    Python makes a class for each part of its syntax before it compiles the first.
    """
    return None if name == "Foo" else _FORWARD_REFERENCE(name, **options)
