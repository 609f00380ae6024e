# SPDX-License-Identifier: Apache-2.0
"""Steps and journal: undo looks first, and a crash anywhere is mended by the next call."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_host import FakeHost, FakeWriter
from vsmmu.errors import HostLacks, Negative, PermissionRefused, VsmmuError
from vsmmu.probe.ask import Answer
from vsmmu.probe.execute import probe
from vsmmu.probe.journal import Journal, Transaction
from vsmmu.probe.lock import exclusive
from vsmmu.probe.steps import BindDriver, OverrideDriver, SysfsWriter, UnbindDriver, current_override
from vsmmu.probe.vfio_files import Holder
from vsmmu.uapi.hw_info import HwInfo

if TYPE_CHECKING:
    from collections.abc import Callable

NIC = "0000:00:05.0"
STEPS = (UnbindDriver(NIC, "e1000e"), OverrideDriver(NIC, "vfio-pci"), BindDriver(NIC, "vfio-pci", 1))


@pytest.fixture
def journal(fake: FakeHost) -> Journal:
    return Journal(f"{fake.tree.run_directory()}/journal")


def state(fake: FakeHost) -> tuple[str | None, bytes]:
    return fake.bound(NIC), current_override(fake.tree, NIC)


def test_there_and_back(fake: FakeHost, writer: FakeWriter, journal: Journal) -> None:
    with Transaction(journal, writer) as transaction:
        transaction.do(STEPS)
        assert state(fake) == ("vfio-pci", b"vfio-pci")
        assert journal.pending() == list(STEPS)
    assert state(fake) == ("e1000e", b"")
    assert not Path(journal.path).exists()


def test_what_is_written_is_what_is_described(writer: FakeWriter, journal: Journal) -> None:
    with Transaction(journal, writer) as transaction:
        transaction.do(STEPS)
    base, name = f"/sys/bus/pci/devices/{NIC}", NIC.encode()
    assert writer.writes == [
        (f"{base}/driver/unbind", name),
        (f"{base}/driver_override", b"vfio-pci"),
        ("/sys/bus/pci/drivers/vfio-pci/bind", name),
        ("/sys/bus/pci/drivers/vfio-pci/unbind", name),
        (f"{base}/driver_override", b"\n"),
        ("/sys/bus/pci/drivers/e1000e/bind", name),
    ]
    assert [step.describe() for step in STEPS] == [
        f"unbind {NIC} from its driver e1000e",
        f"set driver_override of {NIC} to vfio-pci",
        f"bind {NIC} to vfio-pci",
    ]
    assert [step.describe_undo() for step in STEPS[::-1]] == [
        f"unbind {NIC} from vfio-pci",
        f"set driver_override of {NIC} back to nothing",
        f"bind {NIC} to e1000e again",
    ]


def test_a_previous_override_comes_back(fake: FakeHost, writer: FakeWriter, journal: Journal) -> None:
    fake.write(f"/sys/bus/pci/devices/{NIC}/driver_override", "e1000e\n")
    with Transaction(journal, writer) as transaction:
        transaction.do((STEPS[0], OverrideDriver(NIC, "vfio-pci", b"e1000e"), STEPS[2]))
    assert state(fake) == ("e1000e", b"e1000e")


@pytest.mark.parametrize("step", STEPS)
def test_undoing_what_was_not_done_does_nothing(fake: FakeHost, writer: FakeWriter, step) -> None:
    step.undo(writer)
    assert writer.writes == []


def test_what_somebody_else_has_done_since_is_left_alone(fake: FakeHost, writer: FakeWriter) -> None:
    fake.unbind(NIC, "e1000e")
    fake.write(f"/sys/bus/pci/devices/{NIC}/driver_override", "mlx5-vfio-pci\n")
    fake.bind(NIC, "mlx5-vfio-pci")
    for step in STEPS[::-1]:
        step.undo(writer)
    assert state(fake) == ("mlx5-vfio-pci", b"mlx5-vfio-pci")
    assert writer.writes == []


def test_a_function_that_was_unplugged_is_let_go(fake: FakeHost, writer: FakeWriter) -> None:
    fake.path(f"/sys/bus/pci/devices/{NIC}").unlink()
    for step in STEPS[::-1]:
        step.undo(writer)
    assert writer.writes == []


def test_a_function_that_a_vm_has_taken_is_not_taken_back(
    fake: FakeHost, writer: FakeWriter, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in STEPS:
        journal.record(step)
        step.apply(writer)
    monkeypatch.setattr("vsmmu.probe.steps.holders", lambda *_: (Holder(42, "qemu"),))
    with pytest.raises(Negative, match=r"held by process 42 \(qemu\)") as caught:
        journal.undo(writer)
    assert caught.value.code == "function-in-use"
    assert state(fake) == ("vfio-pci", b"vfio-pci")
    assert journal.pending() == list(STEPS)


def test_a_missing_driver(fake: FakeHost, writer: FakeWriter) -> None:
    with pytest.raises(HostLacks, match="modprobe mlx5-vfio-pci") as caught:
        BindDriver(NIC, "mlx5-vfio-pci").apply(writer)
    assert caught.value.code == "no-vfio-driver"


def test_what_the_kernel_refuses(fake: FakeHost, writer: FakeWriter) -> None:
    with pytest.raises(HostLacks, match="No such device") as caught:
        STEPS[2].apply(writer)
    assert caught.value.code == "driver-refused"


def test_no_permission(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionRefused, match="run as root"):
        STEPS[0].apply(SysfsWriter(fake.tree))


def test_drivers_have_odd_names(journal: Journal) -> None:
    step = UnbindDriver(NIC, "intel ips")
    journal.record(step)
    assert journal.pending() == [step]


def test_a_torn_last_line_was_not_begun(journal: Journal) -> None:
    journal.record(STEPS[0])
    with Path(journal.path).open("ab") as stream:
        stream.write(b'{"step":"override-driver","addr')
    assert journal.pending() == [STEPS[0]]


@pytest.mark.parametrize(
    "data",
    [b"nonsense\n", b'{"step":"rm"}\n', b"\xff\xfe\n", b"[]\n", b"\n",
     b'{"step":"unbind-driver","address":"../../../etc","driver":"x"}\n',
     b'{"step":"unbind-driver","address":"0000:00:05.0","driver":"../x"}\n',
     b'{"step":"override-driver","address":"0000:00:05.0","driver":"x","previous":"a/b"}\n'],
)  # fmt: skip
def test_a_journal_that_is_none_is_not_acted_on(journal: Journal, writer: FakeWriter, data: bytes) -> None:
    Path(journal.path).write_bytes(data)
    with pytest.raises(HostLacks, match="journal-malformed"):
        journal.undo(writer)
    assert writer.writes == []
    assert Path(journal.path).exists()


def test_a_link_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    Path(journal.path).symlink_to(tmp_path / "victim")
    for act in (journal.pending, lambda: journal.record(STEPS[0])):
        with pytest.raises(VsmmuError, match="journal-failed"):
            act()
    assert not (tmp_path / "victim").exists()


def test_a_journal_that_cannot_be_written_stops_the_step(fake: FakeHost, writer: FakeWriter) -> None:
    journal = Journal("/nonexistent/journal")
    with pytest.raises(HostLacks, match="journal-failed"), Transaction(journal, writer) as transaction:
        transaction.do(STEPS[:1])
    assert writer.writes == []


def test_only_one_at_a_time(fake: FakeHost) -> None:
    directory = fake.tree.run_directory()
    with (
        exclusive(directory),
        pytest.raises(Negative, match="probe-busy"),
        exclusive(directory, patience=0.05),
    ):
        pass
    with exclusive(directory, patience=0):
        pass


def test_a_directory_that_others_may_write_to(fake: FakeHost) -> None:
    directory = fake.path("/run/vsmmu")
    directory.chmod(0o777)
    with pytest.raises(PermissionRefused, match="unsafe-directory"), exclusive(str(directory)):
        pass


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match="no-run-directory"), exclusive(str(tmp_path / "no" / "where")):
        pass


# A crash at every point: before and after each journal record, each write to sysfs, each removal of the
# journal, and while the function is bound to an iommufd.


class Countdown:
    """Kills this process at the given point."""

    def __init__(self, point: int) -> None:
        self.left = point

    def reach(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def around(self, function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            self.reach()
            result = function(*args)
            self.reach()
            return result

        return wrapped


def crash_at(point: int, fake: FakeHost) -> int:
    """Probe in a child that is killed at ``point``; its wait status (0 once there are no more points)."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    countdown = Countdown(point)
    for owner, name in ((FakeWriter, "write"), (Journal, "record"), (Journal, "clear")):
        setattr(owner, name, countdown.around(getattr(owner, name)))
    import vsmmu.probe.execute as module

    module.ask = countdown.around(answer)  # type: ignore[assignment]
    try:
        probe(fake.tree, bind=[NIC], writer=FakeWriter(fake))
    finally:
        os._exit(0)


def answer(_tree: object, address: str, _node: str, _group: object) -> Answer:
    return Answer(address, HwInfo(2, bytes(40), 40, 0, 8))


def test_a_crash_at_every_point_is_mended_by_the_next_call(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsmmu.probe.execute.ask", answer)
    mended = 0
    for point in range(100):
        status = crash_at(point, fake)
        if status == 0:
            break
        assert status == signal.SIGKILL
        mended += state(fake) != ("e1000e", b"")
        report = probe(fake.tree, writer=FakeWriter(fake))
        assert report.stuck is None
        assert state(fake) == ("e1000e", b""), point
        assert not fake.path("/run/vsmmu/journal").exists()
    else:
        pytest.fail("it never came to an end")
    assert point > 20
    assert mended > 8
    assert state(fake) == ("e1000e", b"")


def test_a_crash_while_mending_is_mended_too(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsmmu.probe.execute.ask", answer)
    bound = 11  # after the ask: everything is to be undone
    assert crash_at(bound, fake) == signal.SIGKILL
    for point in range(20):
        if crash_at(point, fake) == 0:
            break
    probe(fake.tree, writer=FakeWriter(fake))
    assert state(fake) == ("e1000e", b"")
