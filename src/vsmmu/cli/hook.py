# SPDX-License-Identifier: Apache-2.0
"""``onDefineDomain``: the program that KubeVirt's sidecar-shim calls to change a domain before it is defined.

It lies on the path of every VM's start on a node, so it parses its two arguments itself: loading click would
take longer than everything else that a VM without accelerated SMMUv3 needs.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from vsmmu.cli import console
from vsmmu.cli.outcome import end_quickly, exit_status
from vsmmu.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["main", "run"]

_USAGE: Final = """\
usage: onDefineDomain --vmi JSON --domain XML

Prints the domain with the values of its accelerated SMMUv3s fitted to this node; any other domain unchanged.
Environment: VSMMU_HOST (facts, default /run/vsmmu/host.json), VSMMU_ON_FAILURE (fail, pass-through),
VSMMU_VALUES (resolve, keep), VSMMU_POLICY, VSMMU_ASSUME_SAFE, VSMMU_QEMU, VSMMU_LIBVIRT, VSMMU_MACHINE_TYPE,
VSMMU_TIMEOUT (seconds), VSMMU_ANNOTATIONS (those that a VM may have; default all).
Annotations of the VM, each behind vsmmu/: hook, accel, also, assume-safe, on-failure, policy, values.
Two of them only tighten what the environment says: assume-safe to off, on-failure to fail.
"""
_OPTIONS: Final = ("--vmi", "--domain")


def main() -> NoReturn:
    """Run as a program, and exit with the status that :mod:`vsmmu.errors` names."""
    gc.disable()  # what one domain leaves in cycles goes with the process
    end_quickly(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """One call of the shim; the whole answer is written at the end, or nothing."""
    return exit_status(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    console.raw(_USAGE if arguments in (["-h"], ["--help"]) else _mutate(arguments))
    return EXIT_OK


def _mutate(arguments: list[str]) -> bytes:
    from vsmmu.kubevirt.hook import mutate, passed_through, too_late
    from vsmmu.kubevirt.settings import from_environment

    given = _parse(arguments)
    settings = from_environment(os.environ)
    signal.signal(signal.SIGALRM, _too_late)
    try:
        signal.setitimer(signal.ITIMER_REAL, settings.seconds)
        try:
            outcome = mutate(given["--domain"], given["--vmi"], settings)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TooLateError:
        error = too_late(settings.seconds)
        if settings.on_failure == "fail":
            raise error from None
        outcome = passed_through(given["--domain"], error)
    for line in outcome.messages:
        console.remark(line)
    return outcome.domain


class _TooLateError(BaseException):
    """Raised by the alarm; no handler for ordinary exceptions may swallow it."""


def _too_late(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    raise _TooLateError


def _parse(arguments: list[str]) -> dict[str, bytes]:
    """``--vmi JSON`` and ``--domain XML``, each once; ``--vmi=JSON`` as well."""
    given: dict[str, bytes] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=") if argument.startswith("--") else (argument, "", "")
        if name not in _OPTIONS or name in given:
            raise UsageError("usage", f"{argument[:40]!r} is not expected", next=_USAGE.partition("\n")[0])
        text = value if equals else next(rest, None)
        if text is None:
            raise UsageError("usage", f"{name} needs an argument", next=_USAGE.partition("\n")[0])
        given[name] = os.fsencode(text)
    for name in _OPTIONS:
        if name not in given:
            raise UsageError("usage", f"{name} is missing", next=_USAGE.partition("\n")[0])
    return given


if __name__ == "__main__":
    main()
