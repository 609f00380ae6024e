# SPDX-License-Identifier: Apache-2.0
"""Baselines and reports in every form that the verbs print."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleet_examples import GRACE, OLD, VM, Captured, lines, named
from vsmmu.cli.main import run
from vsmmu.cli.report import _inert
from vsmmu.cli.schemas import schema_of
from vsmmu.host.builtin import builtin_host

if TYPE_CHECKING:
    from pathlib import Path


def test_baseline_in_every_form(facts: Path, capsys: Captured) -> None:
    assert run(["baseline", str(facts)]) == 0
    text = capsys.readouterr().out
    assert "ats=off,ril=off,ssidsize=0,oas=44 is the most that all of them are known to offer" in text
    assert "without 1 host (old) oas=48 would hold\n" in text
    assert run(["baseline", "-o", "qemu", str(facts)]) == 0
    assert capsys.readouterr().out == "ats=off,ril=off,ssidsize=0,oas=44\n"
    assert run(["baseline", "-o", "qemu", "--pool", "title", str(facts)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "NVIDIA GH200 (Grace Hopper)\tats=on,ril=off,ssidsize=20,oas=48"
    )
    assert run(["baseline", "-o", "libvirt", str(facts)]) == 0
    assert (
        "<driver pciBus='1' accel='on' ats='off' ril='off' ssidsize='0' oas='44'/>" in capsys.readouterr().out
    )


def test_baseline_says_no_if_a_host_is_left_out(capsys: Captured) -> None:
    assert run(["baseline", "builtin:gh200", "builtin:gb10"]) == 1
    assert "gb10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("baseline", ["baseline", "builtin:gh200", "builtin:gb10", "builtin:thunderx2"]),
        ("comparison", ["compare", "builtin:gh200", "builtin:gb200"]),
        ("report", ["report", "builtin:gh200", "builtin:gb10", "--since", "builtin:gh200"]),
    ],
)
def test_documents_are_as_their_schemas_say(name: str, arguments: list[str], capsys: Captured) -> None:
    run([*arguments, "-o", "json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == f"vsmmu.{name}/1"
    jsonschema.validate(document, schema_of(name))


def test_a_baseline_flows_into_resolve(facts: Path, tmp_path: Path, capsys: Captured) -> None:
    run(["baseline", "-o", "json", str(facts)])
    pool = tmp_path / "pool.json"
    pool.write_text(capsys.readouterr().out, encoding="utf-8")
    words = re.sub(r",ats=on\S*", "", VM).split()
    for host in ("gh200", "gb200"):
        assert run(["resolve", "--host", f"builtin:{host}", "--baseline", str(pool), "--", *words]) == 0
        assert "accel=on,ats=off,ril=off,ssidsize=0,oas=44 " in capsys.readouterr().out


def test_report_as_csv_has_a_line_for_each_host_and_no_formula(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(*GRACE, named(OLD, "=HYPERLINK(0)"), named(OLD, 'a,"b"'), named(OLD, "-1+1")))
    assert run(["report", "-o", "csv", str(path)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["host"] for row in rows] == ["node-0", "node-1", "node-2", "'=HYPERLINK(0)", 'a,"b"', "'-1+1"]
    assert (rows[0]["oas"], rows[3]["oas"], rows[3]["ril"]) == ("48", "44", "?")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
@example(" =1")
@example("\uff1d1")
@example("\u2003\uff0b1")
@example("\ufe621")
@example("\u00a0@x")
@example("\t-1")
@example("\x1b[31m")
@example("x; =1")
@example("\N{MINUS SIGN}1")
def test_no_cell_is_a_formula_or_moves_a_cursor(text: str) -> None:
    cell = _inert(text)
    for part in cell.split(";"):
        assert (
            not unicodedata.normalize("NFKC", part).strip().startswith(("=", "+", "-", "@", "\N{MINUS SIGN}"))
        )
    assert cell.isprintable()
    if text[0].isalnum() and text.isprintable() and ";" not in text:
        assert cell in (text, f"'{text}")
        assert cell == text or unicodedata.normalize("NFKC", text)[0] in "=+-@"


def test_report_as_text(facts: Path, capsys: Captured) -> None:
    assert run(["report", str(facts)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"4 +2 +off +off +0 +44 +0 +4 +0", text)
    assert re.search(r"1 +off +\? +\? +44 +unknown +ats,ssidsize,oas,cmdqv +Marvell", text)


def test_report_since(facts: Path, tmp_path: Path, capsys: Captured) -> None:
    later = tmp_path / "later.jsonl"
    changed = named(builtin_host("gb200"), "node-1")
    later.write_bytes(lines(GRACE[0], changed, GRACE[2], named(OLD, "new")))
    assert run(["report", "-o", "json", "--since", str(facts), str(later)]) == 0
    (move,) = json.loads(capsys.readouterr().out)["moves"]
    assert (move["hosts"], move["names"]) == (1, ["node-1"])
    assert "IDR5.GRAN4K" in [field["field"] for field in move["fields"]]


def test_report_names_as_many_as_asked(facts: Path, capsys: Captured) -> None:
    run(["report", "-o", "json", "--names", "1", str(facts)])
    document = json.loads(capsys.readouterr().out)
    assert sorted(entry["name"] for entry in document["named"]) == ["node-0", "old"]
    assert document["hosts"] == 4
