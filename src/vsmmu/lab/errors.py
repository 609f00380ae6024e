# SPDX-License-Identifier: Apache-2.0
"""Errors of the lab itself, as opposed to those of a command that runs in it.

The exit statuses are those of timeout(1), because ``vsmmu lab run`` otherwise exits with the command's own::

    VsmmuError
     +-- LabTimeout   124   the command (or the boot) did not end in time and was killed
     +-- LabFailed    125   the lab could not be built, started or talked to
"""

from __future__ import annotations

from vsmmu.errors import VsmmuError

__all__ = ["LabFailed", "LabTimeout"]


class LabTimeout(VsmmuError):
    """The time was up; what was running has been killed.

    :ivar stdout: what the command had written by then.
    :ivar stderr: the same for its standard error.
    """

    exit_status = 124

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        next: str = "give it more time with --timeout",
        stdout: bytes = b"",
        stderr: bytes = b"",
    ) -> None:
        super().__init__("lab-timeout", what, why=why, next=next)
        self.stdout = stdout
        self.stderr = stderr


class LabFailed(VsmmuError):
    """The lab could not do its part."""

    exit_status = 125
