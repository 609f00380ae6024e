# SPDX-License-Identifier: Apache-2.0
"""``vsmmu explain CODE``, ``explain "QEMU's sentence"`` and a log: cause, register or rule, and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.cli import console
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.cli.plain_form import Question
    from vsmmu.errors import VsmmuError
    from vsmmu.explanation.model import Explanation
    from vsmmu.machine.vm import Vm

__all__ = ["Text", "explanations_of_name", "print_explanations", "read_text", "with_nearest_code"]

_KINDS: Final = {
    "qemu": "a message of QEMU",
    "kernel": "what the kernel says",
    "libvirt": "a rule for libvirt domains",
    "vsmmu": "a code of vsmmu",
}


class Text(NamedTuple):
    """What a file or stream holds: a VM, or the explanations of the sentences in it."""

    vm: Vm | None
    explanations: list[Explanation]


def explanations_of_name(question: Question) -> list[Explanation] | None:
    """The explanations that the argument asks for; None if it names a VM.

    A path is a VM or a log; else a code, in brackets or not, and what has a blank in it is a sentence.

    :raise Negative: ``sentence-unknown``.
    """
    import os

    name = question.file or ""
    # As the VM argument does it, without the import of pathlib.
    if question.words is not None or name in ("", "-") or os.path.exists(name):  # noqa: PTH110
        return None
    from vsmmu.explanation.sentences import explain_text
    from vsmmu.explanation.table import explain_code

    found = explain_code(name.strip("[]"))
    if found is not None:
        return [found]
    if not any(mark.isspace() for mark in name.strip()):
        return None
    return explain_text(name) or _unknown(name)


def read_text(question: Question) -> Text | None:
    """What the file, or standard input, holds; None where the VM does not come from one.

    A text in which QEMU is started is a VM, whatever is printed below; else its sentences are explained.

    :raise InputRefused: it is neither.
    """
    import os
    import sys

    path = question.file or "-"
    stream = path == "-" and not sys.stdin.isatty()
    # A socket or a directory is somebody else's to read, or to refuse.
    readable = stream or (path != "-" and os.path.exists(path) and not _is_special(path))  # noqa: PTH110
    if question.words is not None or not readable or (stream and question.host == "-"):
        return None
    from vsmmu.api import read_vm_data
    from vsmmu.errors import InputRefused
    from vsmmu.host.files import read_bounded
    from vsmmu.machine.recognise import MAX_VM_BYTES

    data = read_bounded(path, MAX_VM_BYTES, "vm")
    try:
        vm = read_vm_data(data, "standard input" if path == "-" else path)
        if vm.machine().devices:
            return Text(vm, [])
    except InputRefused:
        if found := _sentences(data):
            return Text(None, found)
        if said := _printed(data):
            _unknown(said)
        raise
    return Text(None, found) if (found := _sentences(data)) else Text(vm, [])


def _printed(data: bytes) -> str:
    """What a QEMU says in a text, behind its name; empty if none does."""
    import re

    said = re.search(r"(?:^|[\s/])qemu-(?:system-\w+|kvm): ([^\n]+)", data.decode("utf-8", "replace"))
    return said[1].strip() if said else ""


def _sentences(data: bytes) -> list[Explanation]:
    from vsmmu.explanation.sentences import explain_text

    return explain_text(data.decode("utf-8", "replace"))


def _is_special(path: str) -> bool:
    import os
    import stat

    mode = os.stat(path).st_mode  # noqa: PTH116
    return stat.S_ISSOCK(mode) or stat.S_ISDIR(mode)


def _unknown(sentence: str) -> list[Explanation]:
    from vsmmu.errors import Negative
    from vsmmu.explanation.sentences import nearest_sentence
    from vsmmu.explanation.table import fill

    near = nearest_sentence(sentence)
    raise Negative(
        "sentence-unknown",
        f"no table here has the sentence {sentence!r:.200}",
        next=f"the nearest is {fill(near.text, {})!r}: vsmmu explain {near.code}"
        if near is not None
        else "give the line as QEMU, libvirt or the kernel printed it, or a code",
    )


def with_nearest_code(error: VsmmuError, name: str) -> VsmmuError:
    """The error of a VM that there is not, where its name may be a misspelt code, or a property."""
    from vsmmu.errors import Negative
    from vsmmu.explanation.table import nearest_codes, nearest_property

    if near := nearest_codes(name.strip("[]")):
        advice = f"did you mean {' or '.join(near)}?"
    elif close := nearest_property(name):
        advice = f"{close} is a property of the vSMMU: vsmmu explain VM says which value it gets, and why"
    else:
        return error
    return Negative(
        "no-such-code",
        f"there is no code {name!r:.80}, nor a VM of that name",
        why=error.what,
        next=advice,
    )


def print_explanations(found: Iterable[Explanation], output: str) -> None:
    """Print explanations as lines or as a document."""
    if output == "json":
        from vsmmu.explanation.model import ExplanationDocument

        console.answer(ExplanationDocument(tuple(found)))
    else:
        console.say(*_lines(list(found)))


def _lines(found: list[Explanation]) -> Iterator[console.Line]:
    shown = 0
    for number, entry in enumerate(found):
        if number:
            yield ""
        if entry.line and entry.line != shown and len({each.line for each in found}) > 1:
            yield f"line {entry.line}: {entry.printed}"
        shown = entry.line
        causes = sum(each.line == entry.line for each in found)
        several = f", one of {causes} causes of this sentence" if entry.line and causes > 1 else ""
        yield console.Styled(entry.code, "title"), f": {_KINDS[entry.kind]}{several}"
        for name, text in (
            ("says", entry.says),
            ("cause", entry.cause),
            ("about", entry.about),
            ("since", entry.since),
            ("mend", entry.mend),
            ("costs", entry.costs),
        ):
            if text:
                yield f"  {name:6} {text}"
