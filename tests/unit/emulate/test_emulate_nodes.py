# SPDX-License-Identifier: Apache-2.0
"""What is shown in /dev and /sys, read back by the project's own discovery from a plain directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from emulate_helpers import FAR, MATE, A, B, host

from vsmmu.emulate.hardware import Hardware
from vsmmu.emulate.nodes import tree
from vsmmu.errors import UsageError
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.probe import sysfs
from vsmmu.probe.pci_config import read_capabilities
from vsmmu.probe.system_root import Tree
from vsmmu.probe.vfio_files import vfio_device

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.host.facts import Host


def laid_out(shown: Host, directory: Path) -> Tree:
    for path, node in tree(Hardware(shown)).items():
        place = directory / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if node.kind == "directory":
            place.mkdir(exist_ok=True)
        elif node.kind == "link":
            place.symlink_to(node.content.decode())
        else:
            place.write_bytes(b"1:3\n" if node.kind == "number" else node.content)
    return Tree(str(directory))


@pytest.mark.parametrize("name", builtin_names())
def test_every_built_in_host_is_discovered_as_it_is(name: str, tmp_path: Path) -> None:
    shown = builtin_host(name)
    found = laid_out(shown, tmp_path)
    assert sysfs.smmu_names(found) == sorted(smmu.name for smmu in shown.smmus)
    names = frozenset(smmu.name for smmu in shown.smmus)
    assert sysfs.function_addresses(found) == sorted(function.address for function in shown.functions)
    for function in shown.functions:
        seen = sysfs.read_function(found, function.address, names)
        assert seen is not None
        assert (seen.smmu, seen.driver, seen.numa_node) == (
            function.smmu, function.driver or "vfio-pci", function.numa_node
        )  # fmt: skip
        assert function.vendor in (None, seen.vendor)
        assert function.class_code in (None, seen.class_code)
        assert function.iommu_group in (None, seen.iommu_group)
    for smmu in shown.smmus:
        seen_smmu = sysfs.read_smmu(found, smmu.name)
        assert seen_smmu.device in (smmu.device, seen_smmu.device if not smmu.device else "")
        assert seen_smmu.numa_node == smmu.numa_node


def test_no_link_dangles(tmp_path: Path) -> None:
    laid_out(host(), tmp_path)
    links = [
        os.path.join(directory, name)  # noqa: PTH118
        for directory, subdirectories, files in os.walk(tmp_path)
        for name in subdirectories + files
        if os.path.islink(os.path.join(directory, name))  # noqa: PTH114, PTH118
    ]
    assert len(links) > 30
    assert [link for link in links if not os.path.exists(link)] == []  # noqa: PTH110


def test_groups_and_devices(tmp_path: Path) -> None:
    found = laid_out(host(), tmp_path)
    assert sysfs.group_members(found, 2) == [B, MATE]
    device = vfio_device(found, FAR)
    assert device is not None
    assert device.number == "1:3"
    assert found.exists(device.node)
    capabilities = read_capabilities(found, A)
    assert capabilities is not None
    assert (capabilities.ats, capabilities.pasid_bits) == (True, 16)
    assert sysfs.host_bridge(found, A) == "/sys/devices"


def test_an_incoherent_smmu_has_no_vfio_devices(tmp_path: Path) -> None:
    from emulate_helpers import fact

    found = laid_out(host(coherent=fact(0)), tmp_path)
    assert vfio_device(found, A) is None
    assert vfio_device(found, FAR) is not None


def test_a_function_on_its_own_driver_is_shown_so_unless_asked(tmp_path: Path) -> None:
    import msgspec

    shown = host()
    busy = msgspec.structs.replace(shown.functions[0], driver="mlx5_core")
    shown = msgspec.structs.replace(shown, functions=(busy, *shown.functions[1:]))
    assert Hardware(shown).functions[A].node == ""
    assert Hardware(shown, [A]).functions[A].node == "vfio0"


def test_binding_an_unknown_function_is_a_usage_error() -> None:
    from vsmmu.cli.emulate import _hardware

    with pytest.raises(UsageError, match="no function"):
        _hardware(host(), ("0000:99:00.0",))
    assert _hardware(host(), ("all",)).functions[A].node == "vfio0"
