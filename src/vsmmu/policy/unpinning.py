# SPDX-License-Identifier: Apache-2.0
"""Unpinning: edits that turn written values of accelerated vSMMUs into ``auto``, to be resolved anew.

``auto`` takes the value's place, and not nothing: what is resolved then stands where the old value stood,
and what is left to QEMU means the same with every machine type. A domain leaves the attribute out for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import Edit
from vsmmu.qemu.settings import is_accelerated, written_properties
from vsmmu.smmuv3.properties import AUTO

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["overlaid", "unpinned"]


def unpinned(machine: Machine, names: Container[str], qemu: Qemu) -> Iterator[Edit]:
    """The edits that forget the written values of ``names``; what this QEMU has no such property for stays.

    :param names: of the five properties of :mod:`vsmmu.smmuv3.properties`.
    """
    for device in machine.vsmmus:
        if is_accelerated(device, machine):
            written = written_properties(device, machine)
            for entry in qemu.properties.values():
                if entry.name not in names or not qemu.has(entry):
                    continue
                if not entry.takes_auto:  # without a word for it, nothing takes the value's place
                    if entry.option in device.properties:
                        yield Edit(device.number, entry.option, None)
                elif written.get(entry.option, AUTO) != AUTO:
                    yield Edit(device.number, entry.option, AUTO)


def overlaid(first: Iterable[Edit], then: Iterable[Edit]) -> tuple[Edit, ...]:
    """Both, with at most one edit of a property: the later one."""
    return tuple({(edit.device, edit.property): edit for edit in (*first, *then)}.values())
