# SPDX-License-Identifier: Apache-2.0
"""lspci's text: ATS and PASID of functions, and what the text leaves open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import examples
from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.host.facts import SCHEMA, Host
from vsmmu.probe.lspci_text import Said, add_capabilities, read_lspci

HEAD = "0009:01:00.0 3D controller: NVIDIA Corporation Device 31c2 (rev a1)\n"
EXPRESS = "\tCapabilities: [40] Express (v2) Endpoint, MSI 00\n"
ATS = (
    "\tCapabilities: [200 v1] Address Translation Service (ATS)\n"
    "\t\tATSCap:\tInvalidate Queue Depth: 00\n\t\tATSCtl:\tEnable-, Smallest Translation Unit: 00\n"
)
PASID = (
    "\tCapabilities: [2d0 v1] Process Address Space ID (PASID)\n"
    "\t\tPASIDCap: Exec- Priv-, Max PASID Width: 14\n\t\tPASIDCtl: Enable- Exec- Priv-\n"
)
OTHER = "\tCapabilities: [100 v2] Advanced Error Reporting\n\t\tUESta:\tDLP- SDES-\n"
DENIED = "\tCapabilities: <access denied>\n"


def said(text: str) -> Said:
    [found] = read_lspci(text.encode(), "lspci")
    return found


@pytest.mark.parametrize(
    ("text", "ats", "pasid", "width"),
    [
        (EXPRESS + OTHER + ATS + PASID, True, True, 20),  # the width is printed in hexadecimal
        (EXPRESS + OTHER + PASID.replace(": 14", ": 10"), False, True, 16),
        (EXPRESS + ATS, True, False, None),
        (EXPRESS + OTHER, False, False, None),
        (EXPRESS, None, None, None),  # the extended space was not read
        (DENIED, None, None, None),
        (OTHER + PASID.splitlines(keepends=True)[0], False, True, None),  # lspci -v
        (OTHER + PASID.replace(": 14", ": ff"), False, True, None),
        ("", None, None, None),
    ],
)
def test_capabilities(text: str, ats: bool | None, pasid: bool | None, width: int | None) -> None:
    assert said(HEAD + text) == Said("0009:01:00.0", ats, pasid, width)
    assert said((HEAD + text).removeprefix("0009:")).address == "0000:01:00.0"


def test_they_are_added_to_functions_that_the_facts_have() -> None:
    physical = examples.function("0000:01:00.0", "smmu0")
    virtual = examples.function("0000:01:00.1", "smmu0")
    virtual = type(virtual)(virtual.address, smmu="smmu0", physical_function=physical.address)
    host = Host(
        schema=SCHEMA, name="x", smmus=(examples.smmu("smmu0"),), functions=(physical, virtual),
        evidence=examples.EVIDENCE,
    )  # fmt: skip
    text = f"01:00.0 A\n{ATS}{PASID}\n01:00.1 B\n{ATS}\n02:00.0 C\n{OTHER}\n"
    found = add_capabilities(host, read_lspci(text.encode(), "lspci"))
    for function in found.functions:
        assert found.read(function.ats_capability, "ats_capability").exact == 1
        assert found.read(function.pasid_width, "pasid_width", 20).exact == 20
    assert add_capabilities(host, ()) is host


@pytest.mark.parametrize("text", ["", "nothing", "01:00.0", DENIED])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read_lspci(text.encode(), "lspci")
    assert caught.value.code == "lspci-malformed"


@given(
    st.lists(
        st.sampled_from((HEAD, EXPRESS, ATS, PASID, OTHER, DENIED, "\n", "[", "x")) | st.text(max_size=5)
    )
)
def test_mutated_text_gives_capabilities_or_our_own_error(parts: list[str]) -> None:
    try:
        found = read_lspci("".join(parts).encode("utf-8", "surrogateescape"), "lspci")
    except VsmmuError:
        return
    assert all(entry.pasid_width is None or entry.pasid_width <= 20 for entry in found)
