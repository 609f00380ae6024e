# SPDX-License-Identifier: Apache-2.0
"""Nesting, ATS and bridges: which facts decide, and which leave it open."""

from __future__ import annotations

import msgspec
import pytest

from examples import function, host, smmu
from vsmmu.host.facts import Host, HostFunction, HostSmmu, Kernel
from vsmmu.host.judgements import ats, ats_required, bridge, nest_parent, nesting, nesting_behind
from vsmmu.smmuv3.interval import Interval, exactly

ARM, OTHER = 0x43B, 0x36B
LINE = "arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features {:#010x})"
STAGES, NESTING = 0b11 << 9, 1 << 19


def judged(
    one: HostSmmu, behind: HostFunction | None = None, release: str = "6.18.0"
) -> tuple[bool | None, str]:
    entry = behind or function(canwbs=1)
    on = msgspec.structs.replace(host(one, entry), kernel=Kernel(release=release))
    found = nesting(on, one, entry)
    return found.answer, found.why


def unasked(**fields: int | None) -> HostSmmu:
    """Both stages and forced writes, the kernel not asked for a vIOMMU."""
    return smmu(nesting=None, IDR3_FWB=1, **fields)


def of_revision(product: int, variant: int | None, revision: int | None, by: int | None = ARM) -> HostSmmu:
    return unasked(IIDR_ProductID=product, IIDR_Variant=variant, IIDR_Revision=revision, IIDR_Implementer=by)


@pytest.mark.parametrize(
    ("one", "answer", "why"),
    [
        (of_revision(0x483, 0, 2), False, "erratum of this revision of MMU-600"),
        (of_revision(0x483, 1, 15), False, "MMU-600"),
        (of_revision(0x483, 2, 0), True, "stages"),
        (of_revision(0x483, None, 0), None, "revision of MMU-600 is not known"),
        (of_revision(0x487, 0, 1), False, "erratum of this revision of MMU-700"),
        (of_revision(0x487, 1, 0), False, "MMU-700"),
        (of_revision(0x487, 1, 1), True, "stages"),
        # The driver's condition: a later variant of revision 0 counts as affected, too.
        (of_revision(0x487, 2, 0), False, "MMU-700"),
        (of_revision(0x487, 2, None), None, "MMU-700"),
        (of_revision(0x487, None, 0), False, "MMU-700"),
        (of_revision(0x487, 0, 0, OTHER), True, "stages"),
        (of_revision(0x487, 0, 0, None), None, "MMU-700"),
        (of_revision(0x487, 1, 1, None), True, "stages"),
        (of_revision(0x498, 0, 0), True, "stages"),
        (unasked(), None, "IIDR.ProductID not known"),
        (unasked(IIDR_Implementer=OTHER), True, "stages"),
    ],
)
def test_an_erratum_is_one_of_a_revision(one: HostSmmu, answer: bool | None, why: str) -> None:
    found, reason = judged(one)
    assert (found, why in reason) == (answer, True), reason
    assert nest_parent(host(one), one).answer is answer


@pytest.mark.parametrize(
    ("features", "release", "answer"),
    [
        (STAGES | NESTING, "", True),
        (STAGES, "6.18.0", False),
        (STAGES, "6.5.0", False),
        (STAGES, "6.4.16", None),
        (STAGES, "", None),
        (1 << 9, "6.18.0", None),
    ],
)
def test_the_drivers_feature(features: int, release: str, answer: bool | None) -> None:
    one = msgspec.structs.replace(unasked(), kernel_log=("noise", LINE.format(features)))
    assert judged(one, release=release)[0] is answer


def test_the_drivers_last_start_counts() -> None:
    one = msgspec.structs.replace(unasked(), kernel_log=(LINE.format(0), LINE.format(STAGES | NESTING)))
    assert judged(one)[0] is True


def test_a_register_outweighs_the_drivers_line() -> None:
    one = msgspec.structs.replace(unasked(IDR0_S2P=0), kernel_log=(LINE.format(STAGES | NESTING),))
    assert judged(one) == (False, "no IDR0.S2P")


@pytest.mark.parametrize(
    ("forced", "snooped", "answer"),
    [(0, 0, False), (0, 1, True), (1, 0, True), (None, 1, True), (1, None, True), (None, 0, None),
     (0, None, None), (None, None, None)],
)  # fmt: skip
def test_forced_or_snooped_writes(forced: int | None, snooped: int | None, answer: bool | None) -> None:
    one = smmu(nesting=None, IDR3_FWB=forced, IIDR_ProductID=1)
    assert judged(one, function(canwbs=snooped))[0] is answer


