# SPDX-License-Identifier: Apache-2.0
"""run without a real QEMU: what is asked of the binary, what is opened, what becomes of the process."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from examples import host
from vsmmu.cli.main import run
from vsmmu.errors import HostLacks, Negative, VsmmuError
from vsmmu.machine.command_line.argv import read_words
from vsmmu.monitor import binary_probe as module
from vsmmu.monitor.binary_cache import installed
from vsmmu.monitor.binary_probe import ask
from vsmmu.monitor.launch import openings, with_descriptors
from vsmmu.qemu.installed import Installed, fit_machine
from vsmmu.qemu.process import start

ANSWER = Installed(
    "11.1.3",
    ("virt-11.0", "virt-11.1"),
    "virt-11.1",
    {"accel": "False", "ats": "auto", "cmdqv": "auto"},
    True,
    True,
)
#: A program that speaks as much QMP as asked of it, counts its starts, and else prints its words.
QEMU = """#!{python}
import json, os, sys
if "-qmp" not in sys.argv:
    print(json.dumps([sys.argv[1:], os.environ.get("MARK"), sorted(os.listdir("/proc/self/fd"))]))
    sys.exit({status})
open({count!r}, "a").write("x")
def say(value):
    print(json.dumps(value), flush=True)
say({{"QMP": {{}}}})
answers = {{
    "query-version": {{"qemu": {{"major": 11, "minor": {minor}, "micro": 0}}}},
    "query-machines": [{{"name": "virt-11.{minor}", "alias": "virt"}}, {{"name": "none"}}],
    "device-list-properties": {properties},
    "query-kvm": {{"present": True, "enabled": False}},
    "qom-list-types": {types},
}}
for line in sys.stdin:
    say({{"return": answers.get(json.loads(line)["execute"], {{}})}})
"""
AUTO = '[{"name": "accel"}, {"name": "ats", "default-value": "auto"}, {"name": "cmdqv"}]'
HEAD = "-M virt -accel kvm -bios firmware.fd -nodefaults -object iommufd,id=iommufd0"
VM = (
    f"{HEAD} -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on -device pcie-root-port,id=rp1,bus=pcie.1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)

SECOND = ("-device", "arm-smmuv3,primary-bus=pcie.1")


class Fake:
    """A QEMU of ours in a directory of its own, and the cache beside it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "qemu-system-aarch64"
        self.count = directory / "count"
        self.cache = directory / "cache" / "vsmmu" / "qemu"
        monkeypatch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        self.write()

    def write(
        self, minor: int = 1, status: int = 0, properties: str = AUTO, types: str = '[{"name": "iommufd"}]'
    ) -> None:
        text = QEMU.format(
            python=sys.executable,
            count=str(self.count),
            minor=minor,
            status=status,
            properties=properties,
            types=types,
        )
        self.path.write_text(text)
        self.path.chmod(0o755)

    @property
    def starts(self) -> int:
        return len(self.count.read_text()) if self.count.exists() else 0


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


