# SPDX-License-Identifier: Apache-2.0
"""Every option and argument of every verb with values that mean nothing, or too much: an own error, soon."""

from __future__ import annotations

import io
import os
import random
import signal
import socket
from pathlib import Path
from typing import Final

import pytest

from vsmmu.cli.group import VERBS
from vsmmu.cli.main import run
from vsmmu.cli.option_table import OPTIONS, options_of
from vsmmu.host.files import builtin_files

#: Numbers without end, no UTF-8, control characters, no files, files that hold no text or far too deep ones.
NASTY: Final = (
    "", " ", "9" * 400, "-1", "1e999", "nan", "0x" + "f" * 300, "-" + "9" * 50, os.fsdecode(b"\xff\xfe"),
    "\u202e\x1b[31m", "a\nb", "x" * 5000, "fifo", "socket", "folder", "/dev/null", "/dev/zero", "/dev/tty",
    "deep.json", "deep.xml", "binary", "zeros", "empty", "builtin:", "builtin:\u202e", "live", "-", "a/b",
    "/proc/self/mem", "0000:00:00.0", "=", "a=", "=b", "a=b=c", ",", ":", "@", "#", "HOST#x", "9999999.1",
    "11.99999999999999", f"virt-{'1' * 500}", "loop", "dangling", "closed", "closed/x", "VM/x", "7" * 300,
    "a/" * 3000, "/proc/kmsg", "/dev/full", "/proc/self/fd/0", "\u2028", "\u0661", "%s%n", "{0.__class__}",
    "-q", "-9", "1e9", "1e-300", "/proc/1/mem", "/dev/mem", "HOST#", f"HOST#{'9' * 300}", "..", "HOST/",
)  # fmt: skip
#: What a verb needs beside the option.
BESIDE: Final = {
    "resolve": ["--host", "HOST", "VM"], "explain": ["--host", "HOST", "VM"],
    "check": ["--host", "HOST", "VM"], "fix": ["--host", "HOST", "VM"],
    "plan": ["--host", "HOST", "0009:01:00.0"], "inspect": ["1"],
    "show": ["--host", "HOST"], "probe": ["-n"], "doctor": [], "bundle": ["--host", "HOST", "VM"],
    "compare": ["HOST", "HOST"], "baseline": ["HOST"], "report": ["HOST"], "label": ["--host", "HOST"],
    "schema": ["host"], "completion": ["bash"], "version": [], "help": [],
    "capture": ["--", "true"], "run": ["--dry-run", "--host", "HOST", "VM"],
    "kubevirt capabilities": ["--host", "HOST"], "lab build": ["--dry-run"], "lab path": [],
}  # fmt: skip
#: These serve, remove or boot something, or run a program in namespaces of its own.
APART: Final = {"emulate", "kubevirt serve", "lab run", "lab shell", "lab clean"}
CASES: Final = 25


def command_lines(verb: str) -> list[list[str]]:
    beside = BESIDE[verb]
    words = verb.split()
    options = [
        row.names.split()[-1] for row in options_of(verb) if not row.is_argument and row.kind != "flag"
    ]
    # --write waits for a reader of a FIFO, as a shell's > does.
    pairs = [(option, value) for option in options for value in NASTY]
    found = [[*words, *pair, *beside] for pair in pairs if pair != ("--write", "fifo")]
    found += [[*words, *beside[:-1], value] for value in NASTY]
    found += [[*words, *beside, value] for value in NASTY]
    return found


def test_every_verb_is_tried() -> None:
    assert {*BESIDE, *APART} == {verb for row in OPTIONS for verb in row.verbs} | {
        verb for verb in VERBS if verb not in ("kubevirt", "lab")
    } | {"lab path"}


@pytest.mark.parametrize("verb", BESIDE)
def test_no_value_is_a_bug_or_takes_long(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("folder").mkdir()
    Path("closed").mkdir(0)
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as place:
        place.bind("socket")
    for name, data in {
        "deep.json": b"[" * 200_000, "deep.xml": b"<domain>" + b"<a>" * 100_000,
        "binary": b"\xff\xfe\0\x01\xf0", "zeros": bytes(1000), "empty": b"",
        "HOST": Path(builtin_files()["gb200"]).read_bytes(),
        "VM": b"qemu-system-aarch64 -M virt,accel=kvm -bios e -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
              b"-device arm-smmuv3,primary-bus=a,id=s,accel=on\n",
    }.items():  # fmt: skip
        Path(name).write_bytes(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    lines = command_lines(verb)
    for words in random.Random(verb).sample(lines, min(CASES, len(lines))):
        signal.signal(signal.SIGALRM, lambda *_, words=words: pytest.fail(f"it takes too long: {words}"))
        signal.alarm(60)
        status = run(words)
        signal.alarm(0)
        said = capsys.readouterr()
        assert status in (0, 1, 2, 3, 4, 5), words
        assert "bug:" not in said.err, words
        assert "\x1b" not in said.out + said.err, words
