# SPDX-License-Identifier: Apache-2.0
"""``typing.NamedTuple`` for modules that a start loads: classes are made ten times as quickly.

``typing`` compiles the annotation of every field, to refuse what is no type; mypy does that here.
``collections.namedtuple`` compiles a constructor for each class; here they are written out, one for each
number of fields, which each class has under names of its own; and all share the rest. A start makes some
seventy such classes.
"""

from __future__ import annotations

# The getter of a field; collections has one for every Python.
from collections import _tuplegetter  # type: ignore[attr-defined]
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    from typing import NamedTuple as NamedTuple

__all__ = ["NamedTuple"]

_make_tuple = tuple.__new__
#: Constructors by their number of fields: to compile one takes ten times as long as to make a class.
_CONSTRUCTORS = (
    lambda _cls: _make_tuple(_cls, ()),
    lambda _cls, a: _make_tuple(_cls, (a,)),
    lambda _cls, a, b: _make_tuple(_cls, (a, b)),
    lambda _cls, a, b, c: _make_tuple(_cls, (a, b, c)),
    lambda _cls, a, b, c, d: _make_tuple(_cls, (a, b, c, d)),
    lambda _cls, a, b, c, d, e: _make_tuple(_cls, (a, b, c, d, e)),
    lambda _cls, a, b, c, d, e, f: _make_tuple(_cls, (a, b, c, d, e, f)),
    lambda _cls, a, b, c, d, e, f, g: _make_tuple(_cls, (a, b, c, d, e, f, g)),
    lambda _cls, a, b, c, d, e, f, g, h: _make_tuple(_cls, (a, b, c, d, e, f, g, h)),
    lambda _cls, a, b, c, d, e, f, g, h, i: _make_tuple(_cls, (a, b, c, d, e, f, g, h, i)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j: _make_tuple(_cls, (a, b, c, d, e, f, g, h, i, j)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k: _make_tuple(_cls, (a, b, c, d, e, f, g, h, i, j, k)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m: _make_tuple(_cls, (a, b, c, d, e, f, g, h, i, j, k, m)),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w, x: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w, x)
    ),
    lambda _cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w, x, y: _make_tuple(
        _cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u, v, w, x, y)
    ),
)
#: Getters by the number of the field.
_GETTERS: list[Any] = []
_GLOBALS = {"_make_tuple": _make_tuple, "__builtins__": {}, "__name__": __name__}


def _make(cls: Any, iterable: Iterable[object]) -> Any:
    """An instance of the fields' values in their order."""
    made = tuple.__new__(cls, iterable)
    if len(made) != len(cls._fields):
        raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
    return made


def _asdict(self: Any) -> dict[str, Any]:
    """The values by the names of their fields."""
    return dict(zip(self._fields, self, strict=True))


def _as_arguments(self: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values for the constructor; copy and pickle ask for them."""
    return tuple(self)


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
        more = range(len(_GETTERS), len(fields))
        _GETTERS.extend([_tuplegetter(number, f"Alias for field number {number}") for number in more])
        body |= zip(fields, _GETTERS, strict=False)
        body["__new__"] = _constructor(fields, defaults)
        body["__new__"].__annotations__ = annotations
        body |= {"__slots__": (), "_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
        return type(name, (tuple,), {"__doc__": f"{name}({', '.join(fields)})", **_SHARED, **body})


def _constructor(fields: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    """A ``__new__`` with these fields as its parameters."""
    if len(fields) >= len(_CONSTRUCTORS):
        raise TypeError(f"there is no constructor of {len(fields)} fields in {__name__}")
    named = _CONSTRUCTORS[len(fields)].__code__.replace(co_varnames=("_cls", *fields))
    return FunctionType(named, _GLOBALS, "__new__", tuple(defaults.values()))


_SHARED: dict[str, Any] = {
    "__repr__": _repr,
    "__getnewargs__": _as_arguments,
    "_asdict": _asdict,
    "_make": classmethod(_make),
    "_replace": _replace,
    "__replace__": _replace,
}


if not TYPE_CHECKING:

    class NamedTuple(metaclass=_Maker):
        """The base class; see the module."""
