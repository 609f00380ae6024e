# SPDX-License-Identifier: Apache-2.0
"""Baselines: what holds, what a step costs and whom, who is left out, in every form of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

import examples
from fleet_examples import baseline_of, named
from vsmmu.fleet.classes import Selection
from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Fact
from vsmmu.host.facts import Host

if TYPE_CHECKING:
    from vsmmu.fleet.documents import DriftStep, PoolBaseline


def host(name: str = "h", **facts: int | Fact | None) -> Host:
    return named(examples.host(examples.smmu(**facts)), name)  # type: ignore[arg-type]


def pool_of(*hosts: Host, assume_safe: bool = False) -> PoolBaseline:
    (pool,) = baseline_of(hosts, assume_safe=assume_safe).pools
    return pool


def values(pool: PoolBaseline) -> list[str]:
    return [pool.values[name] for name in ("ats", "ril", "ssidsize", "oas", "cmdqv")]


def step(pool: PoolBaseline, name: str) -> DriftStep:
    (found,) = [entry for entry in pool.steps if entry.property == name]
    return found


def test_one_host_has_its_own_values_and_no_steps() -> None:
    pool = pool_of(host(ssidsize=31, oas=52, cmdqv=1))
    assert values(pool) == ["on", "on", "20", "48", "on"]
    assert pool.holds
    assert pool.steps == pool.left_out == pool.unproven == ()


def test_the_least_of_all_holds() -> None:
    pool = pool_of(host("a", ats=0), host("b", ril=0), host("c", ssidsize=8), host("d", oas=44, cmdqv=1))
    assert values(pool) == ["off", "off", "8", "44", "off"]
    assert {entry.property: tuple(sorted(entry.names)) for entry in pool.steps} == {
        "ats": ("a",), "ril": ("b",), "ssidsize": ("c",), "oas": ("d",), "cmdqv": ("a", "b", "c"),
    }  # fmt: skip


def test_each_larger_value_has_its_price() -> None:
    pool = pool_of(
        host("a", ssidsize=4), host("b", ssidsize=8), host("c", ssidsize=8), host("d", ssidsize=20)
    )
    steps = [(entry.value, entry.hosts) for entry in pool.steps if entry.property == "ssidsize"]
    assert steps == [("8", 1), ("20", 3)]


def test_what_is_not_known_counts_as_the_least_and_is_told_apart() -> None:
    pool = pool_of(host("a", ril=None), host("b", ril=0), host("c"))
    assert pool.values["ril"] == "off"
    assert (step(pool, "ril").hosts, step(pool, "ril").unknown) == (2, 1)
    assert pool.holds


def test_a_bound_counts_as_far_as_it_goes() -> None:
    assert pool_of(host(oas=Fact(4, "known", "at-least"))).values["oas"] == "44"
    assert pool_of(host(ssidsize=Fact(8, "known", "at-most"))).values["ssidsize"] == "0"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"oas": 40}, "qemu-oas"),
        ({"IDR0_ST_LEVEL": 0}, "qemu-stlevel"),
        ({"IDR5_GRAN16K": 0}, "qemu-gran16k"),
        ({"nesting": 0}, "qemu-viommu"),
        ({"hw_info_type": 0}, "qemu-hw-info-type"),
    ],
)
def test_a_host_on_which_nothing_starts_is_left_out_and_named(facts: dict[str, int], code: str) -> None:
    pool = pool_of(host("good"), host("bad", **facts))
    assert values(pool)[:4] == ["on", "on", "20", "48"]
    assert not pool.holds
    ((lost,), (name,)) = pool.left_out, pool.left_out[0].names
    assert (lost.code, lost.hosts, name) == (code, 1, "bad")
    assert lost.reason


def test_an_incoherent_smmu_is_left_out() -> None:
    pool = pool_of(builtin_host("rk3588"))
    assert [entry.code for entry in pool.left_out] == ["smmu-incoherent"]


def test_without_an_smmu_nothing_holds() -> None:
    pool = pool_of(Host(schema="vsmmu.host/1", name="bare"))
    assert (pool.values, pool.device, pool.libvirt, pool.holds) == ({}, "", "", False)
    assert pool.left_out[0].code == "no-smmu"


def test_an_unknown_size_is_left_out_unless_told_to_assume() -> None:
    unknown = host("u", oas=None)
    assert [entry.code for entry in pool_of(unknown, host()).left_out] == ["qemu-oas"]
    pool = pool_of(unknown, host(), assume_safe=True)
    assert (pool.holds, pool.values["oas"], step(pool, "oas").names) == (True, "44", ("u",))


def test_of_a_host_only_the_usable_smmus_count() -> None:
    mixed = examples.host(examples.smmu("a", ssidsize=8), examples.smmu("b", nesting=0, ats=0))
    pool = pool_of(mixed)
    assert (pool.values["ats"], pool.values["ssidsize"], pool.holds) == ("on", "8", True)


def test_a_host_with_two_kinds_offers_what_both_do() -> None:
    mixed = examples.host(examples.smmu("a", ssidsize=8), examples.smmu("b", ats=0))
    assert values(pool_of(mixed))[:3] == ["off", "on", "8"]


def test_what_would_prove_it_is_named() -> None:
    pool = pool_of(host("a", IDR5_GRAN4K=None, nesting=None))
    assert pool.holds
    assert pool.unproven[0].needs == ("IDR5.GRAN4K", "nesting")


def test_the_selection_is_part_of_the_answer() -> None:
    document = baseline_of([builtin_host("gb200")], selection=Selection("10de", "2941"))
    assert (document.selection, document.pools[0].holds) == ("10de:2941", True)
    assert not baseline_of([builtin_host("gh200")], selection=Selection("10de", "2941")).pools[0].holds


def test_what_can_be_pasted_says_the_same() -> None:
    pool = pool_of(host("a", ril=0), host("b", oas=44))
    assert pool.device == "ats=on,ril=off,ssidsize=20,oas=44"
    driver = ElementTree.fromstring(pool.libvirt).find("driver")
    assert driver is not None
    assert dict(driver.attrib) == {
        "pciBus": "1", "accel": "on", "ats": "on", "ril": "off", "ssidsize": "20", "oas": "44",
    }  # fmt: skip


def test_a_host_without_the_function_in_question_is_no_fault_of_it() -> None:
    mine = Selection("10de", "2941")
    (pool,) = baseline_of([builtin_host("gb200"), builtin_host("altra")], selection=mine).pools
    (left,) = pool.left_out
    assert (left.names, left.code) == (("altra",), "function-absent")
    assert "10de:2941" in left.reason
    assert pool.holds
    (nowhere,) = baseline_of([builtin_host("altra")], selection=mine).pools
    assert not nowhere.holds


def test_names_are_a_few_and_counts_are_all() -> None:
    hosts = [host(f"n{number}", oas=44) for number in range(50)]
    price = step(pool_of(*hosts, host("big")), "oas")
    assert price.hosts == 50
    assert price.names == tuple(f"n{number}" for number in range(20))


def test_large_classes_come_first() -> None:
    pool = pool_of(host("a", oas=44), host("b"), host("c"))
    assert len(pool.classes) == 2
    assert pool.classes[0] == pool_of(host("b")).classes[0]
