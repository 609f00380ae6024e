# SPDX-License-Identifier: Apache-2.0
"""``vsmmu probe`` on a real kernel: what it answers, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import signal

import pytest
from probe_machines import (  # noqa: F401 - fixtures
    CRASH,
    DISK,
    E1000E,
    MATE,
    NVME,
    OTHER_MATE,
    RNG,
    SWEEP,
    WORKS,
    Machine,
    machine,
    machine_acpi,
)

pytestmark = pytest.mark.lab

SMMU = "smmu3.0x0000000009050000"
REGISTERS = {
    "IDR0": "0x0d44101b",
    "IDR1": "0x02730010",
    "IDR2": "0x00000000",
    "IDR3": "0x00001414",
    "IDR4": "0x00000000",
    "IDR5": "0x00000074",
    "IIDR": "0x00000000",
    "AIDR": "0x00000001",
}
BIND = """
import os, sys, time
from vsmmu.probe.system_root import Tree
from vsmmu.uapi.vfio import bind_iommufd
from vsmmu.probe.vfio_files import vfio_device
device = os.open(vfio_device(Tree(), {address!r}).node, os.O_RDWR)
bind_iommufd(device, os.open("/dev/iommu", os.O_RDWR))
print("ready", flush=True)
time.sleep(600)
"""
LOCK = """
import fcntl, time
fcntl.flock(open("/run/vsmmu/lock", "r+"), fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(600)
"""
OPEN_GROUP = """
import os, time
os.open("/dev/vfio/" + os.path.basename(os.readlink("/sys/bus/pci/devices/{address}/iommu_group")), os.O_RDWR)
print("ready", flush=True)
time.sleep(600)
"""


def facts(host: Machine) -> dict:
    return json.loads(host.session.get("/run/vsmmu/host.json"))


def registers(document: dict) -> dict[str, str]:
    return {name: fact["value"] for name, fact in document["smmus"][0]["registers"].items()}


@pytest.mark.parametrize("address", [E1000E, NVME])
def test_the_registers(machine: Machine, address: str) -> None:  # noqa: F811
    with machine.on_vfio(E1000E, NVME):
        result = machine.vsmmu("probe", address, "-o", "json")
        assert result.status == 0, result.stderr
        assert machine.driver(address) == "vfio-pci"
    document = json.loads(result.stdout)
    assert document == facts(machine)
    assert registers(document) == REGISTERS
    smmu = document["smmus"][0]
    assert (smmu["name"], smmu["hw_info_type"]["value"], smmu["cmdqv"]["value"]) == (SMMU, 2, 0)
    assert smmu["hw_info_flags"]["value"] == 0
    function = next(entry for entry in document["functions"] if entry["address"] == address)
    assert function["ats_not_supported"]["value"] == 1
    assert function["max_pasid_log2"]["value"] == 0
    assert document["evidence"][f"probe {address}"]["kind"] == "measured"
    assert machine.open_files() == ""


def test_nesting_is_measured(machine: Machine, machine_acpi: Machine) -> None:  # noqa: F811
    for host, expected, canwbs in ((machine, 0, 0), (machine_acpi, 1, 1)):
        with host.on_vfio(E1000E):
            assert host.vsmmu("probe").status == 0
        document = facts(host)
        assert document["smmus"][0]["nesting"]["value"] == expected
        function = next(entry for entry in document["functions"] if entry["address"] == E1000E)
        assert function["canwbs"]["value"] == canwbs
        assert function["root_complex_ats"]["value"] == 0


def test_dry_run_changes_nothing(machine: Machine) -> None:  # noqa: F811
    machine.sh("rm -rf /run/vsmmu")
    resets = machine.sh("dmesg | grep -c resetting || true")
    with machine.on_vfio(E1000E):
        result = machine.vsmmu("probe", "--dry-run", "--bind", RNG, E1000E, user=1000)
        assert result.status == 0, result.stderr
        assert machine.driver(E1000E) == "vfio-pci"
    assert f"unbind {RNG} from its driver virtio-pci" in result.stdout.decode()
    assert machine.driver(RNG) == "virtio-pci"
    assert machine.sh("ls /run/vsmmu 2>/dev/null || true") == ""
    assert machine.sh("dmesg | grep -c resetting || true") == resets


@pytest.mark.parametrize("address", WORKS)
def test_bind_for_the_moment(machine: Machine, address: str) -> None:  # noqa: F811
    """A disk or a card is taken from its driver, asked, given back, and works as before."""
    driver, works = WORKS[address]
    before = machine.sh(works)
    assert before
    result = machine.vsmmu("probe", "--bind", address)
    assert result.status == 0, result.stderr
    assert (machine.driver(address), machine.override(address)) == (driver, "(null)")
    assert machine.sh(works) == before
    assert registers(facts(machine)) == REGISTERS
    assert machine.sh("ls -A /run/vsmmu").split() == ["host.json", "lock"]
    assert machine.open_files() == ""


def test_a_function_without_a_driver_is_left_without(machine: Machine) -> None:  # noqa: F811
    machine.rebind(NVME, "")
    try:
        assert machine.vsmmu("probe", "--bind", NVME).status == 0
        assert (machine.driver(NVME), machine.override(NVME)) == ("", "(null)")
    finally:
        machine.rebind(NVME, "nvme")


def test_a_terminated_probe_gives_the_driver_back(machine: Machine) -> None:  # noqa: F811
    """SIGTERM at any moment, 40 ms apart: nothing is left."""
    for hundredths in range(20, 80, 4):
        machine.sh(
            f"vsmmu probe --bind {RNG} & probe=$!; sleep 0.{hundredths};"
            "kill -TERM $probe 2>/dev/null || true;"
            "wait $probe || [ $? = 143 ]"
        )
        assert (machine.driver(RNG), machine.override(RNG)) == ("virtio-pci", "(null)")
        assert "journal" not in machine.sh("ls /run/vsmmu 2>/dev/null || true")


def test_a_probe_waits_for_another(machine: Machine) -> None:  # noqa: F811
    with machine.background(LOCK):
        machine.sh(f"timeout 2 vsmmu probe --bind {RNG} || [ $? = 143 ]")
        assert machine.driver(RNG) == "virtio-pci"


def test_what_an_interrupted_probe_left_is_not_taken_from_a_vm(machine: Machine) -> None:  # noqa: F811
    machine.session.put({"/root/crash_probe.py": CRASH, "/root/sweep": SWEEP})
    died = 128 + signal.SIGKILL
    machine.sh(f"python3 /root/crash_probe.py {RNG} /dev/vfio/devices/ || [ $? = {died} ]", timeout=300)
    assert machine.driver(RNG) == "vfio-pci"
    with machine.background(BIND.format(address=RNG)) as pid:
        result = machine.vsmmu("probe", "--bind", NVME)
        assert result.status == 1
        assert f"held by process {pid} (python3)" in result.stderr.decode()
        assert machine.driver(RNG) == "vfio-pci"
        assert machine.driver(NVME) == "nvme"
        assert "FAIL  no interrupted probe" in machine.vsmmu("doctor").stdout.decode()
    machine.vsmmu("probe")
    assert machine.driver(RNG) == "virtio-pci"


def test_two_at_once(machine: Machine) -> None:  # noqa: F811
    """Both succeed, one after the other."""
    with machine.on_vfio(E1000E):
        machine.sh("vsmmu probe & one=$!; vsmmu probe & two=$!; wait $one; wait $two")
    assert registers(facts(machine)) == REGISTERS


# What it refuses: message and status.


def refusal(host: Machine, *arguments: str, user: int = 0) -> tuple[int, str]:
    result = host.vsmmu("probe", *arguments, user=user)
    return result.status, result.stderr.decode()


def test_a_function_held_by_another_process(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(E1000E), machine.background(BIND.format(address=E1000E)) as pid:
        status, message = refusal(machine, E1000E)
    assert status == 1
    assert "[function-in-use]" in message
    assert f"held by process {pid} (python3)" in message


def test_a_group_held_by_another_process(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(E1000E), machine.background(OPEN_GROUP.format(address=E1000E)) as pid:
        status, message = refusal(machine, E1000E)
    assert status == 1
    assert "[group-in-use]" in message
    assert f"held by process {pid} (python3)" in message


def test_the_next_function_is_asked_if_the_first_is_in_use(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(E1000E, NVME), machine.background(BIND.format(address=E1000E)):
        result = machine.vsmmu("probe")
    assert result.status == 0
    assert f"through {NVME}" in result.stdout.decode()


def test_a_group_mate_held_by_another_process(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(MATE, OTHER_MATE), machine.background(BIND.format(address=MATE)) as pid:
        status, message = refusal(machine, OTHER_MATE)
    assert (status, "[bind-refused]" in message) == (4, True)
    assert f"held by process {pid} (python3)" in message


def test_a_group_mate_on_its_own_driver(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(OTHER_MATE):
        status, message = refusal(machine, OTHER_MATE)
    assert status == 1
    assert f"{MATE} (virtio-pci) [group-in-use]" in message


def test_a_function_on_its_own_driver(machine: Machine) -> None:  # noqa: F811
    status, message = refusal(machine, RNG)
    assert status == 1
    assert "it is bound to virtio-pci [not-on-vfio]" in message
    assert f"vsmmu probe --bind {RNG}" in message


def test_a_disk_that_is_mounted(machine: Machine) -> None:  # noqa: F811
    status, message = refusal(machine, "--bind", "0000:00:1d.0")
    assert (status, "is mounted [function-in-use]" in message) == (1, True)


def test_nothing_to_ask(machine: Machine) -> None:  # noqa: F811
    status, message = refusal(machine)
    assert (status, "[no-idle-function]" in message) == (1, True)


def test_no_iommufd(machine: Machine) -> None:  # noqa: F811
    machine.sh("mv /dev/iommu /dev/away")
    try:
        status, message = refusal(machine)
    finally:
        machine.sh("mv /dev/away /dev/iommu")
    assert (status, "[no-iommufd]" in message) == (5, True)
    assert "CONFIG_IOMMUFD" in message


def test_no_permission(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(E1000E):
        status, message = refusal(machine, user=1000)
        assert (status, "[no-permission]" in message) == (4, True)
        # Two files given away are enough, whoever it is; the facts then go where the user may write.
        node = machine.sh(f"echo /dev/vfio/devices/$(ls /sys/bus/pci/devices/{E1000E}/vfio-dev)")
        machine.sh(f"chmod 666 /dev/iommu; chown 1000 {node}")
        machine.sh("rm -rf /tmp/mine; mkdir /tmp/mine; chown 1000 /tmp/mine")
        try:
            result = machine.run("vsmmu", "probe", user=1000, env={"VSMMU_RUN_DIR": "/tmp/mine"})
        finally:
            machine.sh("chmod 660 /dev/iommu")
    assert result.status == 0, result.stderr
    assert registers(json.loads(machine.session.get("/tmp/mine/host.json"))) == REGISTERS


def test_other_users_see_what_root_has_probed(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(E1000E):
        assert machine.vsmmu("probe").status == 0
    text = (
        "from vsmmu.probe.live import *; h = live_host(); print(describe_age(h));"
        "print(h.read_field(h.smmus[0], 'IDR5.OAS'))"
    )
    said = machine.run("python3", "-c", text, user=1000).stdout.decode()
    assert said.startswith("probed ")
    assert "kind='measured'" in said
    # In another boot the facts would not count.
    machine.sh('sed -i \'s/"boot_id": "..../"boot_id": "ffff/\' /run/vsmmu/host.json')
    said = machine.sh(f'python3 -c "{text}"')
    assert "it is of another boot" in said
    assert "kind='inferred'" in said
    machine.sh("rm /run/vsmmu/host.json")


@pytest.mark.parametrize("override", ["a/b", ".x", "x" * 300, "a\tb", "tréiber", "vfio-pci"])
def test_any_override_comes_back(machine: Machine, override: str) -> None:  # noqa: F811
    """On cards with their own drivers, which an override that was set later must not keep out."""
    cards = {address: machine.driver(address) for address in (DISK, E1000E)}
    for address, own in cards.items():
        if not own:  # this kernel has no driver for it
            continue
        attribute = f"/sys/bus/pci/devices/{address}/driver_override"
        machine.sh(f"printf '%s\\n' '{override}' > {attribute}")
        try:
            result = machine.vsmmu("probe", "--bind", address)
            assert (result.status, machine.driver(address)) == (0, own), result.stderr
            assert machine.sh(f"cat {attribute}") == override
            assert machine.sh("ls -A /run/vsmmu").split() == ["host.json", "lock"]
        finally:
            machine.sh(f"echo > {attribute}")
