# SPDX-License-Identifier: Apache-2.0
"""The Debian archive that the lab's packages come from: the one that this machine's apt uses."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from vsmmu.errors import HostLacks
from vsmmu.lab.commands import run_logged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["debian_mirror", "fetch_index", "package_names"]

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_COMMAND = ("apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages")


def debian_mirror() -> str:
    """The address of a Debian archive that has every suite: apt's, or what ``VSMMU_LAB_MIRROR`` says.

    :raise HostLacks: ``lab-mirror``: this machine's apt knows no archive called ``.../debian``.
    """
    given = os.environ.get("VSMMU_LAB_MIRROR")
    if given:
        return given.rstrip("/")
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, check=True)
        addresses = [line.rstrip("/") for line in done.stdout.splitlines()]
    except (OSError, subprocess.CalledProcessError):
        addresses = []
    for address in addresses:
        if address.endswith("/debian"):
            return address
    raise HostLacks(
        "lab-mirror",
        "apt knows no Debian archive here",
        where="apt-get indextargets",
        next="say where one is: VSMMU_LAB_MIRROR=http://.../debian",
    )


def fetch_index(suites: Sequence[str], architecture: str, directory: Path, log: Path) -> list[str]:
    """Fetch the package indexes of *suites* into *directory*; this machine's own are not touched.

    :return: the options that make ``apt-get`` and ``apt-cache`` use those indexes.
    :raise LabFailed: if they cannot be fetched.
    """
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True)
    sources = directory / "sources.list"
    mirror = debian_mirror()
    sources.write_text("".join(f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n" for suite in suites))
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": directory / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": directory / "cache",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
    }
    options = [f"-o{key}={value}" for key, value in settings.items()]
    run_logged(["apt-get", "-qq", *options, "update"], log)
    return options


def package_names(options: Sequence[str], prefix: str) -> list[str]:
    """The packages in the indexes of :func:`fetch_index` whose names begin with *prefix*."""
    command = ["apt-cache", *options, "pkgnames", prefix]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
