# SPDX-License-Identifier: Apache-2.0
"""``vsmmu explain``: the rule, the sources and the alternatives of each value; or what a message means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.cli.inputs import Inputs
    from vsmmu.cli.plain_form import Question
    from vsmmu.host.evidence import Evidence
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.result import PropertyResolution, Resolution, Source, VsmmuResolution

__all__ = ["EXAMPLES", "command"]

EXAMPLES: Final = """\b
Examples:
  vsmmu explain --host builtin:gb200 vm.sh
  vsmmu explain qemu-no-cold-plug
  vsmmu explain "Host SMMUv3 doesn't support Range Invalidation"
  journalctl -b | vsmmu explain
  vsmmu explain --qemu 11.0 --host facts.json -o json vm.sh | jq '.vsmmus[].properties[]'
"""


def command(question: Question, output: str) -> int:
    """Say for each value where it comes from, by which rule, and what other values would do.

    Each alternative is tried in the model of QEMU. Takes the same VM and options as resolve. Exit status 1
    if something cannot be resolved.

    In place of a VM: a code, such as qemu-ril; a sentence of QEMU, libvirt or the kernel; or a log with such
    sentences. Then cause, register or rule, version, remedy and its price are printed, and no host is asked.
    """
    if question.words is not None:
        return _explain_vm(question, None, output)
    from vsmmu.cli.explain_message import explanations_of_name, print_explanations, read_text

    found = explanations_of_name(question)
    text = read_text(question) if found is None else None
    if text is not None and text.vm is None:
        found = text.explanations
    if found is not None:
        print_explanations(found, output)
        return 0
    return _explain_vm(question, None if text is None else text.vm, output)


def _explain_vm(question: Question, vm: Vm | None, output: str) -> int:
    from vsmmu.policy.alternatives import with_alternatives
    from vsmmu.policy.resolver import resolve

    vm, machine, host, qemu, options = _inputs(question, vm)
    resolution = resolve(vm, host, qemu, options)
    resolution = with_alternatives(resolution, machine, host, qemu, options)
    if output == "json":
        from vsmmu.cli.documents import resolution_document

        console.answer(resolution_document(resolution, machine))
    else:
        from vsmmu.cli.explain_needs import needs_lines

        footnotes: dict[Evidence, int] = {}
        needs = needs_lines(machine, host, options.functions, footnotes)
        console.say(*_text(resolution, needs, footnotes, assumed=question.qemu is None))
    return 1 if resolution.problems else 0


def _inputs(question: Question, vm: Vm | None) -> Inputs:
    """The inputs; where there is no VM of that name, the code that it may be meant to be."""
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.errors import HostLacks

    try:
        return read_inputs(question, vm)
    except HostLacks as error:
        if vm is not None or question.file is None:
            raise
        from vsmmu.cli.explain_message import with_nearest_code

        raise with_nearest_code(error, question.file) from None


def _text(
    resolution: Resolution, needs: Iterator[console.Line], footnotes: dict[Evidence, int], *, assumed: bool
) -> Iterator[console.Line]:
    how = " (assumed; --qemu says another)" if assumed else ""
    yield f"host {resolution.host}, QEMU {resolution.qemu}{how}, {resolution.machine_type}"
    yield f"policy {resolution.policy}"
    for vsmmu in resolution.vsmmus:
        yield from _vsmmu(vsmmu, footnotes)
    yield from needs
    if footnotes:
        yield ""
        yield from (f"[{number}] {_evidence(entry)}" for entry, number in footnotes.items())
    if resolution.notes:
        yield ""
        yield from (f"note: {note}" for note in resolution.notes)
    for problem in resolution.problems:
        yield ""
        yield from console.diagnosis(problem)
    if resolution.verdict is not None and not resolution.problems:
        yield ""
        yield _conclusion(resolution)


def _conclusion(resolution: Resolution) -> str:
    values = "with these values" if resolution.edits else "as it is written"
    known = resolution.verdict is not None and resolution.verdict.answer == "starts"
    return f"{values}, QEMU {resolution.qemu} starts{'' if known else ' as far as is known'}"


def _vsmmu(vsmmu: VsmmuResolution, footnotes: dict[Evidence, int]) -> Iterator[console.Line]:
    yield ""
    behind = ", ".join(vsmmu.endpoints) or "no endpoint"
    yield console.Styled(f"{vsmmu.device} on {vsmmu.primary_bus}", "title"), f" for {behind}"
    for entry in vsmmu.properties:
        yield ""
        yield from _property(entry, footnotes)


def _property(entry: PropertyResolution, footnotes: dict[Evidence, int]) -> Iterator[console.Line]:
    head = f"{entry.name}={entry.value}" if entry.value else f"{entry.name} ?"
    yield "  ", console.Styled(f"{head:14}", "title"), f" {entry.action}: {entry.why} ({entry.rule})"
    for source in entry.sources[:_MOST_SOURCES]:
        yield _source(source, footnotes)
    if len(entry.sources) > _MOST_SOURCES:
        yield f"    and {len(entry.sources) - _MOST_SOURCES} more host SMMUs"
    if entry.qemu_auto:
        yield f"    QEMU's own auto: {entry.qemu_auto}"
    for other in entry.alternatives:
        effect = other.effect.replace("\n", "; ")
        yield f"    {entry.name}={other.value}: {effect}"


def _source(source: Source, footnotes: dict[Evidence, int]) -> str:
    word = f" of {source.word}" if source.word else ""
    where = f" ({', '.join(source.functions[:3])})" if source.functions else ""
    number = footnotes.setdefault(source.evidence, len(footnotes) + 1)
    kind = source.evidence.kind
    return f"    {source.field}{source.bits}{word} = {source.value}: {source.smmu}{where}, {kind} [{number}]"


def _evidence(evidence: Evidence) -> str:
    detail = f": {evidence.detail}" if evidence.detail else ""
    return f"{evidence.kind}: {evidence.source}{detail}"


_MOST_SOURCES = 4
