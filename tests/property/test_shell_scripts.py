# SPDX-License-Identifier: Apache-2.0
"""Scripts of a generator: what is said to be known of the QEMU command is what a real shell passes to it."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from vsmmu.errors import VsmmuError
from vsmmu.machine.command_line.script import read_script

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.machine.command_line.command_word import CommandWord

#: Writes its words down, each followed by a NUL, and a byte 1 after them.
STAND_IN = "#!/bin/sh\nprintf '%s\\0' qemu-system-aarch64 \"$@\"\nprintf '\\1'\n"
LITERAL = ["x", "y", "'a b'", '"c d"', "$A", "$B", "q,r", '"$A,x"', "it\\'s", "e\\\nf", "''"]
ODD = ["*", "$C", "${A:-d}", "$(echo z)", '"$(echo p q)"', "", '"-m $A"', "'$A'", "$1", "${C}y", "~"]
ONCE = [
    *(
        "false || A=o",
        "echo | B=k",
        "unset A",
        "B=r &\nwait",
        ": comment # x",
        "A=1; A=2",
        "eval B=e",
        "A=u true",
    ),
    *("echo h | read A", "! A=n", "while false; do B=w; done", "true && A=t", "false && B=t", "shift || :"),
]
#: What has quotes and brackets in quotes and brackets: it is passed over, and nothing after it.
NESTED = [
    ": \"$(echo \"(it's)\" \"$(echo \")\")\")\"", ": $(echo '(' \"}\" \\)) x", ": \"${A:-it's}\" ${B:-'}'}",
    ": ${B:-\"}\"} \"${A:-$(echo \"}\")}\"", ": $(echo x # it's\n)", ": \"$(echo '\"')\" \"`echo x`\"",
    "cat >/dev/null <<'THE END'\nit's\nTHE END", "cat >/dev/null <<\\E\n\"(\nE",
    'cat >/dev/null <<-"E F"\n(\n\tE F',
    "cat >/dev/null <<E'N'D\n'\nEND",
]  # fmt: skip
USES = [
    "$A",
    "$B",
    '"$C"',
    '"x$A"',
    "${A}${B}",
    '"$@"',
    "pre$B,post",
    '"-n" "$A"',
    '${1+"$@"}',
    '${1:+"$@"}',
    "$*",
    "pre-$B-$A",
]
ARRAYS = ['"${ARGS[@]}"', "${ARGS[*]}", "${ARGS[@]}", '${ARGS[@]+"${ARGS[@]}"}', '${ARGS[@]:+"${ARGS[@]}"}']


class Generator:
    """Scripts with assignments in all kinds of blocks around one command that starts QEMU."""

    def __init__(self, seed: int, shell: str) -> None:
        self.random = random.Random(seed)
        self.bash = shell == "bash"

    def value(self) -> str:
        return self.random.choice(LITERAL if self.random.random() < 0.75 else ODD)

    def block(self, depth: int) -> str:
        return "\n".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def statement(self, depth: int) -> str:
        name = self.random.choice("ABC")
        kind = self.random.randrange(18)
        if kind < 7:
            return f"{name}={self.value()}"
        if kind == 7:
            return f"{name}+={self.value()}" if self.bash else f"{name}=${name}{self.value()}"
        if kind < 10:
            words = " ".join(self.value() for _ in range(self.random.randint(0, 3)))
            return (
                f"ARGS{'+' * (kind == 8)}=({words})" if self.bash else f"set -- {'$@' * (kind == 8)} {words}"
            )
        if depth > 2 or kind > 15:
            return self.random.choice(ONCE if self.random.random() < 0.7 else NESTED)
        truth, body = self.random.choice(["true", "false"]), self.block(depth + 1)
        return [
            f"if {truth}; then\n{body}\nfi",
            f"if {truth}; then\n{body}\nelse\n{self.block(depth + 1)}\nfi",
            f"for i in 1 2; do\n{body}\ndone",
            f"f{depth}() {{\n{body}\n}}\n{self.random.choice(['', f'f{depth}'])}",
            f"(\n{body}\n)",
            f"case x in\n{self.random.choice('xy')})\n{body}\n;;\n*) {self.statement(depth + 1)} ;;\nesac",
        ][kind - 10]

    def script(self) -> str:
        uses = [*USES, *ARRAYS] if self.bash else USES
        words = " ".join(self.random.choice(uses) for _ in range(self.random.randint(1, 3)))
        start = f"qemu-system-aarch64 -M virt {words}"
        around = self.random.randrange(6)
        before, after = self.block(1), self.block(1)
        if around == 0:
            start = f"if true; then\n{before}\n{start}\n{after}\nfi"
        elif around == 1:
            start = f"run() {{\n{before}\n{start}\n}}\n{after}\nrun"
        elif around == 2:
            start = f"for j in 1 2; do\n{before}\n{start}\n{after}\ndone"
        return f"{self.block(0)}\n{start}\n{self.block(1)}\n"


def run(shell: str, text: str, folder: Path) -> list[bytes]:
    """The words of each start, NUL-separated."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([shell, "-c", text], env=environment, capture_output=True, cwd=folder, check=False)
    parts = [part for part in done.stdout.split(b"\1") if b"qemu-system" in part]
    return [part[part.index(b"qemu-system") :] for part in parts]


def pattern(fields: list[CommandWord]) -> bytes:
    """What the shell may pass: known words exactly, opaque ones as any."""
    return b"".join(
        b"(?:[^\0]*\0)*" if field.opaque else re.escape(field.value.encode()) + b"\0" for field in fields
    )


@pytest.mark.parametrize("shell", ["bash", "dash"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_known_is_what_a_shell_passes(shell: str, seed: int, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    stand_in = tmp_path / "qemu-system-aarch64"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    generator = Generator(seed, shell)
    known = 0
    for _ in range(120):
        text = generator.script()
        try:
            fields = list(read_script(text, "t").fields)
        except VsmmuError:
            continue
        for start in run(shell, text, tmp_path):
            assert re.fullmatch(pattern(fields), start, re.DOTALL), text
            known += sum(not field.opaque for field in fields[3:])
    assert known > 20
