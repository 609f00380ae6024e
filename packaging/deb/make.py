# SPDX-License-Identifier: Apache-2.0
"""Debian package from an sdist: built, checked by lintian, and tried in a fresh Debian 13 directory.

mmdebstrap makes two directories once, one to build in and one to install in, in the lab's cache, under names
that follow from what goes into them. A run enters them below an overlay and without a network: nothing of it
stays, and nothing is fetched.

usage (root): python packaging/deb/make.py SDIST DIRECTORY     (DEB_BUILD_OPTIONS=nocheck: without unit tests)
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.lab.cache import Cache
from vsmmu.lab.commands import require_root, run_logged
from vsmmu.lab.mirror import debian_mirror

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SUITE: Final = "trixie"
#: For the script ``order``: what is started at boot together with the probe.
STARTED_AT_BOOT: Final = ("libvirt-daemon-system", "systemd-sysv")
_NAMESPACE: Final = "unshare --mount --pid --net --fork --kill-child --propagation private".split()


def _needed_to_run() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return ["python3-" + re.split(r"[^a-z0-9-]", line)[0] for line in project["dependencies"]]


def _needed_to_build() -> list[str]:
    control = (ROOT / "debian/control").read_text(encoding="utf-8")
    field = re.search(r"^Build-Depends:((?:\n .*)+)", control, re.MULTILINE)
    assert field is not None
    return re.findall(r"^ ([a-z0-9.-]+)", field[1], re.MULTILINE)


def _tree(kind: str, include: list[str], download: list[str]) -> Path:
    """A Debian directory with some packages installed and others downloaded; made in a minute, or there."""
    text = "\n".join([SUITE, *include, "", *download])
    name = f"debian-{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    cache = Cache.default()
    log = cache.log(name)
    options = [f"--include={','.join(include)}"] if include else []
    if download:
        fetch = 'chroot "$1" apt-get install -q -y --download-only --no-install-recommends '
        options += [f"--customize-hook={fetch}{' '.join(download)}", "--skip=cleanup/apt"]

    def make(directory: Path) -> None:
        tree = str(directory / "tree")
        command = ["mmdebstrap", "--variant=apt", "--mode=root", *options, SUITE, tree, debian_mirror()]
        run_logged(command, log)

    if not cache.has(name) and shutil.which("mmdebstrap") is None:
        raise HostLacks("deb-mmdebstrap", "there is no mmdebstrap", next="apt install mmdebstrap")
    return cache.publish(name, make) / "tree"


def _inside(tree: Path, directory: Path, script: str) -> None:
    """Run one of the scripts beside this file in *tree*; its output is this program's."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    env |= {"DEBIAN_FRONTEND": "noninteractive", "DEB_BUILD_OPTIONS": os.environ.get("DEB_BUILD_OPTIONS", "")}
    command = [*_NAMESPACE, str(HERE / "inside"), str(tree), str(directory), str(HERE / script)]
    sys.stdout.flush()
    status = subprocess.run(command, check=False, env=env).returncode
    if status:
        raise HostLacks(
            "deb-failed", f"packaging/deb/{script} ended with {status}", next="read what is above"
        )


def _source(sdist: Path, directory: Path) -> None:
    """Lay a source package out: the sdist as upstream's archive, and unpacked, with ``debian/`` beside it."""
    version = sdist.name.removeprefix("vsmmu-").removesuffix(".tar.gz")
    shutil.copy(sdist, directory / f"vsmmu_{version}.orig.tar.gz")
    # Not tarfile: its filters came with Python 3.11.4, and Debian 12 has 3.11.2.
    subprocess.run(["tar", "-xf", sdist, "-C", directory], check=True)
    shutil.copytree(ROOT / "debian", directory / f"vsmmu-{version}" / "debian")
    shutil.copy(ROOT / "debian/tests/installed", directory)


def main(sdist: Path, output: Path) -> None:
    """Build, check, try; the package is in *output* only if all of it went well.

    :raise HostLacks: without mmdebstrap, or if a step fails.
    :raise PermissionRefused: without root, which mounts and chroot need.
    """
    require_root("enter a Debian directory")
    build = _tree("build", sorted({*_needed_to_build(), *_needed_to_run(), "build-essential", "lintian"}), [])
    fresh = _tree("fresh", [], [*_needed_to_run(), *STARTED_AT_BOOT])
    with tempfile.TemporaryDirectory(prefix="vsmmu-deb-") as temporary:
        work = Path(temporary)
        work.chmod(0o755)
        _source(sdist, work)
        for tree, script in ((build, "build"), (fresh, "try"), (fresh, "order")):
            _inside(tree, work, script)
        output.mkdir(parents=True, exist_ok=True)
        for path in sorted(work.glob("vsmmu_*")):
            shutil.copy(path, output)
            print(output / path.name)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except VsmmuError as error:
        sys.exit(f"deb: {error}")
