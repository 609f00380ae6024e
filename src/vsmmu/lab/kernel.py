# SPDX-License-Identifier: Apache-2.0
"""Building the lab host's kernel from Debian's source package."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from vsmmu.lab.commands import run_logged
from vsmmu.lab.errors import LabFailed
from vsmmu.lab.mirror import fetch_index, package_names
from vsmmu.lab.recipe import KernelRecipe, fragment_options
from vsmmu.lab.rootfs import unpack
from vsmmu.lab.versions import LINUX, WITHOUT, image_version, write_versions

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["build", "lost_options"]


def lost_options(fragment: str, configuration: str) -> list[str]:
    """What *fragment* asks for and *configuration* lacks: unmet dependencies, or names that are gone."""
    have = fragment_options(configuration)
    return [
        f"{name}={value}"
        for name, value in fragment_options(fragment).items()
        if have.get(name, "n") != value
    ]


def _configure(recipe: KernelRecipe, source: Path, output: Path, log: Path) -> list[str]:
    """Configure the sources.

    :return: options that a newer series than the recipe's does not take; the recipe's own must take them all.
    """
    run_logged(recipe.make(str(source), str(output), recipe.base), log)
    configuration = output / ".config"
    # Of several lines for one option the last counts.
    configuration.write_text(configuration.read_text() + recipe.fragment)
    run_logged(recipe.make(str(source), str(output), "olddefconfig"), log)
    lost = lost_options(recipe.fragment, configuration.read_text())
    if lost and source.name == recipe.known_source:
        raise LabFailed(
            "lab-kernel-options",
            f"linux {recipe.series} does not take every option of the fragment",
            why=", ".join(lost),
            next="mend kernel.config; see each option's dependencies in the kernel's Kconfig",
        )
    return lost


def build(recipe: KernelRecipe, architecture: str, directory: Path, log: Path) -> None:
    """Make ``Image`` and ``config`` in *directory*, and write down their versions.

    :param architecture: the outer machine's, whose package of the sources is taken.
    """
    work = directory / "work"
    work.mkdir()
    index = fetch_index(recipe.suites, architecture, work / "index", log)
    name = recipe.choose_source(package_names(index, "linux-source-"))
    packages = unpack(recipe.source(name, architecture), work / "package", log)
    run_logged(["tar", "-x", "-J", "-f", str(work / f"package/usr/src/{name}.tar.xz"), "-C", str(work)], log)
    source, output = work / name, work / "output"
    output.mkdir()
    lost = _configure(recipe, source, output, log)
    jobs = str(len(os.sched_getaffinity(0)))
    run_logged(recipe.make(str(source), str(output), f"-j{jobs}", "Image"), log)
    shutil.copy(output / "arch/arm64/boot/Image", directory / "Image")
    shutil.copy(output / ".config", directory / "config")
    shutil.rmtree(work)
    versions = {LINUX: image_version((directory / "Image").read_bytes()), name: packages[name]}
    write_versions(directory, versions | ({WITHOUT: ", ".join(lost)} if lost else {}))
