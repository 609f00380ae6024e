# SPDX-License-Identifier: Apache-2.0
"""Cut Kubernetes lists and JSON arrays into the bytes of their items, none of which is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["split_list"]


class _List(msgspec.Struct, frozen=True):
    kind: str
    items: list[msgspec.Raw]


def split_list(data: bytes) -> Iterator[bytes] | None:
    """The items of a Kubernetes list (``kubectl get nodefeatures -o json``) or of a JSON array; None if
    ``data`` is neither.
    """
    for decode in (_DECODE_LIST, _DECODE_ARRAY):
        try:
            found = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        return (bytes(item) for item in (found.items if isinstance(found, _List) else found))
    return None


_DECODE_LIST: Final = msgspec.json.Decoder(_List).decode
_DECODE_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
