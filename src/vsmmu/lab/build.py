# SPDX-License-Identifier: Apache-2.0
"""Building the lab: the operations that make what the cache lacks.

An :class:`BuildOperation` can say what it would do and do it, so ``--dry-run`` shows the list that a real run
works through.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vsmmu.errors import InputRefused
from vsmmu.lab import kernel, rootfs
from vsmmu.lab.commands import install, missing, require_root
from vsmmu.lab.file_transfer import read_regular
from vsmmu.lab.progress import SILENT, Progress
from vsmmu.lab.recipe import (
    FORMAT,
    KERNEL_REQUIREMENTS,
    TREE_REQUIREMENTS,
    KernelRecipe,
    Requirement,
    TreeRecipe,
    guest_recipe,
    kernel_recipe,
    libvirt_recipe,
    tools_recipe,
)
from vsmmu.lab.tools import Tools, outer_machine, system_qemu
from vsmmu.lab.versions import LINUX, QEMU_PACKAGE, WITHOUT, image_version, read_versions, write_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.lab.cache import Cache

__all__ = ["Artifacts", "BuildOperation", "ensure", "plan"]

#: A link in the cache to the kernel that was given last.
_GIVEN = "kernel-given"
_GZIP_MAGIC = b"\x1f\x8b"
# Documentation/arch/arm64/booting.rst: the magic at offset 56 of an Image.
_IMAGE_MAGIC = b"ARM\x64"
_IMAGE_MAGIC_AT = 56


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Everything that starting the lab needs."""

    tools: Tools
    rootfs: Path
    kernel: Path

    def versions(self) -> dict[str, str]:
        """Debian version by package in the lab host's file system, and the kernel's release, as ``linux``."""
        return read_versions(self.rootfs.parent) | read_versions(self.kernel.parent)

    def summary(self) -> str:
        """The versions of the kernel and of QEMU, inside and outside; with what a newer kernel has lost."""
        inside, outside = self.versions(), read_versions(self.tools.tree.parent)
        unknown = "of unknown version"
        lost = f" without {inside[WITHOUT]}" if WITHOUT in inside else ""
        qemu = self.tools.system_qemu or outside.get(QEMU_PACKAGE, unknown)
        return (
            f"linux {inside.get(LINUX, unknown)}{lost}, "
            f"QEMU {inside.get(QEMU_PACKAGE, unknown)} in the lab host, {qemu} outside"
        )


class BuildOperation(Protocol):
    """One step of building."""

    def describe(self) -> str:
        """What :meth:`apply` does, as the rest of a sentence that begins with ``lab:``."""

    def apply(self) -> None:
        """Do it."""


@dataclass(frozen=True, slots=True)
class InstallPackages:
    """Programs of the outer machine."""

    cache: Cache
    requirements: tuple[Requirement, ...]

    def describe(self) -> str:
        """The packages."""
        return f"install {' '.join(sorted({need.package for need in self.requirements}))}"

    def apply(self) -> None:
        """Install them with apt-get."""
        install(self.requirements, self.cache.log("install"))


@dataclass(frozen=True, slots=True)
class MakeTools:
    """The tree of programs for the outer machine."""

    cache: Cache
    recipe: TreeRecipe

    def describe(self) -> str:
        """What is in it and where it comes from."""
        return f"unpack {', '.join(self.recipe.packages)} ({self.recipe.architecture}, {self.recipe.suite})"

    def apply(self) -> None:
        """Unpack it into the cache."""
        require_root("unpack Debian packages with their owners")
        log = self.cache.log(self.recipe.name)
        self.cache.publish(
            self.recipe.name,
            lambda path: write_versions(path, rootfs.unpack(self.recipe, path / "tree", log)),
        )


@dataclass(frozen=True, slots=True)
class MakeRootfs:
    """The image that the lab host has as its root."""

    cache: Cache
    recipe: TreeRecipe
    tools: Tools

    def describe(self) -> str:
        """What is in it."""
        return f"make the {self.recipe.architecture} root file system ({', '.join(self.recipe.packages)})"

    def apply(self) -> None:
        """Unpack, byte-compile, pack."""
        require_root("make a root file system")
        log = self.cache.log(self.recipe.name)
        self.cache.publish(
            self.recipe.name, lambda path: rootfs.make_image(self.recipe, self.tools, path, log)
        )


@dataclass(frozen=True, slots=True)
class BuildKernel:
    """The kernel from Debian's source package."""

    cache: Cache
    recipe: KernelRecipe

    def describe(self) -> str:
        """Where it comes from, and that it takes a while."""
        source = self.recipe.known_source
        return f"build the kernel from {source} or newer (about 20 minutes of two idle processors)"

    def apply(self) -> None:
        """Fetch, configure, compile."""
        require_root("unpack the kernel's source package")
        log = self.cache.log(self.recipe.name)
        self.cache.publish(
            self.recipe.name,
            lambda path: kernel.build(self.recipe, outer_machine().architecture, path, log),
        )


