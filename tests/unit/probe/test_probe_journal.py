# SPDX-License-Identifier: Apache-2.0
"""A probe gives every function back, whatever its driver_override holds and whatever call fails."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_host import PAGE, FakeHost, FakeWriter
from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.probe.ask import Answer
from vsmmu.probe.execute import probe
from vsmmu.probe.journal import AnyStep, Journal, Transaction
from vsmmu.probe.steps import BindDriver, OverrideDriver, UnbindDriver, current_override
from vsmmu.uapi.hw_info import HwInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

NIC = "0000:00:05.0"
STEPS = (UnbindDriver(NIC, "e1000e"), OverrideDriver(NIC, "vfio-pci"), BindDriver(NIC, "vfio-pci", 1))
#: What the kernel keeps: up to a newline or NUL, with room for a newline behind in a page.
overrides = st.binary(min_size=1, max_size=PAGE - 2).filter(lambda data: not {0, 10} & set(data))
EXAMPLES = (
    b"a/b",
    b".x",
    b"x" * 300,
    b"e1000e",
    b"vfio-pci",
    b"a\tb",
    b" ",
    "trïber".encode(),
    b"\xff\xfe",
    b"x" * (PAGE - 2),
)


def host(directory: str | Path, driver: str = "e1000e") -> FakeHost:
    fake = FakeHost(Path(directory))
    fake.smmu()
    fake.function(NIC, group=1, driver=driver)
    return fake


def state(fake: FakeHost) -> tuple[str | None, bytes]:
    return fake.bound(NIC), current_override(fake.tree, NIC)


def answer(_tree: object, address: str, _node: str, _group: object) -> Answer:
    return Answer(address, HwInfo(2, bytes(40), 40, 0, 8))


@pytest.fixture(autouse=True)
def _asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsmmu.probe.execute.ask", answer)


# --- what driver_override may hold --------------------------------------------------------------------------


def with_examples(test: Callable[..., None]) -> Callable[..., None]:
    for value in EXAMPLES:
        test = example(value)(test)
    return test


@with_examples
@settings(max_examples=20)
@given(overrides)
def test_every_override_comes_back(previous: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        fake = host(directory)
        fake.write(f"/sys/bus/pci/devices/{NIC}/driver_override", previous + b"\n")
        before = state(fake)
        report = probe(fake.tree, bind=[NIC], writer=FakeWriter(fake))
        assert [outcome.answer is not None for outcome in report.outcomes] == [True]
        # An override that names no driver here keeps the old driver out, as it would without a probe.
        assert state(fake)[1] == before[1] == (b"" if previous == b"(null)" else previous)
        if report.outcomes[0].error is None:
            assert state(fake) == before
            assert not fake.path("/run/vsmmu/journal").exists()


@with_examples
@given(overrides)
def test_every_override_comes_back_from_the_file(previous: bytes) -> None:
    step = OverrideDriver(NIC, "vfio-pci", previous)
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(f"{directory}/journal")
        journal.record(step)
        assert journal.pending() == [step]
    step.describe_undo().encode("ascii", "backslashreplace").decode().isprintable()
    assert step.describe_undo().isprintable()


names = st.binary(min_size=1, max_size=300).filter(lambda data: not {0, 47} & set(data)).map(os.fsdecode)


@given(st.lists(st.one_of(
    st.builds(UnbindDriver, st.just(NIC), names),
    st.builds(OverrideDriver, st.just(NIC), names, st.binary(max_size=1 << 17)),
    st.builds(BindDriver, st.just(NIC), names, st.none() | st.integers(0, 1 << 70)),
), min_size=1, max_size=3))  # fmt: skip
def test_what_is_begun_can_be_read_back(steps: list[AnyStep]) -> None:
    """Nothing is written to sysfs unless every step of the change comes back from the file as it was."""
    written = []

    class Writer(FakeWriter):
        def write(self, path: str, data: bytes) -> None:
            written.append((path, data, journal.pending()))

    with tempfile.TemporaryDirectory() as directory:
        fake = host(directory)
        for driver in {step.driver for step in steps}:
            if len(os.fsencode(driver)) < 256 and driver not in (".", ".."):
                fake.driver(driver)
        journal = Journal(f"{directory}/run/vsmmu/journal")
        code = ""
        try:
            with Transaction(journal, Writer(fake)) as transaction:
                transaction.do(steps)
        except VsmmuError as error:
            code = error.code
        assert code in ("", "driver-refused", "no-vfio-driver", "journal-cannot-hold")
        assert not (code == "journal-cannot-hold" and written)
        for _, _, pending in written:
            assert pending == steps[: len(pending)]
        assert not Path(journal.path).exists()


@pytest.mark.parametrize("driver", [".x", "gr\xfcn ", "tab\there", "\udcff"])
def test_a_driver_with_any_name_is_never_lost(tmp_path: Path, driver: str) -> None:
    fake = host(tmp_path, driver)
    writer = FakeWriter(fake)
    report = probe(fake.tree, bind=[NIC], writer=writer)
    assert fake.bound(NIC) == driver
    error = report.outcomes[0].error
    assert error is None or (error.code, writer.writes) == ("journal-cannot-hold", [])
    assert str(error).encode()  # it can be printed
    assert not fake.path("/run/vsmmu/journal").exists()


# --- a journal that cannot be read --------------------------------------------------------------------------


def test_a_journal_that_cannot_be_read_says_how_to_put_functions_back(tmp_path: Path) -> None:
    """The commands are run by a shell, with the fake host's kernel in place of the real one's."""
    fake = host(tmp_path)
    fake.write(f"/sys/bus/pci/devices/{NIC}/driver_override", b"-gr\xc3\xbcn%s/'x\n")
    journal, writer = Journal(str(fake.path("/run/vsmmu/journal"))), FakeWriter(fake)
    steps = (STEPS[0], OverrideDriver(NIC, "vfio-pci", b"-gr\xc3\xbcn%s/'x"), STEPS[2])
    for step in steps:
        journal.record(step)
        step.apply(writer)
    with Path(journal.path).open("ab") as stream:
        stream.write(b'{"step":"bind-driver","address":"0002:00:01.0","driver":"../x"}\n')
    with pytest.raises(HostLacks, match="journal-malformed") as caught:
        journal.undo(writer)
    assert "line 4" in caught.value.why
    advice = caught.value.next
    assert f"it names {NIC}, 0002:00:01.0" in advice
    assert advice.endswith(f"rm {journal.path}")
    commands = advice.partition(": ")[2].split("; ")
    for command in [line for line in commands if NIC in line]:
        write, _, path = command.rpartition(" > ")
        data = subprocess.run(["/bin/sh", "-c", write], stdout=subprocess.PIPE, check=True).stdout
        (path,) = shlex.split(path)
        writer.write(path, data.removesuffix(b"\n") if not path.endswith("override") else data)
    assert state(fake) == ("e1000e", b"-gr\xc3\xbcn%s/'x")


@pytest.mark.parametrize("data", [b"nonsense\n", b"{}\n" * (1 << 19)])
def test_a_journal_without_a_function(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "journal").write_bytes(data)
    with pytest.raises(HostLacks, match="it names no function") as caught:
        Journal(str(tmp_path / "journal")).pending()
    assert caught.value.code == "journal-malformed"


def test_a_change_waits_for_what_an_earlier_one_left(tmp_path: Path) -> None:
    fake = host(tmp_path)
    journal, writer = Journal(str(fake.path("/run/vsmmu/journal"))), FakeWriter(fake)
    for step in STEPS:
        journal.record(step)
        step.apply(writer)
    with Transaction(journal, writer):
        assert state(fake) == ("e1000e", b"")
        assert not Path(journal.path).exists()


# --- what fails on the way ----------------------------------------------------------------------------------


class Failing:
    """Lets the n-th system call that the probe makes from now on fail, seen where Python makes it."""

    CALLS = ("open", "read", "write", "readlink", "stat", "listdir", "unlink", "fsync", "close")

    def __init__(self, nth: int, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.nth = nth
        self.error = error
        self.failed = ""
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def start(self) -> None:
        self.left = self.nth

    def stop(self) -> None:
        self.left = -1

    def _failing(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if self.left >= 0 and _is_the_probes(sys._getframe(1)):
                self.left -= 1
                if self.left < 0:
                    self.failed = f"{name}{arguments}"
                    if name == "close":  # the kernel has closed it all the same
                        real(*arguments)
                    raise OSError(self.error, os.strerror(self.error), *arguments[:1])
            return real(*arguments, **options)

        return call


def _is_the_probes(frame: FrameType | None) -> bool:
    """Whether a call is the probe's, and not the fake kernel's own."""
    if frame is None or not frame.f_globals["__name__"].startswith("vsmmu.probe"):
        return False
    while frame is not None and not isinstance(frame.f_locals.get("self"), FakeHost):
        frame = frame.f_back
    return frame is None


def prepared(directory: Path) -> FakeHost:
    fake = host(directory)
    fake.write(f"/sys/bus/pci/devices/{NIC}/driver_override", "e1000e\n")
    fake.write("/proc/77/comm", "other\n")
    (fake.path("/proc/77") / "fd").mkdir()
    fake.link("/proc/77/fd/3", "/dev/null")
    return fake


def undone_with(nth: int, error: int, directory: Path) -> tuple[str, str, FakeHost]:
    """Let the n-th call of the undoing fail; the call, the code of the failure, and the host after it."""
    fake = prepared(directory)
    with pytest.MonkeyPatch.context() as monkeypatch:
        failing = Failing(nth, error, monkeypatch)

        def ask(*arguments: object) -> Answer:
            failing.start()
            return answer(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr("vsmmu.probe.execute.ask", ask)
        monkeypatch.setattr("vsmmu.probe.execute.save_host", lambda *_: failing.stop())
        report = probe(fake.tree, bind=[NIC], writer=FakeWriter(fake))
    found = report.outcomes[0].error
    return failing.failed, found.code if found else "", fake


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOMEM, errno.EMFILE, errno.EACCES])
def test_a_failing_call_of_undo_is_told_and_loses_nothing(tmp_path: Path, error: int) -> None:
    seen = set()
    for nth in range(200):
        call, code, fake = undone_with(nth, error, tmp_path / str(nth))
        if not call:
            assert (state(fake), code) == (("e1000e", b"e1000e"), "")
            break
        seen.add(call.partition("(")[0])
        whole = state(fake) == ("e1000e", b"e1000e")
        if not whole:
            assert code, call
            assert fake.path("/run/vsmmu/journal").exists(), call
        if not code:
            # Not permitted to see what another process has open: that is how it stays, and no failure.
            assert whole, call
            assert "/proc/77" in call, call
            assert error == errno.EACCES, call
        report = probe(fake.tree, writer=FakeWriter(fake))
        assert report.stuck is None
        assert state(fake) == ("e1000e", b"e1000e"), call
        assert not fake.path("/run/vsmmu/journal").exists()
    else:
        pytest.fail("it never came to an end")
    assert nth > 25
    assert seen >= {"open", "read", "write", "readlink", "stat", "listdir", "unlink", "fsync", "close"}


def mount(fake: FakeHost) -> None:
    device = f"/sys/bus/pci/devices/{NIC}"
    fake.write(f"{device}/block/sda/dev", "8:0\n")
    fake.link(
        "/sys/class/block/sda", str(fake.path(f"{device}/block/sda").resolve()).removeprefix(str(fake.root))
    )
    many = "".join(f"{n} 1 0:{n} / /mnt/{n} rw - tmpfs none rw\n" for n in range(500))
    fake.write("/proc/self/mountinfo", f"{many}900 2 8:0 / / rw - ext4 /dev/sda rw\n")


def virtual_functions(fake: FakeHost) -> None:
    fake.write(f"/sys/bus/pci/devices/{NIC}/sriov_numvfs", "4\n")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOMEM, errno.EMFILE])
@pytest.mark.parametrize(
    ("fill", "code"), [(mount, "function-in-use"), (virtual_functions, "has-virtual-functions")]
)
def test_what_cannot_be_told_is_no_reason_to_take_a_function(
    tmp_path: Path, error: int, fill: Callable[[FakeHost], None], code: str
) -> None:
    """It is in use, and every reader of that in turn fails: it is never taken from its driver."""
    fake = host(tmp_path)
    fill(fake)
    for nth in range(400):
        writer = FakeWriter(fake)
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(nth, error, patch)
            failing.start()
            try:
                report = probe(fake.tree, bind=[NIC], writer=writer)
            except (VsmmuError, OSError):
                assert failing.failed
            else:
                assert failing.failed == "" or report.outcomes[0].error is not None
        assert writer.writes == [], failing.failed
        if not failing.failed:
            assert report.outcomes[0].error is not None
            assert report.outcomes[0].error.code == code
            break
    else:
        pytest.fail("it never came to an end")
    assert nth > 50


@pytest.mark.parametrize("nth", range(1, 12))
def test_a_link_or_function_that_is_missed_once_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    fake = host(tmp_path)
    before = state(fake)
    writer = FakeWriter(fake)
    journal = Journal(f"{tmp_path}/run/vsmmu/journal")
    for step in STEPS:
        journal.record(step)
        step.apply(writer)
    asked = 0

    def missed(really: Callable[..., object]) -> Callable[..., object]:
        def call(path: str, *more: object, **options: object) -> object:
            nonlocal asked
            asked += NIC in str(path)
            if asked == nth and NIC in str(path):
                raise FileNotFoundError(errno.ENOENT, "x", path)
            return really(path, *more, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("readlink", "stat"):
            patch.setattr(os, name, missed(getattr(os, name)))
        try:
            journal.undo(writer)
        except VsmmuError:
            assert journal.pending()
    journal.undo(writer)
    assert state(fake) == before
