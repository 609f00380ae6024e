# SPDX-License-Identifier: Apache-2.0
"""Versions of the packages and the kernel in an artifact: read out of it, and written beside it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "LINUX",
    "QEMU_PACKAGE",
    "WITHOUT",
    "image_version",
    "installed_packages",
    "read_versions",
    "unpacked_packages",
    "upstream",
    "version_of",
    "write_versions",
]

#: Stands for the kernel itself among the packages, and for the options that it was to have and does not.
LINUX = "linux"
WITHOUT = "linux without"
QEMU_PACKAGE = "qemu-system-arm"

_FILE = "versions.json"
_NUMBERS = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)*)")
_BANNER = re.compile(rb"Linux version (\S+) ")


def upstream(version: str) -> str:
    """The numbers of the program's own version in a Debian version: 11.1.3 of 1:11.1.3+ds-2; or nothing."""
    match = _NUMBERS.match(version)
    return match[1] if match else ""


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version of either kind, for comparing; empty if there are none."""
    return tuple(int(part) for part in upstream(text).split(".") if part)


def unpacked_packages(archives: Path) -> dict[str, str]:
    """Debian version by package, of the ``.deb`` files in a directory as apt names them."""
    names = (path.name.split("_") for path in sorted(archives.glob("*.deb")))
    return {parts[0]: unquote(parts[1]) for parts in names}


def installed_packages(status: Path) -> dict[str, str]:
    """Debian version by package, of the packages in dpkg's file ``status``."""
    found = {}
    for paragraph in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[A-Z][\w-]*: ", line)
        )
        if "Package" in fields:
            found[fields["Package"]] = fields.get("Version", "")
    return found


def image_version(image: bytes) -> str:
    """The release that a kernel Image reports when it boots; empty if it has no banner."""
    match = _BANNER.search(image)
    return match[1].decode(errors="replace") if match else ""


def write_versions(artifact: Path, versions: Mapping[str, str]) -> None:
    """Write *versions* beside what is in the artifact's directory."""
    text = json.dumps(versions, indent=1, sort_keys=True)
    (artifact / _FILE).write_text(f"{text}\n", encoding="utf-8")


def read_versions(artifact: Path) -> dict[str, str]:
    """The versions in an artifact's directory; none if nothing was written there."""
    try:
        found: dict[str, str] = json.loads((artifact / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
