# SPDX-License-Identifier: Apache-2.0
"""A command of which some options are not known: what those could mend is a doubt, and no refusal."""

from __future__ import annotations

import pytest

import vsmmu
from examples import host, port, vfio

REST = f"-object iommufd,id=i0 {port(1)} {vfio('0000:01:00.0', 1)}"
SMMU = "-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on"
BUS = "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0"
MACHINE = "-M virt -accel kvm -bios f.fd"


def check(options: str) -> vsmmu.Verdict:
    return vsmmu.check(vsmmu.read_vm(f"#!/bin/sh\nqemu-system-aarch64 {options}\n"), host(), qemu="11.1")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (f"{BUS} {SMMU} {REST}", "qemu-no-machine"),
        (f"-M virt -bios f.fd {BUS} {SMMU} {REST}", "qemu-kvm"),
        (f"-M virt -accel kvm {BUS} {SMMU} {REST}", "qemu-acpi"),
        (f"{MACHINE} {SMMU}", "qemu-no-primary-bus"),
        (f"{MACHINE} {BUS} {SMMU} {port(1)} {vfio('0000:01:00.0', 1)}", "qemu-no-object"),
        (f"{MACHINE} {BUS} {SMMU} {vfio('0000:01:00.0', 1)} -object iommufd,id=i0", "qemu-no-bus"),
        (f"{MACHINE} {BUS} {SMMU}", "qemu-no-cold-plug"),
    ],
)
def test_what_options_of_the_caller_could_mend_is_a_doubt(options: str, code: str) -> None:
    certain = check(options)
    assert certain.answer == "refused"
    assert code in {found.code for found in certain.of("error")}
    for words in (f'{options} "$@"', f"{options} $EXTRA"):
        verdict = check(words)
        assert (verdict.answer, verdict.failure) == ("unknown", None)
        assert code in {found.code for found in verdict.of("unknown")}


def test_what_they_cannot_mend_stays_a_refusal() -> None:
    verdict = check(f'{MACHINE} {BUS} {SMMU},ats=maybe {REST} "$@"')
    assert verdict.answer == "refused"
    assert [found.code for found in verdict.of("error")] == ["qemu-value"]


def test_values_are_written_all_the_same() -> None:
    text = f'#!/bin/sh\nqemu-system-aarch64 -M virt {BUS} {SMMU} {REST} "$@"\n'
    answer = vsmmu.resolve(vsmmu.read_vm(text), host(), qemu="11.1")
    assert answer.vm is not None
    assert b"accel=on,ats=on,ril=on,ssidsize=20,oas=48" in answer.vm.render()
