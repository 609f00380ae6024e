# SPDX-License-Identifier: Apache-2.0
"""The error tree, its stable codes and the exit statuses of the command line.

Every error that a user can cause is a :class:`VsmmuError`. It says *what* happened, *where* (a file and
line, a device, a call), *why* (the rule or the kernel's answer) and *what next* (a command or an edit).
The tree follows the exit status, because that is what a caller acts on::

    VsmmuError
     +-- Negative          1   the answer is no: unresolvable, would not start, incompatible, differs
     +-- UsageError        2   the command line of vsmmu itself is wrong
     +-- InputRefused      3   a file, a stream or a reply is malformed, too large or contradictory
     +-- PermissionRefused 4   the kernel says EACCES or EPERM
     +-- HostLacks         5   an interface, a device or a tool is missing on this host

Anything else that escapes is a bug of ours: status 70, with a request to report it.
"""

from __future__ import annotations

__all__ = [
    "EXIT_BUG",
    "EXIT_OK",
    "HostLacks",
    "InputRefused",
    "Negative",
    "PermissionRefused",
    "UsageError",
    "VsmmuError",
]

EXIT_OK = 0
#: sysexits.h EX_SOFTWARE: an exception that no rule of ours foresaw.
EXIT_BUG = 70


class VsmmuError(Exception):
    """A failure with a stable code; never shown as a traceback.

    :param code: short, lower case, dashed and stable, such as ``facts-unknown``; scripts match on it.
    :param what: one sentence without a full stop: what could not be done.
    :param where: file, line, device or argument; empty where there is no better place than *what*.
    :param why: the rule, the limit or the kernel's own words; empty if *what* says it all.
    :param next: what the user can do about it; empty only if there is nothing.
    """

    exit_status = EXIT_BUG

    def __init__(self, code: str, what: str, *, where: str = "", why: str = "", next: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.why = why
        self.next = next

    def __str__(self) -> str:
        """The error on one line, the remedy (if there is one) on a second."""
        place = f"{self.where}: " if self.where else ""
        reason = f": {self.why}" if self.why else ""
        line = f"{place}{self.what}{reason} [{self.code}]"
        return f"{line}\n  next: {self.next}" if self.next else line

    def as_dict(self) -> dict[str, str | int]:
        """The same for ``-o json``: every part under its own name, and the exit status."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "next": self.next,
            "exit_status": self.exit_status,
        }


class Negative(VsmmuError):
    """The question was understood and the answer is no (exit status 1)."""

    exit_status = 1


class UsageError(VsmmuError):
    """An option or argument of vsmmu is wrong (exit status 2)."""

    exit_status = 2


class InputRefused(VsmmuError):
    """Input is malformed, contradictory or over a limit (exit status 3)."""

    exit_status = 3


class PermissionRefused(VsmmuError):
    """The kernel refused access (exit status 4)."""

    exit_status = 4


class HostLacks(VsmmuError):
    """This host has no such interface, device or program (exit status 5)."""

    exit_status = 5
