# SPDX-License-Identifier: Apache-2.0
"""The probe's journal: changes on disk that outlive the process, for the next process to undo.

Each step is on disk *before* it is applied, and not begun unless the file gives the same step back. The file
is for a later process: the one that made the changes undoes them from memory. Undoing looks at what is really
there, so a step that was recorded and never applied does no harm. The file lies in /run: neither it nor what
it describes survives a reboot.
"""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.errors import HostLacks, PermissionRefused, VsmmuError, named_file
from vsmmu.probe.steps import BindDriver, OverrideDriver, UnbindDriver
from vsmmu.probe.sysfs import PCI_DEVICES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from vsmmu.probe.steps import DriverStep, SysfsWriter

__all__ = ["AnyStep", "Journal", "Transaction"]

AnyStep = UnbindDriver | OverrideDriver | BindDriver
_LIMIT: Final = 1 << 20
#: Bytes that printf in a shell does not print as they are.
_SPECIAL: Final = re.compile(rb"[^A-Za-z0-9_./ -]|^-")
_DECODER: Final = msgspec.json.Decoder(AnyStep)
_ADDRESS: Final = re.compile(rb"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f][.][0-7]")


class Journal:
    """The steps under way, one JSON object a line."""

    def __init__(self, path: str) -> None:
        self.path = path

    def pending(self) -> list[AnyStep]:
        """The steps that an interrupted process has left, oldest first.

        A last line that was not written whole describes a step that was not begun: it is left out.

        :raise HostLacks: ``journal-malformed``, which says how to put the functions back by hand.
        :raise VsmmuError: ``journal-failed``.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            with os.fdopen(os.open(self.path, flags), "rb") as stream:
                data = stream.read(_LIMIT + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure(error, self.path, "cannot read the journal") from None
        steps, wrong = _decode(data.split(b"\n")[:-1])
        if len(data) > _LIMIT:
            wrong = f"it is over {_LIMIT >> 20} MiB"
        if wrong:
            raise HostLacks(
                "journal-malformed",
                "the journal of an interrupted probe cannot be read",
                where=self.path,
                why=wrong,
                next=_by_hand(data, steps, self.path),
            )
        return steps

    def record(self, step: DriverStep) -> None:
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
            self._sync_directory()
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failure(error, self.path, "cannot remove the journal") from None

    def undo(self, writer: SysfsWriter) -> list[AnyStep]:
        """Undo what is pending, newest first, and forget it.

        :return: the steps that were undone, in that order.
        :raise VsmmuError: if one cannot be undone; all stay in the journal.
        """
        steps = self.pending()
        self.undo_steps(steps, writer)
        return steps[::-1]

    def undo_steps(self, steps: Sequence[DriverStep], writer: SysfsWriter) -> None:
        """Undo these, which are all that the journal has, newest first, and forget them.

        :raise VsmmuError: as :meth:`undo`; ``cannot-tell``, if what is there could not be looked at.
        """
        # Twice: where there is nothing to undo it does nothing, and a link or function that was not found the
        # first time (ENOENT) would be left with the wrong driver, and without a journal.
        for step in [*reversed(steps), *reversed(steps)]:
            try:
                step.undo(writer)
            except OSError as error:
                raise _cannot_tell(step, error) from None
        self.clear()

    def _sync_directory(self) -> None:
        descriptor = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_ENDING: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})


class Transaction:
    """Steps that are all undone at the end of the block, whatever happens in it.

    What an earlier one could not undo is undone first: one journal holds one change at a time.

    Signals that would end the process wait for that end: it is a matter of milliseconds, and one that came in
    the middle of the undoing would cut it short.
    """

    def __init__(self, journal: Journal, writer: SysfsWriter) -> None:
        self._journal = journal
        self._writer = writer
        self._mask: set[int] = set()
        self._begun: list[DriverStep] = []

    def __enter__(self) -> Transaction:
        self._mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING))
        try:
            self._journal.undo(self._writer)
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            raise
        return self

    def do(self, steps: Sequence[DriverStep]) -> None:
        """Record and apply one step after the other.

        :raise HostLacks: ``journal-cannot-hold``: a later process could not undo one, so none is begun.
        :raise VsmmuError: if one cannot be recorded or applied; those after it are not begun.
        """
        for step in steps:
            _check_undoable(step)
        for step in steps:
            self._begun.append(step)  # first: a record of which the writing failed may be there all the same
            self._journal.record(step)
            step.apply(self._writer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._journal.undo_steps(self._begun, self._writer)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _check_undoable(step: DriverStep) -> None:
    try:
        same = _DECODER.decode(msgspec.json.encode(step)) == step
        why = "it comes back as another one"
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        same, why = False, str(error)[:200]
    if not same:
        raise HostLacks(
            "journal-cannot-hold",
            "a later process could not undo this change from the journal",
            where=step.address,
            why=f"{ascii(step.describe())[1:-1]}: {ascii(why)[1:-1]}",
            next="ask a function whose driver has an ordinary name",
        )


def _decode(lines: list[bytes]) -> tuple[list[AnyStep], str]:
    """The steps that can be read, and what is wrong with the first line that cannot."""
    steps: list[AnyStep] = []
    wrong = ""
    for number, line in enumerate(lines, 1):
        try:
            steps.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            wrong = wrong or f"line {number}: {str(error)[:200]}"
    return steps, wrong


def _by_hand(data: bytes, steps: list[AnyStep], path: str) -> str:
    """How to put back every function that a journal names, whatever else is wrong with it."""
    from shlex import quote

    addresses = dict.fromkeys(match.decode() for match in _ADDRESS.findall(data))
    if not addresses:
        return f"it names no function: look at the drivers of yours (lspci -k), then rm {path}"
    own = {step.address: f"drivers/{step.driver}/bind" for step in steps if isinstance(step, UnbindDriver)}
    kept = {step.address: step.previous for step in reversed(steps) if isinstance(step, OverrideDriver)}
    commands = []
    for address in addresses:
        base = f"{PCI_DEVICES}/{address}"
        bind = quote("/sys/bus/pci/" + own.get(address, "drivers_probe"))
        commands += [
            f"echo {address} > {base}/driver/unbind",
            f"echo > {base}/driver_override",
            f"echo {address} > {bind}",
        ]
        if kept.get(address):
            override = _SPECIAL.sub(lambda byte: b"\\%03o" % byte[0][0], kept[address]).decode()
            commands.append(f"printf '{override}\\n' > {base}/driver_override")
    named = ", ".join(addresses)
    return f"it names {named}; unless a VM has them by now, put them back: {'; '.join(commands)}; rm {path}"


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _cannot_tell(step: DriverStep, error: OSError) -> HostLacks:
    return HostLacks(
        "cannot-tell",
        f"cannot tell whether to {step.describe_undo()}",
        where=named_file(error) or step.address,
        why=os.strerror(error.errno or 0),
        next="when that is mended, run: vsmmu probe",
    )


def _failure(error: OSError, path: str, what: str) -> VsmmuError:
    kind = PermissionRefused if isinstance(error, PermissionError) else HostLacks
    return kind("journal-failed", what, where=path, why=os.strerror(error.errno or 0), next="run as root")
