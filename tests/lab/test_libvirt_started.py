# SPDX-License-Identifier: Apache-2.0
"""libvirt's command line of a resolved domain starts an unmodified QEMU on an emulated GB200."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from domains import GOLDEN
from vsmmu.machine.command_line.argv import read_source

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

READ = "".join(f"xp /1wx {0xC000000 + offset:#x}\n" for offset in (0x00, 0x04, 0x0C, 0x14)) + "quit\n"
RESOLVED = ["0d44141a", "02730510", "00001004", "00000075"]
#: What domxml-to-native cannot know: an x86 host has no KVM for arm64, and at a start libvirt passes the
#: function as a descriptor that it has opened. And what the lab has in other places: memory, firmware.
HERE = "-accel kvm -cpu host -m 256 -display none -nodefaults -bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd"


def as_here() -> list[str]:
    """The command line with machine, objects and devices as libvirt writes them."""
    words = read_source((GOLDEN / "started.args").read_bytes(), "started.args").words
    machine = words[words.index("-machine") + 1].split(",")
    kept = [part for part in machine if not part.startswith(("pflash", "memory-backend", "dump-guest"))]
    line = ["qemu-system-aarch64", "-machine", ",".join(kept), *shlex.split(HERE)]
    for option, text in pairwise(words):
        if option == "-object" and "iommufd" in text:
            line += [option, text]
        if option == "-device":
            device = json.loads(text)
            if device["driver"] == "vfio-pci":
                text = json.dumps({"host": "0009:01:00.0", **device})
            line += [option, text]
    return [*line, "-S", "-monitor", "stdio"]


def test_it_starts_with_the_values_of_the_domain(lab: Session) -> None:
    line = as_here()
    assert any('"oas":"48"' in word for word in line)
    command = shlex.join(["vsmmu", "emulate", "-q", "--host", "builtin:gb200", "--", *line])
    result = lab.run(["sh", "-c", command], stdin=READ.encode(), timeout=120)
    assert result.status == 0, result.stderr.decode()
    seen = re.findall(r"^0c0000[0-9a-f]{2}: 0x([0-9a-f]{8})", result.stdout.decode(errors="replace"), re.M)
    assert seen == RESOLVED
