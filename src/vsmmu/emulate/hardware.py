# SPDX-License-Identifier: Apache-2.0
"""The emulated host's hardware: complete registers, functions with numbers and device names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.emulate.config_space import PAGE, ConfigSpace, Identity
from vsmmu.emulate.fill import Filled, completed, fill
from vsmmu.host.facts import HW_INFO_ARM_SMMUV3, Host, HostFunction, HostSmmu
from vsmmu.host.judgements import direct_mapped, nest_parent, nesting
from vsmmu.smmuv3.fields import OAS_BITS
from vsmmu.uapi import hw_info

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Function", "Hardware", "Smmu"]

#: A driver that makes vfio devices: vfio-pci itself or one of its variants.
_VFIO_DRIVER: Final = re.compile(r"(^|[-_])vfio([-_]|$)")
_VFIO: Final = "vfio-pci"
#: What a function is where the facts do not say: a display controller of nobody's.
_VENDOR, _DEVICE, _CLASS = 0x1234, 0x5678, 0x030200


class Cmdqv(NamedTuple):
    """``struct iommu_hw_info_tegra241_cmdqv`` of an SMMU that has command queues to give away."""

    version: int
    log2vcmdqs: int
    log2vsids: int


class Smmu(NamedTuple):
    """One SMMU.

    :param hw_info: data type and bytes that IOMMU_GET_HW_INFO answers.
    :param nest_parents: whether the kernel makes page tables that a vIOMMU can stand on; what else a vIOMMU
        needs is a matter of each function.
    :param cmdqv_viommus: whether the kernel makes a vIOMMU with the command queues that it offers.
    """

    facts: HostSmmu
    filled: Filled
    hw_info: tuple[int, bytes]
    nest_parents: bool
    coherent: bool
    cmdqv: Cmdqv | None
    cmdqv_viommus: bool = True

    @property
    def name(self) -> str:
        """The kernel's name of it."""
        return self.facts.name

    @property
    def output_bits(self) -> int:
        """Bits of the largest address that stage 2 can reach."""
        return OAS_BITS[self.filled.registers.get("IDR5.OAS")]


class Function:
    """One PCI function.

    :param host: with its registers completed.
    :ivar node: the name of its vfio device (``vfio0``); empty if no vfio driver has it.
    :ivar direct_mapped: whether the kernel refuses to bind it, because it has to stay mapped 1:1.
    :ivar nests: whether the kernel makes a vIOMMU for it; where nobody knows it does, since without one no
        accelerated VM could be tried.
    :ivar nesting_made_up: whether nobody knows.
    """

    def __init__(self, facts: HostFunction, smmu: Smmu | None, host: Host, driver: str, node: str) -> None:
        self.facts = facts
        self.smmu = smmu
        self.driver = driver
        self.node = node
        self.group = facts.iommu_group
        self.regions = [
            f"{int(entry.start, 16):#018x} {int(entry.end, 16):#018x} {entry.type}"
            for entry in facts.reserved_regions or ()
        ]
        self.direct_mapped = direct_mapped(facts).answer is True
        nests = nesting(host, smmu.facts, facts).answer if smmu is not None else False
        self.nests = nests is not False
        self.nesting_made_up = nests is None
        exact = {name: host.read(getattr(facts, name), name, 0xFFFF).exact for name in _FACTS}
        self.ats_capability = exact["ats_capability"] == 1
        self.pasid_log2 = exact["max_pasid_log2"] or 0
        self.capabilities = _capabilities(exact, self.pasid_log2)
        #: Size of each memory BAR; a function of which none is known has one page.
        self.bars = {entry.index: int(entry.size, 16) for entry in facts.memory_regions or ()} or {0: PAGE}
        self.config = ConfigSpace(_identity(facts, exact, self.ats_capability, self.pasid_log2))

    @property
    def address(self) -> str:
        """domain:bus:device.function."""
        return self.facts.address


_FACTS: Final = (
    "ats_capability", "ats_not_supported", "pasid_capability", "pasid_width", "max_pasid_log2",
    "dirty_tracking", "pasid_exec", "pasid_privileged",
)  # fmt: skip


def _capabilities(exact: dict[str, int | None], pasid_log2: int) -> int:
    """``out_capabilities``; what is not known is not reported, as an older kernel would do."""
    bits = (
        ("dirty_tracking", hw_info.IOMMU_HW_CAP_DIRTY_TRACKING, True),
        ("pasid_exec", hw_info.IOMMU_HW_CAP_PCI_PASID_EXEC, pasid_log2 > 0),
        ("pasid_privileged", hw_info.IOMMU_HW_CAP_PCI_PASID_PRIV, pasid_log2 > 0),
        ("ats_not_supported", hw_info.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED, True),
    )
    return sum(bit for name, bit, told in bits if told and exact[name] == 1)


