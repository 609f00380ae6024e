# SPDX-License-Identifier: Apache-2.0
"""run and inspect with nothing faked: a guest with a real function, read back, and plugged into."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest
from running_vm import GUEST, STOPPED, Vm, bound, guest_files, started, vsmmu

from quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

CARD, DISK = "0000:00:05.0", "0000:00:06.0"
TOPOLOGY = (
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on{values} "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 -device pcie-root-port,id=rp2,bus=pcie.1,chassis=2 "
)
ENDPOINT = f"-device vfio-pci,host={CARD},bus=rp1,iommufd=iommufd0,id=card"
#: Linux' ARM_SMMU_FEAT_* bits that the four registers' fields decide (arm-smmu-v3.h).
FEATURE_ATS, FEATURE_RANGE_INV = 1 << 5, 1 << 15

AS_NOBODY = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def topology(values: str = "", endpoint: str = ENDPOINT) -> list[str]:
    return f"{TOPOLOGY.format(values=values)} {endpoint}".split()


@pytest.fixture
def host(lab_acpi: Session) -> Iterator[Session]:
    """The lab host with both functions on vfio-pci and its facts measured."""
    with bound(lab_acpi, CARD, DISK):
        probed = vsmmu(lab_acpi, "probe")
        assert probed.status == 0, probed.stderr.decode()
        yield lab_acpi


def inspection(lab: Session, *more: str, target: str = Vm.socket) -> tuple[int, dict[str, object]]:
    result = vsmmu(lab, "inspect", target, "-o", "json", *more)
    assert result.stdout, result.stderr.decode()
    return result.status, json.loads(result.stdout)


def test_a_guest_runs_with_values_that_inspect_reads_back(host: Session) -> None:
    guest_files(host)
    with started(host, ["vsmmu", "run", "--", "qemu-system-aarch64", *GUEST, *topology()]) as vm:
        # Nothing of ours is left: the process that was started is QEMU itself, with the values written down.
        words = host.run(["sh", "-c", f"tr '\\0' '\\n' </proc/{vm.pid}/cmdline"]).stdout.decode().split("\n")
        assert words[0] == "/usr/bin/qemu-system-aarch64"  # The very file that was asked.
        smmu = "arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on"
        assert f"{smmu},ats=off,ril=on,ssidsize=0,oas=44" in words
        said = vm.wait_for("guest is up")
        line = re.search(r"oas (\d+)-bit \(features (0x[0-9a-f]+)\)", said)
        assert line is not None, said
        status, found = inspection(host)
        assert (status, found["drift"], found["status"]) == (0, False, "running")
        values = {entry["name"]: entry["guest"] for entry in found["vsmmus"][0]["properties"]}  # type: ignore[index]
        features = int(line[2], 16)
        assert values["oas"] == line[1]
        assert values["ats"] == ("on" if features & FEATURE_ATS else "off")
        assert values["ril"] == ("on" if features & FEATURE_RANGE_INV else "off")
        assert [entry["function"] for entry in found["vsmmus"][0]["endpoints"]] == [CARD]  # type: ignore[index]
        # The same by process id; and the disk goes in as foretold.
        assert inspection(host, target=str(vm.pid))[1]["vsmmus"] == found["vsmmus"]
        # And without a name, among all that run here.
        (listed,) = json.loads(vsmmu(host, "inspect", "-o", "json").stdout)["vms"]
        assert (listed["pid"], listed["functions"], listed["drift"]) == (vm.pid, [CARD], False)
        status, answer = inspection(host, "--hotplug", DISK)
        assert (status, answer["hotplug"]["answer"]) == (0, "starts")  # type: ignore[index]
        plug = answer["hotplug"]["command"]  # type: ignore[index]
        assert plug["bus"] == "rp2"
        assert vm.qmp({"execute": "device_add", "arguments": plug}) == [{"return": {}}]
        time.sleep(1)
        _, after = inspection(host)
        assert {entry["function"] for entry in after["vsmmus"][0]["endpoints"]} == {CARD, DISK}  # type: ignore[index]


@pytest.mark.parametrize(
    "values", ["ats=off,ril=on,ssidsize=0,oas=44", "ats=on,ril=on,ssidsize=0,oas=44",
               "ats=off,ril=on,ssidsize=0,oas=48", "ats=off,ril=off,ssidsize=5,oas=44"]
)  # fmt: skip
def test_hot_plug_goes_as_foretold(host: Session, values: str) -> None:
    with started(host, ["qemu-system-aarch64", *STOPPED, *topology(f",{values}", "")]) as vm:
        status, found = inspection(host, "--hotplug", CARD)
        told = found["hotplug"]
        reply = vm.qmp({"execute": "device_add", "arguments": told["command"]})[0]  # type: ignore[index]
        if "return" in reply:
            assert (status, told["answer"]) == (0, "starts")  # type: ignore[index]
        else:
            assert (status, told["answer"]) == (1, "refused")  # type: ignore[index]
            with quoted("qemu-system-arm", "11.1", host.artifacts.versions()):
                assert told["diagnostics"][0]["why"] == reply["error"]["desc"]  # type: ignore[index]


def test_values_that_the_host_no_longer_offers_are_drift(host: Session) -> None:
    with started(host, ["qemu-system-aarch64", *STOPPED, *topology()]):
        facts = json.loads(vsmmu(host, "show", "-o", "json").stdout)
        registers = facts["smmus"][0]["registers"]
        registers["IDR3"]["value"] = f"{int(registers['IDR3']['value'], 16) & ~(1 << 10):#010x}"
        host.put({"/tmp/other.json": json.dumps(facts).encode()})
        status, found = inspection(host, "--host", "/tmp/other.json")
        assert (status, found["drift"]) == (1, True)
        drift = found["vsmmus"][0]["diagnostics"]  # type: ignore[index]
        assert {entry["code"] for entry in drift} == {"host", "auto"}
        assert "Host SMMUv3 doesn't support Range Invalidation" in str(drift)
        assert inspection(host)[0] == 0


def test_descriptors_are_opened_for_qemu(host: Session) -> None:
    # QEMU runs as nobody, who may open neither /dev/iommu nor the function.
    host.run(["chmod", "666", "/dev/kvm"])
    qemu = ["python3", "-c", AS_NOBODY, "qemu-system-aarch64", *STOPPED]
    command = ["vsmmu", "run", "--fd", "--", *qemu, *topology(endpoint=ENDPOINT.replace(",id=card", ""))]
    with started(host, command) as vm:
        words = host.run(["sh", "-c", f"tr '\\0' '\\n' </proc/{vm.pid}/cmdline"]).stdout.decode()
        owner = host.run(["stat", "-c", "%u", f"/proc/{vm.pid}"]).stdout.strip()
        assert owner == b"65534"
        assert re.search(r"iommufd,id=iommufd0,fd=\d+", words), words
        assert re.search(rf"vfio-pci,host={CARD},bus=rp1,iommufd=iommufd0,id=[\w.-]+,fd=\d+", words), words
        assert inspection(host)[0] == 0


def test_the_exit_status_is_the_childs(host: Session) -> None:
    command = ["run", "--", "sh", "-c", "exit 7", "qemu-system-aarch64", *STOPPED, *topology()]
    assert vsmmu(host, *command).status == 7


def test_a_vm_that_would_not_start_is_not_started(host: Session) -> None:
    command = ["run", "--", "qemu-system-aarch64", *STOPPED, *topology(",oas=48")]
    result = vsmmu(host, *command)
    assert (result.status, result.stdout) == (1, b"")
    with quoted("qemu-system-arm", "11.1", host.artifacts.versions()):
        assert b"Host SMMUv3 supports only 44-bit IPA" in result.stderr
