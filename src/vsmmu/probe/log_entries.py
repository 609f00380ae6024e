# SPDX-License-Identifier: Apache-2.0
"""Kernel messages out of logs that are no lines of text: JSON of journalctl and dmesg, export, verbose."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kernel_entries"]

#: Also ``-o json-seq`` and ``-o json-sse``.
_VALUE: Final = re.compile(r"(?:[\s,\x1e]|data: (?=\{))*(?=[\[{])")
_JSON: Final = re.compile(r"\s*(?:\x1e|data: )?\[?\s*\{")
_FIELD: Final = re.compile(r"(?P<indent> {0,8})(?P<name>_?[A-Z][A-Z0-9_]{0,63})=(?P<value>.*)")
_HAS_FIELDS: Final = re.compile(r"^ {0,8}MESSAGE=", re.MULTILINE)


def kernel_entries(text: str) -> list[tuple[str, str]] | None:
    """Host (or nothing) and message of each entry of the kernel; None for a log that is lines of text."""
    if _JSON.match(text):
        entries = [entry for found in _values(text) for entry in _unpacked(found)]
        return entries or None
    if _HAS_FIELDS.search(text):
        return [entry for found in _blocks(text) for entry in _unpacked(found)]
    return None


def _values(text: str) -> Iterator[object]:
    """The JSON values of a text, one behind the other or in an array, up to the first that is none."""
    decoder = json.JSONDecoder()
    at = 0
    while start := _VALUE.match(text, at):
        try:
            value, at = decoder.raw_decode(text, start.end())
        except (ValueError, RecursionError):
            return
        yield from value if isinstance(value, list) else [value]


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """The entries of ``-o export`` and ``-o verbose``: fields up to a line that is none."""
    block: dict[str, str] = {}
    for line in text.splitlines():
        match = _FIELD.fullmatch(line)
        if match is not None:
            block[match["name"]] = match["value"]
        elif block:
            yield block
            block = {}
    if block:
        yield block


def _unpacked(entry: object) -> Iterator[tuple[str, str]]:
    if not isinstance(entry, dict):
        return
    listed = entry.get("dmesg")
    if isinstance(listed, list):
        for message in listed:
            if isinstance(message, dict) and isinstance(message.get("msg"), str):
                yield "", message["msg"]
        return
    speaker = entry.get("_TRANSPORT", entry.get("SYSLOG_IDENTIFIER", "kernel"))
    message, host = entry.get("MESSAGE"), entry.get("_HOSTNAME")
    if isinstance(message, list):  # bytes that are no text to journalctl, such as colours
        numbers = [part for part in message if isinstance(part, int) and 0 <= part < 256]
        message = bytes(numbers).decode("utf-8", "replace")
    if speaker == "kernel" and isinstance(message, str):
        yield host if isinstance(host, str) else "", message