def test_what_the_kernel_answered_outweighs_everything() -> None:
    cannot = {"IDR0_S2P": 0, "IDR3_FWB": 0, "IIDR_ProductID": 0x483}
    assert judged(smmu(nesting=1, **cannot), function(canwbs=0))[0] is True
    assert judged(smmu(nesting=0, IDR3_FWB=1, IIDR_ProductID=1)) == (
        False,
        "the kernel refuses IOMMU_VIOMMU_ALLOC",
    )
    assert judged(smmu(nesting=0, IDR3_FWB=0), function(canwbs=0)) == (False, "neither CANWBS nor S2FWB")
    assert judged(smmu(nesting=None, IDR3_FWB=1, IIDR_ProductID=1, hw_info_type=0))[0] is False


@pytest.mark.parametrize(("told", "with_canwbs", "without"), [(1, True, False), (0, None, False)])
def test_an_answer_for_one_root_complex_is_none_for_another(
    told: int, with_canwbs: bool | None, without: bool
) -> None:
    one = smmu(nesting=told, IDR3_FWB=0, IIDR_ProductID=1)
    snooped, other = function(canwbs=1), function("0000:02:00.0", canwbs=0)
    on = host(one, snooped, other)
    assert nesting(on, one, snooped).answer is with_canwbs
    assert nesting(on, one, other).answer is without
    assert nesting_behind(on, one).interval == Interval(0, 1)


def test_bridges_do_not_count() -> None:
    one = smmu(nesting=None, IDR3_FWB=0, IIDR_ProductID=1)
    port = msgspec.structs.replace(function("0000:00:01.0"), class_code="060400")
    assert nesting_behind(host(one, port, function(canwbs=1)), one).interval == exactly(1)
    assert nesting_behind(host(one, port), one).answer is None


@pytest.mark.parametrize(
    ("facts", "behind", "answer", "why"),
    [
        ({}, smmu(), True, "capability"),
        ({}, smmu(ats=0), False, "its SMMU has no ATS"),
        ({}, smmu(ats=None), None, "IDR0.ATS"),
        ({"ats_capability": 0}, smmu(), False, "no ATS capability"),
        ({"ats_capability": None}, smmu(), None, "capability is not known"),
        ({"ats_not_supported": 1}, smmu(), False, "the kernel says"),
        ({"ats_not_supported": None}, smmu(), None, "has not said"),
        ({"root_complex_ats": 0, "ats_not_supported": None}, smmu(), False, "firmware"),
    ],
)
def test_ats(facts: dict[str, int | None], behind: HostSmmu, answer: bool | None, why: str) -> None:
    entry = function(**facts)
    on: Host = host(behind, entry)
    found = ats(on, entry, behind)
    assert (found.answer, why in found.why) == (answer, True), found.why


def test_a_bridge() -> None:
    for code, answer in (("060400", True), ("030200", False), (None, None)):
        assert bridge(msgspec.structs.replace(function(), class_code=code)).answer is answer


@pytest.mark.parametrize(
    ("physical", "answer"),
    [({"ats_capability": 0}, False), ({"ats_not_supported": 1}, False), ({}, True)],
)
def test_a_virtual_function_has_no_more_ats_than_its_physical_one(
    physical: dict[str, int], answer: bool
) -> None:
    pf = function("0000:01:00.0", **physical)
    vf = msgspec.structs.replace(function("0000:01:00.1"), physical_function=pf.address)
    assert ats(host(smmu(), pf, vf), vf).answer is answer


PHYSICAL = "0000:01:00.0"


def listed(vendor: str, device: str, **facts: int | None) -> HostFunction:
    return msgspec.structs.replace(function(**facts), vendor=vendor, device=device)


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        (listed("10de", "2e00"), True),
        (listed("10de", "2e12", cxl_cache=0), True),
        (listed("10de", "2e3f"), True),
        (listed("10de", "2e40", cxl_cache=0), False),
        (listed("10de", "2941", cxl_cache=0), False),
        (listed("10de", "2941"), None),
        (listed("15b3", "2101"), True),
        (listed("15b3", "2e12", cxl_cache=0), False),
        (listed("8086", "0d93", cxl_cache=1), True),
        (listed("8086", "0d93", cxl_cache=1, ats_capability=0), False),
        (function(cxl_cache=1), True),
        (function(), None),
    ],
)
def test_who_needs_ats(entry: HostFunction, answer: bool | None) -> None:
    virtual = msgspec.structs.replace(function("0000:01:00.1"), physical_function=PHYSICAL)
    on = host(smmu(), entry, virtual)
    assert ats_required(on, entry).answer is answer
    assert ats_required(on, virtual).answer is answer
    assert ats_required(host(smmu(), virtual), virtual).answer is None
