# SPDX-License-Identifier: Apache-2.0
"""Hosts, a memory without a process, and a way to run a program under the emulator."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vsmmu.emulate import iommufd
from vsmmu.emulate.calls import Caller, CallRecord
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.hardware import Hardware
from vsmmu.emulate.memory import Memory
from vsmmu.emulate.objects import Context, DeviceObject
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, RegisterFact
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[3]
PROGRAM = str(Path(__file__).with_name("emulated_program.py"))
WORDS = IdRegisters(0x0D44141B, 0x02730510, 0, 0x1414, 0, 0x75, 0x43B, 1)
A, B, MATE = "0001:01:00.0", "0001:02:00.0", "0001:02:00.1"
FAR = "0002:01:00.0"


def fact(value: int) -> Fact:
    return Fact(value, "made")


def host(**smmu: Any) -> Host:
    """Two SMMUs; A and B behind the first, MATE in B's group, FAR behind the second."""
    registers = {name: RegisterFact(word, "made") for name, word in WORDS.as_dict().items()}
    first = HostSmmu(**{"name": "smmu3.0x1", "device": "arm-smmu-v3.0.auto", "registers": registers, **smmu})
    second = HostSmmu(name="smmu3.0x2", device="arm-smmu-v3.1.auto", registers=registers)

    def function(address: str, behind: str, group: int, **more: Any) -> HostFunction:
        return HostFunction(address=address, smmu=behind, iommu_group=group, driver="vfio-pci", **more)

    return Host(
        schema=SCHEMA,
        name="test",
        smmus=(first, second),
        functions=(
            function(
                A, first.name, 1, ats_capability=fact(1), max_pasid_log2=fact(16), dirty_tracking=fact(1)
            ),
            function(B, first.name, 2, ats_not_supported=fact(1)),
            function(MATE, first.name, 2),
            function(FAR, second.name, 3),
        ),
        evidence={"made": Evidence("measured", "a test", "")},
    )


class FakeMemory(Memory):
    """64 KiB at 0x10000."""

    BASE = 0x10000

    def __init__(self) -> None:
        self.data = bytearray(1 << 16)

    def read(self, address: int, length: int) -> bytes:
        start = address - self.BASE
        if start < 0 or start + length > len(self.data):
            raise KernelError(errno.EFAULT)
        return bytes(self.data[start : start + length])

    def read_some(self, address: int, length: int) -> bytes:
        self.read(address, 1)
        return self.read(address, min(length, self.BASE + len(self.data) - address))

    def write(self, address: int, data: bytes) -> None:
        self.read(address, len(data))
        start = address - self.BASE
        self.data[start : start + len(data)] = data


class FakeCaller(Caller):
    """A process without a file of ours, which takes all that it is given."""

    def __init__(self, memory: FakeMemory, given: list[int]) -> None:
        super().__init__(1, memory)
        self.given = given

    def open_file(self, descriptor: int) -> None:
        return None

    def give(self, descriptor: int) -> int:
        self.given.append(descriptor)
        return 100 + len(self.given)


class Kernel:
    """One iommufd and its caller, without a process."""

    def __init__(self, shown: Host | None = None) -> None:
        self.hardware = Hardware(shown or host())
        self.context = Context(1)
        self.memory = FakeMemory()
        self.given: list[int] = []
        self.caller = FakeCaller(self.memory, self.given)

    def bind(self, address: str) -> DeviceObject:
        return self.context.add(DeviceObject(self.hardware.functions[address]))

    def call(self, number: int, argument: ctypes.Structure, size: int | None = None) -> Any:
        """Make a call; the structure comes back as the kernel left it. An errno is raised."""
        if size is None:
            size = ctypes.sizeof(argument)
        argument.size = size
        self.memory.write(FakeMemory.BASE, bytes(argument))
        iommufd.call(self.context, number, FakeMemory.BASE, self.caller, CallRecord())
        data = self.memory.read(FakeMemory.BASE, ctypes.sizeof(argument))
        return type(argument).from_buffer_copy(data)

    def errno(self, number: int, argument: ctypes.Structure, size: int | None = None) -> str:
        """The errno's name with which a call fails; "ok" if it does not."""
        try:
            self.call(number, argument, size)
        except KernelError as error:
            return str(error)
        return "ok"


def as_nobody(arguments: Sequence[str], facts: Path) -> subprocess.CompletedProcess[str]:
    """Run ``vsmmu emulate`` of a host as a user without privilege; only for root, in a folder of the test's.

    The program is the system's Python with :data:`PROGRAM`, whose words ``arguments`` are.
    """
    python = f"/usr/bin/python3.{sys.version_info.minor}"
    if os.getuid() or not shutil.which("setpriv") or not Path(python).exists():
        pytest.skip("this is for a test run by root, with setpriv and the system's Python")
    for path in (facts, *facts.parents):
        if Path(tempfile.gettempdir()) in path.parents:
            path.chmod(0o644 if path == facts else 0o755)
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    path = os.pathsep.join(entry for entry in [str(ROOT / "src"), *sys.path] if entry)
    command = [
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-B", "-c", code),
        *("emulate", "-q", "--host", str(facts), "--", python, "-B", PROGRAM, *arguments),
    ]
    environment = {"PYTHONPATH": path, "PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment)
    if "Permission denied" in done.stderr or "not found" in done.stderr:
        pytest.skip(done.stderr)
    return done


def emulate(
    arguments: Sequence[str], *, timeout: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``vsmmu emulate``."""
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "emulate", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )  # fmt: skip
