# SPDX-License-Identifier: Apache-2.0
"""Show a process the emulated host: a mount namespace with entries laid over /dev and /sys.

Chosen over answering open(2), stat(2) and their kin one by one: those are called all the time by every
program, a filter cannot look at paths, and each would cost a round trip; here the kernel itself answers, and
no way to reach a file can be forgotten. As root a mount namespace is enough; others get a user namespace
around it, in which they keep their own ids.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vsmmu.emulate import libc
from vsmmu.emulate.nodes import EXCLUSIVE, Node
from vsmmu.emulate.stand_ins import StandIns
from vsmmu.errors import HostLacks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

__all__ = ["Overlay", "enter_namespace"]

_TMPFS_FLAGS: Final = libc.MS_NOSUID | libc.MS_NOEXEC
_DIRECTORY: Final = Node("directory")
#: What /proc/mounts shows as the source of our temporary file systems.
_SOURCE: Final = "vsmmu-emulate"


def enter_namespace() -> None:
    """Give this process a mount namespace of its own; what the host mounts later still appears in it.

    :raise HostLacks: ``emulate-namespaces``.
    """
    try:
        _unshare()
        libc.mount("none", "/", "", libc.MS_REC | libc.MS_SLAVE)
    except OSError as error:
        raise HostLacks(
            "emulate-namespaces",
            "cannot make a namespace for the program",
            why=error.strerror or "",
            next="run as root, or allow user namespaces: sysctl user.max_user_namespaces=10000 "
            "(on some distributions kernel.unprivileged_userns_clone=1 or "
            "kernel.apparmor_restrict_unprivileged_userns=0; containers may need --security-opt seccomp=...)",
        ) from None


def _unshare() -> None:
    try:
        libc.unshare(libc.CLONE_NEWNS)
    except PermissionError:
        user, group = os.getuid(), os.getgid()
        libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")


class Overlay:
    """Lays entries over /dev and /sys in this process' mount namespace.

    A directory that lacks an entry is covered by a temporary one, in which the others are still the host's;
    one that is ours alone (:data:`vsmmu.emulate.nodes.EXCLUSIVE`) is covered by an empty one.
    """

    def __init__(self) -> None:
        self._devices = _our_devices()

    def add(self, nodes: Mapping[str, Node]) -> None:
        """Make ``nodes`` appear; what is there already stays.

        :raise OSError: as the kernel says.
        """
        children = _children(nodes)
        with StandIns() as stand_ins:
            for top in ("/dev", "/sys"):
                self._directory(top, nodes, children, stand_ins)

    def remove(self, nodes: Mapping[str, Node]) -> None:
        """Make ``nodes`` disappear, and directories that they leave empty.

        :raise OSError: as the kernel says.
        """
        for path, node in sorted(nodes.items(), reverse=True):
            if node.kind == "device":
                with contextlib.suppress(OSError):  # one that was made and not mounted
                    libc.umount2(path, libc.MNT_DETACH)
            if node.kind == "directory":
                continue
            Path(path).unlink(missing_ok=True)
            parent = Path(path).parent
            while str(parent) not in nodes and not any(parent.iterdir()):
                parent.rmdir()
                parent = parent.parent

    def _directory(
        self, path: str, nodes: Mapping[str, Node], children: Mapping[str, list[str]], stand_ins: StandIns
    ) -> None:
        names = children.get(path, [])
        if not self._is_ours(path):
            if path in EXCLUSIVE:
                self._mount(path)
            elif not all(_has_place(f"{path}/{name}", nodes) for name in names):
                self._cover(path, {f"{path}/{name}" for name in names} & nodes.keys())
        for name in names:
            child = f"{path}/{name}"
            node = nodes.get(child, _DIRECTORY)
            if node.kind == "directory":
                if not os.path.lexists(child):
                    os.mkdir(child, 0o755)  # noqa: PTH102 - hundreds of them
                self._directory(child, nodes, children, stand_ins)
            elif not os.path.lexists(child):
                _make(child, node, stand_ins)

    def _is_ours(self, path: str) -> bool:
        return os.stat(path).st_dev in self._devices  # noqa: PTH116

    def _mount(self, path: str) -> None:
        libc.mount(_SOURCE, path, "tmpfs", _TMPFS_FLAGS, "mode=755")
        self._devices.add(os.stat(path).st_dev)  # noqa: PTH116

    def _cover(self, path: str, ours: Set[str]) -> None:
        """Cover a directory of the host with one of ours that shows the same entries, but for ``ours``."""
        before = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(f"/proc/self/fd/{before}") as found:
                entries = list(found)
            self._mount(path)
            for entry in entries:
                target = f"{path}/{entry.name}"
                if target in ours:
                    continue
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), target)  # noqa: PTH115, PTH211
                    continue
                if entry.is_dir():
                    os.mkdir(target)  # noqa: PTH102
                else:
                    os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                if target not in EXCLUSIVE:
                    libc.mount(entry.path, target, "", libc.MS_BIND | libc.MS_REC)
        finally:
            os.close(before)


def _children(nodes: Iterable[str]) -> dict[str, list[str]]:
    """Directory -> names of what must be in it, from all paths and their parents."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        path = node
        while path.count("/") > 1:
            parent, _, name = path.rpartition("/")
            found.setdefault(parent, set()).add(name)
            path = parent
    return {parent: sorted(names) for parent, names in found.items()}


def _has_place(path: str, nodes: Mapping[str, Node]) -> bool:
    """Whether what the host has under this name will do: never for a file, which is to be ours alone."""
    return nodes.get(path, _DIRECTORY).kind == "directory" and os.path.isdir(path)  # noqa: PTH112


def _make(path: str, node: Node, stand_ins: StandIns) -> None:
    if node.kind == "device":
        stand_ins.make(path, node.content)
    elif node.kind == "link":
        os.symlink(node.content, path)  # noqa: PTH211
    else:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, _number(node.content) if node.kind == "number" else node.content)
        finally:
            os.close(descriptor)


def _number(device_file: bytes) -> bytes:
    device = os.stat(device_file).st_rdev  # noqa: PTH116 - one for each function
    return b"%d:%d\n" % (os.major(device), os.minor(device))


def _our_devices() -> set[int]:
    """The device numbers of the temporary file systems that we have mounted here so far."""
    found = set()
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
        for line in mounts:
            place, _, system = line.partition(" - ")
            if system.split()[1:2] == [_SOURCE]:
                major, minor = place.split()[2].split(":")
                found.add(os.makedev(int(major), int(minor)))
    return found
