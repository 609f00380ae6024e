# SPDX-License-Identifier: Apache-2.0
"""What an installed QEMU binary is: its version, machine types, and what its devices know; kept once asked.

The answers are kept by the binary's identity (path, device, inode, size, time of change), so that a start of
a VM costs one ``stat``. They come from a QEMU started for nothing else (``-machine none``), and not from its
version number alone: distributions bring features to older versions.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vsmmu.errors import HostLacks, Negative, VsmmuError
from vsmmu.qemu.monitor import CommandFailed, Monitor
from vsmmu.qemu.versions import Qemu, parse_version

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.monitor import Commands

__all__ = ["Installed", "ask", "find", "fit_machine", "installed"]

#: For a QEMU that is asked for the first time; under emulation it takes seconds to start.
_SECONDS: Final = 30.0
_FORMAT: Final = 1


class Installed(msgspec.Struct, frozen=True):
    """A QEMU binary.

    :param version: such as ``11.1.3``.
    :param machines: its Arm ``virt`` machine types.
    :param virt: what ``virt`` stands for; empty if it has none.
    :param smmu: the properties of ``arm-smmuv3``, each with its default (empty if it has none).
    :param vfio_ats: whether vfio-pci has ``ats``.
    """

    version: str
    machines: tuple[str, ...]
    virt: str
    smmu: dict[str, str]
    vfio_ats: bool
    format: int = _FORMAT

    @property
    def qemu(self) -> Qemu:
        """The model's row for it, with the features that the binary itself names.

        :raise UsageError: ``qemu-version``: older than what is modelled.
        """
        row = parse_version(self.version)
        has_auto = self.smmu.get("ats") == "auto"
        return row._replace(
            has_accel="accel" in self.smmu,
            has_auto=has_auto,
            has_cmdqv="cmdqv" in self.smmu,
            has_vfio_ats=self.vfio_ats,
            checks_ats=row.checks_ats or has_auto,
        )


def find(program: str) -> str:
    """The path of a program as a shell would find it.

    :raise HostLacks: ``qemu-binary``.
    """
    path = shutil.which(program)
    if path is None:
        raise HostLacks("qemu-binary", f"there is no program {program!r:.200}",
                        next="install QEMU, or write its path")  # fmt: skip
    return path


def installed(program: str) -> Installed:
    """What ``program`` is: from the cache, or asked and then kept; a cache that cannot be used is not.

    :raise HostLacks: ``qemu-binary``, if it cannot be run or does not answer.
    """
    path = find(program)
    cache = _cache_file(path)
    try:
        known = msgspec.json.decode(cache.read_bytes(), type=Installed)
        if known.format == _FORMAT:
            return known
    except (OSError, msgspec.DecodeError):
        pass
    answer = ask(path)
    _keep(cache, msgspec.json.encode(answer))
    return answer


def fit_machine(machine: Machine, known: Installed) -> Machine:
    """The VM with ``virt`` replaced by what this binary means by it.

    :raise Negative: ``qemu-machine-type``, if it has no such machine type.
    """
    name = machine.machine_type
    if name == "virt" and known.virt:
        return machine._replace(machine_type=known.virt)
    if name.startswith("virt") and name not in known.machines:
        some = ", ".join(known.machines[-4:])
        raise Negative(
            "qemu-machine-type",
            f"QEMU {known.version} has no machine type {name!r:.60}",
            why=f"it has {some}" if some else "it is not built for Arm",
            next="use one of these, or virt for the newest",
        )
    return machine


def ask(path: str) -> Installed:
    """Start a binary without a machine and ask it.

    :raise HostLacks: ``qemu-binary``.
    """
    command = [path, "-machine", "none", "-S", "-display", "none", "-nodefaults", "-no-user-config",
               "-qmp", "stdio"]  # fmt: skip
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        raise _refused(path, getattr(error, "strerror", None) or str(error)) from None
    with process:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            with Monitor(process.stdout.fileno(), process.stdin.fileno(), path, _SECONDS) as monitor:
                answer = _read(monitor)
                monitor.execute("quit")
        except VsmmuError as error:
            raise _refused(path, error.why or error.what) from None
        finally:
            process.kill()
    return answer


def _read(monitor: Commands) -> Installed:
    version = monitor.execute("query-version")["qemu"]
    machines = [entry for entry in monitor.execute("query-machines") if entry["name"].startswith("virt")]
    return Installed(
        version=f"{version['major']}.{version['minor']}.{version['micro']}",
        machines=tuple(sorted((entry["name"] for entry in machines), key=_by_version)),
        virt=next((entry["name"] for entry in machines if entry.get("alias") == "virt"), ""),
        smmu=_properties(monitor, "arm-smmuv3"),
        vfio_ats="ats" in _properties(monitor, "vfio-pci"),
    )


def _by_version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.replace("-", ".").split(".") if part.isdecimal())


def _properties(monitor: Commands, driver: str) -> dict[str, str]:
    try:
        listed: list[dict[str, Any]] = monitor.execute("device-list-properties", typename=driver)
    except CommandFailed:
        return {}
    return {entry["name"]: str(entry.get("default-value", "")) for entry in listed}


def _refused(path: str, why: str) -> HostLacks:
    return HostLacks(
        "qemu-binary",
        "this is no QEMU that can be asked for its version",
        where=path,
        why=why,
        next="say the version: --qemu 11.1",
    )


def _cache_file(path: str) -> Path:
    real = os.path.realpath(path)
    state = Path(real).stat()
    identity = (real, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    name = hashlib.sha256(repr(identity).encode()).hexdigest()[:24]
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vsmmu" / "qemu" / f"{name}.json"


def _keep(file: Path, data: bytes) -> None:
    """Write whole or not at all; without a place to write to, the binary is asked again next time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(data)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink()
    except OSError:
        pass
