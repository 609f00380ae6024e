# SPDX-License-Identifier: Apache-2.0
"""``typing.NamedTuple`` for modules that a start loads: classes are made ten times as quickly.

``typing`` compiles the annotation of every field, to refuse what is no type; mypy does that here.
``collections.namedtuple`` compiles a constructor for each class; here classes with as many fields share one,
under names of their own. A start makes some seventy such classes.
"""

from __future__ import annotations

from collections import namedtuple
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
    from typing import NamedTuple as NamedTuple

__all__ = ["NamedTuple"]

#: Classes of collections.namedtuple by their number of fields: what in them does not depend on names is used.
_SHAPES: dict[int, Any] = {}


def _replace(self: Any, /, **changes: Any) -> Any:
    """A copy with other values for the fields that are named."""
    made = self._make(map(changes.pop, self._fields, self))
    if changes:
        raise ValueError(f"Got unexpected field names: {list(changes)!r}")
    return made


def _repr(self: Any) -> str:
    """``Class(field=value, ...)``."""
    fields = [f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)]
    return f"{type(self).__name__}({', '.join(fields)})"


class _Maker(type):
    """Makes of the body of a class that derives from NamedTuple a subclass of tuple."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        annotations = body.get("__annotations__")
        if annotations is None:  # Python 3.14 has a function where annotations are no text; 1 is VALUE
            annotate = body.get("__annotate__") or body.get("__annotate_func__")
            annotations = annotate(1) if annotate is not None else {}
        fields = tuple(annotations)
        defaults = {field: body[field] for field in fields if field in body}
        if fields[len(fields) - len(defaults) :] != tuple(defaults):
            late = next(field for field in reversed(fields) if field not in defaults)
            raise TypeError(f"{name}: {late} has no default value, and follows a field that has one")
        shape = _shape(len(fields))
        body |= dict(zip(fields, (vars(shape)[field] for field in shape._fields), strict=True))
        body["__new__"] = _constructor(shape.__new__, fields, defaults)
        body["__new__"].__annotations__ = annotations
        body |= {key: vars(shape)[key] for key in ("_make", "_asdict", "__getnewargs__")}
        body |= {"__slots__": (), "_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
        plain = {"__doc__": f"{name}({', '.join(fields)})", "__repr__": _repr, "_replace": _replace}
        return type(name, (tuple,), plain | body)


def _shape(count: int) -> Any:
    if count not in _SHAPES:
        _SHAPES[count] = namedtuple(f"Of{count}", [f"field{number}" for number in range(count)])
    return _SHAPES[count]


def _constructor(
    of_shape: Any, fields: tuple[str, ...], defaults: dict[str, Any]
) -> Callable[..., tuple[Any, ...]]:
    """The shape's ``__new__`` with these fields as its parameters."""
    code = of_shape.__code__.replace(co_varnames=("_cls", *fields))
    return FunctionType(code, of_shape.__globals__, "__new__", tuple(defaults.values()))


if not TYPE_CHECKING:

    class NamedTuple(metaclass=_Maker):
        """The base class; see the module."""
