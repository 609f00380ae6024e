# SPDX-License-Identifier: Apache-2.0
"""What a real QEMU answered, as data: then the model can be judged again without a lab.

A document has one host, and runs on it with their outcomes. Functions that no run names are left out, and of
what QEMU wrote only its own lines are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from conformance.cases import Outcome, Run
from vsmmu.host.facts import Host

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Answer", "Record", "decode", "encode", "record"]

_ADDRESS: Final = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b")
#: Said for every function, and of no interest.
_NOISE: Final = "VFIO dma-buf not supported in kernel"


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run and what came of it."""

    run: Run
    outcome: Outcome


class Record(msgspec.Struct, frozen=True):
    """Answers of one QEMU on one host.

    :param complete: whether the host has no other functions, which its document does not say.
    """

    qemu: str
    host: Host
    answers: tuple[Answer, ...]
    complete: bool = False


def record(qemu: str, host: Host, answers: Iterable[tuple[Run, Outcome]]) -> Record:
    """Keep what is needed to judge these answers again."""
    kept = tuple(Answer(run, _without_noise(outcome)) for run, outcome in answers)
    named = set(_ADDRESS.findall(msgspec.json.encode([answer.run for answer in kept]).decode()))
    functions = tuple(function for function in host.functions if function.address in named)
    smmus = {function.smmu for function in functions}
    return Record(
        qemu,
        msgspec.structs.replace(
            host, functions=functions, smmus=tuple(smmu for smmu in host.smmus if smmu.name in smmus)
        ),
        kept,
        host.complete,
    )


def _without_noise(outcome: Outcome) -> Outcome:
    lines = [line for line in outcome.stderr.splitlines() if _NOISE not in line]
    return msgspec.structs.replace(outcome, stderr="\n".join(lines), seconds=0.0)


def encode(document: Record) -> bytes:
    """As JSON, one answer a line, so that a difference can be read."""
    known = {"qemu": document.qemu, "host": document.host}
    head = msgspec.json.encode(known | ({"complete": True} if document.complete else {}))[:-1]
    lines = b",\n".join(msgspec.json.encode(answer) for answer in document.answers)
    return head + b',"answers":[\n' + lines + b"\n]}\n"


def decode(data: bytes) -> Record:
    """Read one back."""
    found = _DECODER.decode(data)
    return msgspec.structs.replace(found, host=found.host.listing_all()) if found.complete else found


_DECODER: Final = msgspec.json.Decoder(Record)
