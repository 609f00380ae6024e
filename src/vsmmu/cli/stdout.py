# SPDX-License-Identifier: Apache-2.0
"""Documents written to stdout byte for byte, and the end of stdout, where nothing may be lost.

An answer that cannot be written is an error, and one whose reader has gone away ends the program. This is all
that the hook needs for a domain without SMMUs, and that passes every VM of a node: not even typing is loaded.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from vsmmu.errors import HostLacks

__all__ = ["ReaderGone", "finish", "prepare", "raw", "settle", "write_answer"]


class ReaderGone(Exception):
    """Nobody reads stdout any more (``| head``)."""


def write_answer(write: Callable[[TextIO], object]) -> None:
    """Let a function write to stdout.

    :raise HostLacks: ``answer-unwritten``: it is closed, the disk is full, ...
    :raise ReaderGone: nobody reads it any more.
    """
    try:
        write(sys.stdout)
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        closed = error.errno == errno.EBADF
        raise _unwritten("standard output is closed" if closed else error.strerror or str(error)) from None


def raw(data: bytes | str, *, more: bool = False) -> None:
    """Print a document of another form to stdout, byte for byte: XML, a command line, HTML.

    :param more: whether more of it follows, so that it need not be written yet.
    :raise HostLacks: as :func:`write_answer`.
    :raise ReaderGone: likewise.
    """

    def write(stream: TextIO) -> None:
        stream.flush()
        stream.buffer.write(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))
        if not more:
            stream.flush()

    write_answer(write)


def prepare() -> None:
    """Put something in the place of standard streams that were closed before the start, or do not block."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if None in streams:
        _replace_closed(streams)
    for number, (name, stream) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
        own = stream is not None and stream is getattr(sys, f"__{name}__", None)
        if own and not os.get_blocking(number):
            from vsmmu.cli.patient import patient

            setattr(sys, name, patient(stream, number))


def _replace_closed(streams: tuple[TextIO | None, ...]) -> None:
    """Else the next file would get the number, and what a program that we start says would go into it.

    Writing an answer still fails; standard input is empty, and messages go nowhere.
    """
    for number, stream in enumerate(streams):
        if stream is None:
            descriptor = os.open(os.devnull, os.O_RDONLY if number else os.O_WRONLY)
            if descriptor == number:
                os.set_inheritable(descriptor, True)
            else:  # it is somebody's already
                os.close(descriptor)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - to the end
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def finish() -> None:
    """Write what others (click) have left in the buffer of stdout."""
    write_answer(lambda stream: stream.flush())


def settle() -> None:
    """Drop what cannot be written, so that the interpreter does not try it again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unwritten(why: str) -> HostLacks:
    from vsmmu.errors import HostLacks

    return HostLacks(
        "answer-unwritten",
        "cannot write the answer",
        where="standard output",
        why=why,
        next="make room, or write it elsewhere",
    )
