# SPDX-License-Identifier: Apache-2.0
"""Faults on demand, and the names of errnos."""

from __future__ import annotations

import errno

import pytest

from vsmmu.emulate.errno_error import errno_name, errno_number
from vsmmu.emulate.faults import Fault, Faults, parse_fault
from vsmmu.errors import UsageError


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("VIOMMU_ALLOC:EOPNOTSUPP", Fault("IOMMU_VIOMMU_ALLOC", 0, errno.EOPNOTSUPP)),
        ("IOMMU_GET_HW_INFO:3:EIO", Fault("IOMMU_GET_HW_INFO", 3, errno.EIO)),
        ("BIND_IOMMUFD:EBUSY", Fault("VFIO_DEVICE_BIND_IOMMUFD", 0, errno.EBUSY)),
        ("VFIO_DEVICE_RESET:1:524", Fault("VFIO_DEVICE_RESET", 1, 524)),
    ],
)
def test_faults_are_read(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text",
    ["", "EIO", "NONSENSE:EIO", "RESET:EFOO", "RESET:0:EIO", "RESET:x:EIO", "RESET:1:2:EIO", "RESET:0"],
)
def test_nonsense_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not CALL:ERRNO"):
        parse_fault(text)


def test_the_nth_call_fails_or_every_one() -> None:
    faults = Faults([Fault("A", 2, 5), Fault("B", 0, 16)])
    assert [faults.errno("A") for _ in range(4)] == [0, 5, 0, 0]
    assert [faults.errno("B") for _ in range(2)] == [16, 16]
    assert faults.errno("C") == 0
    assert Faults().errno("A") == 0


def test_errnos_have_the_kernels_names() -> None:
    assert errno_name(95) == "EOPNOTSUPP"
    assert errno_name(22) == "EINVAL"
    assert errno_name(524) == "524"
    assert errno_number("EBADFD") == 77
    assert errno_number("error") is None
    assert errno_number("Exception") is None
