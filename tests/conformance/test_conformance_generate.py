# SPDX-License-Identifier: Apache-2.0
"""Generated cases: reproducible, different, decided by the model, within what a QEMU can hold."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from conformance.batches import generate
from conformance.cases import Expected, Outcome, Run
from conformance.commands import Line, device
from conformance.compare import judge
from conformance.fixed import fixed_runs
from conformance.generate import KINDS
from conformance.guest import Functions
from conformance.hosts import make_host
from conformance.table import into_page, render, tally
from vsmmu.emulate.hardware import Hardware
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.compat import CHECKS
from vsmmu.smmuv3.fields import field

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = dict.fromkeys(KINDS, 2) | {"hot-plug": 1, "packed": 1}


@pytest.fixture(scope="module")
def batch() -> object:
    return generate(7, COUNTS, smmus=12)


def test_a_seed_gives_the_same_batch(batch: object) -> None:
    assert msgspec.json.encode(generate(7, COUNTS, smmus=12)) == msgspec.json.encode(batch)
    assert msgspec.json.encode(generate(8, COUNTS, smmus=12)) != msgspec.json.encode(batch)


def test_runs_have_names_of_their_own_and_every_kind_is_there(batch: object) -> None:
    runs = batch.runs  # type: ignore[attr-defined]
    assert len({run.name for run in runs}) == len(runs)
    assert {run.kind for run in runs} == set(KINDS)


def test_the_model_decides_every_case(batch: object) -> None:
    """Generated hosts are known whole, so that *unknown* would be a mistake of the generator."""
    for run, expected in zip(batch.runs, batch.expected, strict=True):  # type: ignore[attr-defined]
        assert expected.answer != "unknown", run.name
        assert len(expected.steps) == len(run.steps)
        assert expected.answer == "starts" or run.kind not in ("packed", "hot-plug", "sequence", "resolve")


def test_fixed_cases_are_decided_and_different() -> None:
    runs = fixed_runs()
    assert len({(run.argv, str(run.steps)) for run in runs}) > 300
    assert len({run.name for run in runs}) == len(runs)


def test_hosts_meet_every_limit() -> None:
    """Both sides of every check of QEMU occur, and the emulator takes the host."""
    host = make_host(random.Random(1), "many", 400, functions=1)
    for check in CHECKS:
        values = {host.read_field(smmu, check.key).exact for smmu in host.smmus}
        assert len(values) > 1, check.key
        assert None not in values
        assert max(value for value in values if value is not None) <= field(check.key).limit
    assert len(Hardware(host).functions) == 400


def test_a_command_line_is_read_back() -> None:
    line = Line("virt-11.0,gic-version=3")
    bus = line.root()
    line.vsmmu(bus, accel="on", oas="48", ats=None)
    line.vfio(line.port(bus), "0001:02:03.4", ats="off")
    machine = read_words(line.words()).machine()
    assert machine.machine_type == "virt-11.0"
    smmu, endpoint = machine.vsmmus[0], machine.devices[-1]
    assert smmu.properties == {"primary-bus": "p0", "accel": "on", "oas": "48"}
    assert (endpoint.text("host"), endpoint.text("ats"), endpoint.text("bus")) == (
        "0001:02:03.4",
        "off",
        "r0",
    )
    assert device("x", {"a": 1, "b": None}, as_json=True) == '{"driver": "x", "a": 1}'


def test_a_function_is_in_one_qemu_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading
    import time

    from conformance import guest

    inside: list[str] = []
    most = []

    def run(order: dict[str, object]) -> dict[str, object]:
        inside.append("x")
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return {}

    monkeypatch.setattr(guest, "run", run)
    functions = Functions()
    threads = [
        threading.Thread(target=functions.run, args=({"argv": ["host=0001:02:03.4"]},)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def outcome(**changes: object) -> Outcome:
    return msgspec.structs.replace(Outcome("r", started=True, status=0, stderr=""), **changes)


def test_the_table_counts_cases_and_names_what_disagrees() -> None:
    run = Run("r", "kind", ("qemu-system-aarch64",))
    good = judge(run, Expected("starts"), outcome())
    bad = judge(run, Expected("refused", text="no", code="qemu-ril"), outcome())
    said = judge(run, Expected("refused", text="no", code="qemu-ril"), outcome(started=False, stderr="x: no"))
    result = tally([good, bad, said])
    assert result.kinds == {"kind": (3, 1)}
    assert result.messages["qemu-ril"] == 1
    text = render(result)
    assert "r: should be refused with 'no', but starts" in text
    assert [line.split() for line in text.splitlines()][1] == ["kind", "3", "2", "1"]
    assert "rows that differ:\n     1  qemu-ril" in text


def test_what_starts_although_the_model_did_not_know_is_counted() -> None:
    run = Run("r", "kind", ("qemu-system-aarch64",))
    result = tally([judge(run, Expected("unknown"), outcome()), judge(run, Expected("starts"), outcome())])
    assert (result.undecided, result.complaints) == (1, ())


def test_the_table_goes_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- conformance lab -->\nold\n<!-- end of conformance lab -->\nb\n")
    run = Run("r", "kind", ("qemu-system-aarch64",))
    result = tally([judge(run, Expected("starts"), outcome())])
    for _ in range(2):
        into_page(page, result, "lab")
    assert page.read_text().splitlines() == [
        "a",
        "<!-- conformance lab -->",
        "| kind | cases | agreed | disagreed |",
        "|---|---|---|---|",
        "| kind | 1 | 1 | 0 |",
        "| all | 1 | 1 | 0 |",
        "<!-- end of conformance lab -->",
        "b",
    ]
    with pytest.raises(ValueError, match="are not both there"):
        into_page(page, result, "here")


def test_what_is_open_may_go_either_way_but_not_any_way() -> None:
    run = Run("r", "kind", ("qemu-system-aarch64",))
    expected = Expected("unknown", possible=("this",))
    assert not judge(run, expected, outcome()).complaints
    assert not judge(run, expected, outcome(started=False, stderr="x: this")).complaints
    assert judge(run, expected, outcome(started=False, stderr="x: that")).complaints
