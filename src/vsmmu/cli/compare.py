# SPDX-License-Identifier: Apache-2.0
"""``vsmmu compare``: compare two hosts, place a VM on a pool of hosts, or show drift between two dates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.fleet_inputs import FleetQuestion, counted
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.errors import UsageError
    from vsmmu.fleet.documents import Answer, ComparisonDocument, PlacementDocument
    from vsmmu.fleet.records import Record, RecordReader
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu compare builtin:gb200 builtin:gh200        would what runs on gb200 run on gh200?
  vsmmu compare monday/node7.json friday/node7.json           what changed on node7
  vsmmu compare --for vm.sh facts/                 which hosts can run this VM?
  vsmmu compare --for vm.sh -o hosts hosts.jsonl | sort
  vsmmu compare --for vm.sh -o hosts --answer unknown hosts.jsonl    which hosts to probe
"""
_COLOURS: Final[dict[str, console.Meaning]] = {
    "identical": "good",
    "superset": "good",
    "incompatible": "error",
    "unknown": "unknown",
}


@click.command("compare", epilog=_EXAMPLES)
@parameters("compare", FleetQuestion)
def command(
    question: FleetQuestion,
    vm: str | None,
    answers: tuple[Answer, ...],
    every: bool,
    assume_safe: bool,
    output: str,
) -> int:
    """Compare two hosts, A with B, or with --for a VM with many hosts.

    B is identical to A, a superset of it, or incompatible: some VM that runs on A fails on B. If A and B are
    two states of the same host, every change is listed. Exit status 0 if what runs on A runs on B (with
    --for: if every host can run the VM that has the --device), 1 if not or if it is not known.
    """
    from vsmmu.api import read_vm_file
    from vsmmu.cli.hosts import read_qemu

    if answers and (vm is None or output != "hosts"):
        raise _without_hosts()
    qemu = read_qemu(question.qemu)
    if vm is not None:
        good: tuple[Answer, ...] = ("starts", "unknown") if assume_safe else ("starts",)
        listed = answers or good
        return _place(question, read_vm_file(vm).passed_on(), vm, qemu, output, good=good, listed=listed)
    document = _compare(question, qemu, output)
    if output == "json":
        console.answer(document)
    else:
        console.say(*_comparison(document, every=every))
    return 0 if document.verdict in ("identical", "superset") else 1


def _without_hosts() -> UsageError:
    from vsmmu.errors import UsageError

    return UsageError(
        "answer-without-hosts",
        "--answer says which hosts to list",
        why="there is no list without --for and -o hosts",
        next="vsmmu compare --for VM -o hosts --answer unknown HOST...",
    )


def _compare(question: FleetQuestion, qemu: Qemu, output: str) -> ComparisonDocument:
    from vsmmu.cli.fleet_inputs import single_host
    from vsmmu.errors import UsageError
    from vsmmu.fleet.classes import parse_selection
    from vsmmu.fleet.comparison import compare_hosts

    if len(question.hosts) != 2 or output == "hosts":
        raise UsageError(
            "two-hosts",
            "compare takes two hosts",
            why=f"{len(question.hosts)} given",
            next="vsmmu compare A B; or which of many hosts can run a VM: vsmmu compare --for VM HOST...",
        )
    first, second = (single_host(spec) for spec in question.hosts)
    return compare_hosts(first, second, parse_selection(question.device), qemu)


def _comparison(document: ComparisonDocument, *, every: bool) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    yield f"A {document.a}, B {document.b}, QEMU {document.qemu}"
    for pair in document.smmus:
        yield ""
        yield f"A: {_smmus(pair.a_smmus)}, class {pair.a}"
        yield f"B: {_smmus(pair.b_smmus)}, class {pair.b}" if pair.b else "B: no SMMU is known"
        fields = [field for field in pair.fields if every or field.verdict != "identical"]
        if fields:
            yield from table(("FIELD", "A", "B", "B IS"), [(f.field, f.a, f.b, f.verdict) for f in fields])
    if document.changes:
        yield ""
        rows = [(entry.where or "host", entry.what, entry.before, entry.after) for entry in document.changes]
        yield from table(("CHANGED", "WHAT", "BEFORE", "NOW"), rows)
    yield ""
    verdict = console.Styled(document.verdict, _COLOURS[document.verdict])
    yield "B is ", verdict, _MEANING[document.verdict]


_MEANING = {
    "identical": " to A",
    "superset": ": what runs on A runs on B",
    "incompatible": ": a VM that runs on A can fail on B",
    "unknown": ": the facts do not settle it (vsmmu probe on B)",
}


def _smmus(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _place(
    question: FleetQuestion,
    machine: Machine,
    vm: str,
    qemu: Qemu,
    output: str,
    *,
    good: tuple[Answer, ...],
    listed: tuple[Answer, ...],
) -> int:
    from vsmmu.cli.fleet_inputs import report_rejects, take_census
    from vsmmu.fleet.census import Census, pool_key
    from vsmmu.fleet.classes import parse_selection
    from vsmmu.fleet.comparison import placement
    from vsmmu.fleet.records import RecordReader

    reader = RecordReader(parse_selection(question.device))
    census = Census(pool_key(question.pool), latest=question.latest)
    note = _Printer(reader, machine, qemu, listed) if output == "hosts" else None
    take_census(reader, census, question.hosts, strict=question.strict, pool=question.pool, note=note)
    report_rejects(census)
    document = placement(machine, vm, census, reader.classes, qemu, good)
    if output == "json":
        console.answer(document)
    elif output == "text":
        console.say(*_placement(document))
    return 0 if 0 < document.fitting == document.answers.asked else 1


class _Printer:
    """Print the name of each host on which the VM has one of these answers, as it is read."""

    def __init__(
        self, reader: RecordReader, machine: Machine, qemu: Qemu, listed: tuple[Answer, ...]
    ) -> None:
        self._reader = reader
        self._machine = machine
        self._qemu = qemu
        self._listed = listed
        self._fits: dict[int, bool] = {}

    def __call__(self, record: Record) -> None:
        fits = self._fits.get(record.kind)
        if fits is None:
            from vsmmu.fleet.fit import fit_of

            fit = fit_of(self._machine, self._reader.classes[record.kind], self._qemu)
            fits = self._fits[record.kind] = fit.answer in self._listed
        if fits:
            console.say(record.name)


def _placement(document: PlacementDocument) -> Iterator[str]:
    from vsmmu.cli.table import table

    pools = any(entry.pool for entry in document.classes)
    rows = [
        (
            *((entry.pool,) if pools else ()),
            entry.kind,
            f"{entry.hosts}",
            entry.answer,
            ",".join(entry.names[:3]) + (",..." if entry.hosts > 3 else ""),
            entry.reason,
        )
        for entry in document.classes
    ]
    yield from table((*(("POOL",) if pools else ()), "CLASS", "HOSTS", "VM", "NAMES", "WHY"), rows)
    yield ""
    yield f"{counted(document.hosts)}, by the model of QEMU {document.qemu}: {document.answers.spell()}"
    yield f"{document.fitting:,} of {document.answers.asked:,} can run it"
