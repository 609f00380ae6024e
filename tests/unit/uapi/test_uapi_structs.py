# SPDX-License-Identifier: Apache-2.0
"""The ctypes structures, numbers and constants against the kernel's headers, as two C compilers see them."""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import pkgutil
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from vsmmu import uapi
from vsmmu.errors import VsmmuError
from vsmmu.lab.mirror import fetch_index
from vsmmu.uapi import hw_info, iommufd, nesting, vfio
from vsmmu.uapi.hw_info import HwInfo, get_hw_info, iommu_hw_info

PACKAGE = "linux-libc-dev"
COMPILERS = {"x86_64-linux-gnu": "gcc", "aarch64-linux-gnu": "aarch64-linux-gnu-gcc"}
MODULES = [
    importlib.import_module(f"{uapi.__name__}.{module.name}")
    for module in pkgutil.iter_modules(uapi.__path__)
]
# Ours alone: the kernel has an anonymous union there.
NOT_IN_C = {"_data_type"}


def structures() -> dict[str, type[ctypes.Structure]]:
    return {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure | ctypes.Union)
        and name not in NOT_IN_C
    }


def constants() -> dict[str, int]:
    return {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if name.startswith(("IOMMU", "VFIO_")) and isinstance(value, int)
    }


def members(structure: type[ctypes.Structure]) -> list[str]:
    """The names of all members, those of an anonymous union among them."""
    anonymous = getattr(structure, "_anonymous_", ())
    return [
        member
        for name, kind in structure._fields_
        for member in ([inner for inner, _ in kind._fields_] if name in anonymous else [name])
    ]


def program() -> str:
    lines = ["#include <stddef.h>", "#include <linux/iommufd.h>", "#include <linux/vfio.h>"]
    for name, value in sorted(constants().items()):
        lines.append(f'_Static_assert(({name}) == {value}, "{name}");')
    for name, structure in sorted(structures().items()):
        if name not in ("vfio_irq_set", "vfio_device_feature"):  # these two end in data[]
            lines.append(f'_Static_assert(sizeof(struct {name}) == {ctypes.sizeof(structure)}, "{name}");')
        for member in members(structure):
            descriptor = getattr(structure, member)
            lines.append(
                f"_Static_assert(offsetof(struct {name}, {member}) == {descriptor.offset}, "
                f'"{name}.{member}");'
            )
            lines.append(
                f"_Static_assert(sizeof(((struct {name} *)0)->{member}) == {descriptor.size}, "
                f'"size of {name}.{member}");'
            )
    return "\n".join([*lines, ""])


def unavailable(reason: str) -> None:
    """No headers, no compiler: a skip on a developer's machine, a failure where it must not happen."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def headers() -> Path:
    """The headers of trixie-backports' kernel, fetched once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vsmmu" / "kernel-headers"
    tree = cache / "trixie-backports"
    if not (tree / "usr/include/linux/iommufd.h").is_file():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            unavailable("apt-get and dpkg-deb are needed to fetch the kernel's headers")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            try:
                fetch(Path(scratch))
            except (VsmmuError, subprocess.SubprocessError, OSError, StopIteration) as error:
                unavailable(f"cannot fetch {PACKAGE}: {error}")
            if not tree.exists():
                (Path(scratch) / "tree").rename(tree)
    return tree


def fetch(scratch: Path) -> None:
    apt = ["apt-get", "-qq", *fetch_index(["trixie-backports"], "arm64", scratch, scratch / "log")]
    subprocess.run([*apt, "download", PACKAGE], check=True, capture_output=True, timeout=300, cwd=scratch)
    package = next(scratch.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, scratch / "tree"], check=True, timeout=60)


@pytest.mark.parametrize("triplet", COMPILERS)
def test_the_compiler_agrees(triplet: str, headers: Path, tmp_path: Path) -> None:
    compiler = shutil.which(COMPILERS[triplet])
    if compiler is None:
        unavailable(f"no {COMPILERS[triplet]}")
    source = tmp_path / "uapi.c"
    source.write_text(program())
    include = headers / "usr/include"
    done = subprocess.run(
        [compiler, "-std=gnu11", "-Wall", "-Werror", "-fsyntax-only", "-isystem", include / triplet,
         "-isystem", include, source],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert program().count("_Static_assert") > 300


def test_the_check_can_fail(headers: Path, tmp_path: Path) -> None:
    """A wrong size is caught: the comparison is not vacuous."""
    if shutil.which("gcc") is None:
        unavailable("no gcc")
    source = tmp_path / "uapi.c"
    source.write_text(
        program().replace("sizeof(struct iommu_hw_info) == 40", "sizeof(struct iommu_hw_info) == 41")
    )
    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-isystem", headers / "usr/include/x86_64-linux-gnu", "-isystem",
         headers / "usr/include", source],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "iommu_hw_info" in done.stderr


def test_the_numbers_of_the_calls_that_matter() -> None:
    assert hw_info.IOMMU_GET_HW_INFO == 0x3B8A
    assert vfio.VFIO_DEVICE_BIND_IOMMUFD == 0x3B76
    assert iommufd.IOMMU_DESTROY == 0x3B80


