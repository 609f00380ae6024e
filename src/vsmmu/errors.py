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

A failing system call that no rule foresaw becomes one of the last two (:func:`error_of`). Anything else that
escapes is a bug of ours: status 70, with a request to report it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from vsmmu.diagnostic import Diagnostic

__all__ = [
    "EXIT_BUG",
    "EXIT_OK",
    "HostLacks",
    "InputRefused",
    "Negative",
    "PermissionRefused",
    "UsageError",
    "VsmmuError",
    "error_of",
    "named_file",
]

EXIT_OK = 0
#: sysexits.h EX_SOFTWARE: an exception that no rule of ours foresaw.
EXIT_BUG = 70


class VsmmuError(Exception):
    """A failure with a stable code; never shown as a traceback.

    The parameters are those of :class:`vsmmu.diagnostic.Diagnostic`, which it carries.
    """

    exit_status = EXIT_BUG

    def __init__(self, code: str, what: str, *, where: str = "", why: str = "", next: str = "") -> None:
        # Here and not above: a start that goes well makes no diagnosis, and need not load its library.
        from vsmmu.diagnostic import Diagnostic
        from vsmmu.shipped import with_maker

        super().__init__(what)
        self.diagnostic = Diagnostic(code, what, where, why, with_maker(where, next))

    @classmethod
    def of(cls, diagnostic: Diagnostic) -> Self:
        """The error that carries ``diagnostic``."""
        error = cls(diagnostic.code, diagnostic.what)
        error.diagnostic = diagnostic
        return error

    @property
    def code(self) -> str:
        """The diagnosis's stable code."""
        return self.diagnostic.code

    @property
    def what(self) -> str:
        """What could not be done."""
        return self.diagnostic.what

    @property
    def where(self) -> str:
        """File, line, device or argument; empty where *what* says it."""
        return self.diagnostic.where

    @property
    def why(self) -> str:
        """The rule, the limit or the kernel's own words; may be empty."""
        return self.diagnostic.why

    @property
    def next(self) -> str:
        """What the user can do about it."""
        return self.diagnostic.next

    def __str__(self) -> str:
        """The error on one line, the remedy (if there is one) on a second."""
        return str(self.diagnostic)


def error_of(error: Exception) -> VsmmuError:
    """The error that stands for any exception: itself, that of a failed system call, or a bug of ours.

    It is what each program does at its top with what no rule foresaw: ``system-permission`` (exit status 4),
    ``system-refused`` (5), ``bug`` (70).
    """
    if isinstance(error, VsmmuError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return _system_refused(error)
    return VsmmuError(
        "bug",
        f"bug: {type(error).__name__}: {error}",
        next="please report it; VSMMU_DEBUG=1 shows where it comes from",
    )


def named_file(error: OSError) -> str:
    """The path that a system call failed on; empty if it had none, or a descriptor."""
    return error.filename if isinstance(error.filename, str) else ""


def _system_refused(error: OSError) -> VsmmuError:
    """What the kernel says of a file, a process or a socket that a user, or the host, has put in our way."""
    where = named_file(error)
    why = error.strerror or str(error)
    if isinstance(error, PermissionError):
        from vsmmu.file_access import who_may

        return PermissionRefused(
            "system-permission",
            "the kernel does not permit it",
            where=f"{where:.200}",
            why=why,
            next=who_may(where) or "run as a user who may, or have the owner allow it",
        )
    return HostLacks(
        "system-refused",
        "the kernel cannot do it",
        where=f"{where:.200}",
        why=why,
        next="mend what the reason says; VSMMU_DEBUG=1 shows which call it was",
    )


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
