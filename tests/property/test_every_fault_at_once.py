# SPDX-License-Identifier: Apache-2.0
"""A VM with several faults: check finds with one run what it finds of each alone, whoever else is refused."""

from __future__ import annotations

import re
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
#: One part of the VM that starts on the hosts below: an expander with a vSMMU, a port and a function.
_PART: Final = (
    "-device pxb-pcie,id=p{n},bus_nr={bus_nr},bus=pcie.0"
    " -device arm-smmuv3,primary-bus=p{n},id=v{n},accel=on,ril=off,ats=off,oas=44,ssidsize=0"
    " -device pcie-root-port,id=r{n},bus=p{n},chassis={chassis}"
    " -device vfio-pci,host=0000:0{n}:00.0,bus=r{n},id=f{n},iommufd=i0"
)
#: A pattern in a part, and what stands there in a faulty one.
_FAULTS: Final[tuple[_Fault, ...]] = (
    (r"ril=off", "ril=on"),
    (r"ats=off", "ats=on"),
    (r"oas=44", "oas=48"),
    (r"oas=44", "oas=40"),
    (r"ssidsize=0", "ssidsize=20"),
    (r"ssidsize=0", "ssidsize=33"),
    (r"ril=off", "ril=maybe"),
    (r"accel=on", "accel=on,cmdqv=on"),
    (r"accel=on", "accel=on,stage=nested"),
    (r"accel=on", "accel=off"),
    (r"accel=on", "accel=on,foo=1"),
    (r",iommufd=i0", ""),
    (r"iommufd=i0", "iommufd=i{n}"),
    (r"iommufd=i0", "iommufd=i0,ats=on"),
    (r"iommufd=i0", "iommufd=i0,foo=1"),
    (r"host=0000", "host=0077"),
    (r"host=0000:0{n}:00.0,", ""),
    (r"bus=r{n},id=f", "bus=p{n},id=f"),
    (r"bus=r{n},id=f", "bus=nowhere,id=f"),
    (r"vfio-pci,host=0000:0{n}:00.0", "e1000e"),
    (r"vfio-pci", "vfio-pcii"),
    (r"root-port", "rootport"),
    (r"chassis={chassis}", "chassis=77"),
    (r"bus_nr={bus_nr}", "bus_nr=9"),
    (r"bus=pcie.0", "bus=pcie.0,bypass_iommu=on"),
    (r"bus=pcie.0", "bus=pcie.0,numa_node={n}7"),
    (r"$", " -object memory-backend-ram,id=m{n}"),
    (r"$", " -numa node,nodeid=20{n}"),
    (r"$", " -device virtio-blk-pci,id=b{n},bus=pcie.0,drive=nn{n}"),
    (r"$", " -netdev userr,id=n{n}"),
    (r"$", " -device pc-dimm,id=d{n},memdev=mm{n}"),
    (r"$", " -device usb-kbd,id=k{n},bus=us{n}.0"),
    (r"$", " -chardev sockett,id=c{n}"),
)
_ADDRESSES: Final = [f"0000:0{number}:00.0" for number in range(2)]


def _hosts() -> list[Host]:
    """Hosts that have little, with one SMMU for all functions, and one for each."""
    little = {"ril": 0, "ats": 0, "oas": 44, "ssidsize": 8}
    alone = [smmu(f"s{number}", **little) for number in range(2)]  # type: ignore[arg-type]
    own = [function(address, f"s{number}", ats_not_supported=1) for number, address in enumerate(_ADDRESSES)]
    shared = [function(address, "s0", ats_not_supported=1) for address in _ADDRESSES]
    return [host(alone[0], *shared), host(*alone, *own)]


def _found(faults: list[_Fault | None], on: Host) -> set[tuple[str, str]]:
    """Codes and devices of all faults and doubts of a VM with these parts."""
    words = _HEAD.split()
    for number, fault in enumerate(faults):
        pattern, new = fault or ("$", "")
        written = re.sub(re.escape(pattern) if pattern != "$" else "$", new, _PART, count=1)
        words += written.format(n=number, bus_nr=20 * number + 9, chassis=number + 1).split()
    verdict = vsmmu.check(read_words(words), on, qemu=Q11_1)
    return {
        (found.code, found.where) for found in verdict.diagnostics if found.severity in ("error", "unknown")
    }


@pytest.mark.parametrize("on", _hosts(), ids=["one SMMU", "an SMMU each"])
def test_what_is_found_alone_is_found_beside_another(on: Host) -> None:
    assert _found([None, None], on) == set()
    first = {fault: _found([fault, None], on) for fault in _FAULTS}
    second = {fault: _found([None, fault], on) for fault in _FAULTS}
    lost = {
        (one, other): missed
        for one, other in product(_FAULTS, repeat=2)
        if (missed := (first[one] | second[other]) - _found([one, other], on))
    }
    assert lost == {}


def test_every_fault_is_one() -> None:
    """Two of each: a number that is taken is a fault only where another has it."""
    for fault, on in product(_FAULTS, _hosts()):
        assert _found([fault, fault], on), fault
