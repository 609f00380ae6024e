# SPDX-License-Identifier: Apache-2.0
"""Domains for a libvirt on x86."""

from __future__ import annotations


def as_tcg(data: bytes) -> bytes:
    """The domain as an x86 host can define it."""
    data = data.replace(b"type='kvm'", b"type='qemu'", 1).replace(b'type="kvm"', b'type="qemu"', 1)
    return data.replace(b"mode='host-passthrough'", b"mode='maximum'").replace(
        b'mode="host-passthrough"', b'mode="maximum"'
    )