def vsmmu(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """vsmmu as a process, because ``run`` becomes another."""
    return subprocess.run(
        [sys.executable, "-m", "vsmmu", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


# --- the binary ---------------------------------------------------------------------------------------------


def test_a_binary_is_asked_once_and_again_when_it_changes(fake: Fake) -> None:
    first = installed(str(fake.path))
    assert (first.version, first.virt, first.qemu.has_auto, first.qemu.has_cmdqv) == (
        "11.1.0",
        "virt-11.1",
        True,
        True,
    )
    assert installed(str(fake.path)) == first
    assert fake.starts == 1
    fake.write(minor=0, properties='[{"name": "accel"}, {"name": "ats", "default-value": "off"}]')
    second = installed(str(fake.path))
    assert (second.version, second.qemu.has_auto, second.qemu.has_cmdqv) == ("11.0.0", False, False)
    assert fake.starts == 2


def test_features_come_from_the_binary_and_not_from_its_number(fake: Fake) -> None:
    fake.write(minor=0, properties=AUTO)
    known = installed(str(fake.path)).qemu
    assert (known.version, known.has_auto, known.checks_ats) == ((11, 0), True, True)


@pytest.mark.parametrize(("types", "built"), [("[]", False), ('[{"name": "iommufd"}]', None)])
def test_a_build_without_iommufd_has_no_accelerated_smmu(fake: Fake, types: str, built: bool | None) -> None:
    """``error_setg(errp, "accel=on support not compiled in")`` in hw/arm/smmuv3.c without the option."""
    fake.write(types=types)
    qemu = installed(str(fake.path)).qemu
    assert qemu.accel_built is built
    words = "-M virt -accel kvm -bios f.fd -nodefaults -device arm-smmuv3,primary-bus=pcie.0,accel=on,oas=36"
    failed = start(read_words(("qemu-system-aarch64", *words.split())).machine(), host(), qemu).failure
    assert failed is not None
    assert (failed.text == "accel=on support not compiled in") is (built is False)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 3}', b"\xff"])
def test_a_broken_cache_is_replaced(fake: Fake, content: bytes) -> None:
    first = installed(str(fake.path))
    (file,) = fake.cache.iterdir()
    file.write_bytes(content)
    assert installed(str(fake.path)) == first
    assert msgspec.json.decode(file.read_bytes(), type=Installed) == first
    assert [entry.name for entry in fake.cache.iterdir()] == [file.name]


def test_another_format_of_the_cache_is_not_believed(fake: Fake) -> None:
    first = installed(str(fake.path))
    (file,) = fake.cache.iterdir()
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(first, version="9.9.9", format=99)))
    assert installed(str(fake.path)) == first


def test_a_cache_that_cannot_be_written_is_done_without(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(fake.path / "below-a-file"))
    assert installed(str(fake.path)).version == "11.1.0"


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        "echo nonsense; cat",
        "sleep 60",
        "echo '{\"QMP\":{}}'; echo '{\"return\":{}}'; cat >/dev/null",
    ],
)
def test_a_program_that_is_no_qemu(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.5)
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(HostLacks) as caught:
        ask(str(path))
    assert caught.value.code == "qemu-binary"
    with pytest.raises(HostLacks):
        installed(str(tmp_path / "absent"))


def test_virt_is_what_the_binary_means_by_it() -> None:
    def machine(name: str) -> str:
        words = ["qemu-system-aarch64", "-M", name]
        return fit_machine(read_words(words).machine(), ANSWER).machine_type

    assert machine("virt") == "virt-11.1"
    assert machine("virt-11.0") == "virt-11.0"
    assert machine("sbsa-ref") == "sbsa-ref"
    with pytest.raises(Negative) as caught:
        machine("virt-12.0")
    assert caught.value.code == "qemu-machine-type"


# --- starting -----------------------------------------------------------------------------------------------


def test_qemu_gets_the_values_and_its_status_is_ours(fake: Fake) -> None:
    fake.write(status=42)
    result = vsmmu("run", "--host", "builtin:gb200", "--", "MARK=1", str(fake.path), *VM.split())
    assert result.returncode == 42, result.stderr
    words, mark, descriptors = json.loads(result.stdout)
    assert "arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,ats=on,ril=off,ssidsize=20,oas=48" in words
    assert mark == "1"
    # Its three and the one with which it lists them: nothing of ours is left open.
    assert descriptors == ["0", "1", "2", "3"]


def test_signals_that_python_ignores_are_not_handed_on(fake: Fake) -> None:
    fake.path.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\n")
    result = vsmmu("run", "--host", "builtin:gb200", "--qemu", "11.1", "--", str(fake.path), *VM.split())
    assert int(result.stdout.split()[1], 16) & (1 << 12) == 0, result.stdout + result.stderr


