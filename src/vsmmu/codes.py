# SPDX-License-Identifier: Apache-2.0
"""The table of diagnosis codes: what each means and what to do about it, loaded when it is asked for."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CodeRow", "code_table"]


class CodeRow(NamedTuple):
    """What a code means in any case; the single case's names and numbers are in its diagnosis.

    :param cause: why there is such a diagnosis.
    :param next: what to do about it.
    """

    cause: str
    next: str


@functools.cache
def code_table() -> Mapping[str, CodeRow]:
    """Every code of vsmmu itself; QEMU's refusals and the rules for domains have tables of their own."""
    import tomllib

    rows = tomllib.loads(files("vsmmu").joinpath("codes.toml").read_text(encoding="utf-8"))
    return {code: CodeRow(**row) for code, row in rows.items()}
