# SPDX-License-Identifier: Apache-2.0
"""Fingerprints: what they are made of, that they stay, and that a class makes a host of its own kind."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import msgspec
import pytest

import examples
from vsmmu.errors import UsageError
from vsmmu.fleet.capability import KEYS, capability_of, host_with
from vsmmu.fleet.classes import HostClass, Selection, class_of, parse_selection
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.qemu.compat import CHECKS
from vsmmu.smmuv3.fields import field
from vsmmu.smmuv3.interval import Interval
from vsmmu.smmuv3.properties import PROPERTIES

GOLDEN = Path(__file__).parents[2] / "golden" / "fleet" / "fingerprints.json"
CANONICAL = (
    "smmu/1 IDR0.S2P=1 IDR0.S1P=1 IDR0.TTF=2 IDR0.ATS=1 IDR0.TTENDIAN=2 IDR0.ST_LEVEL=1 IDR1.SIDSIZE=16 "
    "IDR1.SSIDSIZE=20 IDR3.FWB=? IDR3.RIL=1 IDR5.OAS=4..7 IDR5.GRAN4K=1 IDR5.GRAN16K=1 IDR5.GRAN64K=1 "
    "IIDR.ProductID=? cmdqv=0 nesting=1 coherent=? hw_info_type=2 canwbs=?"
)


def one(**facts: object) -> examples.Host:
    return examples.host(examples.smmu(**facts))  # type: ignore[arg-type]


def test_the_canonical_text_and_its_fingerprint_are_for_ever() -> None:
    host = one(oas=Fact(4, "known", "at-least"))
    capability = class_of(host).capabilities[0]
    assert capability.canonical == CANONICAL
    assert capability.fingerprint == hashlib.sha256(CANONICAL.encode()).hexdigest()[:12] == "9cd4bed85b9c"
    text = f"host/1\n{CANONICAL}"
    assert class_of(host).fingerprint == hashlib.sha256(text.encode()).hexdigest()[:12] == "95977eebfe8e"


def test_fingerprints_of_the_built_in_hosts() -> None:
    found = {
        name: {
            "class": class_of(builtin_host(name)).fingerprint,
            "smmus": [entry.canonical for entry in class_of(builtin_host(name)).capabilities],
        }
        for name in builtin_names()
    }
    text = json.dumps(found, indent=2) + "\n"
    if os.environ.get("VSMMU_REGENERATE"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_everything_that_qemu_compares_or_copies_is_part_of_it() -> None:
    assert {check.key for check in CHECKS} <= set(KEYS)
    assert {entry.source for entry in PROPERTIES.values() if entry.source} <= set(KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other", "title": "t", "taken_at": "2026-01-01", "synthetic": ("x",)},
        {"kernel": examples.host().kernel.__class__("7.4", "boot", "line")},
        {"evidence": {"known": Evidence("published", "elsewhere"), "open": examples.EVIDENCE["open"]}},
    ],
)
def test_what_is_no_capability_does_not_count(change: dict[str, object]) -> None:
    host = one()
    assert class_of(msgspec.structs.replace(host, **change)).fingerprint == class_of(host).fingerprint


def test_how_many_smmus_are_alike_does_not_count_and_neither_does_their_order() -> None:
    a, b, c = examples.smmu("a"), examples.smmu("b", oas=44), examples.smmu("c")
    first = class_of(examples.host(a, b))
    assert class_of(examples.host(b, a, c)).fingerprint == first.fingerprint
    assert len(first.capabilities) == 2
    assert class_of(examples.host(a, c)).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "facts",
    [{"ats": 0}, {"ril": 0}, {"ssidsize": 19}, {"oas": 44}, {"cmdqv": 1}, {"nesting": None},
     {"IDR0_ST_LEVEL": 0}, {"IDR5_GRAN16K": 0}, {"hw_info_type": None}],
)  # fmt: skip
def test_every_capability_counts(facts: dict[str, int | None]) -> None:
    assert class_of(one(**facts)).fingerprint != class_of(one()).fingerprint


def test_a_register_and_its_fields_are_the_same() -> None:
    whole = builtin_host("qemu-virt")
    smmu = whole.smmus[0]
    registers = smmu.id_registers
    assert registers is not None
    fields = {key: Fact(registers.get(key), "probe") for key in KEYS if key.startswith(("IDR", "IIDR"))}
    parts = msgspec.structs.replace(smmu, registers={}, fields=fields)
    assert class_of(msgspec.structs.replace(whole, smmus=(parts,))).fingerprint == class_of(whole).fingerprint


@pytest.mark.parametrize("name", builtin_names())
def test_a_host_made_of_a_capability_has_it(name: str) -> None:
    for capability in class_of(builtin_host(name)).capabilities:
        host = host_with(capability, ["0000:01:00.0"])
        assert capability_of(host, host.smmus[0], host.functions) == capability


def test_functions_that_snoop_differently_leave_canwbs_open() -> None:
    a = examples.function("0000:01:00.0", canwbs=1)
    b = examples.function("0000:02:00.0", canwbs=0)
    host = examples.host(examples.smmu(), a, b)
    assert class_of(host).capabilities[0].get("canwbs") == Interval(0, 1)
    assert class_of(examples.host(examples.smmu(), a)).capabilities[0].get("canwbs").exact == 1


def test_no_smmu_is_a_class_too() -> None:
    bare = examples.Host(schema="vsmmu.host/1", name="bare")
    assert class_of(bare).capabilities == ()
    assert class_of(bare).fingerprint == HostClass(frozenset()).fingerprint


# --- which SMMUs count --------------------------------------------------------------------------------------


def test_only_smmus_with_such_a_function_count() -> None:
    gpu = msgspec.structs.replace(examples.function("0000:01:00.0", "a"), vendor="10de", device="2941")
    nic = msgspec.structs.replace(examples.function("0000:02:00.0", "b"), vendor="15b3", device="101e")
    host = examples.host(examples.smmu("a"), examples.smmu("b", oas=44), gpu, nic)
    for selection, size in ((Selection("10de", "2941"), 48), (Selection("15b3"), 44)):
        (found,) = class_of(host, selection).capabilities
        assert found.offer(PROPERTIES["oas"]).exact == size
    assert class_of(host, Selection("10de", "0000")).capabilities == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, Selection()),
        ("", Selection()),
        ("10DE", Selection("10de")),
        ("10de:2941", Selection("10de", "2941")),
    ],
)
def test_a_selection_as_it_is_written(text: str | None, found: Selection) -> None:
    assert parse_selection(text) == found
    assert str(found) == (text or "").lower()


@pytest.mark.parametrize("text", ["10d", "10de:29", "xxxx", "10de:zzzz", ":2941"])
def test_what_is_no_pci_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_selection(text)


@pytest.mark.parametrize(("revision", "nesting"), [(0x4871043B, "nesting=0"), (0x4871143B, "nesting=1")])
def test_the_revision_of_an_smmu_with_errata_counts(revision: int, nesting: str) -> None:
    """Two that differ in whether they nest are two classes, although no key has the revision."""
    fields = {
        key: field(f"IIDR.{key}").decode(revision)
        for key in ("ProductID", "Variant", "Revision", "Implementer")
    }
    one = examples.smmu(nesting=None, IDR3_FWB=1, **{f"IIDR_{key}": value for key, value in fields.items()})
    on = examples.host(one)
    assert f" {nesting} " in capability_of(on, one, on.functions).canonical
