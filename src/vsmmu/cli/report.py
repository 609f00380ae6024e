# SPDX-License-Identifier: Apache-2.0
"""``vsmmu report``: many hosts on one page, or as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.fleet_inputs import FleetQuestion, counted
from vsmmu.cli.options import parameters
from vsmmu.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.fleet.documents import ReportDocument
    from vsmmu.fleet.records import Record, RecordReader
    from vsmmu.qemu.versions import Qemu

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu report -o html facts/ > pool.html
  vsmmu report --since monday.jsonl friday.jsonl
  vsmmu report --for vm.sh facts/    the least Linux, QEMU, libvirt for what this VM uses; who has it
  vsmmu report -o csv hosts.jsonl | sort -t, -k3
  kubectl get nodefeatures -A -o json | vsmmu report --pool topology.kubernetes.io/zone -o html - > zones.html
"""
#: What a spreadsheet takes for a formula begins with these, also after blanks or in their wide forms.
_FORMULA: Final = ("=", "+", "-", "@", "\N{MINUS SIGN}")


@click.command("report", epilog=_EXAMPLES)
@parameters("report", FleetQuestion)
def command(
    question: FleetQuestion,
    vm: str | None,
    libvirt: str | None,
    since: tuple[str, ...],
    title: str,
    names: int,
    output: str,
) -> int:
    """Show a fleet: which values hold, which hosts hold them back, classes, fields, drift, topologies.

    HOST is as for baseline. html is one page without any link to elsewhere; csv has a line for each host.
    With --for: the features that a VM uses, and which hosts have them; exit status 1 unless all are known to.
    """
    if vm is not None:
        from vsmmu.cli.requirements import requirements_of_fleet

        form = f"-o {output}" if output in ("html", "csv") else ""
        given = ("--since", since), ("--pool", question.pool), ("--device", question.device), (form, form)
        refused = next((option for option, value in given if value), "")
        return requirements_of_fleet(question, vm, libvirt, names, output, refused)
    return _report(question, since, title, names, output)


def _report(question: FleetQuestion, since: tuple[str, ...], title: str, names: int, output: str) -> int:
    from vsmmu.cli.fleet_inputs import report_rejects, take_census
    from vsmmu.cli.hosts import read_qemu
    from vsmmu.fleet.census import Census, pool_key
    from vsmmu.fleet.classes import parse_selection
    from vsmmu.fleet.records import RecordReader

    qemu, selection = read_qemu(question.qemu), parse_selection(question.device)
    reader = RecordReader(selection)
    before = _earlier(reader, since, strict=question.strict) if since else None
    pool_of = pool_key(question.pool)
    census = Census(pool_of, names, before, latest=question.latest)
    note = _csv_writer(reader, qemu) if output == "csv" else None
    take_census(reader, census, question.hosts, strict=question.strict, pool=question.pool, note=note)
    report_rejects(census)
    if output == "csv":
        return 0
    from vsmmu.fleet.report import report_document

    document = report_document(
        census,
        reader.classes,
        qemu,
        title=title,
        made_at=_now(),
        selection=str(selection),
        compared=before is not None,
    )
    if output == "html":
        from vsmmu.fleet.page import page

        console.raw(page(document, reader.topologies))
    elif output == "json":
        console.answer(document)
    else:
        console.say(*_text(document))
    return 0


def _earlier(reader: RecordReader, since: tuple[str, ...], *, strict: bool) -> dict[str, int]:
    """The class that each host had before, by name."""
    from vsmmu.cli.fleet_inputs import report_rejects, take_census
    from vsmmu.fleet.census import Census, pool_key

    known: dict[str, int] = {}
    census = Census(pool_key(None), 0)

    def note(record: Record) -> None:
        known[record.name] = record.kind

    take_census(reader, census, since, strict=strict, note=note)
    report_rejects(census)
    return known


