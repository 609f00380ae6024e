# SPDX-License-Identifier: Apache-2.0
"""Asking the kernel and what each refusal says; the kernel's answers are made up here."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.probe.ask import Answer, ask
from vsmmu.probe.refusals import REFUSALS, refused
from vsmmu.probe.vfio_files import holders, vfio_device
from vsmmu.uapi.hw_info import IOMMU_GET_HW_INFO
from vsmmu.uapi.iommufd import IOMMU_HWPT_ALLOC, IOMMU_IOAS_ALLOC
from vsmmu.uapi.nesting import IOMMU_VIOMMU_ALLOC
from vsmmu.uapi.vfio import VFIO_DEVICE_BIND_IOMMUFD as BIND_IOMMUFD
from vsmmu.uapi.vfio import vfio_device_bind_iommufd

if TYPE_CHECKING:
    import ctypes

    from fake_host import FakeHost


GPU = "0000:00:07.0"


@pytest.mark.parametrize(("call", "number"), REFUSALS)
def test_every_refusal_says_what_why_and_what_next(call, number: int) -> None:
    error = refused(call, OSError(number, "x"), "0000:01:00.0")
    assert error.code in str(error)
    assert errno.errorcode[number] in error.why
    assert error.next
    assert error.exit_status in (1, 4, 5)


def test_an_errno_of_which_nothing_is_known() -> None:
    error = refused("bind", OSError(errno.EIO, "x"), "a", "more")
    assert (error.code, error.exit_status) == ("kernel-refused", 5)
    assert "EIO: Input/output error; more" in error.why


class Calls:
    """ioctl(2): answers each request with an errno, or as a kernel that nests nothing would."""

    def __init__(self, refusals: dict[int, int]) -> None:
        self.refusals = refusals

    def __call__(self, _descriptor: int, number: int, argument: ctypes.Structure) -> int:
        if number in self.refusals:
            raise OSError(self.refusals[number], "refused")
        if isinstance(argument, vfio_device_bind_iommufd):
            argument.out_devid = 1
        elif number == IOMMU_GET_HW_INFO:
            if argument.flags:
                raise OSError(errno.EOPNOTSUPP, "no CMDQV")
            argument.out_data_type, argument.data_len = 2, 40
        return 0


def ask_gpu(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, refusals: dict[int, int]) -> Answer:
    device = vfio_device(fake.tree, GPU)
    assert device is not None
    monkeypatch.setattr("vsmmu.uapi.ioctl.fcntl.ioctl", Calls(refusals))
    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        return ask(fake.tree, GPU, device.node, 3)
    finally:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_ask(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask_gpu(fake, monkeypatch, {})
    assert (answer.address, answer.info.type, answer.cmdqv, answer.nesting) == (GPU, 2, None, 0)


@pytest.mark.parametrize("number", [IOMMU_IOAS_ALLOC, IOMMU_HWPT_ALLOC, IOMMU_VIOMMU_ALLOC])
def test_ask_where_nothing_nests(fake: FakeHost, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    assert ask_gpu(fake, monkeypatch, {number: errno.EOPNOTSUPP}).nesting == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    ("number", "refusal", "code"),
    [(BIND_IOMMUFD, errno.EINVAL, "function-in-use"), (BIND_IOMMUFD, errno.EPERM, "bind-refused"),
     (BIND_IOMMUFD, errno.ENOTTY, "old-kernel"), (IOMMU_GET_HW_INFO, errno.ENOENT, "device-gone"),
     (IOMMU_GET_HW_INFO, errno.EOPNOTSUPP, "no-hw-info"), (IOMMU_GET_HW_INFO, errno.EIO, "kernel-refused")],
)  # fmt: skip
def test_ask_and_be_refused(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, number: int, refusal: int, code: str
) -> None:
    with pytest.raises(VsmmuError, match=code):
        ask_gpu(fake, monkeypatch, {number: refusal})


@pytest.mark.parametrize(
    ("regions", "code", "why"),
    [("0x0 0xfff direct\n", "direct-region", "Firmware has requested"),
     ("0x0 0xfff direct-relaxable\n", "function-in-use", "cannot be seen from here; EINVAL"),
     (None, "function-in-use", "its reserved regions cannot be read; EINVAL")],
)  # fmt: skip
def test_the_causes_of_einval_are_told_apart(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, regions: str | None, code: str, why: str
) -> None:
    path = "/sys/kernel/iommu_groups/3/reserved_regions"
    fake.path(path).unlink()
    if regions is not None:
        fake.write(path, regions)
    with pytest.raises(VsmmuError, match=code) as caught:
        ask_gpu(fake, monkeypatch, {BIND_IOMMUFD: errno.EINVAL})
    assert why in caught.value.why


def test_who_has_it_is_said_where_it_is_seen(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    device = vfio_device(fake.tree, GPU)
    assert device is not None
    fake.path("/proc/77/fd").mkdir(parents=True)
    fake.write("/proc/77/comm", "qemu\n")
    fake.path("/proc/77/fd/9").symlink_to(fake.path(device.node))
    with pytest.raises(VsmmuError, match="function-in-use") as caught:
        ask_gpu(fake, monkeypatch, {BIND_IOMMUFD: errno.EINVAL})
    assert "held by" in caught.value.why


def test_a_device_file_that_is_missing_or_closed(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostLacks, match="no-vfio-cdev"):
        ask(fake.tree, GPU, "/dev/vfio/devices/vfio99", 3)
    fake.path("/dev/iommu").unlink()
    with pytest.raises(HostLacks, match="no-iommufd"):
        ask(fake.tree, GPU, "/dev/vfio/devices/vfio1", 3)


def test_who_holds_a_file(fake: FakeHost) -> None:
    fake.write("/proc/77/comm", "qemu-system-aar\n")
    fake.path("/proc/77/fd").mkdir()
    fake.path("/proc/77/fd/9").symlink_to(fake.path("/dev/vfio/devices/vfio0"))
    fake.path("/proc/78/fd").mkdir(parents=True)
    found = holders(fake.tree, ["/dev/vfio/devices/vfio0", "/dev/vfio/2"])
    assert [str(holder) for holder in found] == ["process 77 (qemu-system-aar)"]
