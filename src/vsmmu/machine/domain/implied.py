# SPDX-License-Identifier: Apache-2.0
"""Elements that libvirt adds to a domain: controllers of disks and channels, a video card for graphics."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from vsmmu.machine.domain.elements import Element
from vsmmu.machine.domain.emulated import disk_bus, disk_number
from vsmmu.machine.domain.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["implied_elements"]

#: Offsets that no element of a text has, nor a PCI controller that libvirt adds.
_FIRST_START: Final = -10_000
#: Disks on one controller, where their targets' names count.
_UNITS: Final[Mapping[str, int]] = {"scsi": 7, "sata": 6}
#: More than there are slots for; libvirt would refuse far fewer.
_MAX_CONTROLLERS: Final = 256


def implied_elements(kinds: Mapping[str, Sequence[Element]], line: int) -> Iterator[Element]:
    """The elements that libvirt adds, in its order; they are not in the text.

    :param kinds: the elements of the domain's ``<devices>`` by name.
    :param line: where messages say that they are.
    """
    starts = count(_FIRST_START, -1)
    for kind, indexes in _controllers(kinds):
        written = {number(element, "index") or 0 for element in _of(kinds.get("controller", ()), kind)}
        for index in indexes:
            if index not in written:
                written.add(index)
                attributes = {"type": kind, "index": str(index)}
                yield Element("controller", attributes, next(starts), line)
    if kinds.get("graphics") and not kinds.get("video"):
        yield Element("video", {}, next(starts), line)


def _controllers(kinds: Mapping[str, Sequence[Element]]) -> Iterator[tuple[str, Iterable[int]]]:
    """Kinds of controllers, each with the indexes that there have to be.

    Of disks' controllers that is every one up to the highest named, of ports' the named alone [measured].
    """
    for kind, units in _UNITS.items():
        disks = [disk for disk in kinds.get("disk", ()) if disk_bus(disk) == kind]
        named = [_controller(disk, disk_number(disk) // units) for disk in disks]
        yield kind, range(min(max(named, default=-1) + 1, _MAX_CONTROLLERS))
    ports = [*kinds.get("channel", ()), *kinds.get("console", ())]
    yield (
        "virtio-serial",
        [_controller(port, 0) for port in ports if port.value("target", "type") == "virtio"],
    )


def _controller(element: Element, default: int) -> int:
    found = number(element.find("address"), "controller")
    return default if found is None else found


def _of(controllers: Iterable[Element], kind: str) -> Iterator[Element]:
    return (element for element in controllers if element.get("type") == kind)
