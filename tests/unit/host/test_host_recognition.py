# SPDX-License-Identifier: Apache-2.0
"""Which built-in host a machine looks like, and members of facts that a later version may add."""

from __future__ import annotations

import json

import msgspec
import pytest

from vsmmu.errors import InputRefused
from vsmmu.host.builtin import builtin_host, builtin_names, describe_likeness
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, ReservedRegion
from vsmmu.host.files import decode_host, encode_host, spell_unread, unknown_members
from vsmmu.host.judgements import nesting
from vsmmu.host.recognition import recognise


def host(product: str = "", ids: str = "", iidr: tuple[int, int] | None = None) -> Host:
    vendor, _, device = ids.partition(":")
    fields = {}
    if iidr:
        fields = {"IIDR.Implementer": Fact(iidr[0], "e"), "IIDR.ProductID": Fact(iidr[1], "e")}
    return Host(
        schema=SCHEMA,
        name="x",
        product=product,
        smmus=(HostSmmu("s", fields=fields),),
        functions=(HostFunction("0000:01:00.0", smmu="s", vendor=vendor or None, device=device or None),),
        evidence={"e": Evidence("measured", "a test")},
    )


@pytest.mark.parametrize(
    ("machine", "name", "sign"),
    [
        (host(ids="10de:31c2"), "gb300", "PCI id 10de:31c2"),
        (host(ids="10de:2342"), "gh200", "PCI id 10de:2342"),
        (host(ids="1def:e101"), "altra", "PCI id 1def:e101"),
        (host("NVIDIA DGX Spark"), "gb10", "product NVIDIA DGX Spark"),
        (host("Mt. Jade"), "altra", "product Mt. Jade"),
        (host("GB200 NVL", ids="10de:31c2"), "gb300", "PCI id 10de:31c2"),
        (host(iidr=(0x43B, 0x487)), "pkvm-mmu700", "IIDR.ProductID 0x487"),
    ],
)
def test_signs(machine: Host, name: str, sign: str) -> None:
    found = recognise(machine)
    assert found == (name, sign)
    assert f"this looks like builtin:{name} ({sign}); published: " in describe_likeness(machine)
    assert describe_likeness(machine).endswith(f"not measured here; --host builtin:{name} tries it")


@pytest.mark.parametrize(
    "machine",
    [host(), host("QEMU Virtual Machine", "8086:10d3"), host(iidr=(0x43B, 0x483)), host(iidr=(1, 0x487))],
)
def test_others_look_like_none(machine: Host) -> None:
    assert recognise(machine) is None
    assert describe_likeness(machine) == ""


def test_what_is_published_is_said_in_qemus_words() -> None:
    assert "published: ats=on ril=off ssidsize=20 oas=48;" in describe_likeness(host(ids="10de:31c2"))


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_hosts_with_ids_look_like_themselves(name: str) -> None:
    found = recognise(builtin_host(name))
    assert found is None or name.startswith(found.builtin)


def test_published_hosts() -> None:
    spark, server, altra = (builtin_host(name) for name in ("gb10", "no-nesting", "altra"))
    gpu = spark.function("000f:01:00.0")
    assert gpu is not None
    assert isinstance(gpu.reserved_regions, tuple)
    assert {region.type for region in gpu.reserved_regions} == {"direct"}
    assert len(spark.smmus) == 3
    bare = msgspec.structs.replace(server.smmus[0], nesting=Fact())
    assert nesting(server, bare, None).answer is False  # of the log alone
    assert len({function.smmu for function in altra.functions}) == len(altra.smmus) == 6
    assert {altra.read_field(smmu, "IDR3.RIL").exact for smmu in altra.smmus} == {0}


DOCUMENT = json.loads(encode_host(builtin_host("gb10")))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, ()),
        ({"colour": None}, ("colour",)),
        ({"kernel": {"relase": "7"}}, ("kernel.relase",)),
        ({"functions": [{"address": "0000:01:00.0", "a": 1}, {"address": "0000:02:00.0", "a": 1}]},
         ("functions[].a",)),
        ({"smmus": [{"name": "s", "fields": {"IDR9.X": {"value": 1, "evidence": "talos", "y": 0}}}],
          "functions": []},
         ("smmus[].fields.IDR9.X", "smmus[].fields.IDR9.X.y")),
        ({"smmus": [{"name": "s", "nesting": {"value": None, "z": 0}}], "functions": []},
         ("smmus[].nesting.z",)),
        ({"evidence": {**DOCUMENT["evidence"], "new": {"kind": "published", "source": "x", "at": 1}}},
         ("evidence.new.at",)),
        ({"functions": [{"address": "0000:01:00.0", "reserved_regions": [
            {"start": "0x1", "end": "0x2", "type": "direct", "by": "x"}]}]},
         ("functions[].reserved_regions[].by",)),
    ],
)  # fmt: skip
def test_unknown_members_are_passed_over_and_named(change: dict[str, object], names: tuple[str, ...]) -> None:
    data = json.dumps({**DOCUMENT, **change}).encode()
    assert decode_host(data, "x").name == "gb10"
    assert unknown_members(data) == names


def test_a_member_that_is_passed_over_may_be_anything() -> None:
    data = json.dumps({**DOCUMENT, "colour": "@"}).encode().replace(b"@", b"\xff")
    assert decode_host(data, "x").name == "gb10"
    assert unknown_members(data) == ("a member that cannot be read",)


def test_the_note_names_a_few() -> None:
    found = decode_host(json.dumps(DOCUMENT).encode(), "x")
    found.__dict__["unread"] = tuple("abcdefg")
    assert spell_unread(found) == "this vsmmu does not know a, b, c, d, e and 2 more, and passes over it"


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"kernel": None},
        {"functions": None},
        {"product": 7},
        {"smmus": [{"name": "s", "nesting": {"value": "1"}}]},
        {"functions": [{"address": "0000:01:00.0", "reserved_regions": None}]},
        {"functions": [{"address": "0000:01:00.0", "reserved_regions": [{"start": "0x2"}]}]},
        {"functions": [{"address": "0000:01:00.0", "reserved_regions": [
            {"start": "0x2", "end": "0x1", "type": "direct"}]}]},
    ],
)  # fmt: skip
def test_null_and_wrong_types_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputRefused):
        decode_host(json.dumps({**DOCUMENT, **change}).encode(), "x")


def test_regions_come_back() -> None:
    region = ReservedRegion("0x8000000", "0x80fffff", "msi")
    one = msgspec.structs.replace(
        host(), functions=(HostFunction("0000:01:00.0", reserved_regions=(region,)),)
    )
    assert decode_host(encode_host(one), "x") == one
