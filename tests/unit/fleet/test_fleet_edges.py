# SPDX-License-Identifier: Apache-2.0
"""Edges: hosts without SMMUs, VMs without addresses, files that vanish, pools where nothing holds."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec
import pytest

import examples
from fleet_examples import line, named
from vsmmu.cli.baseline_file import read_baseline
from vsmmu.cli.main import run
from vsmmu.fleet.census import Census, pool_key
from vsmmu.fleet.classes import EVERYTHING, Selection, class_of
from vsmmu.fleet.comparison import compare_hosts
from vsmmu.fleet.drift import changes_of
from vsmmu.fleet.fit import fit_of
from vsmmu.fleet.records import RecordReader
from vsmmu.fleet.report import class_values, report_document
from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import Host
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from pathlib import Path

BARE = Host(schema="vsmmu.host/1", name="bare")
Captured = pytest.CaptureFixture[str]


# --- compare ------------------------------------------------------------------------------------------------


def test_hosts_without_smmus_compare_too() -> None:
    host = examples.host()
    assert compare_hosts(host, BARE, EVERYTHING, LATEST).verdict == "incompatible"
    assert compare_hosts(BARE, host, EVERYTHING, LATEST).verdict == "superset"
    assert compare_hosts(BARE, BARE, EVERYTHING, LATEST).verdict == "identical"


def test_only_selected_smmus_are_compared() -> None:
    other = Selection("10de", "2941")
    assert (
        compare_hosts(builtin_host("gb200"), builtin_host("thunderx2"), other, LATEST).verdict
        == "incompatible"
    )
    assert (
        compare_hosts(builtin_host("thunderx2"), builtin_host("gb200"), other, LATEST).verdict == "superset"
    )


def test_the_closest_smmu_of_b_counts_and_the_worst_of_a() -> None:
    a = examples.host(examples.smmu("a"), examples.smmu("low", oas=44))
    both = examples.host(examples.smmu("x", oas=44), examples.smmu("y"))
    low = examples.host(examples.smmu("x", oas=44))
    assert compare_hosts(a, both, EVERYTHING, LATEST).verdict == "identical"
    assert compare_hosts(a, low, EVERYTHING, LATEST).verdict == "incompatible"
    assert compare_hosts(low, both, EVERYTHING, LATEST).verdict == "identical"


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ({"oas": 52}, {"oas": 48}, "identical"),
        ({"ssidsize": 31}, {"ssidsize": 20}, "identical"),
        ({"IDR1_SIDSIZE": 32}, {"IDR1_SIDSIZE": 16}, "identical"),
        ({"IDR1_SIDSIZE": 16}, {"IDR1_SIDSIZE": 15}, "incompatible"),
        ({"IDR0_TTENDIAN": 2}, {"IDR0_TTENDIAN": 0}, "identical"),
        ({"oas": 44}, {"oas": 48}, "superset"),
        ({"ril": None}, {"ril": 0}, "unknown"),
        ({"ril": None}, {"ril": 1}, "superset"),
        ({"cmdqv": 1}, {"cmdqv": 0}, "incompatible"),
    ],
)
def test_what_counts_is_what_a_vm_could_notice(
    a: dict[str, int | None], b: dict[str, int | None], verdict: str
) -> None:
    first, second = (examples.host(examples.smmu(**facts)) for facts in (a, b))  # type: ignore[arg-type]
    document = compare_hosts(first, msgspec.structs.replace(second, name="other"), EVERYTHING, LATEST)
    fields = {field.verdict for field in document.smmus[0].fields}
    assert verdict in fields
    assert document.verdict == verdict


def test_smmus_and_functions_that_come_and_go_are_changes() -> None:
    before = examples.host(examples.smmu("a"), examples.function("0000:01:00.0", "a"))
    after = examples.host(examples.smmu("b"), examples.function("0000:02:00.0", "b"))
    found = {(change.where, change.what, change.before, change.after) for change in changes_of(before, after)}
    assert found == {
        ("a", "SMMU", "there", ""),
        ("b", "SMMU", "", "there"),
        ("0000:01:00.0", "function", "there", ""),
        ("0000:02:00.0", "function", "", "there"),
    }
    assert list(changes_of(before, before)) == []


def test_what_became_known_is_a_change() -> None:
    before, after = (examples.host(examples.smmu(ril=ril, cmdqv=ril)) for ril in (None, 1))
    assert [(change.what, change.before, change.after) for change in changes_of(before, after)] == [
        ("IDR3.RIL", "?", "yes"),
        ("cmdqv", "?", "1"),
    ]


# --- would it start -----------------------------------------------------------------------------------------


def test_a_function_without_an_address_is_asked_about_too() -> None:
    machine = examples.vm(
        "ats=on,ril=off,ssidsize=20,oas=48", examples.port(1), "-device vfio-pci,fd=7,bus=rp1,iommufd=i0,id=v"
    )
    assert fit_of(machine, class_of(examples.host()), LATEST).answer == "starts"
    assert fit_of(machine, class_of(examples.host(examples.smmu(oas=44))), LATEST).code == "qemu-oas"


def test_a_vm_that_fails_later_does_not_fit() -> None:
    early = examples.options(
        "-M virt -accel kvm -bios fw -nodefaults -object iommufd,id=i0",
        examples.port(1, "pcie.0"),
        examples.vfio("0000:01:00.0", 1),
        "-device arm-smmuv3,primary-bus=pcie.0,id=s,accel=on,ats=on,ril=on,ssidsize=0,oas=44",
    )
    assert fit_of(early, class_of(examples.host()), LATEST).answer == "refused"


def test_of_a_host_with_several_smmus_the_best_counts() -> None:
    machine = examples.vm("ats=on,ril=on,ssidsize=20,oas=48")
    mixed = examples.host(examples.smmu("a", oas=44), examples.smmu("b"))
    assert fit_of(machine, class_of(mixed), LATEST).answer == "starts"
    assert fit_of(machine, class_of(BARE), LATEST).code == "no-smmu"


# --- files --------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_one_bad_record_of_its_directory(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.json").write_bytes(line(named(builtin_host("gh200"), name)))
    really = os.open

    def refuse(path: str, *arguments: int) -> int:
        if path.endswith("b.json"):
            raise PermissionError(13, "Permission denied", path)
        return really(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    assert run(["baseline", "-o", "json", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["hosts"], document["refused"]) == (2, 1)
    assert run(["baseline", "--strict", str(tmp_path)]) == 4
    assert run(["baseline", str(tmp_path / "b.json")]) == 4


def test_a_baseline_may_have_a_mark_in_its_name(tmp_path: Path, capsys: Captured) -> None:
    run(["baseline", "-o", "json", "builtin:gh200"])
    path = tmp_path / "pool#1.json"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert read_baseline(str(path)).values["oas"] == 48


# --- answers ------------------------------------------------------------------------------------------------


def test_pools_where_nothing_holds_are_told(capsys: Captured) -> None:
    arguments = ["--pool", "title", "builtin:gb10", "builtin:gh200"]
    assert run(["baseline", *arguments]) == 1
    text = capsys.readouterr().out
    assert "pool NVIDIA GB10 (DGX Spark): 1 host" in text
    assert "no values hold" in text
    assert run(["baseline", "-o", "libvirt", *arguments]) == 1
    assert "<!-- no values hold -->" in capsys.readouterr().out


def test_a_report_on_bare_hosts_is_a_report() -> None:
    assert set(class_values(class_of(BARE)).values()) == {"-"}
    reader, census = RecordReader(), Census(pool_key(None), before={"bare": 0, "other": 0})
    for host in (named(builtin_host("gh200"), "bare"), named(BARE, "bare"), named(BARE, "other")):
        census.add(reader.read(line(host), "x"), "x")
    report = report_document(census, reader.classes, LATEST, title="t", made_at="", compared=True)
    assert [(move.hosts, move.names, move.fields) for move in report.moves] == [(2, ("bare", "other"), ())]


def test_the_latest_record_takes_the_place_of_the_earlier() -> None:
    reader, census = RecordReader(), Census(pool_key(None), latest=True)
    for name, day in (("gh200", "1"), ("gb200", "3"), ("altra", "2")):
        census.add(reader.read(line(named(builtin_host(name), "n", taken_at=day)), "x"), "x")
    ((kind, group),) = census.pools[""].items()
    assert reader.classes[kind].fingerprint == class_of(builtin_host("gb200")).fingerprint
    assert (group.names, group.topologies, census.records, census.replaced) == (["n"], [1], 1, 2)
