# SPDX-License-Identifier: Apache-2.0
"""The report's page as text: a policy that fits what is in it, nothing from elsewhere, every part there."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from fleet_examples import named, taken
from vsmmu.fleet.page import page
from vsmmu.fleet.report import report_document
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.qemu.versions import LATEST

VOID = {"meta", "link", "input", "br", "rect"}


class Reader(HTMLParser):
    """Balances tags, and keeps ids, links and what is said in attributes that load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "srcset", "action", "data", "style") or name.startswith("on"):
                self.loaded.append(f"{tag} {name}={value}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


@pytest.fixture(scope="module")
def html() -> str:
    reader, census = taken(named(builtin_host(name), name) for name in builtin_names())
    report = report_document(census, reader.classes, LATEST, title="All", made_at="today", compared=True)
    return page(report, reader.topologies)


def test_it_is_whole_and_every_link_leads_somewhere(html: str) -> None:
    found = Reader(html)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert found.links
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert found.loaded == []


def test_the_policy_names_exactly_the_style_and_the_script(html: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} &#39;sha256-{digest}&#39;" in policy[1] or f"{kind} 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")


def test_nothing_is_named_that_lies_elsewhere(html: str) -> None:
    outside = re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", html)
    assert not re.findall(r"(?:https?:)?//\w", re.sub(r"(?m)^\s*//.*$", "", outside))


def test_every_host_class_and_topology_is_there(html: str) -> None:
    for name in builtin_names():
        assert f">{name}</th>" in html
        assert builtin_host(name).functions[0].address in html
    assert html.count("<figure") == len(builtin_names())


def test_the_elements_to_paste_are_lines(html: str) -> None:
    """A line end of a name would be an escape; these are our own."""
    (elements,) = re.findall(r"<pre>(.*?)</pre>", html, re.DOTALL)
    words = [line.split()[0] for line in elements.splitlines()]
    assert words == ["&lt;iommu", "&lt;driver", "&lt;/iommu&gt;"]


def test_the_same_facts_make_the_same_page(html: str) -> None:
    reader, census = taken(builtin_host(name) for name in builtin_names())
    report = report_document(census, reader.classes, LATEST, title="All", made_at="today", compared=True)
    assert page(report, reader.topologies) == html
