# SPDX-License-Identifier: Apache-2.0
"""One QEMU command as other languages write it: read as the same words, or refused; never as another VM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.errors import InputRefused
from vsmmu.machine.recognise import read_vm

if TYPE_CHECKING:
    from collections.abc import Callable

QEMU = st.sampled_from(["qemu-system-aarch64", "/usr/bin/qemu-system-aarch64", "/usr/libexec/qemu-kvm"])
OPTIONS = st.lists(
    st.sampled_from(
        [
            ["-M", "virt,gic-version=3"],
            ["-accel", "kvm"],
            ["-nodefaults"],
            ["-m", "8G"],
            ["-bios", "AAVMF_CODE.fd"],
            ["-object", "iommufd,id=iommufd0"],
            ["-device", "pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0"],
            ["-device", "arm-smmuv3,primary-bus=pcie.1,accel=on"],
            ["-device", '{"driver":"pcie-root-port","bus":"pcie.1","chassis":1}'],
            ["-append", "console=ttyAMA0 quiet"],
        ]
    ),
    min_size=1,
    max_size=8,
)


def quoted(words: list[str]) -> list[str]:
    return [json.dumps(word) for word in words]


def folded(words: list[str]) -> str:
    """Each option on a line of its own, without a backslash: YAML folds them."""
    return " ".join(f"\n      {word}" if word.startswith("-") else word for word in words[1:])


LANGUAGES: dict[str, Callable[[list[str]], str]] = {
    "python list": lambda words: f"import subprocess\nsubprocess.run([{', '.join(quoted(words))}])\n",
    "python lines": lambda words: (
        "from subprocess import run\nrun([\n    " + ",\n    ".join(quoted(words)) + ",\n], check=True)\n"
    ),
    "python string": lambda words: (
        f'import os\nQ = "{words[0]}"\nos.system(Q + {json.dumps(" ".join(words[1:]))})\n'
    ),
    "json": lambda words: json.dumps(words),
    "json lines": lambda words: json.dumps({"command": words[:1], "args": words[1:]}, indent=2),
    "yaml list": lambda words: (
        "- name: vm\n  command:\n    argv:\n" + "".join(f"      - {word}\n" for word in quoted(words))
    ),
    "yaml plain list": lambda words: "command:\n" + "".join(f"  - {word}\n" for word in words),
    "yaml folded": lambda words: f"services:\n  vm:\n    command: >\n      {words[0]} {folded(words)}\n",
    "makefile": lambda words: (
        f"QEMU ?= {words[0]}\nOPTS := {' '.join(words[1:])}\n\nrun: disk.img\n\t$(QEMU) $(OPTS)\n"
    ),
    "makefile appended": lambda words: (
        f"QEMU={words[0]}\n"
        + "".join(f"OPTS += {word}\n" for word in words[1:])
        + "run:\n\t@$(QEMU) $(OPTS)\n"
    ),
    "perl": lambda words: f"#!/usr/bin/perl\nexec({', '.join(quoted(words))});\n",
    "dockerfile": lambda words: (
        f"FROM debian:13\nRUN apt-get install -y qemu-kvm\nENTRYPOINT {json.dumps(words)}\n"
    ),
    "supervisor": lambda words: f"[program:vm]\ncommand={' '.join(words)}\nautostart=true\n",
    "mail": lambda words: "> " + " \\\n> ".join(words) + "\n",
}


@pytest.mark.parametrize("language", LANGUAGES)
@given(QEMU, OPTIONS)
def test_no_other_vm_comes_of_a_text_that_no_shell_reads(
    language: str, program: str, options: list[list[str]]
) -> None:
    words = [program, *(word for option in options for word in option)]
    try:
        vm = read_vm(LANGUAGES[language](words))
    except InputRefused:
        return
    line = vm.command_line
    assert line is not None
    assert list(line.words[-len(words) :]) == words


@given(QEMU, OPTIONS)
def test_lines_of_a_process_list_are_read(program: str, options: list[list[str]]) -> None:
    words = [program, *(word for option in options for word in option)]
    for text in (
        "\n".join(words) + "\n",
        f"root        4242 99.0  3.1 9999999 88888 ?        Sl   10:00   1:00 {' '.join(words)}\n",
        f"4242 {' '.join(words)}\n",
    ):
        line = read_vm(text).command_line
        assert line is not None
        assert list(line.words) == words
