# SPDX-License-Identifier: Apache-2.0
"""Mends of one fault each: what the script says before and after, and what is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import examples
from vsmmu.host.builtin import builtin_host
from vsmmu.mend.table import MENDS
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from conftest import Run
    from vsmmu.mend.mending import Mending

#: A VM that starts on the host of the examples, an option a line.
LINES = {
    "head": "qemu-system-aarch64",
    "machine": "-M virt",
    "kvm": "-accel kvm",
    "firmware": "-bios fw",
    "bare": "-nodefaults",
    "iommufd": "-object iommufd,id=i0",
    "expander": "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0",
    "vsmmu": "-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on",
    "port": "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1",
    "function": "-device vfio-pci,host=0000:01:00.0,id=v,bus=rp1,iommufd=i0",
}


def script(order: str = "", **lines: str | None) -> str:
    """The VM with lines replaced, added, left out (None) or in another order."""
    parts = {**LINES, **lines}
    names = order.split() if order else list(parts)
    kept = [parts[name] for name in names]
    return " \\\n  ".join([line for line in kept if line is not None]) + "\n"


def mended(mending: Mending) -> list[str]:
    return [step.found.code for step in mending.applied]


def test_a_vm_that_starts_stays_as_it_is(run: Run) -> None:
    mending = run(script())
    assert (mending.applied, mending.left) == ((), ())
    assert mending.vm.text() == script()
    assert mending.verdict.answer == "starts"


ORDER = "head machine kvm firmware bare iommufd"
CASES = {
    "qemu-no-iommufd": (
        script(function="-device vfio-pci,host=0000:01:00.0,id=v,bus=rp1"),
        script(function="-device vfio-pci,host=0000:01:00.0,id=v,bus=rp1,iommufd=i0"),
    ),
    "qemu-no-object": (
        script(iommufd=None),
        script(
            order="head machine kvm firmware bare expander vsmmu port iommufd function",
            iommufd="-object iommufd,id=i0",
        ),
    ),
    "qemu-bus-takes-bridges": (
        script(port=None, function="-device vfio-pci,host=0000:01:00.0,id=v,bus=pcie.1,addr=3,iommufd=i0"),
        script(),
    ),
    "qemu-no-primary-bus": (
        script(order=f"{ORDER} vsmmu expander port function"),
        script(),
    ),
    "endpoint-before-vsmmu": (
        script(order=f"{ORDER} expander port function vsmmu"),
        script(),
    ),
    "qemu-no-bus": (script(order=f"{ORDER} expander vsmmu function port"), script()),
    "qemu-machine-iommu": (script(machine="-M virt,iommu=smmuv3"), script()),
    "qemu-not-accelerated": (
        script(vsmmu="-device arm-smmuv3,primary-bus=pcie.1,id=s"),
        script(),
    ),
    "qemu-bus-number": (
        script(other="-device pxb-pcie,id=pcie.2,bus_nr=8,bus=pcie.0"),
        script(other="-device pxb-pcie,id=pcie.2,bus_nr=254,bus=pcie.0"),
    ),
    "no-room-for-buses": (
        script(other="-device pxb-pcie,id=pcie.2,bus_nr=9,bus=pcie.0"),
        script(
            expander="-device pxb-pcie,id=pcie.1,bus_nr=253,bus=pcie.0",
            other="-device pxb-pcie,id=pcie.2,bus_nr=9,bus=pcie.0",
        ),
    ),
    "qemu-chassis": (
        script(other="-device pcie-root-port,id=rp2,bus=pcie.1,chassis=1"),
        script(other="-device pcie-root-port,id=rp2,bus=pcie.1,chassis=2"),
    ),
    "qemu-pxb-place": (
        script(other="-device pxb-pcie,id=pcie.2,bus_nr=32,bus=rp1"),
        script(other="-device pxb-pcie,id=pcie.2,bus_nr=32,bus=pcie.0"),
    ),
    "qemu-emulated-endpoint": (
        script(other="-device pcie-root-port,id=rp2,bus=pcie.1,chassis=2 -device nvme,id=n,serial=1,bus=rp2"),
        script(
            other="-device pcie-root-port,id=rp2,bus=pcie.1,chassis=2 -device nvme,id=n,serial=1,bus=pcie.0"
        ),
    ),
    "qemu-slot-function": (
        script(
            other="-device nvme,id=a,serial=1,bus=pcie.0,addr=5.0 "
            "-device nvme,id=b,serial=2,bus=pcie.0,addr=5.1"
        ),
        script(
            other="-device nvme,id=a,serial=1,bus=pcie.0,addr=5.0,multifunction=on "
            "-device nvme,id=b,serial=2,bus=pcie.0,addr=5.1"
        ),
    ),
    "qemu-slot-multifunction": (
        script(
            other="-device nvme,id=b,serial=2,bus=pcie.0,addr=5.1 "
            "-device nvme,id=a,serial=1,bus=pcie.0,addr=5.0"
        ),
        script(
            other="-device nvme,id=b,serial=2,bus=pcie.0,addr=5.1 "
            "-device nvme,id=a,serial=1,bus=pcie.0,addr=5.0,multifunction=on"
        ),
    ),
    "qemu-bypass": (
        script(expander="-device pxb-pcie,id=pcie.1,bus_nr=8,bypass_iommu=on,bus=pcie.0"),
        script(),
    ),
    "qemu-kvm": (script(kvm=None), script(machine="-M virt,accel=kvm", kvm=None)),
    "qemu-acpi": (script(machine="-M virt,acpi=off"), script()),
    "qemu-no-property": (
        script(vsmmu="-device arm-smmuv3,primary-bus=pcie.1,id=s,acel=on"),
        script(),
    ),
    "qemu-property-unknown": (
        script(function="-device vfio-pci,host=0000:01:00.0,id=v,bus=rp1,iommu_fd=i0"),
        script(),
    ),
    "qemu-type-unknown": (script(port="-device pcie-rootport,id=rp1,bus=pcie.1,chassis=1"), script()),
    "draft-name": (
        script(vsmmu="-device arm-smmuv3-accel,id=s,bus=pcie.1"),
        script(vsmmu="-device arm-smmuv3,id=s,primary-bus=pcie.1,accel=on"),
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_one_fault(code: str, run: Run) -> None:
    before, after = CASES[code]
    mending = run(before)
    assert code in mended(mending)
    assert mending.vm.text() == after
    assert mending.verdict.answer == "starts"
    assert run(after).applied == ()


def test_more_faults_of_a_kind_than_are_worked_out_at_a_time(run: Run) -> None:
    ports = "".join(f" -device pcie-root-port,id=q{k},bus=pcie.0,chasis={k + 9}" for k in range(70))
    mending = run(script(bare=f"-nodefaults{ports}"))
    assert mended(mending).count("qemu-property-unknown") == 70
    assert ",chasis=" not in mending.vm.text()


def test_functions_without_iommufd_share_a_new_one(run: Run) -> None:
    second = "-device pcie-root-port,id=rp2,bus=pcie.1,chassis=2 -device vfio-pci,host=0000:01:00.0,bus=rp2"
    plain = "-device vfio-pci,host=0000:01:00.0,id=v,bus=rp1"
    mending = run(script(iommufd=None, function=f"{plain} {second}"))
    assert mended(mending) == ["qemu-no-iommufd"] * 2
    assert mending.vm.text().count("-object iommufd,id=iommufd0") == 1
    assert mending.vm.text().count(",iommufd=iommufd0") == 2


@pytest.mark.parametrize("said", ["acel=on", "accel=on", "nested=on"])
def test_a_draft_that_is_accelerated_under_a_name_of_its_own(said: str, run: Run) -> None:
    after = run(script(vsmmu=f"-device arm-smmuv3-accel,id=s,bus=pcie.1,{said}"))
    assert after.verdict.answer == "starts"
    assert sorted(after.vm.text()) == sorted(script())


def test_no_more_nodes_than_a_vm_can_have(run: Run) -> None:
    many = "".join(
        f" -device pcie-root-port,id=q{k},bus=pcie.1,chassis={k}"
        f" -device vfio-pci,host=0009:01:00.0,bus=q{k},iommufd=i0"
        for k in range(2, 20)
    )
    mending = run(script(function=LINES["function"] + many), host=builtin_host("gb200"))
    assert mended(mending).count("generic-initiators-missing") == 15
    [*_, last] = [
        found for found in mending.verdict.diagnostics if found.code == "generic-initiators-missing"
    ]
    assert last.next == "no generic initiators are written: 8 more NUMA nodes are over 128"
    assert "qemu-node-many" not in {found.code for found in mending.left}


def test_a_firmware_that_is_there(run: Run) -> None:
    before = script(firmware=None)
    assert run(before).vm.text() == before
    mending = run(before, firmware="/usr/share/fw,1.fd")
    assert mending.vm.text() == script(machine="-M virt,firmware=/usr/share/fw,,1.fd", firmware=None)
    assert mending.verdict.answer == "starts"


def test_ids_for_descriptors(run: Run) -> None:
    before = script(function="-device vfio-pci,fd=30,bus=rp1,iommufd=i0")
    mending = run(before)
    assert "id=vfio0" in mending.vm.text()
    assert "qemu-fd-without-id" in mended(mending)


@pytest.mark.parametrize(
    ("values", "limits", "after"),
    [
        ("ril=on", {"ril": 0}, "ril=off"),
        ("ats=on", {"ats": 0}, "ats=off"),
        ("oas=48", {"oas": 44}, "oas=44"),
        ("ssidsize=20", {"ssidsize": 8}, "ssidsize=8"),
    ],
)
def test_a_written_value_is_changed_only_when_that_is_wished(
    values: str, limits: dict[str, int], after: str, run: Run
) -> None:
    host = examples.host(examples.smmu(**limits))  # type: ignore[arg-type]
    before = script(vsmmu=f"{LINES['vsmmu']},{values}")
    kept = run(before, host=host)
    assert kept.vm.text() == before
    assert "vsmmu fix --unpin does it" in kept.left[0].next
    changed = run(before, host=host, unpin=frozenset(PROPERTIES))
    assert changed.vm.text() == script(vsmmu=f"{LINES['vsmmu']},{after}")
    assert changed.verdict.answer == "starts"


def test_a_default_is_no_written_value(run: Run) -> None:
    host = examples.host(examples.smmu(ril=0))
    mending = run(script(), host=host, qemu=examples.Q11_0)
    assert "ril=off" in mending.vm.text()
    assert mended(mending) == ["qemu-ril"]


def test_of_two_ways_none_is_taken_and_both_are_named(run: Run) -> None:
    before = script(
        machine="-M virt,iommu=smmuv3", order=f"{ORDER} port function", port="-device pcie-root-port,id=rp1"
    )
    mending = run(before)
    assert mending.vm.text() == before
    assert "vsmmu fix --accelerate" in mending.left[0].next
    assert "bypass" in mending.left[0].next


def test_only_some_codes(run: Run) -> None:
    before = script(
        machine="-M virt,iommu=smmuv3", function="-device vfio-pci,host=0000:01:00.0,id=v,bus=rp1"
    )
    mending = run(before, only=frozenset(["qemu-no-iommufd"]))
    assert mended(mending) == ["qemu-no-iommufd"]
    assert "iommu=smmuv3" in mending.vm.text()
    assert mending.verdict.answer == "refused"


def test_a_form_that_cannot_say_it_is_left(run: Run) -> None:
    vsmmu = """-device '{"driver":"arm-smmuv3","primary-bus":"pcie.1","id":"s","accel":true}'"""
    before = script(vsmmu=vsmmu)
    mending = run(before)  # QEMU makes the endpoint in key=value form before it
    assert mending.vm.text() == before
    assert mending.verdict.answer == "refused"
    assert any(found.fix for found in mending.left)


def test_devices_in_json_are_mended_in_json(run: Run) -> None:
    function = """-device '{"driver":"vfio-pci","host":"0000:01:00.0","id":"v","bus":"pcie.1"}'"""
    mending = run(script(port=None, function=function))
    assert """{"driver":"pcie-root-port","id":"rp1","bus":"pcie.1","chassis":1}""" in mending.vm.text()
    assert """"bus":"rp1","iommufd":"i0"}'""" in mending.vm.text()
    assert mending.verdict.answer == "starts"


def test_every_code_of_the_table_is_one(run: Run) -> None:
    from vsmmu.libvirt.rules import RULES

    others = {
        "draft-name",
        "endpoint-before-vsmmu",
        "no-room-for-buses",
        "mmio-window-small",
        "generic-initiators-missing",
        "egm-object",
    }
    derived = {code for code in MENDS if code.endswith("-11.0")}
    assert set(MENDS) - set(MESSAGES) - set(RULES) - others - derived == set()


@pytest.mark.parametrize("card", ["", " -nic user"])
def test_what_is_said_of_the_card_that_the_board_makes_can_be_done(card: str, run: Run) -> None:
    """It is made before any device, so no vSMMU can be put before it."""
    mending = run(
        f"qemu-system-aarch64 -M virt,accel=kvm -bios fw -device arm-smmuv3,primary-bus=pcie.0,accel=on{card}"
    )
    (found,) = [entry for entry in mending.left if entry.code == "qemu-endpoint-first"]
    assert found.next.startswith("take that card away (-nodefaults or -nic none)")
