# SPDX-License-Identifier: Apache-2.0
"""How much work a call is, counted in executed lines: the same on a busy machine as on an idle one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["steps"]


def steps(call: Callable[[], object]) -> int:
    """The lines of Python that ``call`` executes, each turn of a loop anew."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
