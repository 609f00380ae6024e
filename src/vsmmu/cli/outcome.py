# SPDX-License-Identifier: Apache-2.0
"""The end of a program: what it returned or raised as an exit status, and a line where it failed.

``vsmmu`` and ``onDefineDomain`` both end here; no outcome is a traceback, unless VSMMU_DEBUG asks for it.
"""

from __future__ import annotations

import os

from vsmmu.cli import stdout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn

    from vsmmu.errors import VsmmuError

__all__ = ["end_quickly", "exit_status"]

_INTERRUPTED: Final = 128 + 2  # as a shell says SIGINT and SIGPIPE
_READER_GONE: Final = 128 + 13


def exit_status(program: Callable[[], int], report: Callable[[VsmmuError], object] | None = None) -> int:
    """Run a program to its end.

    :param report: writes more about an error than the line on stderr.
    :return: the status that :mod:`vsmmu.errors` names; 130 if it was interrupted, 141 if nobody reads stdout.
    """
    try:
        stdout.prepare()
        status = program()
        stdout.finish()
    except stdout.ReaderGone:
        return _READER_GONE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as failure:
        from vsmmu.errors import VsmmuError, error_of

        if os.environ.get("VSMMU_DEBUG") and not isinstance(failure, VsmmuError):
            raise
        return _failed(error_of(failure), report)
    else:
        return status
    finally:
        stdout.settle()


def end_quickly(status: int) -> NoReturn:
    """End the process as :func:`exit_status` left it, without tearing the interpreter down.

    Freeing every module and object one by one adds a tenth to a start, and the kernel does it at once.
    Only for a program that has no thread, no child and no callback of atexit left.
    """
    os._exit(status)


def _failed(error: VsmmuError, report: Callable[[VsmmuError], object] | None) -> int:
    import contextlib

    from vsmmu.cli import console
    from vsmmu.errors import VsmmuError

    console.remark(error, "error")
    if report is not None:
        with contextlib.suppress(VsmmuError, stdout.ReaderGone):  # nobody can be told on stdout
            report(error)
    return error.exit_status
