# SPDX-License-Identifier: Apache-2.0
"""``vsmmu doctor`` on a real kernel."""

from __future__ import annotations

import json

import pytest
from probe_machines import E1000E, OTHER_MATE, Machine, machine, machine_acpi  # noqa: F401 - fixtures

pytestmark = pytest.mark.lab


def checks(host: Machine, user: int = 0) -> tuple[int, dict[str, str]]:
    result = host.vsmmu("doctor", "-o", "json", user=user)
    document = json.loads(result.stdout)
    assert document["schema"] == "vsmmu.doctor/1"
    assert document["ready"] == (result.status == 0)
    return result.status, {check["id"]: check["status"] for check in document["checks"]}


def test_a_host_that_is_ready(machine_acpi: Machine) -> None:  # noqa: F811
    with machine_acpi.on_vfio(E1000E):
        assert machine_acpi.vsmmu("probe").status == 0
        status, found = checks(machine_acpi)
        assert found == {
            "machine": "PASS", "smmu": "PASS", "kernel-config": "SKIP", "coherent": "PASS", "iommufd": "PASS",
            "kvm": "PASS", "functions": "PASS", "vfio-cdev": "PASS", "groups": "PASS", "interrupts": "PASS",
            "nesting": "PASS", "direct-regions": "PASS", "journal": "PASS", "facts": "PASS", "qemu": "PASS",
            "libvirt": "SKIP",
            "byte-code": "WARN",  # the lab brings the sources of the checkout
        }  # fmt: skip
        assert status == 0
        said = machine_acpi.vsmmu("doctor", "-q").stdout.decode().splitlines()
        assert [line.partition(":")[0] for line in said] == ["WARN  compiled Python", "      next"]


def test_an_unprivileged_user(machine_acpi: Machine) -> None:  # noqa: F811
    with machine_acpi.on_vfio(E1000E):
        assert machine_acpi.vsmmu("probe").status == 0
        status, found = checks(machine_acpi, user=1000)
    assert status == 0
    assert {name for name, value in found.items() if value == "WARN"} == {
        "iommufd",
        "kvm",
        "vfio-cdev",
        "byte-code",
    }
    assert found["nesting"] == "PASS"


def test_a_host_that_cannot_nest_and_has_a_shared_group(machine: Machine) -> None:  # noqa: F811
    with machine.on_vfio(OTHER_MATE):
        status, found = checks(machine)
    assert status == 1
    assert {name for name, value in found.items() if value == "FAIL"} == {"nesting", "groups"}


def test_no_iommufd(machine_acpi: Machine) -> None:  # noqa: F811
    machine_acpi.sh("mv /dev/iommu /dev/away")
    try:
        result = machine_acpi.vsmmu("doctor")
    finally:
        machine_acpi.sh("mv /dev/away /dev/iommu")
    assert result.status == 1
    assert "FAIL  iommufd: there is no /dev/iommu" in result.stdout.decode()
    assert "next: modprobe iommufd" in result.stdout.decode()
