# SPDX-License-Identifier: Apache-2.0
"""Unpack and build the programs of the cluster into the lab's cache: a download and minutes of computing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.lab import rootfs
from vsmmu.lab.commands import install, missing, require_root, run_logged
from vsmmu.lab.recipe import TREE_REQUIREMENTS, Requirement, TreeRecipe
from vsmmu.lab.tools import Tools, outer_machine
from vsmmu.lab.versions import read_versions, write_versions

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.lab.cache import Cache

__all__ = ["Programs", "build"]

_SERVER: Final = "k8s.io/apiextensions-apiserver"
_PACKAGES: Final = ("etcd-server", "golang-go", "golang-k8s-apiextensions-apiserver-dev", "kubectl")
_PRUNE: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "var/lib/dpkg/info",
)
#: Dropped once the server is built: most of what was unpacked.
_SOURCES: Final = ("usr/share/gocode", "usr/lib/go*", "usr/share/go-*")
_REQUIREMENTS: Final = (*TREE_REQUIREMENTS, Requirement("openssl", "openssl"))


class Programs(NamedTuple):
    """The start of each program's command line, and Debian's version of each package."""

    etcd: list[str]
    server: list[str]
    kubectl: list[str]
    versions: dict[str, str]


class _SidRecipe(TreeRecipe):
    """Packages of Debian unstable, the only suite that has all of them.

    An archive that stands still (a snapshot) is taken, too: what was signed is no worse for its age here.
    """

    def command(self, tree: str, sources: str) -> list[str]:
        """Prefer unstable, and take an index whose date has passed."""
        program, *rest = TreeRecipe.command(self, tree, sources)
        options = ['Acquire::Check-Valid-Until "false"', f'APT::Default-Release "{self.suite}"']
        rest = [word for word in rest if "APT::Default-Release" not in word]
        return [program, *(f"--aptopt={option}" for option in options), *rest]


def build(cache: Cache) -> Programs:
    """The programs, made now if the cache has them not.

    :raise PermissionRefused: they are not there, and only root can unpack packages with their owners.
    :raise HostLacks: no Debian archive, or a machine of another kind.
    :raise LabFailed: unpacking or compiling failed; the log is named.
    """
    machine = outer_machine()
    recipe = _SidRecipe("cluster", machine.architecture, _PACKAGES, prune=_PRUNE, suite="sid")
    if not cache.has(recipe.name):
        require_root("unpack Debian packages with their owners")
        log = cache.log(recipe.name)
        if lacking := missing(_REQUIREMENTS):
            install(lacking, log)
        cache.publish(recipe.name, lambda path: _make(recipe, path, log))
    directory = cache.path(recipe.name)
    tree = Tools(directory / "tree", machine)
    return Programs(
        etcd=tree.program("usr/bin/etcd"),
        server=[str(directory / "apiextensions-apiserver")],
        kubectl=tree.program("usr/bin/kubectl"),
        versions=read_versions(directory),
    )


def _make(recipe: TreeRecipe, directory: Path, log: Path) -> None:
    tree = directory / "tree"
    write_versions(directory, rootfs.unpack(recipe, tree, log))
    _compile(tree, directory / "apiextensions-apiserver", log)
    for path in [found for pattern in _SOURCES for found in tree.glob(pattern)]:
        path.unlink() if path.is_symlink() else shutil.rmtree(path)


def _compile(tree: Path, output: Path, log: Path) -> None:
    """Build the server from the Go packages as Debian lays them out, without network and without C."""
    scratch = output.with_name("scratch")
    go = tree / "usr/lib/go"
    environment = {
        "GOROOT": str(go),
        "GOPATH": str(tree / "usr/share/gocode"),
        "GOCACHE": str(scratch),
        "GO111MODULE": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-p=2",
        "CGO_ENABLED": "0",
        "HOME": str(scratch),
    }
    command = ["nice", "-n", "10", str(go / "bin/go"), "build", "-o", str(output), _SERVER]
    run_logged(command, log, environment)
    shutil.rmtree(scratch, ignore_errors=True)
