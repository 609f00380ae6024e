# SPDX-License-Identifier: Apache-2.0
"""Which word of a command is QEMU: behind all that people put in front, whatever QEMU is called."""

from __future__ import annotations

import itertools

import pytest

from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.command_line.sources import emulator_index
from vsmmu.qemu.board import not_modelled

OPTIONS = "-name x -M virt -nodefaults -device pxb-pcie,id=px1 -device arm-smmuv3,primary-bus=px1,accel=on"
NAMED = (
    "qemu-system-aarch64",
    "/usr/libexec/qemu-kvm",
    "qemu-system-aarch64-11.1",
    '"$QEMU"',
    "$QEMU_BIN",
    "${QEMU:-/usr/bin/qemu-system-aarch64}",
    "$(command -v qemu-system-aarch64)",
    "`which qemu-kvm`",
    "$DIR/qemu-system-aarch64",
    '"${DIR}/qemu-system-aarch64"',
    "${PREFIX}qemu-system-aarch64",
    "qemu-system-$ARCH",
    "qemu-system-$(uname -m)",
    "$HOME/build/qemu-system-${ARCH:-aarch64}",
)
UNNAMED = ('"$BIN"', '"$1"', "/opt/bin/qemu", "./build/emulator")
WRAPPERS = (
    "",
    "exec ",
    "exec -a vm1 ",
    "command ",
    "sudo ",
    "sudo -E ",
    "sudo -u qemu -g kvm -- ",
    "env A=b C=$D ",
    "exec env A=b nice -n 5 ",
    "sudo nice -n -5 ",
    "numactl -N 0 -m 0 ",
    "numactl --localalloc ",
    "taskset -c 4-11 ",
    "chrt -f 10 taskset 0xff ",
    "prlimit --memlock=unlimited ",
    "systemd-run --unit=vm -p LimitMEMLOCK=infinity ",
    "timeout 60 ",
    "nohup setsid -f ",
    "ionice -c 2 -n 0 ",
    "gdb --args ",
    "strace -f -o /tmp/trace ",
)
#: With these nobody knows which of the words is a program's.
UNCLEAR = ("$SUDO ", "$WRAP $AND ", "docker run --rm image ", "ip netns exec vm1 ", "numactl -N $NODE ")


def read(command: str) -> object:
    line = read_source(f"{command} {OPTIONS}\n".encode(), "vm.sh")
    machine = line.machine()
    assert not machine.unread
    assert not_modelled(machine) == ""
    return machine.machine_type, machine.machine_options, [str(entry.origin) for entry in machine.devices]


PLAIN = read(NAMED[0])


@pytest.mark.parametrize(
    ("wrapper", "program"),
    [
        *itertools.product((*WRAPPERS, *UNCLEAR), NAMED),
        *itertools.product([entry for entry in WRAPPERS if entry], UNNAMED),
        *itertools.product([""], UNNAMED),
    ],
)
def test_the_machine_is_the_same_whatever_stands_in_front(wrapper: str, program: str) -> None:
    # A word behind an option is taken for its argument, unless it is a path or called like QEMU.
    argument = wrapper.strip().rpartition(" ")[2].startswith("-") and program in ('"$BIN"', '"$1"')
    if argument and "--" not in wrapper.split():
        pytest.skip("not known")
    assert read(wrapper + program) == PLAIN


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("qemu-system-aarch64 -name qemu-kvm -M virt", "qemu-system-aarch64"),
        ("./emulator -name qemu-kvm1 -M virt", "./emulator"),
        ("sudo ./emulator --name qemu-kvm1 -M virt", "./emulator"),
        ("./emulator -accel kvm -M virt", "./emulator"),
        ("sudo -u kvm qemu-kvm -M virt", "qemu-kvm"),
    ],
)
def test_a_name_of_a_vm_is_no_program(command: str, program: str) -> None:
    words = tuple(command.split())
    index = emulator_index(words)
    assert index is not None
    assert words[index] == program


@pytest.mark.parametrize("name", ["qemu-system-riscv64", "/usr/bin/qemu-system-x86_64", "qemu-system-arm-11"])
def test_another_architecture_is_not_modelled(name: str) -> None:
    assert not_modelled(read_source(f"{name} -M virt\n".encode(), "vm.sh").machine())
