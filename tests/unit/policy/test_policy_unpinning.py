# SPDX-License-Identifier: Apache-2.0
"""Written values are forgotten where they are asked to be, and what is resolved stands in their place."""

from __future__ import annotations

import pytest

from domains import driver
from examples import function, host, options, port, smmu, vfio, vm
from vsmmu import read_vm, resolve
from vsmmu.diagnostic import Edit
from vsmmu.errors import UsageError
from vsmmu.machine.command_line.argv import read_words
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve_machine
from vsmmu.policy.unpinning import overlaid, unpinned
from vsmmu.qemu.versions import parse_version
from vsmmu.smmuv3.properties import PROPERTIES

ALL = tuple(PROPERTIES)
LATEST = parse_version("11.1")
HOST = host(smmu(ats=0, ril=0, ssidsize=5, oas=44), function(), function("0009:01:00.0"))


@pytest.mark.parametrize("names", [("ril",), ("ats", "oas"), ALL, ()])
def test_only_what_is_named_is_forgotten(names: tuple[str, ...]) -> None:
    machine = vm("ats=on,ril=on,ssidsize=20,oas=48")
    assert {edit.property for edit in unpinned(machine, names, LATEST)} == set(names) - {"cmdqv"}
    answer = resolve_machine(machine, HOST, LATEST, Options(unpin=names))
    kept = {entry.name for entry in answer.vsmmus[0].properties if entry.action == "kept"}
    assert kept == {"ats", "ril", "ssidsize", "oas"} - set(names)


def test_a_value_that_qemu_cannot_even_read_is_forgotten() -> None:
    machine = vm("oas=banana,ril=maybe")
    assert resolve_machine(machine, HOST, LATEST).problems
    answer = resolve_machine(machine, HOST, LATEST, Options(unpin=ALL))
    assert answer.problems == ()
    assert {edit.property: edit.value for edit in answer.edits}["oas"] == "44"


@pytest.mark.parametrize("given", ["-global arm-smmuv3.ril=on", "-set device.s.ril=on"])
def test_a_value_that_is_given_elsewhere_is_forgotten(given: str) -> None:
    line = read_words(
        [
            *"qemu-system-aarch64 -M virt -accel kvm -bios fw -object iommufd,id=i0".split(),
            *"-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0".split(),
            *f"-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on {port(1)}".split(),
            *vfio("0000:01:00.0", 1).split(),
            *given.split(),
        ]
    )
    assert resolve(line, HOST).problems
    answer = resolve(line, HOST, unpin=["ril"])
    assert answer.vm is not None
    assert answer.vm.machine().vsmmus[0].properties["ril"] == "off"


def test_an_smmu_without_acceleration_keeps_what_it_has() -> None:
    machine = options("-M virt -device arm-smmuv3,primary-bus=pcie.0,id=s,oas=44")
    assert not list(unpinned(machine, ALL, LATEST))


def test_what_this_qemu_does_not_have_stays() -> None:
    assert not list(unpinned(vm("cmdqv=on"), ALL, parse_version("11.0")))
    assert list(unpinned(vm("cmdqv=on"), ALL, LATEST))


def test_a_domain_keeps_its_attributes_where_they_are() -> None:
    written = "oas='48' ril='on' ssidSize='20' cmdqv='on'"
    data = driver(f"pciBus='1' accel='on' {written}")
    answer = resolve(read_vm(data), HOST, unpin=ALL)
    assert answer.problems == ()
    assert answer.vm is not None
    assert answer.vm.render() == data.replace(written.encode(), b"ats='off' oas='44' ril='off' ssidsize='5'")


def test_a_name_that_is_no_property_is_refused() -> None:
    with pytest.raises(UsageError, match="property-name"):
        resolve(read_words(["qemu-system-aarch64"]), HOST, unpin=["rli"])


def test_the_later_edit_of_a_property_counts() -> None:
    first, then, other = Edit(1, "ril", "auto"), Edit(1, "ril", "off"), Edit(1, "ats", "auto")
    assert overlaid([first, other], [then]) == (then, other)
