# SPDX-License-Identifier: Apache-2.0
"""Peers that lie: QMP answers, virsh and QEMU binaries with anything in them; an answer or an own error."""

from __future__ import annotations

import copy
import json
import operator
import resource
import socket
import subprocess
import time
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Final

import pytest
from fake_qemu import GREETING, PLAIN, FakeVm, listening
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.cli.main import run
from vsmmu.errors import VsmmuError
from vsmmu.monitor.binary_probe import _read
from vsmmu.monitor.introspection import Running, read_back
from vsmmu.monitor.program_output import output_of
from vsmmu.monitor.qmp import CommandFailed, Monitor, result
from vsmmu.qemu.installed import Installed
from vsmmu.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

READY: Final = GREETING + b'{"return": {}}\n'
#: Seconds; a tenth of it on an idle machine.
BOUND: Final = 20


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


LIES: Final = st.one_of(
    st.sampled_from(
        [None, True, 1 << 80, -1, 10**4000, 1e300, "", "\x1b]0;x\x07", "9" * 5000, "child<>", [], {}, [None]]
    ),
    st.builds(nested, st.sampled_from([3, 300, 900])),
    st.text(max_size=4),
)


def spoilt(value: Any, data: st.DataObject) -> Any:
    """The same answer with a lie somewhere in it."""
    inside = value if isinstance(value, (dict, list)) else ()
    if not inside or data.draw(st.integers(0, 2)) == 0:
        return data.draw(LIES)
    made = copy.copy(value)
    key = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    made[key] = spoilt(value[key], data)
    return made


def attempt(call: Callable[[], Any]) -> tuple[Any, VsmmuError | None]:
    """What a call returned, or the error of ours that it raised; any other fails the test."""
    try:
        return call(), None
    except VsmmuError as error:
        return None, error


class Liar:
    """A set of commands of which one answer is a lie."""

    def __init__(self, honest: Any, nth: int, data: st.DataObject) -> None:
        self._honest, self._left, self._data = honest, nth, data

    def execute(self, command: str, **arguments: Any) -> Any:
        answer = self._honest.execute(command, **arguments)
        self._left -= 1
        return spoilt(answer, self._data) if self._left == 0 else answer


class Binary:
    """What a QEMU binary answers to a binary probe."""

    def execute(self, command: str, **arguments: Any) -> Any:
        if command == "query-version":
            return {"qemu": {"major": 11, "minor": 1, "micro": 3}}
        if command == "query-machines":
            return [{"name": "virt-11.1", "alias": "virt"}, {"name": "virt-11.0"}, {"name": "none"}]
        if arguments["typename"] == "vfio-pci":
            raise CommandFailed(command, "DeviceNotFound", "no vfio-pci", "fake")
        return [{"name": "accel", "default-value": False}, {"name": "ats"}]


@given(nth=st.integers(1, 45), data=st.data())
def test_a_vm_that_lies_is_read_or_refused(nth: int, data: st.DataObject) -> None:
    vm = FakeVm({"s": PLAIN, "t": PLAIN}, {"s-a": "0009:01:00.0"})
    made, error = attempt(lambda: read_back(Liar(vm, nth, data)))
    assert isinstance(made, Running) or (error is not None and error.exit_status in (3, 5))
    assert len(str(error)) < 1000


