# SPDX-License-Identifier: Apache-2.0
"""libvirt's version out of its programs and daemon, which are scripts here; tests/lab asks the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vsmmu.errors import HostLacks, UsageError
from vsmmu.monitor.libvirt_version import libvirt_version
from vsmmu.policy.options import make_options

if TYPE_CHECKING:
    from pathlib import Path

DAEMON = """Compiled against library: libvirt 12.8.0
Using library: libvirt 12.8.0
Using API: QEMU 12.8.0
Running hypervisor: QEMU 11.1.3
Running against daemon: 12.6.1"""


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("text", ["12.8", "12.8.0", "new"])
def test_what_names_no_program_comes_back(text: str) -> None:
    assert libvirt_version(text) == text
    if not text[0].isdigit():
        with pytest.raises(UsageError):
            make_options(libvirt=libvirt_version(text))


@pytest.mark.parametrize("said", ["12.8.0", "libvirtd (libvirt) 12.8.0", "virtqemud (libvirt) 12.8.0"])
def test_a_program_says_its_version(tmp_path: Path, said: str) -> None:
    assert libvirt_version(script(tmp_path / "program", f"[ $1 = --version ] && echo '{said}'")) == "12.8.0"


def test_a_uri_is_the_daemon_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(
        tmp_path / "virsh", f"[ \"$*\" = '-c qemu+ssh://node/system version --daemon' ] && echo '{DAEMON}'"
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert libvirt_version("qemu+ssh://node/system") == "12.6.1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo 'error: no connection' >&2; exit 1", "no connection"),
        ("echo 'libvirt 12.8.0 and more'", "it prints no version"),
        ("echo 12.8.0; exit 3", "it prints no version"),
        ("yes", "it prints more than 64 KiB"),
        ("printf '\\377\\376'", "it prints no version"),
    ],
)
def test_a_program_that_says_no_version_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(HostLacks) as caught:
        libvirt_version(script(tmp_path / "program", text))
    assert (caught.value.code, caught.value.why) == ("libvirt-asked", why)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(HostLacks) as caught:
        libvirt_version("/nonexistent/libvirtd")
    assert caught.value.why == "No such file or directory"
