# SPDX-License-Identifier: Apache-2.0
"""A host that is known in part: what certainly passes, what certainly fails, and what stays open."""

from __future__ import annotations

import pytest

from examples import Q11_0, Q11_1, function, host, port, smmu, vfio, vm
from vsmmu.host.evidence import Fact
from vsmmu.host.facts import SCHEMA, Host
from vsmmu.qemu.compat import CHECKS, Comparison
from vsmmu.qemu.process import start
from vsmmu.smmuv3.fields import oas_code
from vsmmu.smmuv3.interval import Interval

PINNED = "ats=on,ril=on,ssidsize=8,oas=44"
AT_LEAST_44, AT_MOST_44 = (Fact(oas_code(44), "known", bound) for bound in ("at-least", "at-most"))


@pytest.mark.parametrize(
    ("relation", "host_range", "guest", "outcome"),
    [
        ("at-least", (5, 5), (5, 5), True),
        ("at-least", (4, 4), (5, 5), False),
        ("at-least", (5, 7), (5, 5), True),
        ("at-least", (0, 4), (5, 5), False),
        ("at-least", (4, 6), (5, 5), None),
        ("at-least", (4, 6), (2, 4), True),
        ("at-least", (4, 6), (2, 5), None),
        ("at-most", (2, 2), (2, 2), True),
        ("at-most", (3, 3), (2, 2), False),
        ("at-most", (0, 2), (2, 2), True),
        ("at-most", (0, 3), (2, 2), None),
        ("at-most", (3, 3), (0, 2), False),
        ("equal", (1, 1), (1, 1), True),
        ("equal", (0, 0), (1, 1), False),
        ("equal", (0, 1), (1, 1), None),
        ("equal", (2, 3), (0, 1), False),
        ("equal", (0, 1), (0, 1), None),
    ],
)
def test_a_comparison_of_ranges_is_certain_only_if_every_value_agrees(
    relation: str, host_range: tuple[int, int], guest: tuple[int, int], outcome: bool | None
) -> None:
    check = Comparison("X", relation, "")  # type: ignore[arg-type]
    assert check.outcome(Interval(*host_range), Interval(*guest)) is outcome


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.key)
def test_each_check_is_in_doubt_where_its_field_is_unknown(check: Comparison) -> None:
    unknown = {check.key.replace(".", "_"): None}
    names = {"IDR0_ATS": "ats", "IDR3_RIL": "ril", "IDR1_SSIDSIZE": "ssidsize", "IDR5_OAS": "oas"}
    given = {names.get(key, key): value for key, value in unknown.items()}
    verdict = start(vm(PINNED), host(smmu(**given)), Q11_1)
    assert verdict.answer == "unknown"
    assert [(doubt.code, doubt.needs) for doubt in verdict.of("unknown")] == [(check.message, (check.key,))]
    assert not verdict.would_start()
    assert verdict.would_start(assume_safe=True)


@pytest.mark.parametrize(
    ("known", "wish", "answer"),
    [
        (AT_LEAST_44, "44", "starts"),
        (AT_LEAST_44, "48", "unknown"),
        (AT_MOST_44, "44", "unknown"),
        (AT_MOST_44, "48", "refused"),
    ],
)
def test_a_bound_settles_what_it_can(known: Fact, wish: str, answer: str) -> None:
    assert start(vm(f"oas={wish}"), host(smmu(oas=known)), Q11_1).answer == answer


def test_a_doubt_shows_the_range_that_is_known() -> None:
    [doubt] = start(vm("oas=48"), host(smmu(oas=AT_LEAST_44)), Q11_1).of("unknown")
    assert doubt.why == "Host SMMUv3 supports only 44..56-bit IPA, but the vSMMU OAS implies 48-bit IPA"


def test_what_auto_copies_from_the_first_smmu_fits_it_whatever_it_is() -> None:
    verdict = start(vm(), host(smmu(oas=None, ats=None, ril=None, ssidsize=None)), Q11_1)
    assert verdict.answer == "starts"
    assert verdict.vsmmu("s").values["oas"] == "?"
    assert verdict.vsmmu("s").registers is None


def test_an_unknown_value_of_the_first_smmu_is_a_doubt_for_the_second() -> None:
    on = host(smmu("a", oas=None), smmu("b"), function("0000:01:00.0", "a"), function("0000:02:00.0", "b"))
    machine = vm("", port(1), vfio("0000:01:00.0", 1), port(2), vfio("0000:02:00.0", 2))
    verdict = start(machine, on, Q11_1)
    assert [(doubt.code, doubt.where) for doubt in verdict.of("unknown")] == [("qemu-oas", "v2")]
    assert [endpoint.answer for endpoint in verdict.vsmmu("s").endpoints] == ["starts", "unknown"]


def test_a_certain_refusal_outweighs_doubts() -> None:
    verdict = start(vm("oas=48"), host(smmu(IDR1_SIDSIZE=None, oas=44)), Q11_1)
    assert verdict.answer == "refused"
    assert verdict.of("unknown")


@pytest.mark.parametrize(("first", "second"), [("44", "48"), ("48", "44")])
def test_a_doubt_hides_no_refusal_of_another_vsmmu_on_the_same_host_smmu(first: str, second: str) -> None:
    on = host(smmu(oas=AT_MOST_44), function("0000:01:00.0"), function("0000:02:00.0"))
    machine = vm(
        f"oas={first}",
        *(port(1), vfio("0000:01:00.0", 1), "-device pxb-pcie,id=pcie.2,bus_nr=16,bus=pcie.0"),
        f"-device arm-smmuv3,primary-bus=pcie.2,id=t,accel=on,oas={second}",
        *(port(2, "pcie.2"), vfio("0000:02:00.0", 2)),
    )
    verdict = start(machine, on, Q11_1)
    found = {entry.where: entry.severity for entry in verdict.diagnostics if entry.code == "qemu-oas"}
    assert found == {
        "v1": "unknown" if first == "44" else "error",
        "v2": "unknown" if second == "44" else "error",
    }
    assert verdict.answer == "refused"


