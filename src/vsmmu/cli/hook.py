# SPDX-License-Identifier: Apache-2.0
"""``onDefineDomain``: the program that KubeVirt's sidecar-shim calls to change a domain before it is defined.

It lies on the path of every VM's start on a node, so it parses its two arguments itself, and a domain without
SMMUv3 is passed on before anything is loaded: not even typing, which would take longer than the rest.
"""

from __future__ import annotations

import gc
import os
import sys

from vsmmu.cli import stdout
from vsmmu.cli.outcome import end_quickly, exit_status
from vsmmu.kubevirt.concern import is_concerned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Final, NoReturn

    from vsmmu.errors import UsageError

__all__ = ["USAGE", "main", "run"]

USAGE: Final = """\
usage: onDefineDomain --vmi JSON --domain XML

Prints the domain with the values of its accelerated SMMUv3s fitted to this node; any other domain unchanged.
Environment: VSMMU_HOST (facts or builtin:NAME, default /run/vsmmu/host.json), VSMMU_ON_FAILURE (fail,
pass-through), VSMMU_VALUES (resolve, keep), VSMMU_FIX (certain, off), VSMMU_POLICY, VSMMU_ASSUME_SAFE,
VSMMU_QEMU, VSMMU_LIBVIRT, VSMMU_MACHINE_TYPE, VSMMU_TIMEOUT (seconds), VSMMU_ANNOTATIONS (those that a VM may
have; default all but hook).
Annotations of the VM, each behind vsmmu/: hook, accel, also, assume-safe, fix, on-failure, policy, values.
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
    if arguments in (["-h"], ["--help"]):
        stdout.raw(USAGE)
        return 0
    given = _parse(arguments)
    domain, vmi = given["--domain"], given["--vmi"]
    stdout.raw(_mutate(domain, vmi) if is_concerned(domain, vmi) else domain)
    return 0


def _mutate(domain: bytes, vmi: bytes) -> bytes:
    # Without signal's enumerations of the numbers, which take 2 % of a start to make.
    import _signal as signal  # type: ignore[import-not-found]

    from vsmmu.cli import console
    from vsmmu.cli.late_modules import load_msgspec

    load_msgspec()
    from vsmmu.kubevirt.hook import mutate, passed_through, too_late
    from vsmmu.kubevirt.settings import from_environment, unknown_variables

    for line in unknown_variables(os.environ):
        console.remark(line, "warning")
    settings = from_environment(os.environ)
    signal.signal(signal.SIGALRM, _too_late)
    try:
        signal.setitimer(signal.ITIMER_REAL, settings.seconds)
        try:
            outcome = mutate(domain, vmi, settings)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TooLateError:
        error = too_late(settings.seconds)
        if settings.on_failure == "fail":
            raise error from None
        outcome = passed_through(domain, error)
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
            raise _usage(f"{argument[:40]!r} is not expected")
        text = value if equals else next(rest, None)
        if text is None:
            raise _usage(f"{name} needs an argument")
        given[name] = os.fsencode(text)
    for name in _OPTIONS:
        if name not in given:
            raise _usage(f"{name} is missing")
    return given


def _usage(what: str) -> UsageError:
    from vsmmu.errors import UsageError

    return UsageError("usage", what, next=USAGE.partition("\n")[0])


if __name__ == "__main__":
    main()
