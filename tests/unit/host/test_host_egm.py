# SPDX-License-Identifier: Apache-2.0
"""EGM regions and the size of pages in facts: contradictions, and that they come back from a file."""

from __future__ import annotations

import msgspec
import pytest

from examples import fact, host, smmu, with_egm, with_pages
from vsmmu.errors import InputRefused
from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import UNKNOWN
from vsmmu.host.files import decode_host, encode_host, unknown_members
from vsmmu.host.judgements import PAGES, page_sizes
from vsmmu.host.numa_nodes import EgmRegion

GRACE = with_pages(with_egm(builtin_host("gb200")), 64 << 10)


@pytest.mark.parametrize(
    "regions",
    [
        (EgmRegion("egm4"), EgmRegion("egm4")),
        (EgmRegion("egm4", None, ("0008:01:00.0",)), EgmRegion("egm5", None, ("0008:01:00.0",))),
        (EgmRegion("egm4", None, ("0008:01:00.0", "0008:01:00.0")),),
        (EgmRegion("egm4", evidence="nobody"),),
    ],
)
def test_regions_that_contradict_themselves(regions: tuple[EgmRegion, ...]) -> None:
    with pytest.raises(InputRefused, match="facts-inconsistent"):
        msgspec.structs.replace(host(smmu()), egm=regions)


@pytest.mark.parametrize("size", [0, 1, 4095, 6 << 10, 128 << 10, -4096])
def test_pages_of_no_size(size: int) -> None:
    with pytest.raises(InputRefused, match="facts-inconsistent"):
        with_pages(host(smmu()), size)


def test_they_come_back_from_a_file() -> None:
    again = decode_host(encode_host(GRACE), "x")
    assert (again.egm, again.page_size) == (GRACE.egm, GRACE.page_size)
    assert again.unread == ()


def test_what_a_later_version_says_of_a_region_is_passed_over() -> None:
    text = encode_host(GRACE).replace(b'"name": "egm4"', b'"name": "egm4", "kind": 1')
    assert decode_host(text, "x").egm == GRACE.egm
    assert unknown_members(text) == ("egm[].kind",)


@pytest.mark.parametrize("name", ["egm", "egmX", "../egm4", "egm4\n", "egm12345678"])
def test_a_name_that_no_device_has(name: str) -> None:
    with pytest.raises(InputRefused):
        decode_host(encode_host(GRACE).replace(b'"egm4"', msgspec.json.encode(name)), "x")


@pytest.mark.parametrize(
    ("told", "sizes"),
    [
        (UNKNOWN, PAGES),
        (fact(64 << 10), (64 << 10,)),
        (fact(32 << 10), (32 << 10,)),
        (fact(16 << 10, "at-least"), (16 << 10, 64 << 10)),
        (fact(16 << 10, "at-most"), (4 << 10, 16 << 10)),
    ],
)
def test_the_sizes_that_pages_may_have(told: object, sizes: tuple[int, ...]) -> None:
    assert page_sizes(msgspec.structs.replace(host(smmu()), page_size=told)) == sizes
