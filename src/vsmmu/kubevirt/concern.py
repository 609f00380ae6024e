# SPDX-License-Identifier: Apache-2.0
"""Whether the hook may have something to do for a domain: for most VMs, a search in its bytes says no."""

from __future__ import annotations

__all__ = ["PREFIX", "is_concerned"]

#: In front of every annotation that the hook looks at.
PREFIX = "vsmmu/"


def is_concerned(data: bytes, vmi: bytes) -> bool:
    r"""Whether there is an SMMUv3, or there may be an annotation for the hook.

    :param data: the domain XML that KubeVirt made.
    :param vmi: the VirtualMachineInstance as JSON; some encoders write a slash as ``\/``.
    """
    name = PREFIX.removesuffix("/").encode()
    return b"smmuv3" in data or name + b"/" in vmi or name + b"\\/" in vmi
