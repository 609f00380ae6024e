# SPDX-License-Identifier: Apache-2.0
"""Observations for the doctor's checks: files read, programs asked for their versions; nothing is changed."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.doctor.installation import Installation, look_at_installation
from vsmmu.errors import VsmmuError
from vsmmu.monitor.program_output import output_of
from vsmmu.probe.candidates import Candidate, candidate
from vsmmu.probe.journal import Journal
from vsmmu.probe.live import describe_age, live_host
from vsmmu.probe.system_root import Tree
from vsmmu.qemu.versions import packaged_fork
from vsmmu.qemu.versions import parse_version as parse_qemu

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.versions import Version

__all__ = ["Observed", "ObservedFile", "Program", "newest", "observe", "parse_config", "parse_version"]

_CONFIG_LIMIT: Final = 4 << 20
_INTERRUPTS_LIMIT: Final = 8 << 20
_VERSION: Final = re.compile(r"\b(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?\b")
_CONFIG_LINE: Final = re.compile(r"^(?:(CONFIG_\w+)=(\S+)|# (CONFIG_\w+) is not set)$", re.MULTILINE)
_QEMUS: Final = ("qemu-system-aarch64", "/usr/libexec/qemu-kvm")
_LIBVIRTS: Final = ("virtqemud", "libvirtd")
_VERSION_SECONDS: Final = 10
_VERSION_LIMIT: Final = 1 << 16


class ObservedFile(NamedTuple):
    """A device file and whether this process may open it for reading and writing."""

    path: str
    exists: bool
    permitted: bool


class Program(NamedTuple):
    """A program and its version; None if it did not say one.

    :param fork: the name of the fork of QEMU that it is; empty for a release.
    """

    path: str
    version: tuple[int, int, int] | None
    fork: str = ""

    @property
    def features(self) -> Version | None:
        """The release with the same features; None if it is not known."""
        if self.fork:
            return parse_qemu(self.fork).features
        return self.version and self.version[:2]

    def __str__(self) -> str:
        version = ".".join(map(str, self.version)) if self.version else "of unknown version"
        return f"{self.path} {version}{f' ({self.fork})' if self.fork else ''}"


class Observed(NamedTuple):
    """What the checks judge.

    :param config: the kernel's configuration, option -> value (``n`` if not set); None if there is none.
    :param functions: those on a vfio driver.
    :param nodes: their device files.
    :param isolated: whether an ITS handles message signalled interrupts; None if that cannot be seen.
    :param unsafe_allowed: iommufd's allow_unsafe_interrupts; None if iommufd is not loaded.
    :param interrupted: what an interrupted probe has left to undo.
    """

    machine: str
    is_root: bool
    config: dict[str, str] | None
    config_source: str
    host: Host
    age: str
    iommufd: ObservedFile
    kvm: ObservedFile
    functions: tuple[Candidate, ...]
    nodes: tuple[ObservedFile, ...]
    isolated: bool | None
    unsafe_allowed: bool | None
    interrupted: tuple[str, ...]
    qemus: tuple[Program, ...]
    libvirts: tuple[Program, ...]
    installation: Installation


def observe(root: str = "/", path: str | None = None) -> Observed:
    """Look at everything.

    :param root: another directory to look below instead of the machine.
    :param path: where to look for programs; ``PATH`` if None.
    """
    tree = Tree(root)
    host = live_host(root)
    source, config = _kernel_config(tree, host.kernel.release)
    functions = tuple(
        found for entry in host.functions if (found := candidate(tree, entry)).device is not None
    )
    return Observed(
        machine=tree.text("/proc/sys/kernel/arch") or os.uname().machine,
        is_root=os.geteuid() == 0,
        config=config,
        config_source=source,
        host=host,
        age=describe_age(host),
        iommufd=_device_file(tree, "/dev/iommu"),
        kvm=_device_file(tree, "/dev/kvm"),
        functions=functions,
        nodes=tuple(_device_file(tree, entry.device.node) for entry in functions if entry.device),
        isolated=True if b" ITS-" in (tree.data("/proc/interrupts", _INTERRUPTS_LIMIT) or b"") else None,
        unsafe_allowed=_parameter(tree, "/sys/module/iommufd/parameters/allow_unsafe_interrupts"),
        interrupted=_interrupted(tree),
        qemus=_programs(_QEMUS, path),
        libvirts=_programs(_LIBVIRTS, path),
        installation=look_at_installation(),
    )


def newest(programs: tuple[Program, ...]) -> Program | None:
    """The program with the latest version; None if there is none."""
    return max(programs, key=lambda program: program.version or (0, 0, 0), default=None)


def parse_config(text: str) -> dict[str, str]:
    """A kernel's ``.config``: ``y``, ``m``, a value, or ``n`` for ``is not set``."""
    return {option or off: value or "n" for option, value, off in _CONFIG_LINE.findall(text)}


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The first version number in what a program said."""
    match = _VERSION.search(text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 0))


def _kernel_config(tree: Tree, release: str) -> tuple[str, dict[str, str] | None]:
    packed = tree.data("/proc/config.gz", _CONFIG_LIMIT)
    if packed is not None:
        try:
            return "/proc/config.gz", parse_config(gzip.decompress(packed).decode("ascii", "replace"))
        except (OSError, EOFError, zlib.error):
            pass
    for path in (
        f"/boot/config-{release}",
        f"/usr/lib/modules/{release}/config",
        f"/lib/modules/{release}/build/.config",
    ):
        data = tree.data(path, _CONFIG_LIMIT)
        if data:
            return path, parse_config(data.decode("ascii", "replace"))
    return "", None


def _device_file(tree: Tree, path: str) -> ObservedFile:
    return ObservedFile(path, tree.exists(path), os.access(tree.path(path), os.R_OK | os.W_OK))


def _parameter(tree: Tree, path: str) -> bool | None:
    text = tree.text(path)
    return None if text is None else text in ("Y", "1")


def _interrupted(tree: Tree) -> tuple[str, ...]:
    try:
        steps = Journal(f"{tree.run_directory()}/journal").pending()
    except VsmmuError as error:
        return (error.what,)
    return tuple(step.describe_undo() for step in reversed(steps))


def _programs(names: tuple[str, ...], path: str | None) -> tuple[Program, ...]:
    found = [resolved for name in names if (resolved := shutil.which(name, path=path))]
    return tuple(_program(program) for program in found)


def _program(path: str) -> Program:
    try:
        said = output_of([path, "--version"], _VERSION_SECONDS, _VERSION_LIMIT)
    except (OSError, ValueError, subprocess.SubprocessError):
        return Program(path, None)
    text = said.stdout.decode("utf-8", "replace")
    fork = packaged_fork(text)
    return Program(path, parse_version(text), str(fork) if fork is not None else "")
