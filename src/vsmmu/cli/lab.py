# SPDX-License-Identifier: Apache-2.0
"""``vsmmu lab``: build and use the arm64 lab."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters
from vsmmu.errors import Negative, UsageError

if TYPE_CHECKING:
    from vsmmu.lab import LabConfig, Session
    from vsmmu.lab.cache import Cache

__all__ = ["command"]

_SIGTERM_STATUS = 128 + signal.SIGTERM


_EXAMPLES = """\b
Examples:
  vsmmu lab build
  vsmmu lab shell
  vsmmu lab run --acpi -- vsmmu probe --bind 0000:00:05.0
"""
_RUN_EXAMPLES = """\b
Examples:
  vsmmu lab run -- uname -rm
  vsmmu lab run --acpi --get /run/vsmmu/host.json:lab.json -- vsmmu probe --bind 0000:00:05.0
"""


@click.group(name="lab", epilog=_EXAMPLES)
def command() -> None:
    """An emulated Arm host with a real kernel: SMMUv3, iommufd, vfio, KVM.

    Built once from Debian's packages (as root, half a minute, and eleven for the kernel), started in seconds.
    """


class _Host(NamedTuple):
    """The emulated host that the user wants, as given."""

    acpi: bool
    libvirt: bool
    devices: tuple[str, ...]
    no_default_devices: bool
    memory: str
    kernel: Path | None

    def config(self) -> LabConfig:
        from vsmmu.lab import DEFAULT_DEVICES, LabConfig

        defaults = () if self.no_default_devices else DEFAULT_DEVICES
        devices = (*defaults, *self.devices)
        return LabConfig(self.acpi, devices, self.memory, libvirt=self.libvirt, kernel=self.kernel)


def _pairs(option: str, values: tuple[str, ...], separator: str) -> list[tuple[str, str]]:
    pairs = []
    for value in values:
        left, found, right = value.partition(separator)
        if not (left and found):
            raise UsageError(
                "lab-option",
                f"{option} {value!r} has no {separator!r}",
                where="vsmmu lab run",
                next="write the two parts with it between them",
            )
        pairs.append((left, right))
    return pairs


def _cache() -> Cache:
    from vsmmu.lab.cache import Cache

    return Cache.default()


@command.command()
@parameters("lab build")
def build(libvirt: bool, kernel: Path | None, dry_run: bool) -> None:
    """Make what the cache lacks: QEMU, the root file system, the kernel.

    A kernel that is given here is remembered, and used until this is called without.
    """
    from vsmmu.lab.build import ensure, plan
    from vsmmu.lab.progress import Progress

    if dry_run:
        operations, _ = plan(_cache(), kernel, our_kernel=kernel is None, libvirt=libvirt)
        for operation in operations:
            console.say(f"would {operation.describe()}")
        return
    artifacts = ensure(_cache(), kernel, Progress(sys.stderr), our_kernel=kernel is None, libvirt=libvirt)
    console.remark(f"the lab has {artifacts.summary()}")


@command.command(context_settings={"allow_interspersed_args": False}, epilog=_RUN_EXAMPLES)
@parameters("lab run", _Host)
def run(
    question: _Host,
    argv: tuple[str, ...],
    verbose: bool,
    timeout: float,
    puts: tuple[str, ...],
    gets: tuple[str, ...],
    env: tuple[str, ...],
    with_stdin: bool,
) -> int:
    """Boot, run COMMAND as root with this project's sources inside, exit with its status.

    The status is 124 if the time was up and 125 if the lab itself failed, or COMMAND succeeded without
    making what --get names.
    """
    from vsmmu.lab import Session
    from vsmmu.lab.progress import Progress

    files = {guest: Path(host) for host, guest in _pairs("--put", puts, ":")}
    wanted = _pairs("--get", gets, ":")
    variables = dict(_pairs("--env", env, "="))
    stdin = sys.stdin.buffer.read() if with_stdin else b""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_SIGTERM_STATUS))
    with Session(question.config(), progress=Progress(sys.stderr)) as session:
        try:
            if files:
                session.put(files)
            status = session.run(
                argv, stdin=stdin, timeout=timeout, env=variables, on_stdout=_out, on_stderr=_err
            ).status
        finally:
            if verbose:
                _show_console(session)
        _bring_back(session, wanted, status)
    return status


def _bring_back(session: Session, wanted: list[tuple[str, str]], status: int) -> None:
    """Fetch what was asked for. After a command that failed, what is missing is only mentioned."""
    from vsmmu.lab import LabFailed

    for guest, host in wanted:
        try:
            session.download(guest, Path(host))
        except LabFailed as error:
            if status == 0:
                raise
            console.remark(error, "error")


def _out(data: bytes) -> None:
    console.raw(data)


def _err(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def _show_console(session: Session) -> None:
    console.remark(f"the console:\n{session.console()}")


@command.command()
@parameters("lab shell", _Host)
def shell(
    question: _Host,
    verbose: bool,  # noqa: ARG001  the console is in view anyhow
) -> int:
    """A prompt inside. Ctrl-D ends it; so does Ctrl-A X, whatever hangs."""
    from vsmmu.lab import shell as lab_shell
    from vsmmu.lab.progress import Progress

    return lab_shell(question.config(), progress=Progress(sys.stderr))


@command.command()
def path() -> None:
    """Print where the cache is."""
    console.say(str(_cache().directory))


@command.command()
@parameters("lab clean")
def clean(yes: bool) -> None:
    """Remove the cache."""
    cache = _cache()
    if not yes and not (sys.stdin.isatty() and click.confirm(f"Remove {cache.directory}?", err=True)):
        raise Negative(
            "not-confirmed", "nothing is removed", where=str(cache.directory), next="vsmmu lab clean --yes"
        )
    cache.clean()
