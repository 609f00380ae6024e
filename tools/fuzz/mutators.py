# SPDX-License-Identifier: Apache-2.0
"""Mutate JSON as JSON and text by its words: bytes changed at random reach nothing behind a parser."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["mutate_json", "mutate_words"]

_SCALARS: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 20, 48, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 0.5, 1e308, -0.0, "", "0",
    "on", "auto", "0x0", "0009:01:00.0", "0000:00:00.0", "\0", "\n", "a\n", "\u202e", "\u2028", "\ud800",
    "\x9b", "x" * 300, "vsmmu.host/1", "smmu3.0x0000000009050000", [], {}, [[[[]]]],
)  # fmt: skip
_MOST: Final = 4
_WORD: Final = re.compile(rb"[\w.:-]+|\s+|.", re.DOTALL)
_MARKS: Final = tuple(b"<>&;'\"$`\\(){}[]|=,/#\n\0\x80\xff ")


def mutate_json(data: bytes, longest: int, seed: int) -> bytes | None:
    """Another document, by one to four changes; None if ``data`` is none, or the new one is too long.

    Of lines of JSON one is changed, which may also take the place of another.
    """
    dice = random.Random(seed)  # noqa: S311
    lines = data.split(b"\n") if b"}\n{" in data else [data]
    at = dice.randrange(len(lines))
    try:
        value = json.loads(lines[at])
        for _ in range(dice.randint(1, _MOST)):
            value = _changed(value, dice)
        text = json.dumps(value, ensure_ascii=dice.random() < 0.5, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    lines[at] = text.encode("utf-8", "surrogatepass")
    if len(lines) > 1 and dice.random() < 0.2:
        lines.insert(dice.randrange(len(lines)), lines.pop(at))
    mutated = b"\n".join(lines)
    return mutated if len(mutated) <= longest else None


def _changed(value: Any, dice: random.Random) -> Any:
    """The document with one node of it changed, in place where it can be."""
    places = list(_places(value))
    if not places:
        return dice.choice(_SCALARS)
    parent, key = dice.choice(places)
    what = dice.randrange(6)
    if what == 0:
        del parent[key]
    elif what == 1:
        parent[key] = dice.choice(_SCALARS)
    elif what == 2:  # another node's value, of the same document
        other, name = dice.choice(places)
        parent[key] = json.loads(json.dumps(other[name]))
    elif what == 3 and isinstance(parent, dict):
        parent[dice.choice([str(entry) for entry in _SCALARS[16:]] + [str(key)[:-1]])] = parent.pop(key)
    elif what == 4 and isinstance(parent, list):
        parent.insert(dice.randrange(len(parent)), parent[key])
    else:
        parent[key] = _nudged(parent[key], dice)
    return value


def _nudged(value: Any, dice: random.Random) -> Any:
    """Nearly the same scalar."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        return dice.choice(_SCALARS)
    if isinstance(value, int):
        return value + dice.choice((-1, 1, 1 << 32))
    at = dice.randrange(len(value))
    return value[:at] + dice.choice("0aF:.-\n/\0 \u0660\u00e9") + value[at + dice.randrange(2) :]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every node as the container that it is in, and its key there."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def mutate_words(data: bytes, other: bytes, longest: int, seed: int) -> bytes:
    """Another text, by one to four changes of words; some come from ``other``."""
    dice = random.Random(seed)  # noqa: S311
    words, strange = _WORD.findall(data) or [b""], _WORD.findall(other) or [b""]
    for _ in range(dice.randint(1, _MOST)):
        at = dice.randrange(len(words))
        until = at + dice.choice((1, 1, 2, 5, 20))
        kind = dice.randrange(6)
        if kind == 0:
            del words[at:until]
            words = words or [b""]
        elif kind == 1:
            words[at:at] = words[at:until]
        elif kind == 2:
            words[at] = dice.choice(words)
        elif kind == 3:
            start = dice.randrange(len(strange))
            words[at:at] = strange[start : start + until - at]
        elif kind == 4:
            words.insert(at, bytes([dice.choice(_MARKS)]))
        else:
            words[at] = str(dice.choice(_SCALARS)).encode("utf-8", "surrogatepass")
    return b"".join(words)[:longest]