def test_dry_run_prints_what_a_shell_would_start(fake: Fake) -> None:
    command = [
        "run",
        "--dry-run",
        "--host",
        "builtin:gb200",
        "--",
        str(fake.path),
        *VM.split(),
        "-name",
        "a b",
    ]
    result = vsmmu(*command)
    assert result.returncode == 0, result.stderr
    assert shlex.split(result.stdout)[0] == str(fake.path)
    assert shlex.split(result.stdout)[-1] == "a b"
    assert "oas=48" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["--", "-M", "virt"], 2, "no-program"),
        (["--", "/no/such/qemu-system-aarch64", "-M", "virt"], 5, "qemu-binary"),
        (["--qemu", "11.1", "--", "/no/such/qemu-system-aarch64", *VM.split()], 5, "cannot-start"),
        (["--qemu", "11.1", "--", "qemu-system-aarch64", *VM.split(), *SECOND],
         1, "qemu-second-iommu"),
    ],
)  # fmt: skip
def test_what_cannot_be_started(
    arguments: list[str], status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "--host", "builtin:gb200", *arguments]) == status
    assert f"[{code}]" in capsys.readouterr().err


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Fake, Fake]:
    """A QEMU in the PATH, and another one in a directory that the command names."""
    fakes = []
    for minor in (0, 1):
        (tmp_path / str(minor)).mkdir()
        fakes.append(Fake(tmp_path / str(minor), monkeypatch))
        fakes[-1].write(minor=minor, status=40 + minor)
    monkeypatch.setenv("PATH", f"{fakes[0].path.parent}:{os.environ['PATH']}")
    return fakes[0], fakes[1]


@pytest.mark.parametrize(
    "prefix",
    [
        "PATH={other}:/usr/bin:/bin",
        "MARK=1 PATH={other}:/usr/bin:/bin",
        "env PATH={other}",
        "/usr/bin/env -i MARK=1 PATH={other}:/bin",
        "env -u PATH PATH={other}",
        "PATH={mine}:/usr/bin env PATH={other}",
        "env PATH={mine}:/usr/bin env PATH={other}",
        "nice -n 1 env PATH={other}",
        "env -C {other} PATH=",
        "env --chdir={other} PATH=:/nowhere",
    ],
)
@pytest.mark.parametrize("form", ["words", "script"])
def test_the_qemu_that_was_asked_is_started(
    two: tuple[Fake, Fake], tmp_path: Path, prefix: str, form: str
) -> None:
    mine, other = two
    words = prefix.format(other=other.path.parent, mine=mine.path.parent).split()
    words += ["qemu-system-aarch64", *VM.split()]
    if form == "script":
        start = "" if "=" in words[0] else "exec "
        (tmp_path / "vm.sh").write_text(f"#!/bin/sh\n{start}{shlex.join(words)}\n")
    command = ["--", *words] if form == "words" else [str(tmp_path / "vm.sh")]
    result = vsmmu("run", "--host", "builtin:gb200", *command)
    assert (result.returncode, other.starts, mine.starts) == (41, 1, 0), result.stderr
    # What a shell would have started, had it been left to it.
    alone = subprocess.run(["sh", "-c", shlex.join(words)], capture_output=True, check=False)
    assert alone.returncode == 41


@pytest.mark.parametrize("prefix", ["", "env", "env -u MARK", "MARK=PATH=x", "nice"])
def test_the_one_in_the_path_otherwise(two: tuple[Fake, Fake], prefix: str) -> None:
    mine, other = two
    result = vsmmu(
        "run", "--host", "builtin:gb200", "--", *prefix.split(), "qemu-system-aarch64", *VM.split()
    )
    assert (result.returncode, other.starts, mine.starts) == (40, 0, 1), result.stderr


