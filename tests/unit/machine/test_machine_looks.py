# SPDX-License-Identifier: Apache-2.0
"""What is no VM, or more than one: what it looks like, and what to give instead."""

from __future__ import annotations

import pytest

from vsmmu.api import read_vm
from vsmmu.errors import InputRefused


@pytest.mark.parametrize(
    ("data", "looks", "instead"),
    [
        ("milk, bread and two lemons\n", "text", "QEMU command line"),
        (
            "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\n",
            "a KubeVirt object",
            "virsh dumpxml 1",
        ),
        (
            '{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine"}',
            "a KubeVirt object",
            "virsh dumpxml 1",
        ),
        ("---\napiVersion: v1\nkind: Pod\n", "a Kubernetes object", "give a VM"),
        ('{"schema": "vsmmu.host/1", "name": "x"}', "facts about a host", "--host FILE"),
        ('{"schema": "vsmmu.verdict/1"}', "an answer of vsmmu", "the VM"),
        ('[{"a": 1}]', "JSON", "dumpxml"),
        ("[    0.000000] Booting Linux on physical CPU 0x0\n", "a kernel log", "--kernel-log"),
        ("hello: world\nlist:\n  - it's\n", "YAML", "libvirt domain"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "a program", "vsmmu check --"),
        (b"\x89PNG\xff\xfe it's", "", "QEMU command line"),
        ("it's a \"text", "text", "QEMU command line"),
        (
            "virsh # dumpxml a\n<domain type='kvm'>\n</domain>\n",
            "domain with other text",
            "dumpxml --inactive",
        ),
        ("# a quadlet\n[Container]\nImage=x\n", "a configuration file", "process id"),
        ("qemu-system-aarch64 -M virt\n".encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
        ('#!/usr/bin/env python3\nrun(["qemu-system-aarch64", "-M"])\n', "a script", "-- python3 FILE"),
        ("#!/usr/bin/env -S A=b fish\nstart-vm\n", "a script", "capture -- fish FILE"),
        ("#!/bin/bash -e\nstart-vm\n", "a script", "capture -- bash FILE"),
        (
            "PATH := /opt\nQEMU ?= qemu-system-aarch64\nOPTS = -M virt -m 8G\n",
            "a Makefile",
            "-- make -f FILE",
        ),
        ("OPTS=-M virt -cpu host\nrun: disk\n\t@$(QEMU) $(OPTS)\n", "a Makefile", "make -n TARGET"),
        ("run:\n\tqemu-system-aarch64 -M virt -m $(MEM)\n", "a Makefile", "-- make -f FILE TARGET"),
        ('# ours\n[machine]\n  type = "virt"\n[device "x"]\n', "file of QEMU", "-readconfig FILE"),
        ('["qemu-system-aarch64", "-M", "virt"]\n', "a JSON list", "jq -r @sh"),
        (
            'from subprocess import run\nQ = "qemu-system-aarch64"\nrun(f"{Q} -M virt")\n',
            "Python",
            "-- python3",
        ),
        (
            'import os\nos.execvp(q, [\n  "qemu-system-aarch64",\n  "-M", "virt",\n])\n',
            "Python",
            "-- python3",
        ),
        (
            "- hosts: a\n  tasks:\n  - command:\n    - qemu-system-aarch64\n    - -M\n    - virt\n",
            "YAML",
            "alone",
        ),
        (
            "services:\n  vm:\n    command: >\n      qemu-system-aarch64 -M virt\n      -m 8G\n",
            "YAML",
            "alone",
        ),
        ("FROM debian\nRUN apt-get install -y qemu-system-arm\n", "a Dockerfile", "ENTRYPOINT"),
        (
            "[program:vm]\ncommand=/bin/qemu-system-aarch64 -M virt\n",
            "a configuration file",
            "process id",
        ),
        ("# Mine\n```sh\nqemu-system-aarch64 -M virt\n```\nIt fails.\n", "Markdown", "alone"),
        ("qemu-system-aarch64: -device vfio-pci,host=0: vfio 0: no\n", "what QEMU printed", "vsmmu explain"),
        (
            "# dump\n<domain type='a'>\n<emulator>/qemu-system-x</emulator>\n",
            "with other text",
            "domain alone",
        ),
        ('#!/usr/bin/perl\nexec("qemu-system-aarch64", "-M", "virt");\n', "a script that", "perl FILE"),
        ("#!/bin/sh\napt-get install -y qemu-system-arm\nvirsh start vm\n", "a script that", "sh FILE"),
        ('#!/bin/sh\nexec ./start-vm "$@"\n', "a script that does not", "vsmmu capture -- sh FILE"),
        ('su - vm -c "qemu-system-aarch64 -M virt"\n', "a script that does not", "vsmmu capture -- sh FILE"),
    ],
)
def test_what_is_no_vm_is_refused_with_what_it_looks_like(
    data: str | bytes, looks: str, instead: str
) -> None:
    with pytest.raises(InputRefused) as caught:
        read_vm(data)
    assert caught.value.code == "not-a-vm"
    assert looks in caught.value.what
    assert instead in caught.value.next


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (["sh", "vm.sh"], "vsmmu capture -- sh vm.sh"),
        (["virt-install", "--name", "x"], "--print-xml 2"),
        (["virsh", "start", "x"], "vsmmu check NAME"),
        (["qm", "start", "100"], "qm showcmd"),
        (["./start-vm"], "vsmmu capture -- ./start-vm"),
    ],
)
def test_a_program_that_is_not_qemu(words: list[str], instead: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read_vm(words)
    assert (caught.value.code, caught.value.where) == ("not-a-vm", "after --")
    assert instead in caught.value.next


@pytest.mark.parametrize(
    "words",
    [
        ["sudo", "-u", "qemu", "qemu-system-aarch64", "-S"],
        ["numactl", "-N", "0", "./build/emulator", "-M", "virt"],
        ["/usr/bin/kvm", "-S"],
        ["env", "A=b", "kvm", "-S"],
        ["-device", "arm-smmuv3"],
        ["./mine", "-accel", "kvm", "--machine", "virt"],
    ],
)
def test_a_program_that_is_qemu(words: list[str]) -> None:
    line = read_vm(words).command_line
    assert line is not None
    assert line.words == tuple(words)
    if "kvm" in words[-1:]:
        assert line.program == "./mine"


def test_two_domains_in_one_text() -> None:
    domain = "<domain type='kvm'><name>a</name></domain>"
    for between in ("", "\n", "\n<?xml version='1.0'?>\n"):
        with pytest.raises(InputRefused) as caught:
            read_vm(domain + between + domain)
        assert caught.value.code == "many-domains"
        assert "--print-xml 2" in caught.value.next
