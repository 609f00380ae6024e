# SPDX-License-Identifier: Apache-2.0
"""The one encoder of JSON documents: indented, with a final newline, safe to show on a terminal."""

from __future__ import annotations

import msgspec

__all__ = ["encode_document", "encode_line"]

_DELETE = 0x7F


def encode_document(value: object) -> bytes:
    """A struct, or plain values, as indented JSON with a final newline; equal values give equal bytes.

    What a terminal would act on or not show (C1 and bidirectional controls, lone surrogates) is escaped.
    """
    try:
        data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    except UnicodeEncodeError:  # a word of the command line that is not UTF-8: surrogates stand for it
        import json  # nothing is encoded on the path of a VM's start

        data = json.dumps(msgspec.to_builtins(value), indent=2).encode() + b"\n"
    return _shown(data)


def encode_line(value: object) -> bytes:
    """A struct as one line of JSON without a newline, with the same characters escaped."""
    return _shown(msgspec.json.encode(value))


def _shown(data: bytes) -> bytes:
    if data.isascii() and _DELETE not in data:
        return data
    return "".join([_escaped(mark) for mark in data.decode()]).encode()


def _escaped(mark: str) -> str:
    if mark == "\n" or mark.isprintable():
        return mark
    import json

    return "\\u007f" if ord(mark) == _DELETE else json.dumps(mark)[1:-1]
