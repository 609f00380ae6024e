# SPDX-License-Identifier: Apache-2.0
"""Forms of the texts in facts about a host, as annotations: names, hexadecimal words, PCI addresses.

Annotations are objects here, not text that msgspec would compile at each start.
"""

from typing import Annotated, Final

import msgspec

__all__ = ["NAME_PATTERN", "Bdf", "Hex16", "Hex24", "Hex32", "Hex64", "Name", "whole"]


def whole(pattern: str, description: str | None = None) -> msgspec.Meta:
    """The whole text is such; to Python, ``$`` alone is also the place before a final newline."""
    return msgspec.Meta(pattern=f"^{pattern}$(?!\\n)", description=description)


#: Names end up in tables, file names and labels: short, on one line, and without what a terminal acts on (C0
#: and C1 controls) or what shows a text in another order than it has (bidirectional controls).
NAME_PATTERN: Final = (
    "[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]{0,255}"
)
Name = Annotated[str, whole(NAME_PATTERN)]
Hex32 = Annotated[str, whole("0x[0-9a-f]{1,8}", "an unsigned 32-bit word")]
Hex64 = Annotated[str, whole("0x[0-9a-f]{1,16}", "an unsigned 64-bit word")]
Hex24 = Annotated[str, whole("[0-9a-f]{6}")]
Hex16 = Annotated[str, whole("[0-9a-f]{4}", "a PCI id, four hex digits")]
Bdf = Annotated[
    str,
    whole(
        "[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f][.][0-7]",
        "domain:bus:device.function, lower case, domain always written",
    ),
]
