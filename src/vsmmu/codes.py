# SPDX-License-Identifier: Apache-2.0
"""The tables of diagnosis codes: what each means and what to do about it, loaded when they are asked for."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CodeRow", "code_table", "message_causes"]


class CodeRow(NamedTuple):
    """What a code means in any case; the single case's names and numbers are in its diagnosis.

    :param cause: why there is such a diagnosis.
    :param next: what to do about it; empty for a message of QEMU, whose remedy is in :mod:`vsmmu.qemu.texts`.
    :param about: the register field, file, option or rule that it is about; may be empty.
    :param since: the version that brought it; may be empty.
    :param costs: what the remedy costs the guest or the host; empty for nothing.
    :param says: the kernel's or QEMU's own sentence, where it is always the same; may be empty.
    """

    cause: str
    next: str = ""
    about: str = ""
    since: str = ""
    costs: str = ""
    says: str = ""


@functools.cache
def code_table() -> Mapping[str, CodeRow]:
    """Every code of vsmmu itself; QEMU's refusals and the rules for domains have tables of their own."""
    return _load("codes.toml")


@functools.cache
def message_causes() -> Mapping[str, CodeRow]:
    """What stands behind each of QEMU's refusals, by its code."""
    return _load("qemu_messages.toml")


def _load(name: str) -> Mapping[str, CodeRow]:
    import tomllib

    rows = tomllib.loads(files("vsmmu").joinpath(name).read_text(encoding="utf-8"))
    return {code: CodeRow(**row) for code, row in rows.items()}
