# SPDX-License-Identifier: Apache-2.0
"""What the lab is made of, as data: each artifact's recipe, whose hash is its name in the cache."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING

from vsmmu.errors import HostLacks
from vsmmu.lab.versions import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FORMAT",
    "QEMU_MINIMUM",
    "KernelRecipe",
    "Requirement",
    "TreeRecipe",
    "fragment_options",
    "guest_recipe",
    "kernel_recipe",
    "libvirt_recipe",
    "tools_recipe",
]

#: The oldest outer QEMU that the lab has been measured with.
QEMU_MINIMUM = (11, 1)
SUITE = "trixie"
BACKPORTS = "trixie-backports"
#: The only suite that has a libvirt with the properties of an accelerated vSMMU.
UNSTABLE = "sid"
#: The series that the kernel's fragment has been held against, and the oldest that will do.
KERNEL_SERIES = "7.3"
CROSS_COMPILE = "aarch64-linux-gnu-"

#: Raised when what an artifact has beside its recipe changes: since 2, the versions of what went into it.
FORMAT = 2
_SOURCE = re.compile(r"linux-source-(\d+\.\d+)")

#: Shipped by the packages but of no use in the lab; a third of the size.
_PRUNE = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/bin/qemu-system-arm",
    "usr/share/AAVMF/AAVMF_CODE.secboot.fd",
    "usr/share/AAVMF/AAVMF_CODE.secboot.strictnx.fd",
    "usr/share/AAVMF/AAVMF_VARS.ms.fd",
    "usr/share/AAVMF/AAVMF_VARS.snakeoil.fd",
    "var/lib/dpkg/info",
)
#: Only libvirt needs it: a pflash drive for UEFI's variables.
_VARIABLES = "usr/share/AAVMF/AAVMF_VARS.fd"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A program or file that building needs, and the Debian package that has it."""

    package: str
    probe: str


