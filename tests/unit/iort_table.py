# SPDX-License-Identifier: Apache-2.0
"""IORT tables for tests, built node by node."""

from __future__ import annotations

import struct

BASE = 0x9050000


def node(kind: int, data: bytes, mappings: list[tuple[int, int, int, int, int]] = []) -> bytes:  # noqa: B006
    body = b"".join(struct.pack("<IIIII", *mapping) for mapping in mappings)
    return (
        struct.pack("<BHBIII", kind, 16 + len(data) + len(body), 3, 0, len(mappings), 16 + len(data))
        + data
        + body
    )


def smmu(base: int = BASE, flags: int = 0, model: int = 0) -> bytes:
    return node(4, struct.pack("<QIIQI", base, flags, 0, 0, model) + bytes(24))


def root(
    segment: int = 0, ats: int = 0, memory: int = 0, target: int = 48, span: int = 0xFFFF, flags: int = 0
) -> bytes:
    data = struct.pack("<IBHBII", 1, 0, 0, memory, ats, segment) + bytes(8)
    return node(2, data, [(0, span, 0, target, flags)])


def table(*nodes: bytes, count: int | None = None) -> bytes:
    body = b"".join(nodes)
    data = bytearray(struct.pack("<4sI28x", b"IORT", 48 + len(body)))
    data += struct.pack("<III", len(nodes) if count is None else count, 48, 0) + body
    data[9] = -sum(data) & 0xFF
    return bytes(data)
