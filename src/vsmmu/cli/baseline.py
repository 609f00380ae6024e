# SPDX-License-Identifier: Apache-2.0
"""``vsmmu baseline``: the values that hold on all of these hosts, and which hosts cost what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vsmmu.cli import console
from vsmmu.cli.fleet_inputs import FleetQuestion, counted
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.fleet.documents import BaselineDocument, DriftStep, PoolBaseline

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu baseline builtin:gh200 builtin:gb200
  vsmmu baseline -o json facts/ > pool.json && vsmmu resolve --baseline pool.json vm.sh
  vsmmu baseline --pool kernel hosts.jsonl
  vsmmu baseline --device 10de:2941 -o libvirt facts/
  kubectl get nodefeatures -A -o json | vsmmu baseline -
"""


@click.command("baseline", epilog=_EXAMPLES)
@parameters("baseline", FleetQuestion)
def command(question: FleetQuestion, assume_safe: bool, output: str) -> int:
    """Say which values hold on all hosts, and without which hosts more would.

    HOST is a facts file, a directory of them, JSON Lines (one host a line), a list of NodeFeatures as
    kubectl prints it, - for standard input, live, or builtin:NAME. Exit status 1 if there are hosts on which
    no written values make a VM start; these are named, and the values hold on the others.
    """
    from vsmmu.cli.fleet_inputs import report_rejects, take_census
    from vsmmu.cli.hosts import read_qemu
    from vsmmu.fleet.census import Census, pool_key
    from vsmmu.fleet.classes import parse_selection
    from vsmmu.fleet.records import RecordReader

    qemu = read_qemu(question.qemu)
    selection = parse_selection(question.device)
    reader = RecordReader(selection)
    census = Census(pool_key(question.pool), latest=question.latest)
    take_census(reader, census, question.hosts, strict=question.strict, pool=question.pool)
    report_rejects(census)
    from vsmmu.fleet.baseline import baseline_document

    document = baseline_document(census, reader.classes, qemu, str(selection), assume_safe=assume_safe)
    if output == "json":
        console.answer(document)
    elif output in ("qemu", "libvirt"):
        lines = _qemu(document) if output == "qemu" else _libvirt(document)
        console.raw("".join(f"{line}\n" for line in lines))
    else:
        console.say(*_text(document))
    return 0 if all(pool.holds for pool in document.pools) else 1


def _qemu(document: BaselineDocument) -> Iterator[str]:
    for pool in document.pools:
        yield f"{pool.pool}\t{pool.device}" if len(document.pools) > 1 else pool.device


def _libvirt(document: BaselineDocument) -> Iterator[str]:
    for pool in document.pools:
        if len(document.pools) > 1:
            yield f"<!-- {pool.pool.replace('--', '- -')} -->"
        yield pool.libvirt or "<!-- no values hold -->"


def _text(document: BaselineDocument) -> Iterator[console.Line]:
    for number, pool in enumerate(document.pools):
        if number:
            yield ""
        yield from _pool(pool, document.qemu)


def _pool(pool: PoolBaseline, qemu: str) -> Iterator[console.Line]:
    from vsmmu.smmuv3.properties import PROPERTIES

    title = f"pool {pool.pool}: " if pool.pool else ""
    kinds = counted(len(pool.classes), "class", "classes")
    yield f"{title}{counted(pool.hosts)} of {kinds}, QEMU {qemu}: {pool.answers.spell()}"
    if pool.values:
        lost = sum(entry.hosts for entry in pool.left_out if entry.answer != "absent")
        whose = f"all but {counted(lost)} are" if lost else "all of them are" if pool.hosts > 1 else "it is"
        yield "  ", console.Styled(pool.device, "title"), f" is the most that {whose} known to offer"
    else:
        yield "  no values hold: on none of them would a VM with written values start"
    for step in pool.steps:
        if PROPERTIES[step.property].source:
            yield f"  {_step(step)}"
    for entry in (entry for entry in pool.left_out if entry.answer != "absent"):
        yield f"  left out: {counted(entry.hosts)} {_names(entry.names, entry.hosts)}: {entry.reason}"
        yield f"    class {entry.kind} [{entry.code}]"
    unproven = sum(entry.hosts for entry in pool.unproven)
    if unproven:
        needs = dict.fromkeys(need for entry in pool.unproven for need in entry.needs)
        names = tuple(name for entry in pool.unproven for name in entry.names)
        whom = f"{counted(unproven)} {_names(names, unproven)}"
        yield f"  to probe: {whom}; not known there: {', '.join(needs)}"


def _step(step: DriftStep) -> str:
    cost = f"{counted(step.hosts)} {_names(step.names, step.hosts)}"
    text = f"without {cost} {step.property}={step.value} would hold"
    if step.unknown == step.hosts:
        return f"{text} (not known there; vsmmu probe says)"
    return f"{text} (not known on {step.unknown} of them)" if step.unknown else text


def _names(names: tuple[str, ...], count: int) -> str:
    shown = ", ".join(names[:3])
    return f"({shown}, ...)" if count > 3 else f"({shown})"
