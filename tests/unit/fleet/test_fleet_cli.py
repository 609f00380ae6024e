# SPDX-License-Identifier: Apache-2.0
"""The verbs about fleets: where facts may come from, what happens to bad ones, every form of the answer."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import vsmmu.cli.fleet_inputs as inputs_module
from fleet_examples import line, named
from vsmmu.cli.main import run
from vsmmu.cli.report import _inert
from vsmmu.cli.schemas import schema_of
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from pathlib import Path

GRACE = [named(builtin_host("gh200"), f"node-{number}") for number in range(3)]
OLD = named(builtin_host("thunderx2"), "old")
VM = (
    "qemu-system-aarch64 -M virt,accel=kvm -cpu host -bios AAVMF.fd -nodefaults -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,ats=on,ril=off,ssidsize=20,oas=48 "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)
Captured = pytest.CaptureFixture[str]


def lines(*hosts: object) -> bytes:
    return b"".join(line(host) for host in hosts)  # type: ignore[arg-type]


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """Three nodes of one kind and an older one, as JSON Lines."""
    path = tmp_path / "hosts.jsonl"
    path.write_bytes(lines(*GRACE, OLD))
    return path


def count(capsys: Captured, *arguments: str) -> int:
    run(["baseline", "-o", "json", *arguments])
    document = json.loads(capsys.readouterr().out)
    return int(document.get("hosts", -1))


# --- where facts come from ----------------------------------------------------------------------------------


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


# --- bad records --------------------------------------------------------------------------------------------

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


# --- pools, dates -------------------------------------------------------------------------------------------


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


# --- answers ------------------------------------------------------------------------------------------------


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


# --- compare ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "status", "word"),
    [
        ("gh200", "gh200", 0, "identical"),
        ("gh200", "gb200", 1, "unknown"),
        ("gh200-no-cmdqv", "gh200", 0, "superset"),
        ("gb200", "gh200", 1, "unknown"),
        ("gb200", "thunderx2", 1, "incompatible"),
        ("fvp-rd-mmu720ae", "gb200", 1, "incompatible"),
    ],
)
def test_compare_two(a: str, b: str, status: int, word: str, capsys: Captured) -> None:
    assert run(["compare", f"builtin:{a}", f"builtin:{b}"]) == status
    assert f"B is {word}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["builtin:gh200"], ["builtin:gh200"] * 3, ["builtin:a", "builtin:b", "-o", "hosts"]]
)
def test_compare_takes_two(arguments: list[str], capsys: Captured) -> None:
    assert run(["compare", *arguments]) == 2
    assert "--for VM" in capsys.readouterr().err


def test_compare_takes_one_host_from_each(facts: Path, capsys: Captured) -> None:
    assert run(["compare", str(facts), "builtin:gh200"]) == 2
    assert "many-hosts" in capsys.readouterr().err


def test_compare_with_its_past(tmp_path: Path, capsys: Captured) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    host = builtin_host("qemu-virt")
    before.write_bytes(encode_host(host))
    smmu = host.smmus[0]
    word = msgspec.structs.replace(smmu.registers["IDR5"], value="0x00000075")
    smmu = msgspec.structs.replace(smmu, registers={**smmu.registers, "IDR5": word})
    kernel = msgspec.structs.replace(host.kernel, release="7.4.0")
    gone = host.functions[:1]
    after.write_bytes(
        encode_host(msgspec.structs.replace(host, smmus=(smmu,), kernel=kernel, functions=gone))
    )
    assert run(["compare", str(before), str(after)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"host +kernel +7\.3\.4 +7\.4\.0", text)
    assert re.search(r"smmu3\S+ +IDR5\.OAS +44-bit +48-bit", text)
    assert re.search(rf"{host.functions[1].address} +function +there +-", text)
    assert len(re.findall(r"(?m)^smmu3", text)) == 1, "nothing else changed"


@pytest.fixture
def vm(tmp_path: Path) -> str:
    path = tmp_path / "vm.sh"
    path.write_text(f"{VM}\n", encoding="utf-8")
    return str(path)


DOMAIN = """<domain type='kvm'>
  <name>vm</name>
  <memory>1048576</memory>
  <os firmware='efi'><type arch='aarch64' machine='virt'>hvm</type></os>
  <features><acpi/></features>
  <iommufd enabled='yes'/>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'><target busNr='8'/></controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </controller>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <driver name='vfio' iommufd='yes'/>
      <source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </hostdev>
    <iommu model='smmuv3'>
      <driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' oas='48'/>
    </iommu>
  </devices>
</domain>
"""
HOSTS = ("builtin:gb200", "builtin:gh200", "builtin:thunderx2", "builtin:gb10")


def test_which_hosts_can_run_a_vm(vm: str, capsys: Captured) -> None:
    assert run(["compare", "--for", vm, *HOSTS]) == 1
    text = capsys.readouterr().out
    assert re.search(r"starts +gb200", text)
    assert re.search(r"refused +thunderx2 +Host SMMUv3 supports only 44-bit", text)
    assert "1 of 4 can run it" in text
    assert run(["compare", "--for", vm, "-o", "hosts", "--assume-safe", *HOSTS]) == 1
    assert capsys.readouterr().out.split() == ["gb200", "gh200"]
    assert run(["compare", "--for", vm, "builtin:gb200"]) == 0


def test_placement_as_a_document(vm: str, capsys: Captured) -> None:
    run(["compare", "--for", vm, "--pool", "title", "-o", "json", *HOSTS])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema_of("placement"))
    assert (document["hosts"], document["fitting"]) == (4, 1)


# --- report -------------------------------------------------------------------------------------------------


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
def test_no_cell_is_a_formula_or_moves_a_cursor(text: str) -> None:
    cell = _inert(text)
    assert not unicodedata.normalize("NFKC", cell).strip().startswith(("=", "+", "-", "@"))
    assert cell.isprintable()
    if text[0].isalnum() and text.isprintable():
        assert cell in (text, f"'{text}")
        assert cell == text or unicodedata.normalize("NFKC", text)[0] in "=+-@"


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


def test_which_hosts_can_run_a_vm_that_is_written_for_libvirt(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "vm.xml"
    path.write_text(DOMAIN, encoding="utf-8")
    assert run(["compare", "--for", str(path), "-o", "hosts", *HOSTS]) == 1
    assert capsys.readouterr().out.split() == ["gb200"]
