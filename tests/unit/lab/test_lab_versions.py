# SPDX-License-Identifier: Apache-2.0
"""Versions: read out of artifacts, compared, written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quoted import quoted
from vsmmu.lab.build import Artifacts
from vsmmu.lab.tools import Tools, outer_machine
from vsmmu.lab.versions import (
    image_version,
    installed_packages,
    read_versions,
    unpacked_packages,
    upstream,
    version_of,
    write_versions,
)

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.lists(st.integers(0, 99), min_size=1, max_size=4)


@given(
    st.one_of(st.none(), st.integers(0, 9)),
    NUMBERS,
    st.sampled_from(("", "+ds-2~bpo13+1", "-1", "~rc1-1", "+b3")),
)
def test_the_numbers_of_a_debian_version(epoch: int | None, numbers: list[int], rest: str) -> None:
    number = ".".join(map(str, numbers))
    text = f"{'' if epoch is None else f'{epoch}:'}{number}{rest}"
    assert upstream(text) == number
    assert version_of(text) == tuple(numbers)


@pytest.mark.parametrize("text", ["", "unknown", "~1"])
def test_no_version_is_older_than_any(text: str) -> None:
    assert version_of(text) == ()
    assert version_of(text) < version_of("0")


def test_packages_as_apt_names_their_files(tmp_path: Path) -> None:
    for name in ("qemu-system-arm_1%3a11.1.3+ds-1~bpo13+1_arm64.deb", "libc6_2.41-12_arm64.deb", "lock"):
        (tmp_path / name).touch()
    found = {"libc6": "2.41-12", "qemu-system-arm": "1:11.1.3+ds-1~bpo13+1"}
    assert unpacked_packages(tmp_path) == found
    write_versions(tmp_path, found)
    assert read_versions(tmp_path) == found
    assert read_versions(tmp_path / "absent") == {}


def test_packages_in_dpkg_s_status(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Package: a\nStatus: install ok installed\nVersion: 1:2-3\nDescription: x\n Version: 9\n .\n\n"
        "Package: b\nVersion: 4\n"
    )
    assert installed_packages(status) == {"a": "1:2-3", "b": "4"}


def test_the_release_that_a_kernel_reports() -> None:
    image = bytes(100) + b"Linux version 7.10.2 (vsmmu@lab) (gcc 14)" + bytes(9)
    assert image_version(image) == "7.10.2"
    assert image_version(bytes(100)) == ""


def test_the_summary_names_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    tools, guest, kernel = (tmp_path / name for name in ("tools", "guest", "kernel"))
    for directory in (tools, guest, kernel):
        directory.mkdir()
    made = Artifacts(Tools(tools / "tree", outer_machine()), guest / "rootfs.img", kernel / "Image")
    nothing = "of unknown version"
    assert made.summary() == f"linux {nothing}, QEMU {nothing} in the lab host, {nothing} outside"
    write_versions(tools, {"qemu-system-arm": "1:12.0-1"})
    write_versions(guest, {"qemu-system-arm": "1:11.1.3-1"})
    write_versions(kernel, {"linux": "7.4.1", "linux without": "CONFIG_X=y"})
    assert (
        made.summary() == "linux 7.4.1 without CONFIG_X=y, QEMU 1:11.1.3-1 in the lab host, 1:12.0-1 outside"
    )


# Sentences that tests quote.


def outcome(found: str, *, holds: bool) -> str:
    try:
        with quoted("p", "11.1", {"p": found} if found else {}):
            assert holds
    except AssertionError:
        return "failed"
    except pytest.skip.Exception as skipped:
        return str(skipped)
    return "passed"


@pytest.mark.parametrize("found", ["11.1.3-1", "1:11.1+ds", "10.2-1", "11.2-1", "12.0", ""])
def test_a_sentence_that_is_as_quoted_passes(found: str) -> None:
    assert outcome(found, holds=True) == "passed"


@pytest.mark.parametrize("found", ["11.1.3-1", "1:11.1+ds", "10.2-1", ""])
def test_another_one_of_the_known_version_fails(found: str) -> None:
    assert outcome(found, holds=False) == "failed"


@pytest.mark.parametrize("found", ["1:11.2.0-1", "11.10", "12"])
def test_another_one_of_a_newer_version_has_not_been_looked_at_yet(found: str) -> None:
    assert outcome(found, holds=False).startswith(f"not looked at yet: p {upstream(found)}, known is 11.1: ")
