# SPDX-License-Identifier: Apache-2.0
"""The table of a binary's own names: asked when a name needs it, kept, asked again of another binary."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from vsmmu.api import check, load_host, load_qemu, read_vm
from vsmmu.errors import HostLacks
from vsmmu.monitor.table_probe import ask_table
from vsmmu.qemu.device_tables import table

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.qemu.outcome import Verdict

#: A program that speaks QMP on a descriptor or on its standard streams, and counts how often it is asked all.
QEMU = """#!{python}
import json, os, re, sys
words = " ".join(sys.argv)
match = re.search(r"socket,id=qmp,fd=(\\d+)", words)
if match:
    open({count!r}, "a").write("x")
stream = open(int(match[1]), "r+b", buffering=0) if match else None
def say(value):
    data = json.dumps(value).encode() + b"\\n"
    stream.write(data) if match else (sys.stdout.buffer.write(data), sys.stdout.flush())
answers = json.load(open({answers!r}))
say({{"QMP": {{}}}})
for line in (stream if match else sys.stdin.buffer):
    order = json.loads(line)
    name, given = order["execute"], order.get("arguments", {{}})
    about = given.get("typename") or given.get("implements")
    answer = answers.get(f"{{name}} {{about}}", answers.get(name))
    if isinstance(answer, list) and given.get("abstract") is False:
        answer = [entry for entry in answer if not entry.get("abstract")]
    say({{"return": answer if answer is not None else []}})
"""
PCI = [{"name": "addr", "type": "str"}, {"name": "multifunction", "type": "bool"}]
ANSWERS: dict[str, Any] = {
    "query-kvm": {"present": False},
    "query-version": {"qemu": {"major": 12, "minor": 0, "micro": 1}, "package": "a build"},
    "query-machines": [{"name": "virt-12.0", "alias": "virt"}],
    "qom-list-types": [
        {"name": "pci-device", "parent": "device"},
        {"name": "virtio-new-pci", "parent": "pci-device"},
        {"name": "virtio-balloon-pci", "parent": "pci-device"},
    ],
    "qom-list-types device": [
        {"name": "pci-device", "abstract": True},
        {"name": "virtio-new-pci"},
        {"name": "virtio-balloon-pci"},
    ],
    "qom-list-types iommufd": [{"name": "iommufd"}],
    "qom-list-types machine": [{"name": "virt-12.0-machine"}],
    "device-list-properties arm-smmuv3": [
        {"name": "accel", "type": "bool"},
        {"name": "ats", "type": "OnOffAuto", "default-value": "auto"},
    ],
    "device-list-properties virtio-new-pci": [*PCI, {"name": "speed", "type": "int"}],
    "device-list-properties virtio-balloon-pci": [*PCI, {"name": "fresh", "type": "uint8"}],
    "qom-list-properties": [{"name": "gic-version", "type": "string"}, {"name": "newest", "type": "bool"}],
    "human-monitor-command": "\n".join(
        ('name "virtio-new-pci", bus PCI', 'name "virtio-balloon-pci", bus PCI, alias "balloon"')
    ),
    "query-qmp-schema": [
        {"name": "object-add", "arg-type": "1", "meta-type": "command"},
        {
            "name": "1",
            "members": [{"name": "qom-type", "type": "2"}],
            "variants": [{"case": "new", "type": "3"}],
        },
        {"name": "2", "values": ["new", "plain"]},
        {"name": "3", "members": [{"name": "size", "type": "int"}]},
        {"name": "int", "meta-type": "builtin", "json-type": "int"},
    ],
}


class Fake:
    """A QEMU 12.0 with a card, an object and a machine property that no table in the package has."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "qemu-system-aarch64"
        self.count = directory / "count"
        self.answers = directory / "answers.json"
        self.write(ANSWERS)
        program = QEMU.format(python=sys.executable, count=str(self.count), answers=str(self.answers))
        self.path.write_text(program)
        self.path.chmod(0o755)

    def write(self, answers: dict[str, Any]) -> None:
        self.answers.write_text(json.dumps(answers))

    @property
    def asked(self) -> int:
        return len(self.count.read_text()) if self.count.exists() else 0


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Fake(tmp_path)


