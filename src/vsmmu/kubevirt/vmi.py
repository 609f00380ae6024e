# SPDX-License-Identifier: Apache-2.0
"""The VirtualMachineInstance, reduced to its annotations and its node.

Annotations are objects here, not text that msgspec would compile at each start.
"""

import re
from typing import Final

import msgspec

from vsmmu.errors import InputRefused

__all__ = ["MAX_VMI_BYTES", "Vmi", "read_vmi"]

#: etcd takes objects of 1.5 MiB.
MAX_VMI_BYTES: Final = 4 << 20
#: A DNS subdomain, as Kubernetes wants it; no way out of a directory.
_NODE: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,20}"


class _Metadata(msgspec.Struct, frozen=True):
    """ObjectMeta; everything else in it is skipped."""

    annotations: dict[str, str] | None = None


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    """VirtualMachineInstanceStatus; everything else in it is skipped."""

    node_name: str = ""


class Vmi(msgspec.Struct, frozen=True):
    """A VirtualMachineInstance; everything else in it is skipped."""

    metadata: _Metadata = _Metadata()
    status: _Status = _Status()

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations; empty if there are none."""
        return self.metadata.annotations or {}

    @property
    def node(self) -> str:
        """The name of the node that it runs on.

        :raise InputRefused: ``vmi-node``: there is none yet, or it is no name of a node.
        """
        name = self.status.node_name
        if not re.fullmatch(_NODE, name):
            raise InputRefused(
                "vmi-node",
                "the VirtualMachineInstance does not say on which node it is",
                where="status.nodeName",
                why=f"it is {name!r:.80}",
                next="give the facts of one node by a path without {node}",
            )
        return name


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