def _csv_writer(reader: RecordReader, qemu: Qemu) -> Callable[[Record], None]:
    """Write a line for each host while they are read, so that memory does not grow."""
    import csv

    from vsmmu.fleet.baseline import offer_of
    from vsmmu.fleet.report import class_values
    from vsmmu.smmuv3.properties import PROPERTIES

    writer = csv.writer(_Out(), lineterminator="\n")
    head = ("host", "class", "title", "answer", "why", "kernel", "taken_at")
    writer.writerow((*head, *PROPERTIES))
    known: dict[int, tuple[tuple[str, str], list[str]]] = {}

    def write(record: Record) -> None:
        kind = reader.classes[record.kind]
        if record.kind not in known:
            fit = offer_of(kind, qemu).fit
            known[record.kind] = (fit.answer, fit.text), list(class_values(kind).values())
        verdict, values = known[record.kind]
        head = (record.name, kind.fingerprint, record.title, *verdict, record.kernel, record.taken_at)
        writer.writerow(map(_inert, (*head, *values)))

    return write


class _Out:
    """stdout as the csv module wants a file; the last lines are written when the program ends."""

    def write(self, text: str) -> None:
        console.raw(text, more=True)


def _inert(text: str) -> str:
    """The cell without control characters, and as a text (a quote in front) where it would be a formula.

    So is every part of it: in much of the world a spreadsheet begins a cell behind a semicolon, too.
    """
    from unicodedata import normalize

    parts = visible(text).split(";")
    return ";".join([f"'{x}" if normalize("NFKC", x).lstrip().startswith(_FORMULA) else x for x in parts])


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _text(document: ReportDocument) -> Iterator[console.Line]:
    from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

    names = [entry.name for entry in REGISTER_PROPERTIES if document.classes]
    yield f"{counted(document.hosts)}, QEMU {document.qemu}: {document.answers.spell()}"
    yield ""
    yield from _pools(document, names)
    yield ""
    yield from _classes(document, names)
    if document.probe:
        yield ""
        yield from _to_probe(document)
    if document.compared:
        yield ""
        yield from _moves(document)


def _pools(document: ReportDocument, names: list[str]) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    pools = any(pool.pool for pool in document.pools)
    yield console.Styled(
        "Values: the most that can be written and that all usable hosts are known to offer", "title"
    )
    yield from table(
        (
            *(("POOL",) if pools else ()),
            *("HOSTS", "CLASSES", *map(str.upper, names), "PROVEN", "NOT-PROVEN", "REFUSED"),
        ),
        [
            (
                *((pool.pool,) if pools else ()),
                *(f"{pool.hosts}", f"{len(pool.classes)}", *(pool.values.get(name, "-") for name in names)),
                *(f"{pool.answers.starts}", f"{pool.answers.unknown}", f"{pool.answers.refused}"),
            )
            for pool in document.pools
        ],
    )


def _classes(document: ReportDocument, names: list[str]) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    yield console.Styled(
        "Classes: hosts whose SMMUs can do the same, and which values they hold back", "title"
    )
    yield from table(
        ("CLASS", "HOSTS", *map(str.upper, names), "VSMMU", "BACK", "NAME"),
        [
            (
                entry.kind,
                str(entry.hosts),
                *(entry.values[name] for name in names),
                entry.answer,
                ",".join(entry.holds_back),
                entry.name,
            )
            for entry in document.classes
        ],
    )


def _to_probe(document: ReportDocument) -> Iterator[console.Line]:
    names = {entry.kind: entry.name for entry in document.classes}
    yield console.Styled(
        "To probe: nothing speaks against a start there, and these facts would prove it", "title"
    )
    for group in document.probe:
        more = f" and {group.hosts - len(group.names):,} more" if group.hosts > len(group.names) else ""
        yield f"{names[group.kind]}: {', '.join(group.needs)}"
        yield f"  {group.hosts:,}: {' '.join(group.names)}{more}"


def _moves(document: ReportDocument) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    yield console.Styled("Changed since the earlier facts", "title")
    yield from table(
        ("FROM", "TO", "HOSTS", "CHANGED"),
        [
            (
                move.before,
                move.after,
                str(move.hosts),
                " ".join(f"{field.field}:{field.a}->{field.b}" for field in move.fields),
            )
            for move in document.moves
        ],
    )