def test_a_path_that_changes_in_between_changes_nothing(two: tuple[Fake, Fake]) -> None:
    """A wrapper with a PATH of its own, as sudo has: the command names the file that was asked."""
    mine, other = two
    wrapper = mine.path.parent / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nPATH={mine.path.parent}:$PATH exec "$@"\n')
    wrapper.chmod(0o755)
    words = [f"PATH={other.path.parent}:/usr/bin:/bin", str(wrapper), "qemu-system-aarch64", *VM.split()]
    result = vsmmu("run", "--host", "builtin:gb200", "--", *words)
    assert (result.returncode, other.starts, mine.starts) == (41, 1, 0), result.stderr
    shown = vsmmu("run", "--dry-run", "--host", "builtin:gb200", "--", *words)
    assert str(other.path) in shlex.split(shown.stdout)


def test_a_program_is_asked_by_the_name_that_is_started(two: tuple[Fake, Fake], tmp_path: Path) -> None:
    """Some look at how they are called, so a link is not followed."""
    mine, other = two
    link = tmp_path / "qemu-system-linked"
    link.symlink_to("dispatch")
    (tmp_path / "dispatch").write_text(
        f'#!/bin/sh\ncase $0 in *linked) exec {other.path} "$@";; *) exec {mine.path} "$@";; esac\n'
    )
    (tmp_path / "dispatch").chmod(0o755)
    result = vsmmu("run", "--host", "builtin:gb200", "--", str(link), *VM.split())
    assert (result.returncode, other.starts, mine.starts) == (41, 1, 0), result.stderr


# --- descriptors --------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A directory with /dev/iommu and one function's device file, as far as opening goes."""
    (tmp_path / "sys/bus/pci/devices/0009:01:00.0/vfio-dev/vfio3").mkdir(parents=True)
    (tmp_path / "dev/vfio/devices").mkdir(parents=True)
    (tmp_path / "dev/iommu").touch()
    (tmp_path / "dev/vfio/devices/vfio3").touch()
    return f"{tmp_path}/"


@pytest.mark.parametrize("form", ["keyval", "json"])
def test_files_are_opened_and_their_numbers_written(root: str, form: str) -> None:
    words = ["qemu-system-aarch64", *VM.split()]
    if form == "json":
        words[words.index("iommufd,id=iommufd0")] = '{"qom-type":"iommufd","id":"iommufd0"}'
        words[-1] = '{"driver":"vfio-pci","host":"0009:01:00.0","bus":"rp1","iommufd":"iommufd0"}'
    line = read_words(words)
    wanted = openings(line.machine(), root)
    assert [entry.describe() for entry in wanted] == [
        f"open {root}dev/iommu for object iommufd0",
        f"open {root}dev/vfio/devices/vfio3 for device vfio-0009-01-00.0",
    ]
    after, descriptors = with_descriptors(line, wanted)
    try:
        machine = after.machine()
        assert str(machine.objects[0].properties["fd"]) == str(descriptors[0])
        endpoint = machine.devices[-1]
        # QEMU 11.1.3 crashes on fd= without an id.
        assert (endpoint.id, endpoint.text("fd")) == ("vfio-0009-01-00.0", str(descriptors[1]))
        assert endpoint.form == form
        for descriptor, entry in zip(descriptors, wanted, strict=True):
            assert os.get_inheritable(descriptor)
            assert os.path.samestat(os.fstat(descriptor), Path(entry.path).stat())
            assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    # What has a descriptor is left alone.
    assert openings(machine, root) == ()


def test_files_that_are_not_there(root: str, tmp_path: Path) -> None:
    line = read_words(["qemu-system-aarch64", *VM.split()])
    wanted = openings(line.machine(), root)
    (tmp_path / "dev/iommu").unlink()
    with pytest.raises(VsmmuError) as caught:
        with_descriptors(line, wanted)
    assert caught.value.code == "open-failed"
    (tmp_path / "sys/bus/pci/devices/0009:01:00.0/vfio-dev/vfio3").rmdir()
    with pytest.raises(VsmmuError) as caught:
        openings(line.machine(), root)
    assert caught.value.code == "not-bound"