#: To make and pack the two trees.
TREE_REQUIREMENTS = (
    Requirement("mmdebstrap", "mmdebstrap"),
    Requirement("e2fsprogs", "mke2fs"),
    Requirement("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
)
#: To compile the kernel.
KERNEL_REQUIREMENTS = (
    *TREE_REQUIREMENTS,
    Requirement("gcc-aarch64-linux-gnu", f"{CROSS_COMPILE}gcc"),
    Requirement("gcc", "gcc"),
    Requirement("libc6-dev", "/usr/include/stdio.h"),
    Requirement("make", "make"),
    Requirement("bc", "bc"),
    Requirement("bison", "bison"),
    Requirement("flex", "flex"),
    Requirement("libssl-dev", "/usr/include/openssl/opensslv.h"),
    Requirement("xz-utils", "xz"),
)


def _key(recipe: object, kind: str) -> str:
    text = json.dumps([FORMAT, kind, recipe], sort_keys=True, separators=(",", ":"))
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class TreeRecipe:
    """A directory of unpacked Debian packages."""

    kind: str
    architecture: str
    packages: tuple[str, ...]
    prune: tuple[str, ...] = (*_PRUNE, _VARIABLES)
    #: Files of ours that go into it, with their text.
    files: tuple[tuple[str, str], ...] = ()
    suite: str = SUITE
    #: Preferred to *suite*; the same where a suite has none.
    backports: str = BACKPORTS

    @property
    def name(self) -> str:
        """Its name in the cache."""
        return _key(asdict(self), self.kind)

    def sources(self, mirror: str) -> str:
        """The package sources, one-line form; which archive they come from is no part of the recipe."""
        return "".join(
            f"deb {mirror} {suite} main\n" for suite in dict.fromkeys((self.suite, self.backports))
        )

    def command(self, tree: str, sources: str) -> list[str]:
        """The ``mmdebstrap`` call that unpacks it into *tree*; it runs nothing of what it unpacks."""
        return [
            "mmdebstrap",
            "--variant=extract",
            # The packages are kept until their versions have been written down.
            "--skip=cleanup/apt/cache",
            f"--architectures={self.architecture}",
            f'--aptopt=APT::Default-Release "{self.backports}"',
            '--aptopt=APT::Install-Recommends "false"',
            # sid's index is valid for a week, and a mirror may be frozen for longer.
            *(['--aptopt=Acquire::Check-Valid-Until "false"'] if self.suite == UNSTABLE else []),
            f"--include={','.join(self.packages)}",
            self.suite,
            tree,
            sources,
        ]


@dataclass(frozen=True, slots=True)
class KernelRecipe:
    """The kernel of the lab host, of *series* or, once the archive has no longer that, of a newer one."""

    fragment: str
    series: str = KERNEL_SERIES
    base: str = "tinyconfig"
    suites: tuple[str, ...] = (SUITE, BACKPORTS)

    @property
    def name(self) -> str:
        """Its name in the cache; the comments of the fragment do not count."""
        return _key(asdict(self) | {"fragment": fragment_options(self.fragment)}, "kernel")

    @property
    def known_source(self) -> str:
        """The package that the fragment has been held against."""
        return f"linux-source-{self.series}"

    def choose_source(self, packages: Iterable[str]) -> str:
        """Of the names *packages* the one with the sources: those of the series, else the newest after it.

        :raise HostLacks: ``lab-kernel-source``: the archive has none that will do.
        """
        found = {name: match[1] for name in packages if (match := _SOURCE.fullmatch(name))}
        newest = max(found, key=lambda name: version_of(found[name]), default="")
        if self.known_source in found:
            return self.known_source
        if newest and version_of(found[newest]) > version_of(self.series):
            return newest
        raise HostLacks(
            "lab-kernel-source",
            f"the archive has no linux-source-{self.series} and none that is newer",
            where=", ".join(self.suites),
            why=f"there is {', '.join(sorted(found)) or 'none at all'}",
            next="name another archive (VSMMU_LAB_MIRROR=...), or give a kernel (vsmmu lab build --kernel)",
        )

    def source(self, package: str, architecture: str) -> TreeRecipe:
        """The Debian package with the sources, unpacked."""
        return TreeRecipe("linux-source", architecture, (package,), prune=())

    def make(self, source: str, output: str, *goals: str) -> list[str]:
        """A ``make`` call; user, host and time are fixed, so that the same sources give the same Image."""
        return [
            "make",
            "-C",
            source,
            f"O={output}",
            "ARCH=arm64",
            f"CROSS_COMPILE={CROSS_COMPILE}",
            "KBUILD_BUILD_USER=vsmmu",
            "KBUILD_BUILD_HOST=lab",
            "KBUILD_BUILD_TIMESTAMP=1970-01-01",
            *goals,
        ]


def fragment_options(fragment: str) -> dict[str, str]:
    """The options that a configuration fragment (or a whole ``.config``) sets; ``n`` for "is not set"."""
    options = {}
    for line in fragment.splitlines():
        words = line.split()
        if line.startswith("CONFIG_") and "=" in line:
            name, _, value = line.partition("=")
            options[name] = value
        elif len(words) == 5 and words[0] == "#" and words[2:] == ["is", "not", "set"]:
            options[words[1]] = "n"
    return options


def _data(name: str) -> str:
    return resources.files("vsmmu.lab").joinpath(name).read_text()


def tools_recipe(architecture: str, *, with_qemu: bool) -> TreeRecipe:
    """What the outer machine runs: firmware, an interpreter like the guest's, QEMU unless the system has it.

    :param architecture: the outer machine's, in Debian's spelling.
    """
    packages = ("busybox-static", "python3", "qemu-efi-aarch64")
    return TreeRecipe("tools", architecture, (*packages, "qemu-system-arm") if with_qemu else packages)


_GUEST = (
    "busybox-static",
    "pciutils",
    "python3",
    "python3-click",
    "python3-jinja2",
    "python3-msgspec",
    "qemu-efi-aarch64",
    "qemu-system-arm",
    "strace",
)


def guest_recipe() -> TreeRecipe:
    """The root file system of the lab host: an interpreter, our dependencies, QEMU, firmware, busybox."""
    return TreeRecipe("guest", "arm64", _GUEST, files=(("init", _data("init.sh")),))


#: libvirt starts QEMU as root, which the accounts of an unpacked image allow, and without a log daemon.
_QEMU_CONF = 'user = "root"\ngroup = "root"\nstdio_handler = "file"\n'
#: It looks these up whatever its configuration says.
_ACCOUNTS = "root:x:0:0::/root:/bin/sh\nlibvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n"
_GROUP = "root:x:0:\nkvm:x:104:\nlibvirt-qemu:x:64055:\n"


def libvirt_recipe() -> TreeRecipe:
    """The lab host's root file system with libvirt, all of it from Debian's unstable suite."""
    firmware = "usr/share/qemu/firmware"
    secure = (f"{firmware}/40-edk2-aarch64-secure-enrolled.json", f"{firmware}/50-edk2-aarch64-secure.json")
    return TreeRecipe(
        "libvirt-guest",
        "arm64",
        (*_GUEST, "libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu"),
        prune=(*_PRUNE, *secure),
        files=(
            ("init", _data("init.sh")),
            ("etc/group", _GROUP),
            ("etc/libvirt/qemu.conf", _QEMU_CONF),
            ("etc/passwd", _ACCOUNTS),
        ),
        suite=UNSTABLE,
        backports=UNSTABLE,
    )


def kernel_recipe() -> KernelRecipe:
    """The kernel with the fragment of this package."""
    return KernelRecipe(_data("kernel.config"))
