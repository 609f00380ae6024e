# SPDX-License-Identifier: Apache-2.0
"""The kernel log: from records to lines, from lines to facts; hostile bytes in between."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_host import LOG, FakeHost
from vsmmu.host.driver_line import parse_line
from vsmmu.probe.kernel_log import by_device, infer, infer_queue, is_coherent
from vsmmu.probe.kmsg import read_driver_lines


def lines(fake: FakeHost, data: bytes) -> list[str] | None:
    fake.write("/dev/kmsg", data)
    return read_driver_lines(fake.tree)


def test_the_drivers_lines_only(fake: FakeHost) -> None:
    data = f"6,1,1,-;Linux version 7.3.4\n6,2,2,-;{LOG}\n SUBSYSTEM=platform\n DEVICE=+x\n6,3,3,-;usb\n"
    assert lines(fake, data.encode()) == [LOG]


def test_a_programs_line_is_not_the_kernels(fake: FakeHost) -> None:
    """Root can write to /dev/kmsg; the kernel marks such records with another facility."""
    assert lines(fake, f"12,2,2,-;{LOG}\n".encode()) == []


@pytest.mark.parametrize(
    "record", [b"", b";", b"x,1;arm-smmu-v3 a: b", b"6;arm-smmu-v3 a: \x1b[2J", b"6,1;arm-smmu-v3"]
)
def test_odd_records(fake: FakeHost, record: bytes) -> None:
    assert lines(fake, record + b"\n") == []


def test_a_log_that_may_not_be_read(fake: FakeHost) -> None:
    fake.path("/dev/kmsg").unlink()
    assert read_driver_lines(fake.tree) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=600), st.booleans())
def test_arbitrary_bytes(fake: FakeHost, data: bytes, prefixed: bool) -> None:
    found = lines(fake, b"6,1,1,-;arm-smmu-v3 " + data if prefixed else data)
    assert found is not None
    for line in found:
        assert line.isprintable()
        parsed = parse_line(line)
        if parsed:
            infer(parsed, "7.3.4")
        infer_queue(line)
    by_device(found)


@given(st.text(max_size=80), st.text(max_size=20))
def test_arbitrary_text(text: str, release: str) -> None:
    for line in (text, f"arm-smmu-v3 a: {text}", f"arm-smmu-v3 a: oas {text}-bit (features 0x00000000)"):
        parsed = parse_line(line)
        if parsed:
            infer(parsed, release)
        infer_queue(line)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [("262144 entries for cmdq", "IDR1.CMDQS", 18), ("131072 entries for evtq", "IDR1.EVENTQS", 17),
     ("524288 entries for priq", "IDR1.PRIQS", 19), ("1 entries for priq", "IDR1.PRIQS", 0)],
)  # fmt: skip
def test_a_queues_size_is_a_lower_bound(text: str, key: str, value: int) -> None:
    found = infer_queue(f"arm-smmu-v3 arm-smmu-v3.0.auto: allocated {text}")
    assert found is not None
    assert (found.key, found.value, found.bound) == (key, value, "at-least")


@pytest.mark.parametrize(
    "text", ["0 entries for cmdq", "9999999 entries for cmdq", "65536 entries for vcmdq0", "x"]
)
def test_other_lines_say_nothing_of_queues(text: str) -> None:
    assert infer_queue(f"arm-smmu-v3 arm-smmu-v3.0.auto: allocated {text}") is None


def test_coherency_is_the_drivers_view() -> None:
    coherent, incoherent = parse_line(LOG), parse_line(LOG.replace("0x01088705", "0x01088605"))
    assert coherent is not None
    assert incoherent is not None
    assert is_coherent(coherent)
    assert not is_coherent(incoherent)


def test_lines_are_kept_by_device_and_not_without_end() -> None:
    found = by_device([f"arm-smmu-v3 a: {number}" for number in range(100)] + ["arm-smmu-v3 b: x", "usb"])
    assert (len(found["a"]), found["b"], set(found)) == (32, ("arm-smmu-v3 b: x",), {"a", "b"})


def test_the_ring(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record a read; EPIPE where records were overwritten meanwhile, EAGAIN at the end."""
    answers: list[object] = [
        f"6,1,1,-;{LOG}\n SUBSYSTEM=platform\n".encode(),
        OSError(errno.EPIPE, "overwritten"),
        b"6,9,9,-;usb 1-1: other\n",
        f"6,10,10,-;{LOG}\n".encode(),
        BlockingIOError(errno.EAGAIN, "no more"),
    ]

    def read(_descriptor: int, _size: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    monkeypatch.setattr(stat, "S_ISCHR", lambda _mode: True)
    monkeypatch.setattr(os, "read", read)
    assert read_driver_lines(fake.tree) == [LOG, LOG]
    answers[:] = [b""]
    assert read_driver_lines(fake.tree) == []
    answers[:] = [OSError(errno.EIO, "broken")]
    assert read_driver_lines(fake.tree) is None
