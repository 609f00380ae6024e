# SPDX-License-Identifier: Apache-2.0
"""Looks of a text that is no VM: what it is instead, and how a VM comes of it."""

from __future__ import annotations

import re
from typing import Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.foreign import MAKEFILE, PYTHON, YAML
from vsmmu.machine.command_line.interpreter import capturing

__all__ = ["not_a_vm"]


def not_a_vm(data: bytes, where: str) -> InputRefused:
    """The refusal of a text that is no VM, with what it looks like."""
    text = data[: 64 * 1024].decode("utf-8", "replace")
    looks = next((entry[1:] for entry in _LOOKS if re.search(entry[0], text, re.MULTILINE)), None)
    if looks is not None and "{" in looks[1]:
        looks = looks[0], looks[1].format(capturing=capturing(text, where).replace("SCRIPT", "FILE"))
    what, advice = looks or (
        "text" if "\ufffd" not in text and "\0" not in text else "binary data",
        "give a QEMU command line (script, unit, log, after --) or a libvirt domain",
    )
    return InputRefused(
        "not-a-vm",
        f"this is neither a QEMU command line nor a libvirt domain; it looks like {what}",
        where=where,
        next=advice,
    )


_VMI: Final = (
    "give the domain KubeVirt makes of it: kubectl exec POD -c compute -- virsh dumpxml 1 | vsmmu check -"
    "; or let vsmmu kubevirt serve answer KubeVirt"
)
#: How a text looks -> what it is, and what to give instead.
_LOOKS: Final = (
    (
        r"^\s*(?:\"?apiVersion\"?:\s*\"?kubevirt\.io/|.*\"apiVersion\":\s*\"kubevirt\.io/)",
        "a KubeVirt object",
        _VMI,
    ),
    (r"vsmmu\.host/\d", "facts about a host", "facts go behind --host: vsmmu check --host FILE VM"),
    (r"\"schema\":\s*\"vsmmu\.", "an answer of vsmmu", "give the VM that it is about"),
    (r"\A\s*(?:---\s*)?\"?apiVersion\"?:|\"apiVersion\":", "a Kubernetes object", "give a VM"),
    (
        r"^(?:\[ *\d+\.\d+\] |\S+ \d+ [\d:]+ \S+ kernel: )",
        "a kernel log",
        "facts of a log: vsmmu show --kernel-log FILE",
    ),
    (
        r"<domain[ >]",
        "a libvirt domain with other text around it",
        "give the domain alone: virsh dumpxml --inactive NAME | vsmmu check -",
    ),
    (
        r"^\[(?:machine|device|object|drive|netdev|chardev|memory|smp-opts)(?: \"[^\"\n]*\")?\]\s*$",
        "a configuration file of QEMU",
        "vsmmu check -- qemu-system-aarch64 -readconfig FILE",
    ),
    (
        r"\A(?:\s|[#;][^\n]*\n)*\[[A-Za-z][\w :.-]*\]\s*$",
        "a configuration file with sections",
        "give the QEMU command that is made of it, or the process id of the running QEMU",
    ),
    (
        r"\A\s*\[\s*\"",
        "a JSON list",
        "if it is the words of QEMU's command: jq -r @sh FILE | vsmmu check -",
    ),
    (
        MAKEFILE,
        "a Makefile",
        "let it say what it starts: {capturing} TARGET; or make -n TARGET | vsmmu check -",
    ),
    (PYTHON, "a Python program", "let it say what it starts: {capturing}"),
    (
        r"^FROM \S+(?: AS \S+)?\s*$",
        "a Dockerfile",
        "give the command of its ENTRYPOINT or CMD: vsmmu check -- qemu-system-aarch64 ...",
    ),
    (r"^(?:```|~~~)", "a text with code in it (Markdown)", "give the command alone"),
    (YAML, "YAML", "give the VM itself: its QEMU command alone, or a libvirt domain"),
    (r"(?:^|[\s/])qemu-(?:system-\w+|kvm): ", "what QEMU printed", "vsmmu explain < FILE says what it means"),
    (
        r"\A#!|^[^\n]*\bqemu-(?:system-|kvm)",
        "a script that does not start QEMU itself",
        "let it say what it starts: {capturing}",
    ),
    (
        r"\A(?:\ufffd\ufffd|[^\0]\0[^\0]\0)",
        "UTF-16 text",
        "convert it: iconv -f UTF-16 -t UTF-8 FILE | vsmmu check -",
    ),
    (r"\A\s*[\[{]", "JSON", "give the VM itself: a QEMU command line or virsh dumpxml --inactive"),
    (r"\A\x7fELF", "a program", "write the command that runs it: vsmmu check -- PROGRAM -M virt ..."),
    (r"\AQFI\ufffd|\AQFI", "a disk image", "give the command that starts the VM"),
)
