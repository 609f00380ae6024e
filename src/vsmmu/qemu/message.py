# SPDX-License-Identifier: Apache-2.0
"""The shape of a row in the table of QEMU's messages."""

from __future__ import annotations

from typing import Literal

from vsmmu.named_tuple import NamedTuple

__all__ = ["Message", "Phase"]

#: When QEMU finds out: while it makes the machine, while it makes a device, when all devices are there, when
#: it resets the machine, or when a device is plugged into the running VM.
Phase = Literal["machine", "create", "machine-done", "reset", "hot-plug"]


class Message(NamedTuple):
    """One refusal.

    :param code: stable; also the error code under which vsmmu reports it.
    :param prefix: what QEMU puts between the option and the text, such as ``vfio 0009:01:00.0: ``.
    :param hint: what QEMU adds on lines of its own, on the command line but not in QMP.
    :param aborts: QEMU ends by an assertion or a bare line; nothing stands in front of the text.
    :param line: what ``{line}`` of the text is in 11.1.3; another release has other lines.
    """

    code: str
    text: str
    remedy: str
    prefix: str = ""
    hint: str = ""
    aborts: bool = False
    line: int = 0
