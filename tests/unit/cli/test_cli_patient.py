# SPDX-License-Identifier: Apache-2.0
"""Standard streams that do not block: the whole input is read, and the whole answer is written."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest

VM = (
    "qemu-system-aarch64 -M virt,accel=kvm -bios e -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 \\\n"
    " -device arm-smmuv3,primary-bus=a,id=s,accel=on\n"
)
#: Longer than a pipe takes.
DOMAIN = "<domain type='kvm'><name>vm</name></domain><!-- " + "x" * 120_000 + " -->"
HOST = '{"schema": "vsmmu.host/1", "name": "NAME"}\n'


def run(words: list[str], pieces: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Run a program between pipes that do not block; input comes in pieces, answers are read late."""
    with contextlib.ExitStack() as open_pipes:
        ends = [
            [os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)] for _ in "012"
        ]
        for pipe in ends:
            for end in pipe:
                open_pipes.enter_context(end)
        theirs = [ends[0][0], ends[1][1], ends[2][1]]
        for end in theirs:
            os.set_blocking(end.fileno(), False)
        process = subprocess.Popen(
            [sys.executable, *words], stdin=theirs[0], stdout=theirs[1], stderr=theirs[2]
        )
        for end in theirs:
            end.close()

        def feed() -> None:
            for piece in pieces:
                time.sleep(0.3)
                os.write(ends[0][1].fileno(), piece.encode())
            ends[0][1].close()

        feeding = threading.Thread(target=feed)
        feeding.start()
        time.sleep(0.5)
        out, err = (ends[at][0].read().decode() for at in (1, 2))
        feeding.join()
        return process.wait(), out, err


HALF = len(VM) // 2


@pytest.mark.parametrize(
    ("line", "pieces", "status", "told"),
    [
        ("resolve --host builtin:gb200 --assume-safe", (VM[:HALF], VM[HALF:]), 0, "accel=on,ats=on"),
        ("check --host builtin:gb200 -", (VM[:HALF], VM[HALF:]), 1, "put a vfio-pci behind s"),
        ("report -", (HOST.replace("NAME", "a"), HOST.replace("NAME", "b")), 0, "2 hosts"),
        ("explain -", ("Property 'arm-smmuv3.", "no' not found"), 0, "arm-smmuv3"),
    ],
    ids=lambda value: str(value)[:8],
)
def test_half_an_input_is_not_taken_for_all(
    line: str, pieces: tuple[str, ...], status: int, told: str
) -> None:
    ended, out, err = run(["-m", "vsmmu", *line.split()], pieces)
    assert (ended, err) == (status, "")
    assert told in out


def test_no_answer_is_cut() -> None:
    status, out, err = run(["-m", "vsmmu.cli.hook", "--vmi", "{}", "--domain", DOMAIN])
    assert (status, err) == (0, "")
    assert out.endswith("x -->")
