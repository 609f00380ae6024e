# SPDX-License-Identifier: Apache-2.0
"""Recognise fleet records by comparing bytes: their frame of SMMUs and evidence, and the functions in it.

Hosts of one generation have the same SMMUs, byte for byte, and evidence of the same kinds, if not with the
same dates. These are a record's frame. Where its members stand as vsmmu writes them, the SMMUs need not be
decoded to find it; what hosts with it are is then known by the text of their functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.fleet.quick_structs import NOTHING, decode_head, evidence_kinds, without_labels

if TYPE_CHECKING:
    from vsmmu.fleet.quick_structs import Head
    from vsmmu.host.facts import Host

__all__ = ["HostFrame", "HostFrames", "Place", "smmu_places"]

_MOST_FRAMES: Final = 4096
_MOST_BYTES: Final = 64 << 20
#: Texts of functions in one frame.
_MOST_TEXTS: Final = 4096
#: Frames that begin alike are compared one after the other.
_MOST_ALIKE: Final = 8
_BEGINNING: Final = 64
_SMMUS, _FUNCTIONS, _EVIDENCE = b',"smmus":', b',"functions":', b',"evidence":'

#: The positions of a class and of a topology.
Place = tuple[int, int]
#: What tells frames apart: the text of the SMMUs, name and kind of each evidence, and the text of the rest.
_Key = tuple[bytes, tuple[tuple[str, str], ...], bytes]


class HostFrame:
    """What surrounds the functions of a record, after the strict reader found it in order."""

    def __init__(self, key: _Key, host: Host) -> None:
        self.key = key
        self.smmus = frozenset(smmu.name for smmu in host.smmus)
        self.shape = smmu_places(host)
        self.evidence = host.evidence
        #: Class and topology by the text of functions, without their labels.
        self.places: dict[bytes, Place] = {}
        #: The functions that were met last, labels and all: most often the next are the same.
        self.last: tuple[bytes | None, Place | None] = (None, None)
        #: Class by what of the functions bears on it.
        self.kinds: dict[frozenset[object], int] = {}


class _Layout(NamedTuple):
    """A frame as it stands in a record: the texts around those of the functions."""

    before: bytes
    after: bytes
    frame: HostFrame


#: The small members of a record, its frame if that is known, and the text of its functions.
_Cut = tuple["Head", HostFrame | None, bytes]


class HostFrames:
    """The frames that were met; memory is bounded, and what does not fit is forgotten."""

    def __init__(self) -> None:
        self._frames: dict[_Key, HostFrame] = {}
        self._layouts: dict[bytes, list[_Layout]] = {}
        self._bytes = 0

    def cut(self, data: bytes) -> _Cut:
        """The small members of a record, its frame if that is known, and the text of its functions.

        A record that is taken apart by its layout is in order if its beginning and its functions are.

        :raise msgspec.DecodeError: it is no such record (or ``UnicodeDecodeError``, ``RecursionError``).
        """
        at = data.find(_SMMUS)
        layouts = self._layouts.get(data[at : at + _BEGINNING], ())
        for before, after, frame in layouts:
            if data.startswith(before, at) and data.endswith(after):
                head = decode_head(data[:at] + b"}")
                functions = data[at + len(before) : -len(after)]
                # The beginning of the end can be in the end of the beginning.
                if functions and _stands_alone(head) and _rest(head) == frame.key[2]:
                    return head, frame, functions
                break
        for before, _, frame in layouts:
            if data.startswith(before, at):
                if (found := self._cut_by_kinds(data, at, at + len(before), frame.key[0])) is not None:
                    return found
                break
        head = decode_head(data)
        return head, self._frames.get(_key(head)), bytes(head.functions)

    def _cut_by_kinds(self, data: bytes, at: int, start: int, smmus: bytes) -> _Cut | None:
        """The same where evidence has other words; None if it is not the last member.

        :param at: where the SMMUs begin.
        :param start: where the functions begin.
        """
        end = data.rfind(_EVIDENCE, start)
        last = data[end + len(_EVIDENCE) :].rstrip()
        if end <= start or not last.endswith(b"}"):
            return None
        try:
            head, kinds = decode_head(data[:at] + b"}"), evidence_kinds(last[:-1])
        except msgspec.DecodeError:
            return None
        if not _stands_alone(head):
            return None
        return head, self._frames.get((smmus, kinds, _rest(head))), data[start:end]

    def add(self, data: bytes, host: Host, behind: frozenset[object], place: Place) -> None:
        """Note a record that is in order.

        :param behind: what of its functions bears on its class.
        """
        head = decode_head(data)
        key = _key(head)
        frame = self._frames.get(key)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._forget()
            self._take(len(data))
            frame = self._frames[key] = HostFrame(key, host)
        self._note_layout(data, head, frame)
        if len(frame.kinds) >= _MOST_TEXTS:
            frame.kinds.clear()
        frame.kinds[behind] = place[0]
        self.note(frame, without_labels(bytes(head.functions)), place)

    def note(self, frame: HostFrame, functions: bytes, place: Place) -> None:
        """Note what hosts with these functions are.

        :param functions: their text without labels.
        """
        if len(frame.places) >= _MOST_TEXTS:
            frame.places.clear()
        self._take(len(functions))
        frame.places[functions] = place

    def _take(self, size: int) -> None:
        """Make room for a text."""
        if self._bytes + size > _MOST_BYTES:
            self._forget()
        self._bytes += size

    def _forget(self) -> None:
        self._frames.clear()
        self._layouts.clear()
        self._bytes = 0

    def _note_layout(self, data: bytes, head: Head, frame: HostFrame) -> None:
        """Note how the frame stands in a record, if its members are there as vsmmu writes them."""
        functions, evidence = bytes(head.functions), bytes(head.evidence)
        before = _SMMUS + bytes(head.smmus) + _FUNCTIONS
        end = data[data.find(_SMMUS) :]
        after = end[len(before) + len(functions) :]
        members = before + functions + _EVIDENCE + evidence
        if functions and evidence and end.rstrip() == members + b"}":
            layout, alike = _Layout(before, after, frame), self._layouts.get(end[:_BEGINNING], [])
            if layout not in alike and len(alike) < _MOST_ALIKE:
                self._take(len(before) + len(after))
                self._layouts.setdefault(end[:_BEGINNING], []).append(layout)


def smmu_places(host: Host) -> tuple[object, ...]:
    """What a picture of the host's SMMUs shows."""
    return tuple([(smmu.name, smmu.numa_node) for smmu in host.smmus])


def _key(head: Head) -> _Key:
    return bytes(head.smmus), evidence_kinds(bytes(head.evidence) or b"{}"), _rest(head)


def _stands_alone(head: Head) -> bool:
    """Whether none of the large members is among the small ones, where it would be there twice."""
    return head.smmus is head.functions is head.evidence is NOTHING


def _rest(head: Head) -> bytes:
    """Pages, nodes and EGM regions: they name evidence, and are seldom new."""
    if head.page_size is head.numa_nodes is head.egm is NOTHING:
        return b""
    return b"\n".join(map(bytes, (head.page_size, head.numa_nodes, head.egm)))
