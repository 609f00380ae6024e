# SPDX-License-Identifier: Apache-2.0
"""Facts without binding a function: sysfs, firmware tables, configuration space, kernel log.

Nothing of it changes the machine. Much of it is only there for root (the IORT, the configuration space beyond
64 bytes, often the kernel log); whatever cannot be read is *unknown* with the reason, never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction
from vsmmu.host.judgements import bridge
from vsmmu.probe import sysfs
from vsmmu.probe.egm import EVIDENCE as FROM_EGM
from vsmmu.probe.egm import KEY as EGM
from vsmmu.probe.egm import read_egm
from vsmmu.probe.firmware import FROM_SRAT, Firmware
from vsmmu.probe.kernel_log import by_device
from vsmmu.probe.kmsg import read_driver_lines
from vsmmu.probe.log_facts import settle_nesting, with_log
from vsmmu.probe.memory_regions import read_regions
from vsmmu.probe.notices import NOT_PROBED, fake_notice, not_probed
from vsmmu.probe.numa import NODES, read_nodes
from vsmmu.probe.pci_config import read_capabilities

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = ["discover", "function_facts"]

_IOMMUFD: Final = "/dev/iommu"
#: A container sees it, too, whatever device files it was given.
_IOMMUFD_DEVICE: Final = "/sys/class/misc/iommu"
_SYSFS: Final = Evidence(
    "measured", "the function's resource file in sysfs", "the driver that a VM gets it by can show more"
)
_CONFIG: Final = Evidence("measured", "the function's configuration space", "its extended capabilities")


def discover(tree: Tree, *, note: str = "") -> Host:
    """The host as it shows itself.

    :param note: added to the evidence of what is not known, such as why older facts were not used.
    """
    kernel = sysfs.read_kernel(tree)
    lines = read_driver_lines(tree)
    names = sysfs.smmu_names(tree)
    evidence: dict[str, Evidence] = {}
    logged = by_device(lines or [])
    smmus = []
    for name in names:
        smmu = sysfs.read_smmu(tree, name)
        smmus.append(with_log(smmu, logged.get(smmu.device, ()), kernel.release, evidence))
    functions = []
    firmware = Firmware(tree)
    for address in sysfs.function_addresses(tree):
        function = sysfs.read_function(tree, address, frozenset(names))
        if function is not None:
            functions.append(function_facts(tree, firmware, function, evidence))
    if smmus:
        evidence[NOT_PROBED] = not_probed(note, readable_log=lines is not None)
    iommufd = UNKNOWN
    if _has_own_devices(tree) and not (tree.exists(_IOMMUFD) or tree.exists(_IOMMUFD_DEVICE)):
        evidence["iommufd"] = Evidence("measured", _IOMMUFD, f"there is none, nor {_IOMMUFD_DEVICE}")
        iommufd = Fact(0, "iommufd")
    nodes = read_nodes(tree, "sysfs-node")
    if nodes is not None:
        evidence["sysfs-node"] = Evidence("measured", NODES)
    regions = read_egm(tree)
    if regions:
        evidence[EGM] = FROM_EGM
    pages = sysfs.read_page_size(tree)
    if pages is not None:
        evidence["page-size"] = Evidence("measured", "sysconf(_SC_PAGESIZE)")
    host = Host(
        schema=SCHEMA,
        iommufd=iommufd,
        page_size=UNKNOWN if pages is None else Fact(pages, "page-size"),
        numa_nodes=msgspec.UNSET if nodes is None else nodes,
        egm=msgspec.UNSET if regions is None else regions,
        name=sysfs.printable(tree.text("/proc/sys/kernel/hostname")) or "live",
        kernel=kernel,
        product=sysfs.read_product(tree),
        synthetic=fake_notice(tree),
        smmus=tuple(smmus),
        functions=tuple(functions),
        evidence=evidence,
    )
    return settle_nesting(host)


def _has_own_devices(tree: Tree) -> bool:
    """Whether ``/dev`` is the kernel's own; a container's lacks what it was not given, loaded or not."""
    mounts = (tree.data("/proc/self/mountinfo", 1 << 20) or b"").decode("utf-8", "replace").splitlines()
    kinds = [line.partition(" - ")[2].split(" ")[0] for line in mounts if line.split(" ")[4:5] == ["/dev"]]
    return kinds[-1:] == ["devtmpfs"]


def function_facts(
    tree: Tree, firmware: Firmware, function: HostFunction, evidence: dict[str, Evidence]
) -> HostFunction:
    """Add what firmware and configuration space say of a function; the evidence goes into ``evidence``.

    Bridges and functions that nothing translates are left alone: no VM can have them.
    """
    if function.smmu is None or bridge(function).answer:
        return function
    root = firmware.root_complex(function.address)
    evidence.update(root.evidence)
    regions = read_regions(tree, f"{sysfs.PCI_DEVICES}/{function.address}", "sysfs-resource")
    if regions is not None:
        if regions:
            evidence["sysfs-resource"] = _SYSFS
        function = msgspec.structs.replace(function, memory_regions=regions)
    nodes = firmware.generic_initiators(function.address)
    if nodes.value is not None:
        evidence[nodes.evidence] = FROM_SRAT
        function = msgspec.structs.replace(function, generic_initiators=nodes)
    own = read_capabilities(tree, function.address)
    # A virtual function has no PASID capability; the physical one's counts for it (PCIe 9.3.7).
    physical = function.physical_function
    pasid = read_capabilities(tree, physical) if physical else own
    if own is not None:
        evidence["config-space"] = _CONFIG
        function = msgspec.structs.replace(
            function,
            ats_capability=Fact(int(own.ats), "config-space"),
            cxl_cache=Fact(int(own.cxl_cache), "config-space"),
        )
    if pasid is not None:
        evidence["config-space"] = _CONFIG
        function = msgspec.structs.replace(
            function,
            pasid_capability=Fact(int(pasid.pasid_bits is not None), "config-space"),
            pasid_width=Fact(pasid.pasid_bits or 0, "config-space"),
        )
    return msgspec.structs.replace(function, root_complex_ats=root.ats, canwbs=root.canwbs)
