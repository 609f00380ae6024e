# SPDX-License-Identifier: Apache-2.0
"""The real libvirt for tests; where it cannot be had, they are skipped, and with CI=true they fail."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import libvirt_tree
import pytest

from quoted import MADE_OF
from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab.versions import upstream, version_of
from vsmmu.libvirt.lint import lint
from vsmmu.libvirt.releases import Version, parse_libvirt_version
from vsmmu.machine.domain.document import read_domain_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Libvirt(NamedTuple):
    """A libvirt, and a place for the files of one test."""

    tree: Path
    directory: Path
    #: Debian version by package.
    versions: Mapping[str, str]

    @property
    def version(self) -> Version:
        """As the domain's lint takes it."""
        return parse_libvirt_version(upstream(self.versions["libvirt-daemon"]))

    @property
    def qemu(self) -> Version:
        """The same of the QEMU that libvirt finds."""
        return parse_libvirt_version(upstream(self.versions["qemu-system-arm"]))

    def lacks(self, domain: bytes) -> list[str]:
        """What of a domain this libvirt and its QEMU are too old for."""
        document = read_domain_xml(domain, "vm.xml")
        found = lint(document.reading, self.version, self.qemu)
        lacks = [entry.what for entry in found if entry.code in ("libvirt-too-old", "qemu-too-old")]
        machine = document.reading.machine.machine_type
        if version_of(machine.removeprefix("virt-")) > self.qemu:
            lacks.append(f"{machine} needs QEMU of that version, this is {'.'.join(map(str, self.qemu))}")
        return lacks

    def __call__(self, script: str, files: dict[str, bytes]) -> libvirt_tree.Run:
        """Run a script beside a libvirtd of its own; skip if that is too old for the domains in *files*."""
        if lacks := [
            text for name, data in files.items() if name.endswith(".xml") for text in self.lacks(data)
        ]:
            pytest.skip(f"{libvirt_tree.SUITE} is too old: {lacks[0]}")
        return self.run(script, files)

    def run(self, script: str, files: dict[str, bytes]) -> libvirt_tree.Run:
        """The same for domains that it may be too old for."""
        return libvirt_tree.run(self.tree, self.directory, script, files)


@pytest.fixture(scope="session")
def libvirt_made() -> tuple[Path, dict[str, str]]:
    """The directory with libvirt, and what is in it."""
    try:
        return libvirt_tree.ensure()
    except (HostLacks, PermissionRefused) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no libvirt here: {error}")


@pytest.fixture
def libvirt(
    libvirt_made: tuple[Path, dict[str, str]], tmp_path: Path, record_property: Callable[[str, object], None]
) -> Libvirt:
    """Runs a script beside a libvirtd of its own: ``libvirt(script, files)``."""
    tree, versions = libvirt_made
    named = ", ".join(
        f"{name} {versions[name]}" for name in ("libvirt-daemon", "qemu-system-arm", "virtinst")
    )
    record_property(MADE_OF, f"libvirt of {libvirt_tree.SUITE}: {named}")
    return Libvirt(tree, tmp_path, versions)
