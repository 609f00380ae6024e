# SPDX-License-Identifier: Apache-2.0
"""VMs in directories, and libvirt's domains through a virsh that is a script of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domains import domain
from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.monitor.defined_vms import DefinedVm, defined_domains, domain_names, vms_in

if TYPE_CHECKING:
    from pathlib import Path


def code(entry: DefinedVm) -> str | None:
    return entry.vm.code if isinstance(entry.vm, VsmmuError) else None


def test_what_is_no_vm_is_left_out_and_what_cannot_be_read_is_not(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "vm.xml").write_bytes(domain())
    (tmp_path / "a.sh").write_text("exec qemu-system-aarch64 -M virt\n")
    (tmp_path / "twice.sh").write_text("qemu-system-aarch64 -device e1000e,id=a -device e1000e,id=a\n")
    (tmp_path / "readme").write_text("hello\n")
    (tmp_path / "picture").write_bytes(bytes(range(256)))
    (tmp_path / "large").write_bytes(b"x" * (5 << 20))
    found = list(vms_in(str(tmp_path)))
    names = [entry.name.removeprefix(f"{tmp_path}/") for entry in found]
    assert names == ["a.sh", "twice.sh", "below/vm.xml"]
    assert [code(entry) for entry in found] == [None, "duplicate-id", None]


def test_a_file_that_was_named_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("hello there\n")
    (entry,) = vms_in(str(tmp_path / "readme"))
    assert code(entry) is not None
    with pytest.raises(HostLacks, match="file-missing"):
        list(vms_in(str(tmp_path / "absent")))


def test_every_domain_is_read_as_its_next_start_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.xml").write_bytes(domain())
    (tmp_path / "virsh").write_text(
        '#!/bin/sh\ntest "$1 $2" = "-c test:///x" || exit 9\n'
        'case "$*" in *"list --name --all") printf "good\\n\\ngone\\n";; *"list --name") echo good;;\n'
        f'*"dumpxml --inactive good") cat {tmp_path}/good.xml;;\n'
        '*) echo "error: no such domain" >&2; exit 1;; esac\n'
    )
    (tmp_path / "virsh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = list(defined_domains("test:///x", 20))
    assert [(entry.name, code(entry)) for entry in found] == [
        ("gone", "no-domain"),
        ("good", None),
    ]
    assert domain_names("test:///x", 20, running=True) == ["good"]


def test_no_virsh_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostLacks, match="no-virsh"):
        list(defined_domains("qemu:///system", 5))
