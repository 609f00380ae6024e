# SPDX-License-Identifier: Apache-2.0
"""The pictures of the manual, drawn by the product."""

from __future__ import annotations

from vsmmu.host.builtin import builtin_host
from vsmmu.picture.svg import svg
from vsmmu.plan.boxes import plan_picture
from vsmmu.plan.planner import Order, plan
from vsmmu.qemu.versions import parse_version
from vsmmu.versions import LATEST_QEMU, spell_version

__all__ = ["plan_svg"]


def plan_svg() -> str:
    """What ``vsmmu plan --host builtin:gb200 0009:01:00.0 0019:01:00.0 -o svg`` prints."""
    host = builtin_host("gb200")
    order = Order(("0009:01:00.0", "0019:01:00.0"))
    picture = plan_picture(plan(order, host, parse_version(spell_version(LATEST_QEMU))), host)
    return svg(picture, f"PCI topology of a VM on {host.name}")
