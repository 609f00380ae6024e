# SPDX-License-Identifier: Apache-2.0
"""Facts files read with a time limit, for a server that has to go on answering when a file system hangs."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vsmmu.errors import HostLacks
from vsmmu.kubevirt.hook import load_facts, too_late

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

__all__ = ["FactsReader"]

#: Files that are being read; a node has one.
_AGAIN: Final = "start the VM again once the file system with the facts answers"
_MOST: Final = 16


class FactsReader:
    """Reads files in threads of its own.

    A system call that hangs cannot be ended, so it holds one thread for each file, and no caller longer than
    that wants to wait. Callers that want the same file at the same time share one reading of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading: dict[str, Future[Host]] = {}

    def load(self, path: str, seconds: float) -> Host:
        """The facts in a file.

        :param seconds: after which the caller gives up.
        :raise Negative: ``hook-timeout``.
        :raise VsmmuError: as :func:`~vsmmu.kubevirt.hook.load_facts`; ``hook-busy``; ``hook-stopped``.
        """
        future = self._start(path)
        try:
            return future.result(max(seconds, 0))
        except TimeoutError:
            raise too_late(seconds, f"reading {path}") from None

    def close(self) -> None:
        """Let all that wait fail; what hangs is left to the end of the process."""
        with self._lock:
            for path, future in self._reading.items():
                with suppress(InvalidStateError):
                    future.set_exception(
                        HostLacks("hook-stopped", "the server has been stopped", where=path, next=_AGAIN)
                    )

    def _start(self, path: str) -> Future[Host]:
        with self._lock:
            future = self._reading.get(path)
            if future is None:
                if len(self._reading) >= _MOST:
                    raise HostLacks(
                        "hook-busy", "too many facts files do not answer", where=path, next=_AGAIN
                    )
                future = self._reading[path] = Future()
                threading.Thread(target=self._read, args=(path, future), daemon=True).start()
            return future

    def _read(self, path: str, future: Future[Host]) -> None:
        host, failure = None, None
        try:
            host = load_facts(path)
        except BaseException as error:
            failure = error
        with self._lock:
            del self._reading[path]
        with suppress(InvalidStateError):  # closed meanwhile
            if host is not None:
                future.set_result(host)
            else:
                future.set_exception(failure)