def places(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Every place of an answer, as the keys that lead to it."""
    yield ()
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from ((key, *rest) for rest in places(value[key]))


def put(value: Any, place: tuple[str | int, ...], lie: Any) -> Any:
    """The same answer with a lie at a place."""
    if not place:
        return lie
    made = copy.copy(value)
    made[place[0]] = put(value[place[0]], place[1:], lie)
    return made


#: A value of every type of JSON, and texts that are no path, no number, no child.
TYPES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 7, -1, 1 << 80, 10**4000, 0.5, 1e300, "", "x", "\x1b]0;x\x07", [], ["x"], {},
    {"x": 1},
)  # fmt: skip


class Told:
    """A set of commands that answers in order what another one answered, but one place of one answer."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = iter(answers)

    def execute(self, command: str, **_arguments: Any) -> Any:
        answer = next(self._answers, {})
        if isinstance(answer, CommandFailed):
            raise answer
        return answer


class Recorder:
    """A set of commands that keeps the answers of another."""

    def __init__(self, honest: Any) -> None:
        self._honest = honest
        self.answers: list[Any] = []

    def execute(self, command: str, **arguments: Any) -> Any:
        try:
            self.answers.append(self._honest.execute(command, **arguments))
        except CommandFailed as error:
            self.answers.append(error)
            raise
        return self.answers[-1]


def conversation() -> list[Any]:
    """All that a VM says of two vSMMUs, of which one port is taken, one takes nothing, and two are free."""
    vm = FakeVm({"s": PLAIN, "t": PLAIN}, {"s-a": "0009:01:00.0"})
    vm.tree["/machine/peripheral/s-b"]["hotplug"] = False
    recorder = Recorder(vm)
    read_back(recorder)
    return recorder.answers


def without_written(running: Running) -> Running:
    """The VM without what its vSMMUs' properties are said to be: a fork says numbers and truth values."""
    return running._replace(vsmmus=tuple(vsmmu._replace(written={}) for vsmmu in running.vsmmus))


HONEST: Final = conversation()


@pytest.mark.parametrize("nth", range(len(HONEST)))
def test_a_value_of_another_type_is_refused_or_changes_nothing(nth: int) -> None:
    """Taken for nothing it would free a port, or take a function out of the VM: a wrong yes to a hot-plug."""
    honest = without_written(read_back(Told(HONEST)))
    for place in () if isinstance(HONEST[nth], CommandFailed) else places(HONEST[nth]):
        right = reduce(operator.getitem, place, HONEST[nth])
        for lie in TYPES:
            if type(lie) is type(right):
                continue
            answers = [*HONEST[:nth], put(HONEST[nth], place, lie), *HONEST[nth + 1 :]]
            made, error = attempt(partial(read_back, Told(answers)))
            if error is None:
                assert without_written(made) == honest, (place, right, lie)
            else:
                assert (error.code, len(str(error)) < 1000) == ("strange-answer", True), (place, right, lie)


@pytest.mark.parametrize("nth", range(len(HONEST)))
def test_a_refusal_that_names_nothing_missing_is_no_property_that_is_missing(nth: int) -> None:
    busy = CommandFailed("qom-get", "GenericError", "another operation is in progress", "fake")
    _, error = attempt(lambda: read_back(Told([*HONEST[:nth], busy, *HONEST[nth + 1 :]])))
    assert error is busy


def line(answer: Any) -> bytes:
    """An answer as it stands on the wire."""
    if isinstance(answer, CommandFailed):
        return json.dumps({"error": {"class": answer.error_class, "desc": answer.why}}).encode()
    return json.dumps({"return": answer}).encode()


#: What is said in place of an answer, and the own error for it.
BROKEN: Final[dict[str, tuple[Callable[[bytes], bytes], str]]] = {
    "ends in the middle": (lambda said: said[: len(said) // 2], "monitor-closed"),
    "stops in the middle": (lambda said: said[: len(said) // 2], "monitor-silent"),
    "events, and no more": (lambda _: b'{"event": "STOP"}\n' * 9, "monitor-silent"),
    "no UTF-8": (lambda _: b'{"return": "\xff\xfe"}\n', "not-a-monitor"),
    "another greeting": (lambda _: GREETING, "not-a-monitor"),
    "half and another half": (lambda said: said[: len(said) // 2] + b"\n", "not-a-monitor"),
    "deep": (lambda _: b'{"return": ' + b"[" * 9000 + b"]" * 9000 + b"}\n", "not-a-monitor"),
    "two lines in one": (lambda said: said + said + b"\n", "not-a-monitor"),
    "a refusal": (lambda _: b'{"error": {"class": "A", "desc": "\\u001b[31m"}}\n', "monitor-refused"),
    "a refusal of nothing": (lambda _: b'{"error": null}\n', "not-a-monitor"),
}


def converse(end: socket.socket, seconds: float) -> Running:
    return read_back(Monitor(end.fileno(), end.fileno(), "test", seconds))


@pytest.mark.parametrize("how", BROKEN)
def test_a_conversation_that_breaks_at_any_answer(how: str) -> None:
    said, code = BROKEN[how]
    for nth, answer in enumerate(HONEST):
        mine, other = socket.socketpair()
        with mine, other:
            honest = b"".join(line(entry) + b"\n" for entry in HONEST[:nth])
            other.sendall(READY + honest + said(line(answer)))
            if code == "monitor-closed":
                other.shutdown(socket.SHUT_WR)
            seconds = 0.02 if code == "monitor-silent" else BOUND
            _, error = attempt(partial(converse, mine, seconds))
        assert error is not None, nth
        assert (error.code, "\x1b" in visible(str(error))) == (code, False), nth


@given(nth=st.integers(1, 4), data=st.data())
def test_a_binary_that_lies_is_read_or_refused(nth: int, data: st.DataObject) -> None:
    made, error = attempt(lambda: _read(Liar(Binary(), nth, data), "qemu"))
    assert isinstance(made, Installed) or (error is not None and error.code == "qemu-binary")
    assert len(str(error)) < 1000


@given(
    st.binary(max_size=40) | LIES.map(lambda lie: b'{"return": 1, "error": {"desc": "%d"}}' % len(str(lie)))
)
def test_a_line_is_a_result_or_refused(line: bytes) -> None:
    _, error = attempt(lambda: result(line, "query-status", "monitor"))
    assert error is None or error.exit_status in (3, 5)


@pytest.mark.parametrize(
    "lie",
    [
        b'{"return": {"qemu": {"major": %s, "minor": 1, "micro": 3}}}' % (b"9" * 4000),
        b'{"return": {"qemu": {"major": %s, "minor": 1, "micro": 3}}}' % (b"9" * 400_000),
        b'{"return": %s1%s}' % (b"[" * 900, b"]" * 900),
        b'{"return": %s1%s}' % (b"[" * 500_000, b"]" * 500_000),
        b'{"return": "\xff\xfe"}',
        b'{"return": {"qemu": {"major": "\\ud800", "minor": 1, "micro": 3}}}',
        b'{"error": {"class": %s1%s, "desc": 7}}' % (b"[" * 900, b"]" * 900),
        b'{"return": {"qemu": {"major": 1e999, "minor": 1, "micro": 3}}}',
    ],
)
def test_lies_on_the_wire(lie: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(READY + lie + b"\n")

    with listening(tmp_path / "qmp", serve) as path:
        assert run(["inspect", path, "--host", "builtin:gb200", "--timeout", "5"]) in (3, 5)
    captured = capsys.readouterr()
    assert captured.err.startswith("vsmmu: ")
    assert len(captured.err) < 1000


@pytest.mark.parametrize(
    "script",
    [
        "exec yes",
        "exec yes >&2",
        "exec cat /dev/zero",
        r"printf '\377\376'",
        r"printf '\377\376' >&2; exit 1",
        "head -c 3000000 /dev/zero | tr '\\0' '['",
        'printf \'{"return": %s}\' "$(head -c 5000 /dev/zero | tr "\\0" 9)"',
    ],
)
def test_a_virsh_that_lies(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "virsh").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "virsh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert run(["inspect", "guest", "--host", "builtin:gb200", "--timeout", "60"]) in (3, 5)
    assert time.monotonic() - begun < BOUND
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
    assert len(capsys.readouterr().err) < 1000


def test_a_programs_output_ends_with_its_time() -> None:
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):  # the child holds the pipes after the shell has gone
        output_of(["sh", "-c", "sleep 60 & exit"], 0.3, 100)
    with pytest.raises(subprocess.TimeoutExpired):
        output_of(["sh", "-c", "while :; do echo; sleep 0.1; done"], 0.3, 100)
    with pytest.raises(ValueError, match="prints more"):
        output_of(["yes"], 60, 100_000)
    assert time.monotonic() - begun < BOUND


def test_a_programs_output_is_both_streams_and_its_status() -> None:
    said = output_of(["sh", "-c", "echo $A; echo b >&2; exit 3"], 60, 100, {"A": "a"})
    assert said == (3, b"a\n", b"b\n")
    with pytest.raises(FileNotFoundError):
        output_of(["/nowhere"], 60, 100)
