# SPDX-License-Identifier: Apache-2.0
"""A VM with several faults: check finds with one run what it finds of each alone, whoever else is refused."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

import vsmmu
from examples import Q11_1, function, host, smmu
from vsmmu.machine.command_line.argv import read_words

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

    _Fault = tuple[str, str]

_HEAD: Final = "qemu-system-aarch64 -M virt -accel kvm -m 4G -smp 4 -bios f -nodefaults -object iommufd,id=i0"
#: One part of the VM that starts on the host below: an expander with a vSMMU, a port and a function.
_PART: Final = (
    "-device pxb-pcie,id=p{n},bus_nr={bus_nr},bus=pcie.0"
    " -device arm-smmuv3,primary-bus=p{n},id=v{n},accel=on,ril=off,ats=off,oas=44,ssidsize=0"
    " -device pcie-root-port,id=r{n},bus=p{n},chassis={chassis}"
    " -device vfio-pci,host=0000:0{n}:00.0,bus=r{n},id=f{n},iommufd=i0"
)
#: A text in a part, and what stands there in a faulty one; what comes behind a part, if the text is empty.
_FAULTS: Final[tuple[_Fault, ...]] = (
    ("ril=off", "ril=on"),
    ("ats=off", "ats=on"),
    ("oas=44", "oas=48"),
    ("oas=44", "oas=40"),
    ("ssidsize=0", "ssidsize=20"),
    ("ssidsize=0", "ssidsize=33"),
    ("ril=off", "ril=maybe"),
    ("accel=on", "accel=on,cmdqv=on"),
    ("accel=on", "accel=on,stage=nested"),
    ("accel=on", "accel=off"),
    ("accel=on", "accel=on,foo=1"),
    (",iommufd=i0", ""),
    ("iommufd=i0", "iommufd=i{n}"),
    ("iommufd=i0", "iommufd=i0,ats=on"),
    ("iommufd=i0", "iommufd=i0,foo=1"),
    ("host=0000", "host=0077"),
    ("host=0000:0{n}:00.0,", ""),
    ("bus=r{n},id=f", "bus=p{n},id=f"),
    ("bus=r{n},id=f", "bus=nowhere,id=f"),
    ("vfio-pci,host=0000:0{n}:00.0", "e1000e"),
    ("vfio-pci", "vfio-pcii"),
    ("root-port", "rootport"),
    ("chassis={chassis}", "chassis=77"),
    ("bus_nr={bus_nr}", "bus_nr=9"),
    ("bus=pcie.0", "bus=pcie.0,bypass_iommu=on"),
    ("bus=pcie.0", "bus=pcie.0,numa_node={n}7"),
    ("", " -object memory-backend-ram,id=m{n}"),
    ("", " -numa node,nodeid=20{n}"),
    ("", " -device virtio-blk-pci,id=b{n},bus=pcie.0,drive=nn{n}"),
    ("", " -netdev foo,id=n{n}"),
    ("", " -netdev user,id=n{n},foo=1"),
    ("", " -drive if=none,id=e{n},cache=foo"),
    ("", " -numa dist,src=0,dst=6{n},val=20"),
    ("", " -object memory-backend-ram,id=x{n},size=1M,foo=1"),
    ("", " -object acpi-generic-initiator,id=g{n},node=200"),
    ("", " -device pc-dimm,id=d{n},memdev=mm{n}"),
    ("", " -device usb-kbd,id=k{n},bus=us{n}.0"),
    ("", " -chardev foo,id=c{n}"),
)


def _host() -> Host:
    """A host with two functions and one SMMU, which has little: who refuses the one may refuse the other."""
    little = smmu(ril=0, ats=0, oas=44, ssidsize=8)
    return host(little, *(function(f"0000:0{number}:00.0", ats_not_supported=1) for number in range(2)))


def _found(faults: list[_Fault | None]) -> set[tuple[str, str]]:
    """Codes and devices (sentences, where there are none) of all faults and doubts of such a VM."""
    words = _HEAD.split()
    for number, fault in enumerate(faults):
        right, wrong = fault or ("", "")
        written = _PART.replace(right, wrong, 1) if right else _PART + wrong
        words += written.format(n=number, bus_nr=20 * number + 9, chassis=number + 1).split()
    verdict = vsmmu.check(read_words(words), _host(), qemu=Q11_1)
    bad = (found for found in verdict.diagnostics if found.severity in ("error", "unknown"))
    return {(found.code, found.where or found.why) for found in bad}


def test_what_is_found_alone_is_found_beside_another() -> None:
    assert _found([None, None]) == set()
    first = {fault: _found([fault, None]) for fault in _FAULTS}
    second = {fault: _found([None, fault]) for fault in _FAULTS}
    lost = {
        (one, other): missed
        for one, other in product(_FAULTS, repeat=2)
        if (missed := (first[one] | second[other]) - _found([one, other]))
    }
    assert lost == {}


@pytest.mark.parametrize("fault", _FAULTS)
def test_every_fault_is_one(fault: _Fault) -> None:
    """Two of each: a number that is taken is a fault only where another has it."""
    assert _found([fault, fault])
