# SPDX-License-Identifier: Apache-2.0
"""NUMA distances at random, given to this machine's QEMU and to the model of it: both say the same."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from quoted import quoted
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.lab.build import Artifacts

pytestmark = pytest.mark.lab

HEAD = "-M virt -accel tcg -cpu max -nodefaults -display none -m 128M -smp 1"
STOPPED = ["-S", "-qmp", "stdio"]
TALK = b'{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n'
SAMPLE = 60
CODES = [f"qemu-distance-{fault}" for fault in ("node", "small", "local", "missing", "directions")]


def words(chosen: random.Random) -> list[str]:
    """Nodes, of which the first has the memory, and distances of which most are right."""
    nodes = chosen.randint(1, 4)
    text = f"{HEAD} -object memory-backend-ram,id=m,size=128M -numa node,cpus=0,memdev=m"
    options = [f"-numa node,nodeid={node}" for node in range(1, nodes)]
    whole = chosen.random() < 0.6
    for source in range(nodes):
        for target in range(nodes):
            if source != target and (chosen.random() < (0.9 if whole else 0.4)):
                value = chosen.choice((20, 20, 20, 21, 255))
                options.append(f"-numa dist,src={source},dst={target},val={value}")
    if chosen.random() < 0.5:
        source, target = chosen.randint(0, nodes), chosen.randrange(nodes)
        options.append(f"-numa dist,src={source},dst={target},val={chosen.choice((9, 10, 11))}")
    if chosen.random() < 0.1:
        chosen.shuffle(options)
    return " ".join([text, *options]).split()


def test_distances_are_refused_as_qemu_does(lab_artifacts: Artifacts, tmp_path: Path) -> None:
    chosen = random.Random(11)
    seen: dict[str, int] = {}
    with quoted("qemu-system-arm", "11.1", lab_artifacts.versions()):
        for _ in range(SAMPLE):
            given = words(chosen)
            verdict = start(
                read_words(["qemu-system-aarch64", *given]).machine(), builtin_host("gb200"), LATEST
            )
            command = [*lab_artifacts.tools.qemu(), *given, *STOPPED]
            done = subprocess.run(command, input=TALK, capture_output=True, check=False, cwd=tmp_path)
            failure = verdict.failure
            code = "" if failure is None else failure.code
            seen[code] = seen.get(code, 0) + 1
            assert (done.returncode == 0) == (failure is None), (given, done.stderr, code)
            if failure is not None:
                printed = done.stderr.decode().rstrip("\n").partition("qemu-system-aarch64: ")[2]
                assert printed == failure.printed.partition("qemu-system-aarch64: ")[2], given
    assert {"", *CODES} <= seen.keys(), seen
