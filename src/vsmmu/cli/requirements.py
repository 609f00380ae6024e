# SPDX-License-Identifier: Apache-2.0
"""``--for VM`` of ``vsmmu doctor`` and ``vsmmu report``: features of a VM, and which hosts have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.cli.fleet_inputs import FleetQuestion
    from vsmmu.doctor.requirements import Tally
    from vsmmu.doctor.requirements_model import Answer, FeatureRequirement, HostsAnswer, RequirementsDocument
    from vsmmu.fleet.records import Record
    from vsmmu.machine.vm import Vm
    from vsmmu.versions import Version

__all__ = ["requirements_here", "requirements_of_fleet"]

_SHOWN: Final = 8
_WORDS: Final[dict[Answer, str]] = {
    "fits": "fits",
    "too-old": "too old",
    "missing": "missing",
    "unknown": "unknown",
}


def requirements_here(vm: str, *, quiet: bool, output: str) -> int:
    """Judge this machine by what it has, and print it; the exit status."""
    from vsmmu.api import read_vm_file
    from vsmmu.doctor.observe import newest, observe
    from vsmmu.doctor.requirements import InstalledHost

    read = read_vm_file(vm)
    tally = _tally(vm, read, 1)
    seen = observe()
    qemu, libvirt = newest(seen.qemus), newest(seen.libvirts)
    tally.add(
        InstalledHost(
            seen.host,
            seen.config,
            qemu.features if qemu else None,
            libvirt.version[:2] if libvirt and libvirt.version else None,
            uses_libvirt=read.domain is not None,
        )
    )
    return _print(tally.document(), quiet=quiet, output=output)


def requirements_of_fleet(
    question: FleetQuestion, vm: str, libvirt: str | None, names: int, output: str, refused: str
) -> int:
    """Judge every host by its facts, and print what was counted; the exit status.

    :param libvirt: its version on the hosts; None for the newest known.
    :param refused: an option that was given and has no meaning here; empty if there is none.
    :raise UsageError: ``requirements-form``: there is one.
    """
    from vsmmu.api import read_vm_file
    from vsmmu.cli.fleet_inputs import report_rejects, take_census
    from vsmmu.cli.hosts import read_qemu
    from vsmmu.doctor.requirements import InstalledHost
    from vsmmu.errors import UsageError
    from vsmmu.fleet.census import Census, pool_key
    from vsmmu.fleet.whole_hosts import WholeHostReader

    if refused:
        raise UsageError(
            "requirements-form", f"--for does not go with {refused}", next="leave one of them out"
        )
    read, qemu, version = read_vm_file(vm), read_qemu(question.qemu), _libvirt_version(libvirt)
    tally = _tally(vm, read, names)
    uses_libvirt = read.domain is not None

    def note(record: Record) -> None:
        if record.host is not None:
            tally.add(InstalledHost(record.host, None, qemu.features, version, uses_libvirt))

    census = Census(pool_key(None), 0, latest=question.latest)
    take_census(WholeHostReader(), census, question.hosts, strict=question.strict, note=note)
    report_rejects(census)
    return _print(tally.document(), quiet=False, output=output)


def _libvirt_version(text: str | None) -> Version:
    from vsmmu.libvirt.releases import parse_libvirt_version
    from vsmmu.versions import LATEST_LIBVIRT

    return LATEST_LIBVIRT if text is None else parse_libvirt_version(text)


def _tally(name: str, vm: Vm, keep: int) -> Tally:
    from vsmmu.doctor.requirements import Tally, named_functions
    from vsmmu.qemu.used_features import used_features

    return Tally(name, used_features(vm), named_functions(vm.machine()), keep)


def _print(document: RequirementsDocument, *, quiet: bool, output: str) -> int:
    if output == "json":
        console.answer(document)
    else:
        console.say(*_text(document, quiet=quiet))
    return 0 if document.fits else 1


def _text(document: RequirementsDocument, *, quiet: bool) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    if not document.features:
        yield f"{document.vm}: no iommufd, no arm-smmuv3, nothing else of the kind"
        return
    rows = [row for row in document.features if not quiet or row.answers[0].answer != "fits"]
    if not rows:
        return
    one = document.hosts == 1
    yield from table(
        ("USES", "LINUX", "CONFIGURATION", "QEMU", "LIBVIRT", "HERE" if one else "HOSTS"),
        [
            (row.title, row.kernel, row.config, row.qemu, row.libvirt, _here(row) if one else _counts(row))
            for row in rows
        ],
    )
    if not one:
        yield from _reasons(document)


def _here(row: FeatureRequirement) -> str:
    entry = row.answers[0]
    return _WORDS[entry.answer] + (f": {entry.why}" if entry.why else "")


def _counts(row: FeatureRequirement) -> str:
    counted: dict[Answer, int] = {}
    for entry in row.answers:
        counted[entry.answer] = counted.get(entry.answer, 0) + entry.hosts
    return ", ".join(f"{count:,} {_WORDS[answer]}" for answer, count in counted.items())


def _reasons(document: RequirementsDocument) -> Iterator[console.Line]:
    """Each reason once, with the features that it keeps from whichever hosts."""
    found: dict[HostsAnswer, list[str]] = {}
    for row in document.features:
        for entry in row.answers:
            if entry.why:
                found.setdefault(entry, []).append(row.title)
    for entry, titles in found.items():
        names = entry.names[:_SHOWN]
        more = f" and {entry.hosts - len(names):,} more" if entry.hosts > len(names) else ""
        yield ""
        yield f"{_WORDS[entry.answer]}: {entry.why}"
        yield f"  {', '.join(titles)}: {' '.join(names)}{more}"
