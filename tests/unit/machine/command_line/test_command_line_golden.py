# SPDX-License-Identifier: Apache-2.0
"""Real command lines: what machine they describe, and what an edit makes of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vsmmu.diagnostic import Edit
from vsmmu.machine.command_line.argv import CommandLine, read_source
from vsmmu.machine.command_line.options import OPTIONS
from vsmmu.machine.topology import Topology

GOLDEN = Path(__file__).parents[3] / "golden" / "argv"
CASES = sorted(path.stem for path in GOLDEN.glob("*.in"))
VALUES = {"ats": "on", "ril": "off", "ssidsize": "20", "oas": "48"}


def load(case: str) -> CommandLine:
    data = (GOLDEN / f"{case}.in").read_bytes()
    return read_source(data, f"{case}.in", lambda name: (GOLDEN / name).read_bytes())


def edits(line: CommandLine) -> list[Edit]:
    """What is absent or auto on each vSMMU."""
    return [
        Edit(vsmmu.number, name, value)
        for vsmmu in line.machine().vsmmus
        for name, value in VALUES.items()
        if vsmmu.text(name) in ("", "auto")
    ]


def summary(line: CommandLine) -> dict[str, object]:
    machine = line.machine()
    topology = Topology.of(machine)
    return {
        **{
            key: value
            for key, value in machine._asdict().items()
            if key not in ("devices", "objects", "globals", "backends", "files")
        },
        "backends": {key: sorted(names) for key, names in (machine.backends or {}).items() if names},
        "files": [file.path for file in machine.files],
        "objects": [[entry.qom_type, entry.id, entry.properties] for entry in machine.objects],
        "globals": [list(entry[:3]) for entry in machine.globals],
        "devices": [
            [
                device.name,
                device.driver,
                device.form,
                device.properties,
                topology.root_of(device),
                device.origin.place,
            ]
            for device in machine.devices
        ],
    }


def compare(path: Path, text: str) -> None:
    if os.environ.get("VSMMU_REGENERATE"):
        path.write_bytes(text.encode())
    assert path.read_bytes().decode() == text


@pytest.mark.parametrize("case", CASES)
def test_unedited_comes_back_byte_for_byte(case: str) -> None:
    assert load(case).text().encode() == (GOLDEN / f"{case}.in").read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_edited(case: str) -> None:
    line = load(case)
    compare(GOLDEN / f"{case}.out", line.edit(edits(line)).text())


@pytest.mark.parametrize("case", CASES)
def test_machine(case: str) -> None:
    compare(GOLDEN / f"{case}.json", json.dumps(summary(load(case)), indent=1) + "\n")


@pytest.mark.parametrize("case", CASES)
def test_edits_are_read_back_and_settle(case: str) -> None:
    line = load(case)
    after = line.edit(edits(line))
    assert edits(after) == []
    for vsmmu in after.machine().vsmmus:
        for name, value in VALUES.items():
            before = line.machine().devices[vsmmu.number].text(name)
            assert vsmmu.text(name) == (value if before in ("", "auto") else before)


def test_option_table_is_that_of_the_binary() -> None:
    lines = (GOLDEN / "qemu-11.1.3-options.txt").read_text().splitlines()
    table = dict(line.split() for line in lines if not line.startswith("#"))
    assert {name: argument == "argument" for name, argument in table.items()} == OPTIONS
