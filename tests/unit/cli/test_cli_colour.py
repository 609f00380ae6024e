# SPDX-License-Identifier: Apache-2.0
"""``--color``, coloured differences, and the forms of asking for the version."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

VM = (
    "-- qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
).split()
DIFF = ["resolve", "--host", "builtin:gb200", "--diff", *VM]
PLAIN = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}


def vsmmu(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vsmmu", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**PLAIN, **environment},
    )


def test_a_difference_into_a_file_has_no_colour() -> None:
    assert "\x1b" not in vsmmu(*DIFF).stdout
    assert vsmmu("--color", "auto", *DIFF).stdout == vsmmu(*DIFF).stdout


def test_a_difference_is_coloured_line_by_line() -> None:
    coloured, bare = vsmmu("--color", "always", *DIFF).stdout, vsmmu(*DIFF).stdout
    assert (
        coloured.replace("\x1b[0m", "")
        .replace("\x1b[32m", "")
        .replace("\x1b[31m", "")
        .replace("\x1b[1m", "")
        .replace("\x1b[36m", "")
        == bare
    )
    for line in coloured.splitlines():
        mark = {"+": "32", "-": "31", "@": "36"}.get(line.split("m", 1)[-1][:1])
        if "---" in line or "+++" in line:
            mark = "1"
        assert line.startswith(f"\x1b[{mark}m") == bool(mark)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_says_always_means_it(environment: dict[str, str]) -> None:
    assert "\x1b[32m" in vsmmu("--color", "always", *DIFF, **environment).stdout


def test_a_document_is_never_coloured() -> None:
    assert "\x1b" not in vsmmu("--color=always", "check", "-o", "json", "--host", "builtin:gb200", *VM).stdout


def test_color_takes_three_words() -> None:
    done = vsmmu("--color", "sometimes", "show")
    assert (done.returncode, done.stdout) == (2, "")
    assert "auto" in done.stderr


def test_the_version_is_told_however_it_is_asked_for() -> None:
    told = {vsmmu(word).stdout for word in ("-V", "--version", "version")}
    assert len(told) == 1
    assert told.pop().startswith("vsmmu 0.")


def test_no_argument_at_all_shows_the_overview() -> None:
    done = vsmmu()
    assert (done.returncode, done.stderr) == (0, "")
    assert "resolve" in done.stdout
