# SPDX-License-Identifier: Apache-2.0
"""The probe's journal: changes on disk that outlive the process, for the next process to undo.

Each step is on disk *before* it is applied. Undoing looks at what is really there, so a step that was
recorded and never applied does no harm. The file lies in /run: neither it nor what it describes survives a
reboot.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.errors import HostLacks, PermissionRefused, VsmmuError
from vsmmu.probe.steps import BindDriver, OverrideDriver, UnbindDriver

if TYPE_CHECKING:
    from types import TracebackType

    from vsmmu.probe.steps import Step, SysfsWriter

__all__ = ["AnyStep", "Journal", "Transaction"]

AnyStep = UnbindDriver | OverrideDriver | BindDriver
_LIMIT: Final = 1 << 20


class Journal:
    """The steps under way, one JSON object a line."""

    def __init__(self, path: str) -> None:
        self.path = path

    def pending(self) -> list[AnyStep]:
        """The steps that an interrupted process has left, oldest first.

        A last line that was not written whole describes a step that was not begun: it is left out.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure(error, self.path, "cannot read the journal") from None
        with os.fdopen(descriptor, "rb") as stream:
            lines = stream.read(_LIMIT).split(b"\n")[:-1]
        decoder = msgspec.json.Decoder(AnyStep)
        try:
            return [decoder.decode(line) for line in lines]
        except msgspec.DecodeError as error:
            raise HostLacks(
                "journal-malformed",
                "the journal of an interrupted probe cannot be read",
                where=self.path,
                why=str(error)[:200],
                next="look at the drivers of your functions, then remove the file",
            ) from None

    def record(self, step: Step) -> None:
        """Append a step; it is on disk when this returns.

        :raise VsmmuError: if it cannot be written; the step must not be applied then.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.path, flags, 0o644)
            try:
                _write_all(descriptor, msgspec.json.encode(step) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._sync_directory()
        except OSError as error:
            raise _failure(error, self.path, "cannot write the journal") from None

    def clear(self) -> None:
        """Forget all steps: they are undone."""
        try:
            os.unlink(self.path)  # noqa: PTH108 - beside os.open above
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failure(error, self.path, "cannot remove the journal") from None
        self._sync_directory()

    def undo(self, writer: SysfsWriter) -> list[AnyStep]:
        """Undo what is pending, newest first, and forget it.

        :return: the steps that were undone, in that order.
        :raise VsmmuError: if one cannot be undone; all stay in the journal.
        """
        steps = self.pending()[::-1]
        for step in steps:
            step.undo(writer)
        self.clear()
        return steps

    def _sync_directory(self) -> None:
        descriptor = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_ENDING: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})


class Transaction:
    """Steps that are all undone at the end of the block, whatever happens in it.

    Signals that would end the process wait for that end: it is a matter of milliseconds, and one that came in
    the middle of the undoing would cut it short.
    """

    def __init__(self, journal: Journal, writer: SysfsWriter) -> None:
        self._journal = journal
        self._writer = writer
        self._mask: set[int] = set()

    def __enter__(self) -> Transaction:
        self._mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING))
        return self

    def do(self, step: Step) -> None:
        """Record a step, then apply it.

        :raise VsmmuError: if either fails.
        """
        self._journal.record(step)
        step.apply(self._writer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._journal.undo(self._writer)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _failure(error: OSError, path: str, what: str) -> VsmmuError:
    kind = PermissionRefused if isinstance(error, PermissionError) else HostLacks
    return kind("journal-failed", what, where=path, why=os.strerror(error.errno or 0), next="run as root")
