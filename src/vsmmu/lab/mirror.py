# SPDX-License-Identifier: Apache-2.0
"""Where Debian's packages come from: the archive that this machine's own apt is set up for."""

from __future__ import annotations

import os
import subprocess

from vsmmu.errors import HostLacks

__all__ = ["debian_mirror"]

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
