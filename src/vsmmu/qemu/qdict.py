# SPDX-License-Identifier: Apache-2.0
"""The order in which QEMU sets properties: that of its hash table, which decides whose fault it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["in_order"]


def in_order(names: Iterable[str]) -> list[str]:
    """Names as written, in the order of QEMU's QDict: by bucket, the last written first (qobject/qdict.c)."""
    last_first = list(names)[::-1]
    return sorted(last_first, key=_bucket)


def _bucket(name: str) -> int:
    """tdb_hash() over the 512 buckets of a QDict."""
    value = 0x238F13AF * len(name)
    for position, byte in enumerate(name.encode()):
        value += byte << (position * 5 % 24)
    return (1103515243 * value + 12345) % (1 << 32) % 512