@dataclass(frozen=True, slots=True)
class TakeKernel:
    """A kernel that somebody has built before."""

    cache: Cache
    given: Path

    def describe(self) -> str:
        """Which."""
        return f"take the kernel {self.given}"

    def name(self) -> str:
        """Its name in the cache, by content."""
        digest = hashlib.sha256(bytes([FORMAT]) + _read(self.given)).hexdigest()
        return f"{_GIVEN}-{digest[:16]}"

    def apply(self) -> None:
        """Unpack it if it is compressed, and remember it as the one to use."""
        name = self.name()
        self.cache.publish(name, lambda path: _write_image(self.given, path / "Image"))
        link = self.cache.path(_GIVEN)
        temporary = link.with_name(f".{_GIVEN}-{os.getpid()}")
        temporary.symlink_to(name)
        temporary.replace(link)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise InputRefused(
            "lab-kernel-unreadable",
            f"cannot read the kernel {path}",
            why=str(error),
            next="check the path after --kernel",
        ) from error


def _write_image(given: Path, image: Path) -> None:
    data = _read(given)
    if data.startswith(_GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputRefused(
                "lab-kernel-damaged",
                f"cannot unpack the kernel {given}",
                why=str(error),
                next="get it anew: the file is cut off or damaged",
            ) from error
    if data[_IMAGE_MAGIC_AT : _IMAGE_MAGIC_AT + 4] != _IMAGE_MAGIC:
        raise InputRefused(
            "lab-kernel-not-image", f"{given} is not an arm64 kernel", next="give an Image or Image.gz"
        )
    image.write_bytes(data)
    write_versions(image.parent, {LINUX: image_version(data)})


def _kernel(cache: Cache, given: Path | None, *, ours: bool) -> tuple[list[BuildOperation], Path]:
    """What has to be done for a kernel, and where it will be."""
    recipe = kernel_recipe()
    if given is not None:
        take = TakeKernel(cache, given)
        name = take.name()
        current = cache.path(_GIVEN)
        done = cache.has(name) and current.is_symlink() and current.readlink() == Path(name)
        return ([] if done else [take]), cache.path(name) / "Image"
    if cache.has(recipe.name):
        return [], cache.path(recipe.name) / "Image"
    if cache.has(_GIVEN) and not ours:
        return [], cache.path(_GIVEN).resolve() / "Image"
    return [BuildKernel(cache, recipe)], cache.path(recipe.name) / "Image"


def plan(
    cache: Cache, given_kernel: Path | None = None, *, our_kernel: bool = False, libvirt: bool = False
) -> tuple[list[BuildOperation], Artifacts]:
    """The operations that the cache still needs, in order, and what there will be after them.

    :param given_kernel: a prebuilt Image or Image.gz; it is used until one is built from the recipe.
    :param our_kernel: build the kernel even if another has been given before.
    :param libvirt: the lab host with libvirt.
    """
    machine, qemu, guest = outer_machine(), system_qemu(), libvirt_recipe() if libvirt else guest_recipe()
    recipe = tools_recipe(machine.architecture, with_qemu=qemu is None)
    tools = Tools(cache.path(recipe.name) / "tree", machine, qemu)
    kernel_operations, image = _kernel(cache, given_kernel, ours=our_kernel)

    operations: list[BuildOperation] = []
    if not cache.has(recipe.name):
        operations.append(MakeTools(cache, recipe))
    if not cache.has(guest.name):
        operations.append(MakeRootfs(cache, guest, tools))
    needs: Sequence[Requirement] = TREE_REQUIREMENTS if operations else ()
    if any(isinstance(operation, BuildKernel) for operation in kernel_operations):
        needs = KERNEL_REQUIREMENTS
    operations += kernel_operations
    if lacking := missing(needs):
        operations.insert(0, InstallPackages(cache, tuple(lacking)))
    return operations, Artifacts(tools, cache.path(guest.name) / "rootfs.img", image)


def ensure(
    cache: Cache,
    given_kernel: Path | None = None,
    progress: Progress = SILENT,
    *,
    our_kernel: bool = False,
    libvirt: bool = False,
) -> Artifacts:
    """The artifacts, after making what is missing; the parameters are those of :func:`plan`."""
    operations, artifacts = plan(cache, given_kernel, our_kernel=our_kernel, libvirt=libvirt)
    for operation in operations:
        with progress.step(operation.describe()):
            operation.apply()
    return artifacts
