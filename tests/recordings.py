# SPDX-License-Identifier: Apache-2.0
"""Recordings of QEMU 11.1.3 (tests/golden/qemu-11.1.3): each VM, and the host and emulator that it had."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsmmu.errors import InputRefused
from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, HwInfoFact, RegisterFact
from vsmmu.machine.command_line.argv import read_source, read_words
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

Case = dict[str, Any]

GOLDEN = Path(__file__).parent / "golden" / "qemu-11.1.3"
QEMU = parse_version("11.1.3")
#: The emulator for another architecture has no KVM.
FOREIGN = QEMU._replace(has_kvm=False)
OLD = parse_version("10.2.2")._replace(has_kvm=False)
REAL = ("0x0d44101b", "0x02730010", "0x00001414", "0x00000074")
SHOWN = ("IDR0", "IDR1", "IDR3", "IDR5")
FIRST, SECOND = ("0000:00:05.0", "0000:00:06.0", "0000:00:07.0"), ("0000:09:00.0",)


def load(name: str) -> list[Case]:
    return [json.loads(line) for line in (GOLDEN.parent / f"{name}.jsonl").read_text().splitlines()]


RUNS = [
    case
    for name in ("x86-tcg", "arm64-kvm", "arm64-kvm-answers", "board", "arm64-board")
    for case in load(f"qemu-11.1.3/{name}")
]


def fact(value: int) -> Fact:
    return Fact(value, "recorded")


def host_of(case: Case) -> Host:
    """The host that QEMU saw: one SMMU for each different answer of the kernel."""
    told = case.get("host", {})
    smmus: dict[tuple[object, ...], HostSmmu] = {}
    functions = []
    for address in (*FIRST, *SECOND):
        answer = told.get(address, {})
        words = () if answer.get("refused") else answer.get("idr", REAL)
        key = (*words, answer.get("type", 2), address in SECOND)
        if key not in smmus:
            registers = dict(zip(SHOWN, words, strict=bool(words)))
            queues = told.get("cmdqv_words", {})
            smmus[key] = HostSmmu(
                name=f"smmu{len(smmus)}",
                registers={name: RegisterFact(word, "recorded") for name, word in registers.items()},
                hw_info_type=fact(answer.get("type", 2)) if words else UNKNOWN,
                hw_info_data={
                    f"cmdqv.{name}": HwInfoFact(hex(word), "recorded") for name, word in queues.items()
                },
                cmdqv=fact(told.get("cmdqv", 0)),
                cmdqv_viommu=fact(told["cmdqv_viommu"]) if "cmdqv_viommu" in told else UNKNOWN,
                nesting=fact(told.get("nesting", 1)),
            )
        functions.append(
            HostFunction(
                address=address,
                smmu=smmus[key].name,
                ats_not_supported=fact(answer.get("ats_not_supported", 1)),
                ats_capability=fact(0),
            )
        )
    return Host(
        schema=SCHEMA,
        name="recorded",
        iommufd=fact(0) if is_foreign(case) else UNKNOWN,
        smmus=tuple(smmus.values()),
        functions=tuple(functions),
        evidence={"recorded": Evidence("measured", "QEMU 11.1.3")},
    )


def is_foreign(case: Case) -> bool:
    """Whether it was recorded with the emulator for x86-64, on a machine without iommufd."""
    return case["id"][0] in "ACE"


def qemu_of(case: Case) -> Qemu:
    """The emulator that ran it."""
    if case["id"].startswith("E"):
        return OLD
    return FOREIGN if is_foreign(case) else QEMU


def machine_of(case: Case) -> Machine:
    files = case.get("config", {})
    return read_words(shlex.split(case["command"]), lambda name: files[name].encode()).machine()


def opaque_machines(case: Case) -> Iterator[Machine]:
    """The VM as scripts, in each other words that only a shell knows: options, the head, one value."""
    words = shlex.split(case["command"])
    starts = [at for at, word in enumerate(words) if at and word.startswith("-")]
    chance = random.Random(case["command"])
    first, last = sorted(chance.sample([*starts, len(words)], 2))
    texts = [shlex.join(words[:first]) + ' "$@" ' + shlex.join(words[last:])]
    texts.append(
        chance.choice(('"$@" ', '"${CMD[@]}" ', "$CMD ")) + shlex.join(words[chance.choice(starts) :])
    )
    value = chance.choice(starts)
    if words[value + 1 : value + 2] and value + 1 not in starts:
        # A list may hold more than the value; that one word makes QEMU refuse is nobody's to know.
        kinds = ('"$@"', '"$X"') if case["exit"] == 0 else ('"$@"',)
        texts += [
            f"{shlex.join(words[: value + 1])} {kind} {shlex.join(words[value + 2 :])}" for kind in kinds
        ]
    for text in texts:
        try:
            yield read_source(f"#!/bin/bash\n{text}\n".encode(), "vm.sh").machine()
        except InputRefused as refused:
            if not case["exit"] and refused.code not in ("shell-expansion", "config-unreadable"):
                raise
