# SPDX-License-Identifier: Apache-2.0
"""Where the verbs about fleets take facts from, what happens to bad ones, pools and dates."""

from __future__ import annotations

import io
import json
import os
import re
from typing import TYPE_CHECKING

import pytest

import vsmmu.cli.fleet_inputs as inputs_module
from fleet_examples import GRACE, OLD, Captured, line, lines, named
from vsmmu.cli.main import run
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from pathlib import Path


def count(capsys: Captured, *arguments: str) -> int:
    run(["baseline", "-o", "json", *arguments])
    document = json.loads(capsys.readouterr().out)
    return int(document.get("hosts", -1))


def test_from_json_lines(facts: Path, capsys: Captured) -> None:
    assert count(capsys, str(facts)) == 4


def test_from_json_lines_without_a_last_newline_with_blank_lines_and_crlf(
    tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n" + lines(*GRACE).replace(b"\n", b"\r\n") + b"\r\n\n" + line(OLD).rstrip())
    assert count(capsys, str(path)) == 4


def test_from_one_indented_document(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(encode_host(OLD))
    assert count(capsys, str(path)) == 1


def test_from_a_directory_of_all_kinds(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.json").write_bytes(encode_host(OLD))
    (tmp_path / "deep" / "er" / "b.ndjson").write_bytes(lines(*GRACE))
    (tmp_path / ".hidden.json").write_bytes(encode_host(OLD))
    (tmp_path / "README").write_text("no facts")
    assert count(capsys, str(tmp_path)) == 4


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_from_standard_input_and_built_in_hosts(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stdin(monkeypatch, lines(*GRACE))
    assert count(capsys, "-", "builtin:gb200") == 4


@pytest.mark.parametrize("indent", [None, 4])
def test_from_kubectl(indent: int | None, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    features = []
    for host in (*GRACE, OLD):
        assert run(["label", "--host", "builtin:gh200", "--node", host.name, "-o", "nodefeature"]) == 0
        features.append(json.loads(capsys.readouterr().out))
    document = {"apiVersion": "v1", "items": features, "kind": "List", "metadata": {"resourceVersion": ""}}
    stdin(monkeypatch, json.dumps(document, indent=indent).encode() + b"\n")
    assert count(capsys, "-") == 4
    stdin(monkeypatch, b"".join(json.dumps(feature).encode() + b"\n" for feature in features))
    assert count(capsys, "-") == 4
    stdin(monkeypatch, json.dumps(features, indent=indent).encode())
    assert count(capsys, "-") == 4


BAD = [b"{", b"\xff\xfe\n", b'{"schema": "vsmmu.host/1"}', b"null", b"[]", b'"text"', b"{}" * 300, b"\0" * 9]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_record_is_named_and_counted_and_the_others_go_on(
    bad: bytes, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(GRACE[0]) + bad.rstrip(b"\n") + b"\n" + lines(*GRACE[1:]))
    assert run(["baseline", "-o", "json", str(path)]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (document["hosts"], document["refused"]) == (3, 1)
    assert f"{path}:2" in output.err
    assert f"{path}:2" in document["refusals"][0]
    assert run(["baseline", "--strict", str(path)]) == 3
    assert f"{path}:2" in capsys.readouterr().err


def test_a_bad_first_line_does_not_make_the_rest_unreadable(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"cut off\n' + lines(*GRACE))
    assert count(capsys, str(path)) == 3
    path = path.rename(tmp_path / "x.json")
    path.write_bytes(line(OLD)[:600] + b"\n" + lines(*GRACE))
    assert count(capsys, str(path)) == 3


def test_a_line_that_is_too_long_is_skipped_whole(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs_module, "_MAX_RECORD", 4000)
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(GRACE[0]) + b'"' + b"x" * 9000 + b'"\n' + lines(*GRACE[1:]))
    assert run(["baseline", "-o", "json", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["hosts"], document["refused"]) == (3, 1)


def test_many_bad_records_are_counted_and_a_few_are_shown(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n" * 1000 + lines(OLD))
    run(["baseline", "-o", "json", str(path)])
    output = capsys.readouterr()
    assert json.loads(output.out)["refused"] == 1000
    assert len(output.err.splitlines()) == 6
    assert "995 more" in output.err


@pytest.mark.parametrize(("make", "status"), [("missing", 5), ("empty", 3), ("directory", 3), ("noise", 3)])
def test_without_any_record_there_is_no_answer(
    make: str, status: int, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / make
    if make == "directory":
        path.mkdir()
    elif make != "missing":
        path.write_bytes(b"" if make == "empty" else b"\x7fELF" * 1000)
    assert run(["baseline", str(path)]) == status
    assert capsys.readouterr().out == ""


def test_a_document_over_the_limit_is_refused_with_the_way_out(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs_module, "_MAX_DOCUMENT", 500)
    path = tmp_path / "x.json"
    path.write_bytes(encode_host(OLD))
    assert run(["baseline", "--strict", str(path)]) == 3
    assert "jq -c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "pools"),
    [
        ("title", {"NVIDIA GH200 (Grace Hopper)": 3, "Marvell ThunderX2": 1}),
        ("source", {"hosts": 4}),
        ("kernel", {"?": 4}),
    ],
)
def test_pools(label: str, pools: dict[str, int], facts: Path, capsys: Captured) -> None:
    run(["baseline", "-o", "json", "--pool", label, str(facts)])
    found = json.loads(capsys.readouterr().out)["pools"]
    assert {pool["pool"]: pool["hosts"] for pool in found} == pools


@pytest.mark.parametrize("verb", [["baseline"], ["report"], ["compare", "--for", "VM"]])
def test_a_label_that_no_host_has_is_no_pool(
    verb: list[str], facts: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "vm").write_text("qemu-system-aarch64 -M virt")
    verb = [str(tmp_path / "vm") if word == "VM" else word for word in verb]
    assert run([*verb, "--pool", "kernal", str(facts)]) == 2
    said = capsys.readouterr().err
    assert "no host has a label 'kernal'" in said
    assert "did you mean kernel?" in said


def test_of_several_records_of_a_host_the_latest_counts_if_asked(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.jsonl"
    new = named(builtin_host("gh200"), "n", taken_at="2026-11-22T00:00:00Z")
    old = named(builtin_host("thunderx2"), "n", taken_at="2026-11-01T00:00:00Z")
    for records in ((old, new), (new, old)):
        path.write_bytes(lines(*records))
        run(["baseline", "-o", "json", "--latest", str(path)])
        document = json.loads(capsys.readouterr().out)
        assert (document["hosts"], document["pools"][0]["values"]["oas"]) == (1, "48")
    assert count(capsys, str(path)) == 2


def test_too_many_pools_end_it(facts: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsmmu.fleet.census._MOST_POOLS", 1)
    assert run(["baseline", "--pool", "title", str(facts)]) == 3
    assert "too-many-pools" in capsys.readouterr().err


def test_a_folder_that_cannot_be_looked_into_is_named(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "closed/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.json").write_bytes(lines(named(OLD, name[-1])))
    really = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert count(capsys, str(tmp_path)) == 1
    run(["baseline", str(tmp_path)])
    assert re.search(r"left out: \S*/closed: .*Permission denied", capsys.readouterr().err)
    assert run(["baseline", "--strict", str(tmp_path)]) == 4
