# SPDX-License-Identifier: Apache-2.0
"""NUMA options of which a part is not known, or that stand in a configuration file; the rest is recorded."""

from __future__ import annotations

import shlex

from conformance.here import NOBODY
from vsmmu.machine.command_line.argv import CommandLine, read_source, read_words
from vsmmu.qemu.cpu_slots import cpu_slots
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

HEAD = "qemu-system-aarch64 -M virt -accel kvm -m 1G -object memory-backend-ram,id=a,size=1G"


def codes(line: CommandLine) -> list[str]:
    return [entry.code for entry in start(line.machine(), NOBODY, LATEST).diagnostics]


def words(text: str) -> CommandLine:
    return read_words(shlex.split(f"{HEAD} {text}"))


def test_nodes_are_looked_at() -> None:
    assert words("-numa node,memdev=a,cpus=0").not_judged() == ("-m",)


def test_a_node_with_a_part_that_only_a_shell_knows_is_not() -> None:
    line = read_source(f"{HEAD} -numa node,memdev=a,cpus=$CPUS -numa node,cpus=9 -smp 2\n".encode())
    assert "-numa" in line.not_judged()
    assert codes(line) == []


def test_more_cpus_than_a_shell_has_told_are_no_fault() -> None:
    assert codes(read_source(f"{HEAD} -smp $N -numa node,memdev=a,cpus=0-7\n".encode())) == []


def test_options_that_are_not_known_can_give_more_cpus() -> None:
    line = read_source(f'#!/bin/sh\n{HEAD} -numa node,memdev=a,cpus=0-7 "$@"\n'.encode())
    verdict = start(line.machine(), NOBODY, LATEST)
    assert verdict.at_start == "unknown"
    assert "qemu-node-cpu-index" in codes(line)


def test_each_value_of_a_configuration_file_counts() -> None:
    text = b'[numa]\n  type = "node"\n  memdev = "a"\n  cpus = "9"\n  cpus = "0"\n'
    line = read_words(shlex.split(f"{HEAD} -smp 2 -readconfig vm.cfg"), lambda name: text)
    assert codes(line) == ["qemu-node-cpu-index"]


def test_a_node_beyond_the_table_is_left_open() -> None:
    verdict = start(words("-numa node,memdev=a -numa cpu,node-id=-1").machine(), NOBODY, LATEST)
    assert (verdict.at_start, codes(words("-numa node,memdev=a -numa cpu,node-id=-1"))) == (
        "unknown",
        ["qemu-node-cpu-early"],
    )


def test_old_machine_types_fill_sockets_last() -> None:
    assert cpu_slots({"cpus": "8"}, (6, 2)) == (1, 1, 8, 1)
    assert cpu_slots({"cpus": "8"}, (6, 1)) == (8, 1, 1, 1)
    assert cpu_slots({"cpus": "8", "sockets": "2"}, (6, 1)) == (2, 1, 4, 1)
    assert cpu_slots({"cpus": "7", "sockets": "2"}, (11, 1)) is None
    assert cpu_slots({"cpus": "8", "dies": "2"}, (11, 1)) is None
