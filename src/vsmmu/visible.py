# SPDX-License-Identifier: Apache-2.0
"""Text of others in what people read: nothing that a terminal or a browser acts on, or does not show."""

from __future__ import annotations

__all__ = ["visible"]


def visible(text: str) -> str:
    """The text with control characters and the like (C1, bidirectional, lone surrogates) as escapes."""
    if text.isprintable():
        return text
    return "".join([mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text])