def test_a_doubt_is_told_once_for_each_host_smmu() -> None:
    on = host(smmu(IDR1_SIDSIZE=None), function("0000:01:00.0"), function("0000:02:00.0"))
    machine = vm("", port(1), vfio("0000:01:00.0", 1), port(2), vfio("0000:02:00.0", 2))
    assert len(start(machine, on, Q11_1).of("unknown")) == 1


def test_a_function_that_is_not_among_the_facts_leaves_everything_open() -> None:
    verdict = start(vm("", port(1), vfio("0000:09:00.0", 1)), host(), Q11_1)
    assert verdict.answer == "unknown"
    assert "qemu-viommu" in {doubt.code for doubt in verdict.of("unknown")}
    assert verdict.vsmmu("s").endpoints[0].function == ""


def test_a_descriptor_stands_for_the_function_that_the_caller_names() -> None:
    machine = vm("", port(1), "-device vfio-pci,fd=7,bus=rp1,iommufd=i0,id=v1")
    assert start(machine, host(), Q11_1).answer == "unknown"
    named = start(machine, host(smmu(oas=40)), Q11_1, {"v1": "0000:01:00.0"})
    assert named.answer == "starts"
    refused = start(vm("oas=44", port(1), "-device vfio-pci,fd=7,bus=rp1,iommufd=i0,id=v1"),
                    host(smmu(oas=40)), Q11_1, {"v1": "0000:01:00.0"}).failure  # fmt: skip
    assert refused is not None
    assert "vfio v1: Failed to set vIOMMU" in refused.printed


def test_a_mediated_device_is_called_by_the_end_of_its_path() -> None:
    machine = vm("oas=44", port(1), "-device vfio-pci,sysfsdev=/sys/x/0000:01:00.0,bus=rp1,iommufd=i0")
    failure = start(machine, host(smmu(oas=40)), Q11_1).failure
    assert failure is not None
    assert "vfio 0000:01:00.0: Failed to set vIOMMU" in failure.printed


def test_no_facts_at_all_refuse_nothing() -> None:
    empty = Host(schema=SCHEMA, name="nothing is known")
    assert start(vm(PINNED), empty, Q11_1).answer == "unknown"


# --- does the kernel nest? ----------------------------------------------------------------------------------

SOUND = {"nesting": None, "IIDR_ProductID": 0x123}


@pytest.mark.parametrize(
    ("known", "canwbs", "answer"),
    [
        ({**SOUND, "IDR3_FWB": 1}, None, "starts"),
        ({**SOUND, "IDR3_FWB": 0}, 1, "starts"),
        ({**SOUND, "IDR3_FWB": 0}, 0, "refused"),
        ({**SOUND, "IDR3_FWB": 0}, None, "unknown"),
        ({**SOUND, "IDR3_FWB": 1, "IDR0_S2P": 0}, 1, "refused"),
        ({**SOUND, "IDR3_FWB": 1, "IDR0_S1P": None}, 1, "unknown"),
        ({**SOUND, "IDR3_FWB": 1, "IIDR_ProductID": 0x487}, 1, "unknown"),
        ({**SOUND, "IDR3_FWB": 1, "IIDR_ProductID": None}, 1, "unknown"),
        ({"nesting": 1, "IDR3_FWB": 0}, 0, "starts"),
        ({"nesting": 0, "IDR3_FWB": 1}, 1, "refused"),
    ],
)
def test_nesting_needs_both_stages_and_forced_or_snooped_writes(
    known: dict[str, int | None], canwbs: int | None, answer: str
) -> None:
    on = host(smmu(**known), function(canwbs=canwbs))
    verdict = start(vm(), on, Q11_1)
    assert verdict.answer == answer
    if answer == "refused":
        assert verdict.failure is not None
        # Without stage 2 not even the page table under a vIOMMU can be made.
        assert verdict.failure.code == ("qemu-nest-parent" if known.get("IDR0_S2P") == 0 else "qemu-viommu")


# --- vfio-pci's own ats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "refused", "capability", "answer", "visible"),
    [
        ("auto", 0, 1, "starts", True),
        ("auto", 1, 1, "starts", False),
        ("auto", 0, 0, "starts", False),
        ("auto", None, 1, "starts", None),
        ("auto", 0, None, "starts", None),
        ("off", 0, 1, "starts", False),
        ("on", 0, 1, "starts", True),
        ("on", 0, 0, "starts", False),
        ("on", 1, 1, "refused", None),
        ("on", None, 1, "unknown", None),
    ],
)
def test_what_the_guest_sees_of_ats(
    wish: str, refused: int | None, capability: int | None, answer: str, visible: bool | None
) -> None:
    on = host(smmu(), function(ats_not_supported=refused, ats_capability=capability))
    verdict = start(vm("", port(1), vfio("0000:01:00.0", 1, f"ats={wish}")), on, Q11_1)
    assert verdict.answer == answer
    if answer != "refused":
        assert verdict.vsmmu("s").endpoints[0].ats_visible is visible


def test_11_0_hides_no_ats_capability() -> None:
    on = host(smmu(), function(ats_not_supported=1))
    assert start(vm(), on, Q11_0).vsmmu("s").endpoints[0].ats_visible is None
