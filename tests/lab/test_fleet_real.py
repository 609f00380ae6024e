# SPDX-License-Identifier: Apache-2.0
"""A VM that is pinned to a baseline starts on every host of it, with the same registers for its guest."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from quoted import quoted
from vsmmu.host.builtin import builtin_host

if TYPE_CHECKING:
    from vsmmu.lab import CommandResult, Session

pytestmark = pytest.mark.lab

#: Two generations: ATS and 48 bits of address, neither.
NEW, OLD = "gb200", "thunderx2"
VM = (
    "qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 256 -display none -nodefaults -S "
    "-bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on{values} "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host={function},iommufd=iommufd0,bus=rp1"
)
POOL = "/root/pool.json"
READ = "".join(f"xp /1wx {0xC000000 + offset:#x}\n" for offset in (0x00, 0x04, 0x0C, 0x14)) + "quit\n"


def line(name: str, values: str = "") -> str:
    function = next(entry.address for entry in builtin_host(name).functions if entry.smmu is not None)
    return VM.format(function=function, values=values)


def shell(lab: Session, command: str, stdin: str = "") -> CommandResult:
    return lab.run(["sh", "-c", command], stdin=stdin.encode(), timeout=120)


def start(lab: Session, name: str, command: str) -> CommandResult:
    return shell(lab, f"vsmmu emulate -q --host builtin:{name} -- {command} -monitor stdio", READ)


def registers(result: CommandResult) -> list[str]:
    return re.findall(r"^0c0000[0-9a-f]{2}: 0x([0-9a-f]{8})", result.stdout.decode(errors="replace"), re.M)


def pinned(lab: Session, name: str, options: str = "") -> str:
    result = shell(lab, f"vsmmu resolve --host builtin:{name} {options} -- {line(name)}")
    assert result.status == 0, result.stderr.decode()
    return result.stdout.decode().strip()


def values_in(command: str) -> str:
    found = re.search(r"accel=on(\S*)", command)
    assert found is not None
    return found[1]


def test_a_vm_pinned_to_a_baseline_starts_alike_on_each_generation(lab: Session) -> None:
    made = shell(lab, f"vsmmu baseline -o json builtin:{NEW} builtin:{OLD} > {POOL}; cat {POOL}")
    (pool,) = json.loads(made.stdout)["pools"]
    assert pool["holds"], made.stderr.decode()
    commands = {name: pinned(lab, name, f"--baseline {POOL}") for name in (NEW, OLD)}
    assert {values_in(command) for command in commands.values()} == {f",{pool['device']}"}
    seen = {}
    for name, command in commands.items():
        result = start(lab, name, command)
        assert result.status == 0, result.stderr.decode()
        seen[name] = registers(result)
    assert len(seen[NEW]) == 4
    assert seen[NEW] == seen[OLD]


def test_without_the_baseline_the_values_of_one_are_refused_by_the_other(lab: Session) -> None:
    values = values_in(pinned(lab, NEW))
    assert "oas=48" in values
    result = start(lab, OLD, line(OLD, values))
    assert result.status == 1
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        assert "Host SMMUv3" in result.stderr.decode()
