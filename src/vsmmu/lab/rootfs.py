# SPDX-License-Identifier: Apache-2.0
"""Unpacking Debian packages into a tree, and the lab host's tree into an image; nothing of it is run."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from vsmmu.lab.commands import run_logged
from vsmmu.lab.mirror import debian_mirror
from vsmmu.lab.versions import unpacked_packages, write_versions

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.lab.recipe import TreeRecipe
    from vsmmu.lab.tools import Tools

__all__ = ["make_image", "unpack"]

#: Links that ``base-files`` would bring if it were configured, not only unpacked.
_MERGED_USR = ("bin", "lib", "lib64", "sbin")
_MOUNT_POINTS = ("dev", "lab", "mnt", "overlay", "proc", "root", "run", "sys", "tmp")
#: Room in the image beside the files.
_SPARE_PERCENT = 10
_PYTHON = "usr/lib/python3.*"
_MIB = 1 << 20


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unpack(recipe: TreeRecipe, tree: Path, log: Path) -> dict[str, str]:
    """Unpack the packages of *recipe* into *tree*, without what it prunes, with its own files.

    :return: Debian version by package, of all that was unpacked.
    """
    sources = tree.with_name("sources.list")
    sources.write_text(recipe.sources(debian_mirror()))
    run_logged(recipe.command(str(tree), str(sources)), log)
    archives = tree / "var/cache/apt/archives"
    packages = unpacked_packages(archives)
    _remove(archives)
    for name in recipe.prune:
        _remove(tree / name)
    for name in _MERGED_USR:
        (tree / "usr" / name).mkdir(exist_ok=True)
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    for name, text in recipe.files:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return packages


def _link_busybox(tree: Path, busybox: Path) -> None:
    """Give every applet a name, unless a package has a program of that name.

    The list comes from the outer machine's busybox of the same version, which can be run here.
    """
    listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
    for applet in listing.split():
        places = [tree / "usr/bin" / applet, tree / "usr/sbin" / applet]
        if not any(place.is_symlink() or place.exists() for place in places):
            places[0].symlink_to("busybox")


def _byte_compile(tree: Path, tools: Tools, log: Path) -> None:
    """Compile the guest's Python with the tools' interpreter of the same version.

    Emulated, it would cost seconds in every boot. The files are trusted unchecked: the image never changes.
    Byte code of one version is of no use to another, so that the image of another suite goes without.
    """
    if {path.name for path in tree.glob(_PYTHON)} != {path.name for path in tools.tree.glob(_PYTHON)}:
        return
    python = tools.program("usr/bin/python3")
    options = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    paths = [str(path) for path in sorted(tree.glob("usr/lib/python3*"))]
    env = {"PYTHONHOME": str(tools.tree / "usr"), "PYTHONDONTWRITEBYTECODE": "1"}
    run_logged([*python, *options, "-s", str(tree), "-p", "/", *paths], log, env)


def _size(tree: Path) -> int:
    """Bytes that the tree takes, at least a block for each entry."""
    block = 4096
    paths = [tree, *tree.rglob("*")]
    return sum(max(block, -(-path.lstat().st_size // block) * block) for path in paths)


def make_image(recipe: TreeRecipe, tools: Tools, directory: Path, log: Path) -> None:
    """Make ``rootfs.img`` in *directory*, and write down which packages are in it."""
    tree = directory / "tree"
    write_versions(directory, unpack(recipe, tree, log))
    for name in _MOUNT_POINTS:
        (tree / name).mkdir(exist_ok=True)
    _link_busybox(tree, tools.tree / "usr/bin/busybox")
    _byte_compile(tree, tools, log)
    mebibytes = _size(tree) * (100 + _SPARE_PERCENT) // 100 // _MIB + 16
    image = directory / "rootfs.img"
    # No journal: it is only ever read.
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", "lab"]
    run_logged(["mke2fs", *options, "-d", str(tree), str(image), f"{mebibytes}M"], log)
    shutil.rmtree(tree)