def _identity(facts: HostFunction, exact: dict[str, int | None], ats: bool, pasid_log2: int) -> Identity:
    has_pasid = exact["pasid_capability"] == 1 or (exact["pasid_capability"] is None and pasid_log2 > 0)
    width = exact["pasid_width"] if exact["pasid_width"] is not None else pasid_log2
    return Identity(
        vendor=int(facts.vendor, 16) if facts.vendor else _VENDOR,
        device=int(facts.device, 16) if facts.device else _DEVICE,
        class_code=int(facts.class_code, 16) if facts.class_code else _CLASS,
        ats=ats,
        # A virtual function has no such capability of its own: it uses the physical one's.
        pasid_bits=width if has_pasid and facts.physical_function is None else None,
        high_bars=frozenset(entry.index for entry in facts.memory_regions or () if entry.high),
    )


class Hardware:
    """All of it; functions come and go.

    :param bind: addresses of functions that are to be on vfio-pci whatever the facts say.
    """

    def __init__(self, host: Host, bind: Iterable[str] = ()) -> None:
        self.host = host
        self.smmus: dict[str, Smmu] = {}
        self.functions: dict[str, Function] = {}
        self._bind = frozenset(bind)
        self._groups = {entry.iommu_group for entry in host.functions}
        self.add(host)

    def add(self, host: Host) -> list[Function]:
        """Add the SMMUs and functions of ``host`` that are not there yet; the new functions."""
        filled = {facts.name: fill(host, facts) for facts in host.smmus}
        host = completed(host, filled)
        for facts in host.smmus:
            if facts.name not in self.smmus:
                self.smmus[facts.name] = _smmu(host, facts, filled[facts.name])
        new = [entry for entry in host.functions if entry.address not in self.functions]
        return [self._add_function(host, entry) for entry in new]

    def _add_function(self, host: Host, facts: HostFunction) -> Function:
        smmu = self.smmus[facts.smmu] if facts.smmu is not None else None
        driver = _VFIO if facts.address in self._bind else facts.driver or _VFIO
        on_vfio = _VFIO_DRIVER.search(driver) is not None
        # vfio refuses to register a function without a group, or behind an SMMU that is not coherent.
        usable = on_vfio and smmu is not None and smmu.coherent
        function = Function(facts, smmu, host, driver, f"vfio{self._free_number()}" if usable else "")
        if function.group is None and smmu is not None:
            function.group = self._free_group()
        self.functions[facts.address] = function
        return function

    def remove(self, address: str) -> Function:
        """Take a function away.

        :raise KeyError: if there is none.
        """
        return self.functions.pop(address)

    def by_node(self, node: str) -> Function | None:
        """The function with this vfio device."""
        return next((function for function in self.functions.values() if function.node == node), None)

    def _free_number(self) -> int:
        used = {function.node for function in self.functions.values()}
        return next(number for number in range(1 << 20) if f"vfio{number}" not in used)

    def _free_group(self) -> int:
        group = next(number for number in range(1 << 20) if number not in self._groups)
        self._groups.add(group)
        return group


def _smmu(host: Host, facts: HostSmmu, filled: Filled) -> Smmu:
    kind = host.read(facts.hw_info_type, "hw_info_type", 0xFFFFFFFF).exact
    coherent = host.read(facts.coherent, "coherent").exact
    return Smmu(
        facts=facts,
        filled=filled,
        hw_info=_hw_info(host, facts, filled, HW_INFO_ARM_SMMUV3 if kind is None else kind),
        nest_parents=nest_parent(host, facts).answer is not False,
        coherent=bool(filled.registers.get("IDR0.COHACC") if coherent is None else coherent),
        cmdqv=_cmdqv(facts) if host.read(facts.cmdqv, "cmdqv").exact == 1 else None,
        cmdqv_viommus=host.read(facts.cmdqv_viommu, "cmdqv_viommu").exact != 0,
    )


def _hw_info(host: Host, facts: HostSmmu, filled: Filled, kind: int) -> tuple[int, bytes]:
    words = {name: int(fact.value, 16) for name, fact in facts.hw_info_data.items()}
    if kind == hw_info.IOMMU_HW_INFO_TYPE_INTEL_VTD:
        vtd = hw_info.iommu_hw_info_vtd(cap_reg=words.get("cap_reg", 0), ecap_reg=words.get("ecap_reg", 0))
        return kind, bytes(vtd)
    if kind == hw_info.IOMMU_HW_INFO_TYPE_AMD:
        return kind, bytes(hw_info.iommu_hw_info_amd(efr=words.get("efr", 0), efr2=words.get("efr2", 0)))
    if kind != HW_INFO_ARM_SMMUV3:
        return kind, b""
    info = hw_info.iommu_hw_info_arm_smmuv3(
        flags=host.read(facts.hw_info_flags, "hw_info_flags", 0xFFFFFFFF).exact or 0,
        iidr=filled.registers.iidr,
        aidr=filled.registers.aidr,
    )
    info.idr[:] = list(filled.registers[:6])
    return kind, bytes(info)


def _cmdqv(facts: HostSmmu) -> Cmdqv:
    """The kernel's three numbers; without facts, those of one pair of queues, as QEMU needs at least."""
    words = {name.removeprefix("cmdqv."): int(fact.value, 16) for name, fact in facts.hw_info_data.items()}
    return Cmdqv(words.get("version", 1), words.get("log2vcmdqs", 1), words.get("log2vsids", 4))