class FakeKernel:
    """Answers IOMMU_GET_HW_INFO as a kernel that knows ``size`` bytes of the structure would."""

    def __init__(
        self, size: int, data: bytes, kind: int = 2, capabilities: int = 8, interrupts: int = 0
    ) -> None:
        self.size, self.data, self.kind, self.capabilities = size, data, kind, capabilities
        self.interrupts = interrupts
        self.sizes: list[int] = []

    def __call__(self, descriptor: int, number: int, argument: iommu_hw_info) -> int:
        if self.interrupts:
            self.interrupts -= 1
            raise InterruptedError
        assert (descriptor, number) == (7, 0x3B8A)
        self.sizes.append(argument.size)
        if argument.size > self.size and argument.out_capabilities:
            raise OSError(errno.E2BIG, "E2BIG")
        ctypes.memmove(argument.data_uptr, self.data, min(len(self.data), argument.data_len))
        argument.data_len = len(self.data)
        argument.out_data_type = self.kind
        if argument.size >= 40 and self.size >= 40:
            argument.out_capabilities = self.capabilities
        return 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch):
    def install(*args, **kwargs) -> FakeKernel:
        fake = FakeKernel(*args, **kwargs)
        monkeypatch.setattr("vsmmu.uapi.ioctl.fcntl.ioctl", fake)
        return fake

    return install


def test_a_kernel_of_7_3(kernel) -> None:
    kernel(40, bytes(range(40)))
    assert get_hw_info(7, 1) == HwInfo(2, bytes(range(40)), 40, 0, 8)


def test_a_kernel_of_6_6_refuses_the_longer_structure(kernel) -> None:
    fake = kernel(32, bytes(24), kind=1)
    assert get_hw_info(7, 1) == HwInfo(1, bytes(24), 24, 0, None)
    assert fake.sizes == [40, 32]


def test_a_longer_answer_than_ours_is_cut_and_its_length_told(kernel) -> None:
    kernel(40, bytes(80))
    answer = get_hw_info(7, 1)
    assert (len(answer.data), answer.length) == (64, 80)


def test_a_shorter_answer_is_not_filled_up(kernel) -> None:
    kernel(40, b"\x01" * 12)
    assert get_hw_info(7, 1).data == b"\x01" * 12


def test_a_signal_does_not_end_the_call(kernel) -> None:
    fake = kernel(40, bytes(40), interrupts=3)
    get_hw_info(7, 1)
    assert fake.sizes == [40]


def test_other_errors_pass() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        get_hw_info(-1 & 0x7FFFFFFF, 1)


class Recorder:
    """Records every call and fills in ids."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ctypes.Structure]] = []

    def __call__(self, _descriptor: int, number: int, argument: ctypes.Structure) -> int:
        self.calls.append((number, argument))
        for name, _ in argument._fields_:
            if name.startswith("out_"):
                setattr(argument, name, 7)
        return 0


@pytest.mark.parametrize(
    ("call", "number", "structure", "members", "answer"),
    [
        (lambda: iommufd.destroy(3, 5), iommufd.IOMMU_DESTROY, iommufd.iommu_destroy, {"id": 5}, None),
        (lambda: iommufd.ioas_alloc(3), iommufd.IOMMU_IOAS_ALLOC, iommufd.iommu_ioas_alloc, {"size": 12}, 7),
        (lambda: iommufd.hwpt_alloc(3, 1, 2, 1), iommufd.IOMMU_HWPT_ALLOC, iommufd.iommu_hwpt_alloc,
         {"size": 48, "flags": 1, "dev_id": 1, "pt_id": 2, "data_type": 0, "data_uptr": 0}, 7),
        (lambda: iommufd.hwpt_alloc(3, 1, 2, 0, (9, 0)), iommufd.IOMMU_HWPT_ALLOC, iommufd.iommu_hwpt_alloc,
         {"data_type": 2, "data_len": 16}, 7),
        (lambda: nesting.viommu_alloc(3, 1, 2), nesting.IOMMU_VIOMMU_ALLOC, nesting.iommu_viommu_alloc,
         {"size": 40, "type": 1, "dev_id": 1, "hwpt_id": 2}, 7),
        (lambda: nesting.vdevice_alloc(3, 4, 1, 8), nesting.IOMMU_VDEVICE_ALLOC, nesting.iommu_vdevice_alloc,
         {"size": 24, "viommu_id": 4, "dev_id": 1, "virt_id": 8}, 7),
        (lambda: nesting.veventq_alloc(3, 4, 1, 16), nesting.IOMMU_VEVENTQ_ALLOC, nesting.iommu_veventq_alloc,
         {"size": 32, "viommu_id": 4, "type": 1, "veventq_depth": 16}, (7, 7)),
        (lambda: vfio.bind_iommufd(4, 3), vfio.VFIO_DEVICE_BIND_IOMMUFD, vfio.vfio_device_bind_iommufd,
         {"argsz": 16, "flags": 0, "iommufd": 3}, 7),
        (lambda: vfio.bind_iommufd(4, 3, bytes(16)), vfio.VFIO_DEVICE_BIND_IOMMUFD,
         vfio.vfio_device_bind_iommufd, {"argsz": 24, "flags": 1, "iommufd": 3}, 7),
        (lambda: vfio.attach_iommufd_pt(4, 9), vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
         vfio.vfio_device_attach_iommufd_pt, {"argsz": 16, "pt_id": 9}, 9),
        (lambda: vfio.detach_iommufd_pt(4), vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT,
         vfio.vfio_device_detach_iommufd_pt, {"argsz": 12}, None),
    ],
)  # fmt: skip
def test_each_call_fills_its_structure(
    monkeypatch: pytest.MonkeyPatch,
    call,
    number: int,
    structure: type,
    members: dict[str, int],
    answer: object,
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("vsmmu.uapi.ioctl.fcntl.ioctl", recorder)
    assert call() == answer
    ((asked, argument),) = recorder.calls
    assert (asked, type(argument)) == (number, structure)
    assert {name: getattr(argument, name) for name in members} == members


def test_what_a_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsmmu.uapi.ioctl.fcntl.ioctl", Recorder())
    assert vfio.device_get_info(4).argsz == 24
