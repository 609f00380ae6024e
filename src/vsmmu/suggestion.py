# SPDX-License-Identifier: Apache-2.0
"""The name that a misspelt one was probably meant to be, for the remedy of an error."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str], form: str = "{}") -> str:
    """``did you mean NAME? ``, the nearest of those that are known; empty if none is near.

    :param form: how a name is written where it is given, such as ``builtin:{}``.
    """
    from difflib import get_close_matches  # a start that goes well needs none of it

    near = get_close_matches(name, known, 1)
    return f"did you mean {form.format(near[0])}? " if near else ""
