# SPDX-License-Identifier: Apache-2.0
"""Run a container's command inside the walls that its manifest asks a runtime for, in a namespace of root's.

``in_container.py SPECIFICATION`` with JSON: the manifest's ``container`` and its pod's ``security`` context,
``volumes`` (name: folder), ``env``. Root is read-only unless the manifest says otherwise, /sys always, and
what containerd and CRI-O hide from containers is hidden; /dev has what every container has. Not here: the
device cgroup and the seccomp profile.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Folders of the machine that an image lacks, or a runtime makes; all others stand for an image's.
OWN = {"dev", "run", "tmp", "var", "mnt", "media", "boot", "lost+found"}
#: k8s.io/kubernetes/pkg/securitycontext: DefaultMaskedPaths, those that matter here.
HIDDEN = ("sys/firmware", "proc/acpi")
DEVICES = ("null", "zero", "full", "random", "urandom")
_SYS_MOUNT_SETATTR, _AT_RECURSIVE, _RDONLY = 442, 0x8000, 1
_CLONE_NEWNS = 0x00020000


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def read_only(place: Path) -> None:
    """A mount and all below it (mount_setattr(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = (ctypes.c_uint64 * 4)(_RDONLY, 0, 0, 0)
    if libc.syscall(
        _SYS_MOUNT_SETATTR, -100, os.fsencode(place), _AT_RECURSIVE, attributes, ctypes.sizeof(attributes)
    ):
        raise OSError(ctypes.get_errno(), "mount_setattr", str(place))


def lay_out(root: Path, container: dict[str, Any], volumes: dict[str, str]) -> None:
    """Mount everything that the container sees below ``root``."""
    mount("-t", "tmpfs", "none", root)
    image = [path.name for path in Path("/").iterdir() if path.is_dir() and path.name not in OWN]
    for name in image:
        (root / name).mkdir()
        mount("--rbind", f"/{name}", root / name)
    (root / "dev").mkdir()
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    for entry in container.get("volumeMounts", []):
        place = root / entry["mountPath"].lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        mount("--bind", volumes[entry["name"]], place)
    context = container["securityContext"]
    if context.get("readOnlyRootFilesystem"):
        mount("-o", "remount,bind,ro", root)
        for name in set(image) - {"proc", "sys"}:
            read_only(root / name)
    for entry in container.get("volumeMounts", []):
        if entry.get("readOnly"):
            read_only(root / entry["mountPath"].lstrip("/"))
    if not context.get("privileged"):
        read_only(root / "sys")
        for hidden in HIDDEN:
            if (root / hidden).is_dir():
                mount("-t", "tmpfs", "-o", "ro", "none", root / hidden)


def walls(pod: dict[str, Any], context: dict[str, Any]) -> list[str]:
    """The words of setpriv(1) that become the user with the capabilities."""
    user = context.get("runAsUser", pod.get("runAsUser"))
    assert user is not None, "the image's user would do, which the manifest should say"
    groups = [pod["fsGroup"]] if "fsGroup" in pod else []
    kept = [f"+{name.lower()}" for name in context.get("capabilities", {}).get("add", [])]
    dropped = context.get("capabilities", {}).get("drop") == ["ALL"]
    return [
        "setpriv",
        f"--reuid={user}",
        f"--regid={pod.get('runAsGroup', 0)}",
        f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups",
        *([f"--bounding-set={','.join(['-all', *kept])}", "--inh-caps=-all"] if dropped else []),
        *(["--no-new-privs"] if context.get("allowPrivilegeEscalation") is False else []),
    ]


def main() -> None:
    given = json.loads(sys.argv[1])
    container, pod = given["container"], given["security"]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("--make-rprivate", "/")
    root = Path(tempfile.mkdtemp(prefix="vsmmu-container-", dir="/dev/shm"))
    try:
        lay_out(root, container, given["volumes"])
        child = os.fork()
        if not child:
            os.chroot(root)
            os.chdir("/")
            words = [*walls(pod, container["securityContext"]), *container["command"]]
            os.execvpe(words[0], words, given["env"])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        subprocess.run(["umount", "-l", root], check=False)
        root.rmdir()
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
