# SPDX-License-Identifier: Apache-2.0
"""Frames of records: found by their bytes wherever they stand as vsmmu writes them; bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from fleet_examples import in_other_words, line, named
from vsmmu.fleet import frames as frames_module
from vsmmu.fleet import records as records_module
from vsmmu.fleet.frames import HostFrame, HostFrames
from vsmmu.fleet.records import RecordReader
from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Evidence

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

GH200 = builtin_host("gh200")


def with_evidence(number: int) -> Host:
    return named(
        GH200, f"n{number}", evidence={**GH200.evidence, "more": Evidence("published", f"{number:03}")}
    )


def met(*hosts: Host) -> HostFrames:
    frames = HostFrames()
    for host in hosts:
        frames.add(line(host), host, frozenset(), (0, 0))
    return frames


def frame_of(frames: HostFrames, data: bytes) -> HostFrame | None:
    return frames.cut(data)[1]


def test_a_frame_is_found_around_other_functions() -> None:
    frames = met(GH200)
    other = named(GH200, "other", functions=(msgspec.structs.replace(GH200.functions[0], label="moved"),))
    head, frame, functions = frames.cut(line(other))
    assert head.name == "other"
    assert head.smmus == frames_module.NOTHING  # they were not read
    assert frame is not None
    assert functions == msgspec.json.encode(other.functions)


def test_members_in_another_order_are_found_by_being_read() -> None:
    frames = met(GH200)
    turned = json.dumps(
        dict(reversed(json.loads(line(GH200)).items())), separators=(",", ":"), ensure_ascii=False
    )
    assert frame_of(frames, turned.encode()) is frame_of(frames, line(GH200)) is not None


@pytest.mark.parametrize("more", [b'"smmus":[],', b'"functions":[],', b'"evidence":{},'])
def test_a_member_that_is_there_twice_is_read(more: bytes) -> None:
    data = b"{" + more + line(GH200)[1:]
    assert met(GH200).cut(data)[0].smmus != frames_module.NOTHING


def test_what_else_is_seldom_new_is_a_part_of_the_frame() -> None:
    data = b'{"egm":[],' + line(GH200)[1:]
    frames = met(GH200)
    assert frame_of(frames, data) is None
    frames.add(data, GH200, frozenset(), (0, 0))
    assert frame_of(frames, data) is not frame_of(frames, line(GH200))


def test_evidence_in_other_words_is_the_same_frame() -> None:
    frames = met(GH200)
    head, frame, functions = frames.cut(line(in_other_words(GH200)))
    assert head.smmus == frames_module.NOTHING
    assert frame is frame_of(frames, line(GH200)) is not None
    assert functions == msgspec.json.encode(GH200.functions)


def test_evidence_of_another_kind_is_another_frame() -> None:
    name, first = next(iter(GH200.evidence.items()))
    changed = msgspec.structs.replace(first, kind="measured" if first.kind != "measured" else "inferred")
    other = named(GH200, "other", evidence={**GH200.evidence, name: changed})
    assert frame_of(met(GH200), line(other)) is None


@pytest.mark.parametrize("end", [b"", b"]", b"}}", b',"more":1}', b"} x"])
def test_evidence_that_does_not_end_the_record_is_not_cut_out(end: bytes) -> None:
    data = line(in_other_words(GH200)).rstrip()[:-1] + end
    frames = met(GH200)
    try:
        head = frames.cut(data)[0]
    except msgspec.DecodeError:
        assert end != b',"more":1}'
    else:
        assert head.smmus != frames_module.NOTHING


def test_an_end_that_begins_in_the_beginning_is_none() -> None:
    """Nothing is between, and yet both are there: they overlap."""
    smmus = b'[{"name":"a","x":{"'
    frame = HostFrame((smmus, (), b""), GH200)
    layout = frames_module._Layout(b',"smmus":' + smmus + b',"functions":', b'"functions":', frame)
    frames = HostFrames()
    frames._layouts[layout.before[: frames_module._BEGINNING]] = [layout]
    with pytest.raises(msgspec.DecodeError):
        frames.cut(b'{"schema":"vsmmu.host/1","name":"a"' + layout.before)


def test_few_frames_that_begin_alike_are_compared() -> None:
    hosts = [with_evidence(number) for number in range(40)]
    frames = met(*hosts)
    assert [len(alike) for alike in frames._layouts.values()] == [frames_module._MOST_ALIKE]
    assert None not in [frame_of(frames, line(host)) for host in hosts]


def test_a_frame_is_noted_once_for_each_end_of_the_line() -> None:
    frames = met(GH200, GH200)
    frames.add(line(GH200).rstrip(), GH200, frozenset(), (0, 0))
    assert [len(alike) for alike in frames._layouts.values()] == [2]
    assert len(frames._frames) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_MOST_FRAMES", 3)
    monkeypatch.setattr(frames_module, "_MOST_TEXTS", 2)
    frames = HostFrames()
    for number in range(20):
        host = with_evidence(number)
        for behind in range(4):
            functions = (msgspec.structs.replace(GH200.functions[0], iommu_group=behind),)
            frames.add(line(named(host, "n", functions=functions)), host, frozenset([behind]), (0, 0))
        assert len(frames._frames) <= 3
        frame = frame_of(frames, line(host))
        assert frame is not None
        assert len(frame.places) <= 2
        assert len(frame.kinds) <= 2


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_MOST_BYTES", 20_000)
    frames = met(*[with_evidence(number) for number in range(20)])
    assert 0 < len(frames._frames) < 10
    for number in range(40):  # of one frame, in ever other words
        host = named(GH200, "n", evidence={**GH200.evidence, "more": Evidence("published", f"{number:0500}")})
        frames.add(line(host), host, frozenset(), (0, 0))
        layouts = [layout for alike in frames._layouts.values() for layout in alike]
        assert sum(len(layout.before) + len(layout.after) for layout in layouts) <= 20_000
    assert frames._bytes <= 20_000


def test_long_functions_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = RecordReader()
    for most, remembered in ((10, False), (1 << 14, True)):
        monkeypatch.setattr(records_module, "_MOST_REMEMBERED", most)
        for name in ("a", "b"):
            reader.read(line(named(GH200, name)), "x")
        frame = frame_of(reader._frames, line(GH200))
        assert frame is not None
        assert (frame.last != (None, None)) is remembered
