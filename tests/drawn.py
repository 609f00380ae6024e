# SPDX-License-Identifier: Apache-2.0
"""Any pictures, the pictures of built-in hosts, and an SVG document read back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hypothesis import strategies as st

from examples import Q11_1
from vsmmu.host.builtin import builtin_host
from vsmmu.picture.box import MARKS, Box, BoxLink, Picture
from vsmmu.plan.boxes import plan_picture
from vsmmu.plan.planner import Order, plan

if TYPE_CHECKING:
    from vsmmu.picture.box import Shade

__all__ = ["a_plan", "boxes", "one", "pictures", "texts"]

TEXT = st.text('ab 0<&"\x00\n\u00e9\u4e2d', max_size=60)
SHADES: list[Shade] = ["plain", "place", "strong", "open"]


def boxes() -> st.SearchStrategy[Box]:
    def node(inside: st.SearchStrategy[Box]) -> st.SearchStrategy[Box]:
        children = st.lists(inside, max_size=4).map(tuple)
        lines = st.lists(TEXT, max_size=3).map(tuple)
        parts = st.tuples(TEXT, lines, children, st.sampled_from(SHADES), st.sampled_from(["", *MARKS]))
        return parts.map(lambda given: Box(*given))

    # Not st.recursive: it throws away what has too many leaves, which may be nearly all. Nor st.builds, which
    # makes up the members that are not given, boxes in boxes without end.
    leaf = TEXT.map(Box)
    return node(leaf | node(leaf | node(leaf)))


def _linked(found: list[Box], meaning: str, notes: list[str]) -> Picture:
    """Boxes with a link from each but the last to the next."""
    keyed = [box._replace(key=f"key{number}") for number, box in enumerate(found)]
    links = tuple(BoxLink(f"key{number}", f"key{number + 1}") for number in range(len(found) - 1))
    return Picture(tuple(keyed), links, meaning, tuple(notes))


def pictures() -> st.SearchStrategy[Picture]:
    return st.builds(_linked, st.lists(boxes(), min_size=1, max_size=3), TEXT, st.lists(TEXT, max_size=2))


def one(box: Box) -> Picture:
    return Picture((box,))


def a_plan(name: str = "gb200", spare: int = 1) -> Picture:
    """Two functions behind two SMMUs of a built-in host, in a VM."""
    host = builtin_host(name)
    behind = {entry.smmu: entry.address for entry in host.functions if entry.smmu}
    return plan_picture(plan(Order(tuple(behind.values())[:2], spare), host, Q11_1), host)


def texts(document: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(document).iter()]