def verdict(fake: Fake, *words: str) -> Verdict:
    line = ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-accel", "tcg", "-nodefaults", *words]
    return check(read_vm(line), load_host("builtin:gb200"), qemu=load_qemu(str(fake.path)))


def test_ordinary_names_ask_nothing(fake: Fake) -> None:
    assert verdict(fake, "-device", "pcie-root-port,id=r,chassis=1").answer == "starts"
    assert fake.asked == 0


@pytest.mark.parametrize(
    ("words", "answer", "text"),
    [
        (["-device", "virtio-new-pci"], "starts", ""),
        (["-device", "virtio-new-pci,speed=fast"], "starts", ""),
        (["-device", "virtio-balloon-pci,fresh=1"], "starts", ""),
        (["-device", "virtio-balloon-pci,fresh=256"], "refused", "Parameter 'fresh' expects uint8_t"),
        (["-device", "virtio-new-pci,sped=1"], "refused", "Property 'virtio-new-pci.sped' not found"),
        (["-device", "pci-device"], "refused", "Parameter 'driver' expects a non-abstract device type"),
        (["-device", "e1000e"], "refused", "'e1000e' is not a valid device model name"),
        (["-device", "arm-smmuv3-accel"], "refused", "'arm-smmuv3-accel' is not a valid device model name"),
        (["-object", "new,id=n,size=1"], "starts", ""),
        (["-object", "old,id=n"], "refused", "Parameter 'qom-type' does not accept value 'old'"),
        (["-object", "acpi-egm-memory,id=n"], "refused",
         "Parameter 'qom-type' does not accept value 'acpi-egm-memory'"),
        (["-machine", "newest=on"], "starts", ""),
        (["-machine", "oldest=on"], "refused", "Property 'virt-12.0-machine.oldest' not found"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_ordinary_is_the_binarys_own(
    fake: Fake, words: list[str], answer: str, text: str
) -> None:
    found = verdict(fake, *words)
    assert (found.answer, found.failure.text if found.failure else "") == (answer, text)
    assert fake.asked == 1


def test_the_table_is_kept_until_the_binary_changes(fake: Fake) -> None:
    for _ in range(3):
        assert verdict(fake, "-device", "virtio-new-pci").answer == "starts"
    assert fake.asked == 1
    # A broken cache is no table.
    for file in (fake.path.parent / "cache" / "vsmmu" / "qemu").glob("*-names.json"):
        file.write_bytes(b"{")
    assert verdict(fake, "-device", "virtio-new-pci").answer == "starts"
    assert fake.asked == 2
    fake.path.write_text(fake.path.read_text() + "\n# another\n")
    assert verdict(fake, "-device", "virtio-new-pci").answer == "starts"
    assert fake.asked == 3


def test_what_another_build_has_is_no_slip_of_the_pen(fake: Fake) -> None:
    (found,) = verdict(fake, "-device", "e1000e").of("error")
    assert "did you mean" not in found.next
    (found,) = verdict(fake, "-device", "virtio-new-pcid").of("error")
    assert "virtio-new-pci" in found.next


def test_a_table_says_whose_it_is(fake: Fake) -> None:
    asked = table(load_qemu(str(fake.path)))
    assert (asked.exact, asked.build) == (True, "a build")
    assert not table(load_qemu("11.1")).exact


def test_a_binary_that_does_not_tell_is_refused(fake: Fake) -> None:
    fake.write({"query-version": {}})
    with pytest.raises(HostLacks, match="does not tell its types"):
        ask_table(str(fake.path))
    fake.path.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(HostLacks, match="does not tell its types"):
        ask_table(str(fake.path))


def test_the_command_line_uses_it(fake: Fake) -> None:
    words = ["--qemu", str(fake.path), "--", "qemu-system-aarch64", "-M", "virt", "-device", "virtio-new-pci"]
    done = subprocess.run(
        [sys.executable, "-m", "vsmmu", "check", "--host", "builtin:gb200", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, fake.asked) == (0, 1), done.stdout + done.stderr
