# SPDX-License-Identifier: Apache-2.0
"""What a real kernel answers to everything that a prober can do wrong, and to what it does right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from probe_machines import E1000E, MATE, OTHER_MATE, Machine, machine, machine_acpi  # noqa: F401 - fixtures

from quoted import quoted

CASES = Path(__file__).with_name("errno_cases.py")
ANSWERED = [40, 2, 40]
EXPECTED = {
    "ask": 2,
    "hw_info": [2, 40, 8],
    "hw_info id 0": "ENOENT",
    "hw_info unknown id": "ENOENT",
    "hw_info after close": "ENOENT",
    "hw_info flag 1": "ENOTSUP",
    "hw_info reserved": "ENOTSUP",
    "hw_info input type 1": "ENOTSUP",
    "hw_info input type 3": "ENOTSUP",
    "hw_info input type 4": "ENOTSUP",
    "hw_info input type 99": "ENOTSUP",
    "hw_info type ignored": ANSWERED,
    "hw_info size 31": "EINVAL",
    "hw_info size 32": ANSWERED,
    "hw_info size 48 zero": ANSWERED,
    "hw_info size 48 nonzero": "E2BIG",
    # A short buffer is filled as far as it goes, a longer one with zeros; the length told stays 40.
    **{f"hw_info length {length}": [40, 2, length] for length in (0, 4, 8, 32, 39, 48, 64)},
    "hw_info no buffer": "EFAULT",
    "unknown ioctl": "ENOTTY",
    "destroy": "EBUSY",
    "iommufd closed first": 9,
    "info before bind": "EINVAL",
    "read before bind": "EINVAL",
    "bind argsz 8": "EINVAL",
    "bind unknown flag": "EINVAL",
    "bind iommufd -1": "EINVAL",
    "bind bad descriptor": "EBADF",
    "bind no iommufd": "EBADFD",
    "bind argsz 32 nonzero": "E2BIG",
    "bind token null": "EFAULT",
    "bind token not due": "EINVAL",
    "bind while the group is open": "EBUSY",
    "ask while the group is open": ["group-in-use", 1],
    "bind": 1,
    "bind again": "EINVAL",
    "bind second open": "EINVAL",
    "bind second open elsewhere": "EINVAL",
    "open the group while bound": "EBUSY",
    "ask while bound": ["function-in-use", 1],
    "bind mate elsewhere": "EPERM",
    "ask mate elsewhere": ["bind-refused", 4],
    "bind mate here": 2,
    "bind with a mate on its driver": "EPERM",
    "ask with a mate on its driver": ["bind-refused", 4],
    "attach": True,
    "detach": "ok",
    "nest parent": "ok",
    "viommu of no type": "ENOTSUP",
    "left open": 0,
}
NESTED = {
    "viommu": "ok",
    "nested abort": True,
    "nested bypass": True,
    "nested other bits": "EIO",
    "vdevice": True,
    "veventq": "ok",
}


def answers(host: Machine) -> dict[str, object]:
    host.session.put({"/root/errno_cases.py": CASES})
    with host.on_vfio(E1000E, MATE, OTHER_MATE):
        return json.loads(host.sh(f"python3 /root/errno_cases.py {E1000E} {MATE} {OTHER_MATE}"))


@pytest.mark.lab
def test_a_kernel_that_cannot_nest(machine: Machine) -> None:  # noqa: F811
    with quoted("linux", "7.3", machine.session.artifacts.versions()):
        assert answers(machine) == EXPECTED | {"viommu": "ENOTSUP"}


@pytest.mark.lab
def test_a_kernel_that_can_nest(machine_acpi: Machine) -> None:  # noqa: F811
    with quoted("linux", "7.3", machine_acpi.session.artifacts.versions()):
        assert answers(machine_acpi) == EXPECTED | NESTED
