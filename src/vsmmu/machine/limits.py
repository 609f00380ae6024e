# SPDX-License-Identifier: Apache-2.0
"""Input limits of the machine layer, each with a name and a reason."""

from __future__ import annotations

from typing import Final

from vsmmu.errors import InputRefused

__all__ = [
    "MAX_CONFIG_BYTES",
    "MAX_CONFIG_FILES",
    "MAX_CONFIG_LINE",
    "MAX_DEVICES",
    "MAX_JSON_DEPTH",
    "MAX_SOURCE_BYTES",
    "MAX_WORDS",
    "MAX_WORD_BYTES",
    "decode",
    "refuse_over",
]

#: A whole command line: what Linux lets a program start with by default (a quarter of the 8 MiB stack limit).
MAX_SOURCE_BYTES: Final = 2 << 20
#: One word: Linux' MAX_ARG_STRLEN (32 pages of 4 KiB, the closing NUL included).
MAX_WORD_BYTES: Final = 128 * 1024 - 1
#: Room for MAX_DEVICES ``-device`` options and as much again.
MAX_WORDS: Final = 65_536
MAX_DEVICES: Final = 16_384
#: Nesting of a JSON option; QEMU stops at 1024, no property needs more than a handful.
MAX_JSON_DEPTH: Final = 64
MAX_CONFIG_BYTES: Final = 1 << 20
MAX_CONFIG_FILES: Final = 64
#: QEMU reads configuration files through a buffer of 1024 bytes and would split a longer line.
MAX_CONFIG_LINE: Final = 1022


def refuse_over(count: int, limit: int, unit: str, where: str) -> None:
    """Refuse input that is over a limit.

    :raise InputRefused: ``input-too-large``, if ``count`` exceeds ``limit``.
    """
    if count > limit:
        raise InputRefused(
            "input-too-large",
            f"{count} {unit} are more than the {limit} that vsmmu reads",
            where=where,
            next="check that this is a QEMU command line, and shorten it",
        )


def decode(data: bytes, where: str) -> str:
    """UTF-8 text of ``data``.

    :raise InputRefused: ``not-utf8``, with the offset of the first bad byte.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputRefused(
            "not-utf8",
            f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8",
            where=where,
            next="save the text as UTF-8",
        ) from None
