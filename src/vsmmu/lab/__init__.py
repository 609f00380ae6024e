# SPDX-License-Identifier: Apache-2.0
"""The arm64 lab: an emulated Arm host with a real kernel, in which nothing of the SMMU path is faked.

:class:`Session` is one boot for many commands, :func:`run` one boot for one. Both build what is missing first
(:mod:`~vsmmu.lab.build`): QEMU, the host's root file system and its kernel, from Debian's packages.
"""

from __future__ import annotations

from vsmmu.lab.errors import LabFailed, LabTimeout
from vsmmu.lab.machine import DEFAULT_DEVICES, LabConfig
from vsmmu.lab.session import CommandResult, LabResult, Session, run, shell

__all__ = [
    "DEFAULT_DEVICES",
    "CommandResult",
    "LabConfig",
    "LabFailed",
    "LabResult",
    "LabTimeout",
    "Session",
    "run",
    "shell",
]
