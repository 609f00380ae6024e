# SPDX-License-Identifier: Apache-2.0
"""The VirtualMachineInstance, as far as the hook looks at it: who it is, and its annotations."""

from __future__ import annotations

from typing import Final

import msgspec

from vsmmu.errors import InputRefused

__all__ = ["MAX_VMI_BYTES", "Vmi", "read_vmi"]

#: etcd takes objects of 1.5 MiB.
MAX_VMI_BYTES: Final = 4 << 20


class _Metadata(msgspec.Struct, frozen=True):
    """ObjectMeta; everything else in it is skipped."""

    name: str = ""
    namespace: str = ""
    annotations: dict[str, str] | None = None


class Vmi(msgspec.Struct, frozen=True):
    """A VirtualMachineInstance; everything else in it is skipped."""

    metadata: _Metadata = _Metadata()

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations; empty if there are none."""
        return self.metadata.annotations or {}

    @property
    def name(self) -> str:
        """``namespace/name``."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


def read_vmi(data: bytes) -> Vmi:
    """Read a VMI from its JSON.

    :raise InputRefused: ``vmi-malformed``.
    """
    try:
        if len(data) > MAX_VMI_BYTES:
            raise msgspec.ValidationError(f"it is over {MAX_VMI_BYTES >> 20} MiB")
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputRefused(
            "vmi-malformed",
            "this is no VirtualMachineInstance",
            where="--vmi",
            why=f"{error}"[:300],
            next="it is given by KubeVirt, as JSON",
        ) from None


_DECODER: Final = msgspec.json.Decoder(Vmi)
