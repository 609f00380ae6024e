# SPDX-License-Identifier: Apache-2.0
"""A report on a mixed pool: proven, not proven and refused, alike in every form and for a VM."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from fleet_examples import line, named, taken
from vsmmu.cli.main import run
from vsmmu.fleet.report import class_names, report_document
from vsmmu.host.builtin import builtin_host
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.host.facts import Host

#: 200 hosts; of these kinds nobody knows whether they start (83), that they do (100), that they do not (17).
MIXED = {"gb200": 100, "gh200": 50, "altra": 20, "thunderx2": 13, "gb10": 12, "no-nesting": 5}
NOT_PROVEN = ("gh200", "altra", "thunderx2")
VM = (
    "qemu-system-aarch64 -M virt,accel=kvm -cpu host -bios AAVMF.fd -nodefaults -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,ats=off,ril=off,ssidsize=0,oas=44 "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)
Captured = pytest.CaptureFixture[str]


def hosts() -> list[Host]:
    return [
        named(builtin_host(kind), f"{kind}-{number:03}")
        for kind, count in MIXED.items()
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mixed") / "hosts.jsonl"
    path.write_bytes(b"".join(line(host) for host in hosts()))
    return str(path)


def answer(capsys: Captured, *arguments: str) -> str:
    run(list(arguments))
    return capsys.readouterr().out


def report(capsys: Captured, pool: str, *more: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer(capsys, "report", "-o", "json", *more, pool))
    return document


def rows(capsys: Captured, pool: str, *more: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer(capsys, "report", "-o", "csv", *more, pool))))


def test_the_headline_has_three_parts(pool: str, capsys: Captured) -> None:
    text = answer(capsys, "report", pool)
    assert text.startswith("200 hosts, QEMU 11.1: 100 proven, 83 not proven, 17 refused\n")
    assert "yes" not in text.partition("Classes:")[0], "no word that stands for all hosts"


def test_every_form_counts_alike(pool: str, capsys: Captured) -> None:
    document = report(capsys, pool)
    assert document["answers"] == {"starts": 100, "unknown": 83, "refused": 17, "absent": 0}
    assert document["pools"][0]["answers"] == document["answers"]
    listed = Counter(row["answer"] for row in rows(capsys, pool))
    assert listed == {"starts": 100, "unknown": 83, "refused": 17}
    html = answer(capsys, "report", "-o", "html", pool)
    assert re.findall(r'<li class="headline"><strong class="\w+">(\d+)</strong> ([a-z ]+)</li>', html) == [
        ("100", "proven"),
        ("83", "not proven"),
        ("17", "refused"),
    ]


def test_the_hosts_to_probe_are_those_of_which_a_fact_is_missing(pool: str, capsys: Captured) -> None:
    document = report(capsys, pool)
    found = [name for group in document["probe"] for name in group["names"]]
    assert sorted(found) == sorted(
        host.name for host in hosts() if host.name.rpartition("-")[0] in NOT_PROVEN
    )
    assert all(group["needs"] for group in document["probe"])
    table = {row["host"]: row for row in rows(capsys, pool)}
    assert sorted(found) == sorted(name for name, row in table.items() if row["answer"] == "unknown")
    assert all("not known: " in table[name]["why"] for name in found)
    text = answer(capsys, "report", pool)
    assert all(name in text for name in found)


def test_every_named_host_has_its_verdict(pool: str, capsys: Captured) -> None:
    table = {row["host"]: row["answer"] for row in rows(capsys, pool)}
    assert {entry["name"]: entry["answer"] for entry in report(capsys, pool)["named"]} == table
    html = answer(capsys, "report", "-o", "html", pool)
    words = {"starts": "proven", "unknown": "not proven", "refused": "refused"}
    for name, verdict in table.items():
        cell = f'<span class="{verdict}">{words[verdict]}</span>'
        assert re.search(rf'<th scope="row">{name}</th><td>{cell}</td>', html)


def test_more_hosts_than_are_named_are_counted(pool: str, capsys: Captured) -> None:
    document = report(capsys, pool, "--names", "2")
    assert [(group["hosts"], len(group["names"])) for group in document["probe"]] == [
        (50, 2),
        (20, 2),
        (13, 2),
    ]
    assert "48 more" in answer(capsys, "report", "--names", "2", pool)


def test_a_host_without_the_device_is_not_blamed(pool: str, capsys: Captured) -> None:
    document = report(capsys, pool, "--device", "10de:2941")
    assert document["answers"] == {"starts": 100, "unknown": 0, "refused": 0, "absent": 100}
    assert document["probe"] == []
    assert {entry["name"] for entry in document["classes"] if entry["answer"] == "absent"} == {
        "hosts without 10de:2941"
    }
    assert Counter(row["answer"] for row in rows(capsys, pool, "--device", "10de:2941"))["absent"] == 100
    assert run(["baseline", "--device", "10de:2941", pool]) == 0
    assert "100 proven, 0 not proven, 0 refused (100 without such a function)" in capsys.readouterr().out


@pytest.mark.parametrize("verdict", ["starts", "unknown", "refused"])
def test_compare_lists_the_hosts_of_a_verdict(
    verdict: str, pool: str, capsys: Captured, tmp_path: Path
) -> None:
    vm = tmp_path / "vm.sh"
    vm.write_text(VM)
    asked = ["compare", "--for", str(vm), pool]
    listed = answer(capsys, *asked, "-o", "hosts", "--answer", verdict).split()
    document = json.loads(answer(capsys, *asked, "-o", "json"))
    assert len(listed) == document["answers"][verdict]
    assert listed == [row["host"] for row in rows(capsys, pool) if row["answer"] == verdict]


def test_a_vm_for_a_device_counts_the_hosts_that_have_it(pool: str, capsys: Captured, tmp_path: Path) -> None:
    vm = tmp_path / "vm.sh"
    vm.write_text(VM)
    assert run(["compare", "--for", str(vm), "--device", "10de:2941", pool]) == 0
    assert "100 of 100 can run it" in capsys.readouterr().out
    assert run(["compare", "--for", str(vm), "--device", "1af4:0001", pool]) == 1


def test_answer_is_refused_where_nothing_is_listed(pool: str, capsys: Captured) -> None:
    assert run(["compare", "--answer", "unknown", pool, pool]) == 2
    assert "answer-without-hosts" in capsys.readouterr().err


def test_the_page_speaks_of_bits_and_names(pool: str, capsys: Captured) -> None:
    html = answer(capsys, "report", "-o", "html", pool)
    assert "<td>48 bits</td>" in html
    (row,) = re.findall(r"<tr[^>]*><th scope=\"row\"><code>IDR5\.OAS</code>.*?</tr>", html)
    assert "48-bit" in row
    assert ">5<" not in row
    assert "NVIDIA GB200 (Grace Blackwell)</a>" in html


def test_the_latest_record_is_the_one_that_is_listed(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "hosts.jsonl"
    kinds = (("gb200", "3"), ("gh200", "1"), ("gh200", "2"))
    path.write_bytes(b"".join(line(named(builtin_host(kind), "n", taken_at=day)) for kind, day in kinds))
    assert [row["answer"] for row in rows(capsys, str(path), "--latest")] == ["starts"]


@given(st.lists(strategies.hosts(), min_size=1, max_size=8))
def test_the_parts_are_all_hosts(found: list[Host]) -> None:
    reader, census = taken(named(host, f"n{number}") for number, host in enumerate(found))
    document = report_document(census, reader.classes, LATEST, title="t", made_at="")
    assert document.answers.asked + document.answers.absent == document.hosts == len(found)
    assert sum(group.hosts for group in document.probe) == document.answers.unknown
    names = [entry.name for entry in document.classes]
    assert len(set(names)) == len(names)


def test_classes_of_one_title_are_told_apart() -> None:
    found = class_names({1: ("aaaa11112222", "GB200"), 2: ("aaaa33334444", "GB200"), 3: ("bbbb00000000", "")})
    assert found == {1: "GB200 (aaaa1)", 2: "GB200 (aaaa3)", 3: "untitled (bbbb0)"}
