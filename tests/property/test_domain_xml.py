# SPDX-License-Identifier: Apache-2.0
"""Domains of any shape: no crash, nothing changed but what was meant, and a second run changes nothing."""

from __future__ import annotations

import re
from contextlib import suppress
from xml.sax.saxutils import escape, quoteattr

from hypothesis import given
from hypothesis import strategies as st

from domains import domain
from vsmmu.diagnostic import Edit
from vsmmu.errors import InputRefused
from vsmmu.host.builtin import builtin_host
from vsmmu.libvirt.lint import lint
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.policy.resolver import resolve
from vsmmu.qemu.versions import LATEST

GB200 = builtin_host("gb200")
DRIVER = re.compile(rb"<driver\s[^>]*pciBus[^>]*>")
BLANKS = st.text(" \t\n", min_size=1, max_size=3)
VALUES = st.one_of(
    st.sampled_from(["on", "off", "auto", "0", "20", "21", "44", "48", "52", "-1", "", " 48 ", "1"]),
    st.text(max_size=6).filter(lambda text: text.isprintable()),
)
NAMES = st.sampled_from(
    ["accel", "ats", "ril", "ssidsize", "oas", "cmdqv", "ssidSize", "ssid_size", "OAS", "pasid", "foreign"]
)
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40)


@st.composite
def drivers(draw: st.DrawFn) -> str:
    """A ``<driver>`` with any attributes in any order, spacing and quoting."""
    settings = draw(st.dictionaries(NAMES, VALUES, max_size=7))
    settings["pciBus"] = "1"
    parts = []
    for name in draw(st.permutations(sorted(settings))):
        quote = draw(st.sampled_from("'\""))
        value = escape(settings[name], {quote: "&quot;" if quote == '"' else "&apos;", "\n": "&#10;"})
        parts.append(f"{draw(BLANKS)}{name}{draw(st.sampled_from(['=', ' = ']))}{quote}{value}{quote}")
    return f"<driver {''.join(parts)}{draw(st.sampled_from(['', ' ', chr(10)]))}/>"


@st.composite
def domains(draw: st.DrawFn) -> bytes:
    """A domain with foreign text around such a driver."""
    comment = f"<!-- {draw(TEXT).replace('-', '')} -->"
    noise = f"{comment}<f:x xmlns:f='urn:f' a={quoteattr(draw(TEXT))}>{escape(draw(TEXT))}</f:x>"
    data = domain(iommu=f"<iommu model='smmuv3'>{draw(drivers())}</iommu>", end=noise)
    return data.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n"])))


def around(data: bytes) -> list[bytes]:
    return DRIVER.split(data)


@given(domains())
def test_resolving_changes_the_driver_only_and_once(data: bytes) -> None:
    read = read_domain_xml(data, "vm.xml")
    lint(read.reading)
    answer = resolve(read, GB200, LATEST)
    edited = answer.vm
    if edited is None:
        assert answer.problems
        return
    after = edited.render()
    assert around(after) == around(data)
    again = resolve(edited, GB200, LATEST).vm
    assert again is not None
    assert again.render() == after
    assert not any(finding.severity == "error" for finding in lint(edited.reading))
    meant = read.reading_after(answer.edits)
    assert lint(meant) == lint(edited.reading)
    assert [device._replace(origin=None) for device in meant.machine.devices] == [
        device._replace(origin=None) for device in edited.machine().devices
    ]


@given(domains(), st.sampled_from(["ats", "ril", "ssidsize", "oas", "cmdqv"]), VALUES)
def test_edit_sets_exactly_one_setting(data: bytes, name: str, value: str) -> None:
    read = read_domain_xml(data, "vm.xml")
    number = read.machine().vsmmus[0].number
    before = {key: text for key, text in read.reading.iommus[0].settings.items() if text != "auto"}
    edited = read.edit([Edit(number, name, value)])
    after = dict(edited.reading.iommus[0].settings)
    assert around(edited.data) == around(data)
    assert {key: text for key, text in after.items() if key != name} == {
        key: text for key, text in before.items() if key != name
    }
    if value == "auto":
        assert name not in after


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data, b"<domain>" + data + b"</domain>"):
        with suppress(InputRefused):
            lint(read_domain_xml(text, "vm.xml").reading)


@given(st.data())
def test_damaged_domain_is_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(domain())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    with suppress(InputRefused):
        read = read_domain_xml(bytes(text), "vm.xml")
        lint(read.reading)
        resolve(read, GB200, LATEST)
