# SPDX-License-Identifier: Apache-2.0
"""The filter, run by an interpreter of its own: what it notifies and what it lets through."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.emulate.seccomp import (
    ARCHITECTURES,
    KVM_SET_DEVICE_ATTR,
    OFFSET_MAGIC,
    Architecture,
    filter_program,
)
from vsmmu.errors import HostLacks

ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
X86, ARM = ARCHITECTURES["x86_64"], ARCHITECTURES["aarch64"]


def run(machine: Architecture, number: int, *arguments: int, audit: int | None = None) -> int:
    """A BPF machine that knows the four instructions of the filter."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, machine.audit if audit is None else audit, 0, *padded)
    program, at, value = filter_program(machine), 0, 0
    while True:
        code, true, false, constant = program[at]
        at += 1
        if code == 0x20:
            value = struct.unpack_from("=I", data, constant)[0]
        elif code == 0x54:
            value &= constant
        elif code == 0x15:
            at += true if value == constant else false
        else:
            assert code == 0x06
            return constant


@pytest.mark.parametrize("machine", [X86, ARM], ids=lambda machine: machine.name)
class TestFilter:
    def test_all_of_iommufd_and_vfio_is_notified(self, machine: Architecture) -> None:
        for command in range(0x3B00, 0x3C00):
            assert run(machine, machine.ioctl, 3, command) == NOTIFY

    def test_what_the_kernel_ignores_of_a_command_does_not_matter(self, machine: Architecture) -> None:
        assert run(machine, machine.ioctl, 3, 0xFFFFFFFF00003B8A) == NOTIFY

    @given(
        command=st.integers(0, 0xFFFFFFFF).filter(lambda c: c & ~0xFF != 0x3B00 and c != KVM_SET_DEVICE_ATTR)
    )
    def test_no_other_ioctl_is(self, machine: Architecture, command: int) -> None:
        assert run(machine, machine.ioctl, 3, command) == ALLOW

    def test_kvm_naming_a_vfio_file_is_notified(self, machine: Architecture) -> None:
        assert run(machine, machine.ioctl, 3, KVM_SET_DEVICE_ATTR) == NOTIFY

    @given(place=st.integers(0, (1 << 48) - 1))
    def test_reads_and_writes_of_our_regions_are(self, machine: Architecture, place: int) -> None:
        for number in (machine.pread64, machine.pwrite64):
            assert run(machine, number, 3, 0, 4, OFFSET_MAGIC | place) == NOTIFY
            assert run(machine, number, 3, 0, 4, place) == ALLOW

    @given(number=st.integers(-(1 << 31), (1 << 31) - 1))
    def test_no_other_call_is(self, machine: Architecture, number: int) -> None:
        if number not in (machine.ioctl, machine.pread64, machine.pwrite64):
            assert run(machine, number, 3, 0x3B8A, 4, OFFSET_MAGIC) == ALLOW

    def test_another_architecture_passes(self, machine: Architecture) -> None:
        assert run(machine, machine.ioctl, 3, 0x3B8A, audit=0x40000003) == ALLOW


def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from vsmmu.emulate import seccomp

    class Elsewhere:
        machine = "riscv64"

    monkeypatch.setattr(seccomp.os, "uname", Elsewhere)
    with pytest.raises(HostLacks, match="cannot emulate on riscv64"):
        seccomp.architecture()
