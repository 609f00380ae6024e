# SPDX-License-Identifier: Apache-2.0
"""libvirt out of Debian's archive, in a directory of its own: made once, cached, entered with chroot.

It is sid's, or that of the suite that ``$VSMMU_LIBVIRT_SUITE`` names. The cache is the lab's
(``$VSMMU_LAB_CACHE``, else ``vsmmu/lab`` in the user's cache directory); the directory has its recipe's name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab.cache import Cache
from vsmmu.lab.mirror import debian_mirror
from vsmmu.lab.versions import installed_packages, read_versions, write_versions

if TYPE_CHECKING:
    from pathlib import Path

SUITE: Final = os.environ.get("VSMMU_LIBVIRT_SUITE") or "sid"
PACKAGES: Final = (
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "libxml2-utils",
    "qemu-efi-aarch64",
    "qemu-system-arm",
    "virtinst",
)
#: Raised when what is in the directory beside the packages changes: since 2, their versions.
_FORMAT: Final = "2"
#: sid's index is valid for a week, and a mirror may be frozen for longer.
APT: Final = ('Acquire::Check-Valid-Until "false"',)


def recipe() -> str:
    """The name of the directory: what goes in decides it."""
    text = "\n".join([SUITE, *PACKAGES, _FORMAT])
    return f"libvirt-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def ensure() -> tuple[Path, dict[str, str]]:
    """The directory, made if it is not there (a minute, 500 MB), and the Debian version by package in it.

    :raise HostLacks: without mmdebstrap, or if the archive does not answer.
    :raise PermissionRefused: without root, which chroot and mounts need even if the directory is there.
    """
    if os.geteuid() != 0:
        raise PermissionRefused("libvirt-needs-root", "entering the libvirt directory needs root")
    cache = Cache.default()
    if not cache.has(recipe()) and shutil.which("mmdebstrap") is None:
        raise HostLacks("libvirt-mmdebstrap", "there is no mmdebstrap", next="apt install mmdebstrap")
    made = cache.publish(recipe(), _make)
    return made / "tree", read_versions(made)


def _make(directory: Path) -> None:
    options = [f"--aptopt={line}" for line in APT]
    command = ["mmdebstrap", "--variant=apt", "--mode=root", *options, f"--include={','.join(PACKAGES)}"]
    log = Cache.default().log(recipe())
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [*command, SUITE, str(directory / "tree"), debian_mirror()],
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode != 0:
        raise HostLacks("libvirt-tree", "cannot make the libvirt directory", where=str(log))
    write_versions(directory, installed_packages(directory / "tree/var/lib/dpkg/status"))


#: What surrounds a run: fake device nodes, so that libvirt believes in VFIO and iommufd.
#: Everything is mounted in a namespace that ends with the script, daemon and all.
_AROUND: Final = """
set -e
tree=$1
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
for place in dev run tmp etc/libvirt/qemu var/lib/libvirt; do mount -t tmpfs tmpfs "$tree/$place"; done
mount --bind "$2" "$tree/mnt"
for name in null zero urandom random full tty; do
    touch "$tree/dev/$name"
    mount --bind "/dev/$name" "$tree/dev/$name"
done
mkdir -p "$tree/dev/vfio/devices" "$tree/dev/net" "$tree/dev/shm"
ln -s /proc/self/fd "$tree/dev/fd"
ln -s /proc/self/fd/0 "$tree/dev/stdin"
mknod "$tree/dev/iommu" c 10 300
mknod "$tree/dev/vfio/vfio" c 10 196
mknod "$tree/dev/net/tun" c 10 200
mknod "$tree/dev/vhost-vsock" c 10 241
mkdir -p "$tree/sys/kernel/iommu_groups"
mount -t tmpfs tmpfs "$tree/sys/kernel/iommu_groups"
mkdir -p "$tree/sys/kernel/iommu_groups/7/devices"
exec chroot "$tree" bash -c 'cd /mnt && libvirtd -d >&2 && . ./script'
"""


_NAMESPACE: Final = "unshare --mount --pid --fork --kill-child --propagation private".split()


class Run(NamedTuple):
    """What a script has said and left behind."""

    status: int
    stdout: str
    stderr: str
    files: dict[str, bytes]


def run(tree: Path, directory: Path, script: str, files: dict[str, bytes]) -> Run:
    """Run a shell script where libvirtd runs, with ``files`` in its working directory; 0.3 s."""
    for name, data in {**files, "script": script.encode()}.items():
        (directory / name).write_bytes(data)
    done = subprocess.run(
        [*_NAMESPACE, "bash", "-c", _AROUND, "libvirt-run", str(tree), str(directory)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"},
    )
    left = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    return Run(done.returncode, done.stdout, done.stderr, left)
