# SPDX-License-Identifier: Apache-2.0
"""The doctor: each check with each verdict, from what was observed; and observing itself."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from iort_table import root, smmu, table

import vsmmu
from fake_host import LOG, SMMU, FakeHost
from vsmmu.cli.doctor import command
from vsmmu.cli.schemas import schema_of
from vsmmu.doctor.checks import CHECKS, examine
from vsmmu.doctor.installation import Installation
from vsmmu.doctor.model import SCHEMA, Check
from vsmmu.doctor.observe import Observed, ObservedFile, Program, observe, parse_config, parse_version
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import RegisterFact

IORT = "/sys/firmware/acpi/tables/IORT"
CONFIG = "\n".join(
    f"CONFIG_{name}=y"
    for name in ("ARM_SMMU_V3", "IOMMUFD", "ARM_SMMU_V3_IOMMUFD", "VFIO_PCI", "VFIO_DEVICE_CDEV", "KVM",
                 "PCI_ATS", "PCI_PASID")
)  # fmt: skip


@pytest.fixture
def ready(fake: FakeHost, tmp_path: Path) -> FakeHost:
    """A host on which everything is as it should be."""
    fake.write("/dev/kvm", "")
    fake.write("/proc/config.gz", gzip.compress(CONFIG.encode()))
    fake.write("/proc/interrupts", " 22:  0  0 ITS-PCI-MSIX-0000:00:05.0 0 Edge x\n")
    fake.write(IORT, table(smmu(), root(ats=1, memory=4)))
    fake.write("/sys/module/iommufd/parameters/allow_unsafe_interrupts", "N\n")
    program(fake, "qemu-system-aarch64", "QEMU emulator version 11.1.3 (Debian 1:11.1.3)")
    program(fake, "libvirtd", "libvirtd (libvirt) 12.8.0")
    return fake


def program(fake: FakeHost, name: str, says: str) -> None:
    path = fake.path(f"/bin/{name}")
    fake.write(f"/bin/{name}", f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def seen(fake: FakeHost) -> Observed:
    compiled = Installation("/usr/bin/python3", 200, 0, ())  # the checkout need not be
    return observe(str(fake.root), str(fake.path("/bin")))._replace(installation=compiled)


def verdict(observed: Observed, name: str) -> Check:
    return next(check for check in examine(observed) if check.id == name)


def test_a_host_that_is_ready_but_not_probed(ready: FakeHost) -> None:
    verdicts = {check.id: check.status for check in examine(seen(ready))}
    assert {name for name, status in verdicts.items() if status != "PASS"} == {"facts"}
    assert len(verdicts) == len(CHECKS)


def test_every_check_that_does_not_pass_says_what_next(fake: FakeHost) -> None:
    for check in examine(seen(fake)):
        if check.status in ("WARN", "FAIL"):
            assert check.diagnostics[0].next, check.id
            assert check.detail, check.id


def changed(ready: FakeHost, **members: object) -> Observed:
    return seen(ready)._replace(**members)


def file(exists: bool = True, permitted: bool = True) -> ObservedFile:
    return ObservedFile("/dev/x", exists, permitted)


def config(**options: str) -> dict[str, str]:
    return parse_config(CONFIG) | {f"CONFIG_{name}": value for name, value in options.items()}


@pytest.mark.parametrize(
    ("name", "members", "status", "word"),
    [
        ("machine", {"machine": "x86_64"}, "FAIL", "x86_64"),
        ("kernel-config", {"config": None}, "SKIP", "config"),
        ("kernel-config", {"config": config(IOMMUFD="n")}, "FAIL", "CONFIG_IOMMUFD"),
        ("kernel-config", {"config": config(IOMMUFD="m")}, "PASS", "/proc/config.gz"),
        ("kernel-config", {"config": config(PCI_ATS="n")}, "WARN", "CONFIG_PCI_ATS"),
        ("iommufd", {"iommufd": file(exists=False)}, "FAIL", "/dev/x"),
        ("iommufd", {"iommufd": file(permitted=False)}, "WARN", "not yours"),
        ("kvm", {"kvm": file(exists=False)}, "FAIL", "/dev/x"),
        ("functions", {"functions": ()}, "WARN", "none"),
        ("vfio-cdev", {"functions": ()}, "SKIP", "no function"),
        ("vfio-cdev", {"nodes": (file(exists=False),)}, "FAIL", "missing"),
        ("vfio-cdev", {"nodes": (file(permitted=False),)}, "WARN", "not yours"),
        ("groups", {"functions": ()}, "SKIP", "no function"),
        ("interrupts", {"isolated": None}, "SKIP", "no ITS"),
        ("interrupts", {"isolated": None, "unsafe_allowed": True}, "WARN", "allow_unsafe"),
        ("journal", {"interrupted": ("bind it again",)}, "FAIL", "bind it again"),
        ("qemu", {"qemus": ()}, "SKIP", "no qemu"),
        ("qemu", {"qemus": (Program("q", (10, 2, 0)),)}, "FAIL", "no accel"),
        ("qemu", {"qemus": (Program("q", None),)}, "FAIL", "unknown version"),
        ("qemu", {"qemus": (Program("q", (11, 0, 1)),)}, "WARN", "no auto"),
        ("qemu", {"qemus": (Program("q", (9, 0, 0)), Program("r", (11, 1, 0)))}, "PASS", "r 11.1.0"),
        ("byte-code", {"installation": Installation("p", 9, 2, ("/a", "/b"))}, "WARN", "2 of 9 modules"),
        ("libvirt", {"libvirts": ()}, "SKIP", "neither"),
        ("libvirt", {"libvirts": (Program("v", (12, 6, 0)),)}, "WARN", "silently"),
    ],
)
def test_verdicts(ready: FakeHost, name: str, members: dict[str, object], status: str, word: str) -> None:
    check = verdict(changed(ready, **members), name)
    assert (check.status, word in check.detail) == (status, True), check


def test_an_installation_without_byte_code_is_mended_by_the_remedy(tmp_path: Path) -> None:
    package = tmp_path / "vsmmu"
    shutil.copytree(Path(vsmmu.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def look() -> dict[str, str]:
        """The check by an interpreter that writes no byte code itself, as for a user who may not."""
        command = [sys.executable, "-m", "vsmmu", "doctor", "-o", "json"]
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, check=False)
        return next(check for check in json.loads(done.stdout)["checks"] if check["id"] == "byte-code")

    found = look()
    assert (found["status"], str(package) in found["detail"]) == ("WARN", True)
    subprocess.run(shlex.split(found["diagnostics"][0]["next"].removeprefix("as the owner: ")), check=True)
    assert look()["status"] == "PASS"
    os.utime(package / "errors.py", (1, 1))  # byte code of another version of the file
    assert look()["detail"].startswith("1 of ")


def test_no_smmu(fake: FakeHost) -> None:
    fake.path(f"/sys/class/iommu/{SMMU}").unlink()
    assert verdict(seen(fake), "smmu").detail == "the kernel drives no IOMMU"
    assert verdict(seen(fake), "coherent").status == "SKIP"
    assert verdict(seen(fake), "nesting").status == "SKIP"
    fake.smmu("dmar0", "intel")
    assert verdict(seen(fake), "smmu").detail == "other IOMMUs only: dmar0"


def test_incoherent_smmus(fake: FakeHost) -> None:
    fake.smmu("smmu3.0x0000000000001000", "other.smmu")
    bad, good = LOG.replace("0x01088705", "0x01088605"), LOG.replace("9050000.smmuv3", "other.smmu")
    fake.write("/dev/kmsg", f"6,1,1,-;{bad}\n")
    assert verdict(seen(fake), "coherent").status == "WARN"
    fake.write("/dev/kmsg", f"6,1,1,-;{bad}\n6,1,1,-;{good}\n")
    assert verdict(seen(fake), "coherent").status == "WARN"
    fake.path("/sys/class/iommu/smmu3.0x0000000000001000").unlink()
    assert verdict(seen(fake), "coherent").status == "FAIL"
    fake.path("/dev/kmsg").unlink()
    assert verdict(seen(fake), "coherent").status == "SKIP"


def test_vfio_devices_without_files(ready: FakeHost) -> None:
    for address in ("0000:00:06.0", "0000:00:07.0"):
        next(ready.path(f"/sys/bus/pci/devices/{address}/vfio-dev").iterdir()).joinpath("dev").unlink()
    check = verdict(seen(ready), "vfio-cdev")
    assert (check.status, "CDEV" in check.diagnostics[0].next) == ("FAIL", True)


def test_a_shared_group(ready: FakeHost) -> None:
    ready.function("0000:00:07.1", group=3, driver="snd_hda_intel")
    assert "0000:00:07.1 (snd_hda_intel)" in verdict(seen(ready), "groups").detail


@pytest.mark.parametrize(
    ("memory", "features", "status", "word"),
    [(4, 0x01088705, "PASS", ""), (0, 0x01088705, "FAIL", "neither CANWBS"),
     (0, 0x01888705, "PASS", ""), (4, 0x01088505, "FAIL", "no IDR0.S1P"), (4, 0x01088305, "FAIL", "S2P")],
)  # fmt: skip
def test_nesting_as_inferred(ready: FakeHost, memory: int, features: int, status: str, word: str) -> None:
    ready.write(IORT, table(smmu(), root(memory=memory)))
    ready.write("/dev/kmsg", f"6,1,1,-;{LOG.replace('0x01088705', f'{features:#010x}')}\n")
    check = verdict(seen(ready), "nesting")
    assert (check.status, word in check.detail) == (status, True), check


@pytest.mark.parametrize(("nesting", "status"), [(1, "PASS"), (0, "FAIL")])
def test_nesting_as_measured(ready: FakeHost, nesting: int, status: str) -> None:
    observed = seen(ready)
    host = observed.host
    smmu_fact = msgspec.structs.replace(host.smmus[0], nesting=Fact(nesting, "probe"))
    host = msgspec.structs.replace(
        host, smmus=(smmu_fact,), evidence=host.evidence | {"probe": Evidence("measured", "x")}
    )
    assert verdict(observed._replace(host=host), "nesting").status == status


def test_nesting_that_nobody_knows(ready: FakeHost) -> None:
    ready.path(IORT).unlink()
    assert verdict(seen(ready), "nesting").status == "SKIP"


def test_probed_facts(ready: FakeHost) -> None:
    observed = seen(ready)
    host = observed.host
    probed = msgspec.structs.replace(host.smmus[0], registers={"IDR4": RegisterFact("0x0", "probe")})
    host = msgspec.structs.replace(
        host, smmus=(probed,), evidence=host.evidence | {"probe": Evidence("measured", "x")}
    )
    assert verdict(observed._replace(host=host), "facts").status == "PASS"


# Observing.


@pytest.mark.parametrize(
    ("text", "version"),
    [("QEMU emulator version 11.1.3 (Debian)", (11, 1, 3)), ("libvirtd (libvirt) 12.8.0", (12, 8, 0)),
     ("version 9.2", (9, 2, 0)), ("none", None), ("1234.5", None)],
)  # fmt: skip
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_a_kernels_configuration() -> None:
    assert parse_config("# CONFIG_A is not set\nCONFIG_B=m\nCONFIG_C=\"x\"\n# comment\nCONFIG_D =y\n") == {
        "CONFIG_A": "n", "CONFIG_B": "m", "CONFIG_C": '"x"',
    }  # fmt: skip


def test_where_the_configuration_is_found(fake: FakeHost) -> None:
    fake.write("/proc/config.gz", b"not gzip")
    fake.write("/boot/config-7.3.4", CONFIG)
    observed = seen(fake)
    assert observed.config_source == "/boot/config-7.3.4"
    assert observed.config is not None
    assert observed.config["CONFIG_KVM"] == "y"


def test_a_program_that_does_not_answer(fake: FakeHost) -> None:
    program(fake, "qemu-system-aarch64", "no number")
    fake.write("/bin/virtqemud", "not a program")
    fake.path("/bin/virtqemud").chmod(0o755)
    observed = seen(fake)
    assert [entry.version for entry in observed.qemus + observed.libvirts] == [None, None]


def test_what_an_interrupted_probe_left(fake: FakeHost) -> None:
    fake.write("/run/vsmmu/journal", '{"step":"unbind-driver","address":"0000:00:05.0","driver":"e1000e"}\n')
    assert seen(fake).interrupted == ("bind 0000:00:05.0 to e1000e again",)
    fake.write("/run/vsmmu/journal", "?\n")
    assert seen(fake).interrupted == ("the journal of an interrupted probe cannot be read",)


@pytest.fixture
def run(ready: FakeHost, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "vsmmu.doctor.observe.observe.__defaults__", (str(ready.root), str(ready.path("/bin")))
    )
    monkeypatch.delenv("NO_COLOR", raising=False)

    def invoke(*arguments: str, **options: object):
        return CliRunner().invoke(command, arguments, **options)

    return invoke


def test_the_command(run, ready: FakeHost) -> None:
    result = run()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "PASS  64-bit Arm machine: aarch64"
    assert "      next: as root: vsmmu probe (at boot: vsmmu-probe.service)" in lines
    quiet = run("-q").stdout.splitlines()
    assert [line for line in quiet if not line.startswith(" ")] == [
        line for line in lines if line.startswith("WARN")
    ]


def test_the_command_when_something_fails(run, ready: FakeHost) -> None:
    ready.path("/dev/kvm").unlink()
    result = run("-q")
    assert result.exit_code == 1
    assert "FAIL  KVM: there is no /dev/kvm" in result.stdout


def test_the_commands_document(run) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(run("-o", "json").stdout)
    jsonschema.validate(document, schema_of("doctor"))
    assert (document["schema"], document["ready"]) == (SCHEMA, True)
