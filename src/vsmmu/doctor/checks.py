# SPDX-License-Identifier: Apache-2.0
"""The doctor's checks: observations in, results with remedies out. No I/O.

What an accelerated vSMMU needs is in the reference of QEMU 11.1 (hw/arm/smmuv3-accel.c: KVM, iommufd, vfio
devices) and of Linux 7.3 (arm-smmu-v3-iommufd.c: nesting needs S1 and S2, and CANWBS or S2FWB).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from vsmmu.doctor.model import Check
from vsmmu.doctor.observe import newest
from vsmmu.host.builtin import describe_likeness
from vsmmu.host.judgements import bridge, direct_mapped, nesting, nesting_behind
from vsmmu.machine.features import FEATURES
from vsmmu.smmuv3.properties import ACCEL_SINCE, AUTO_SINCE, LIBVIRT_SINCE
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.doctor.observe import Observed, ObservedFile
    from vsmmu.host.facts import HostSmmu

__all__ = ["CHECKS", "examine"]

#: Features that every accelerated vSMMU uses.
_USED: Final = [FEATURES[name] for name in ("iommufd", "cdev", "accel")]
_SINCE: Final = {row.config: f" (Linux {spell_version(row.kernel)})" for row in _USED if row.kernel}
#: Without these an accelerated vSMMU cannot work; the second says since when there is such an option.
_REQUIRED: Final = {"CONFIG_ARM_SMMU_V3": "", "CONFIG_VFIO_PCI": "", "CONFIG_KVM": "", **_SINCE}
#: Without these less is offered to the VM.
_USEFUL: Final = ("CONFIG_PCI_ATS", "CONFIG_PCI_PASID")
_SMMU_V3: Final = "smmu3."
_SHOWN: Final = 4
_BIND_FIRST: Final = "bind a function to vfio-pci first"


def examine(seen: Observed) -> tuple[Check, ...]:
    """All checks, in the order in which one would mend what fails."""
    return tuple(check(seen) for check in CHECKS)


def check_machine(seen: Observed) -> Check:
    """An Arm machine."""
    title = "64-bit Arm machine"
    if seen.machine == "aarch64":
        return Check("machine", title, "PASS", seen.machine)
    return Check.found(
        "machine", title, "FAIL", f"this is {seen.machine}",
        "run it on the Arm host; here, --host FILE and builtin:NAME work, and vsmmu lab has an Arm host",
    )  # fmt: skip


def check_smmu(seen: Observed) -> Check:
    """At least one SMMUv3 with a driver."""
    title = "SMMUv3 present"
    smmus = _smmus(seen)
    if smmus:
        return Check("smmu", title, "PASS", _some([smmu.name for smmu in smmus]))
    others = [smmu.name for smmu in seen.host.smmus]
    detail = f"other IOMMUs only: {_some(others)}" if others else "the kernel drives no IOMMU"
    return Check.found(
        "smmu", title, "FAIL", detail,
        "switch the SMMU on in the firmware's setup; see whether its driver finds it: dmesg | grep smmu",
    )  # fmt: skip


def check_kernel_config(seen: Observed) -> Check:
    """The options that everything depends on."""
    title = "kernel configuration"
    if seen.config is None:
        return Check.found(
            "kernel-config", title, "SKIP", "neither /proc/config.gz nor a config file is there",
            "the other checks see what matters; CONFIG_IKCONFIG_PROC would tell more",
        )  # fmt: skip
    off = [option for option in _REQUIRED if seen.config.get(option, "n") == "n"]
    if off:
        return Check.found(
            "kernel-config", title, "FAIL", f"not set: {', '.join(name + _REQUIRED[name] for name in off)}",
            "use a kernel that has them (Debian's arm64 kernels are built without CONFIG_IOMMUFD)",
        )  # fmt: skip
    less = [option for option in _USEFUL if seen.config.get(option, "n") == "n"]
    if less:
        return Check.found(
            "kernel-config", title, "WARN", f"not set: {', '.join(less)}",
            "without them no VM can have ATS or PASID: use a kernel that has them",
        )  # fmt: skip
    return Check("kernel-config", title, "PASS", seen.config_source)


def check_coherent(seen: Observed) -> Check:
    """Functions behind an SMMU that is not coherent are refused by vfio."""
    title = "coherent SMMU"
    views = {smmu.name: smmu.coherent.value for smmu in _smmus(seen)}
    bad = [name for name, value in views.items() if value == 0]
    if bad:
        return Check.found(
            "coherent", title, "FAIL" if len(bad) == len(views) else "WARN", f"not coherent: {_some(bad)}",
            "vfio cannot use functions behind it; only firmware can change that (COHACC override, IORT)",
        )  # fmt: skip
    if not views or None in views.values():
        return Check.found(
            "coherent", title, "SKIP", "the kernel log does not say, or may not be read",
            "run as root: vsmmu doctor",
        )  # fmt: skip
    return Check("coherent", title, "PASS")


def check_iommufd(seen: Observed) -> Check:
    """``/dev/iommu``."""
    return _file_check(
        "iommufd", "iommufd", seen.iommufd,
        "modprobe iommufd; if there is none, use a kernel with CONFIG_IOMMUFD",
    )  # fmt: skip


def check_kvm(seen: Observed) -> Check:
    """``/dev/kvm``: accel=on needs KVM."""
    return _file_check("kvm", "KVM", seen.kvm, "accel=on needs KVM: start the host at EL2, with CONFIG_KVM")


def check_functions(seen: Observed) -> Check:
    """At least one function that a VM can be given."""
    title = "functions on a vfio driver"
    names = [f"{entry.function.address} ({entry.function.driver})" for entry in seen.functions]
    if names:
        return Check("functions", title, "PASS", _some(names))
    return Check.found(
        "functions", title, "WARN", "none",
        "bind those that VMs shall have to vfio-pci: driverctl set-override ADDRESS vfio-pci",
    )  # fmt: skip


def check_device_files(seen: Observed) -> Check:
    """Their device files, and who may open them."""
    title = "vfio device files"
    if not seen.functions:
        return Check.found("vfio-cdev", title, "SKIP", "no function is on a vfio driver", _BIND_FIRST)
    without = [entry.function.address for entry in seen.functions if entry.device and not entry.device.number]
    if without:
        return Check.found(
            "vfio-cdev", title, "FAIL", f"{_some(without)}: none", "use a kernel with CONFIG_VFIO_DEVICE_CDEV"
        )
    missing = [node.path for node in seen.nodes if not node.exists]
    if missing:
        return Check.found(
            "vfio-cdev", title, "FAIL", f"missing: {_some(missing)}",
            "in a container, pass /dev/vfio/devices in; else see that devtmpfs or udev makes them",
        )  # fmt: skip
    closed = [node.path for node in seen.nodes if not node.permitted]
    if closed:
        return Check.found(
            "vfio-cdev", title, "WARN", f"not yours to open: {_some(closed)}",
            "libvirt opens them for the VM; for QEMU as yourself: chown, or an ACL by a udev rule",
        )  # fmt: skip
    return Check("vfio-cdev", title, "PASS", _some([node.path for node in seen.nodes]))


def check_groups(seen: Observed) -> Check:
    """Group mates that the host uses itself."""
    title = "IOMMU groups"
    if not seen.functions:
        return Check.found("groups", title, "SKIP", "no function is on a vfio driver", _BIND_FIRST)
    shared = [
        f"{entry.function.address} with {_some(list(entry.mates))}" for entry in seen.functions if entry.mates
    ]
    if shared:
        return Check.found(
            "groups", title, "FAIL", f"shared with functions on drivers of their own: {_some(shared)}",
            "bind the mates to vfio-pci too, or unbind them",
        )  # fmt: skip
    return Check("groups", title, "PASS", "no function shares its group with one that the host uses")


def check_direct_regions(seen: Observed) -> Check:
    """Functions that firmware wants mapped 1:1, which the kernel gives to no VM."""
    title = "no 1:1 mappings"
    taken = [entry.function for entry in seen.functions]
    fixed = [entry.address for entry in taken if direct_mapped(entry).answer]
    if fixed:
        return Check.found(
            "direct-regions", title, "FAIL", f"firmware wants these mapped 1:1: {_some(fixed)}",
            "the kernel gives them to no VM (EINVAL): take others; "
            "/sys/kernel/iommu_groups/N/reserved_regions names the regions",
        )  # fmt: skip
    others = [entry for entry in seen.host.functions if entry.smmu and bridge(entry).answer is not True]
    fixed = [entry.address for entry in others if direct_mapped(entry).answer]
    if fixed:
        return Check.found(
            "direct-regions", title, "WARN", f"firmware wants these mapped 1:1: {_some(fixed)}",
            "the kernel would give them to no VM: take others; only firmware could change it",
        )  # fmt: skip
    if any(direct_mapped(entry).answer is None for entry in taken):
        return Check.found(
            "direct-regions", title, "SKIP", "the reserved regions of an IOMMU group cannot be read",
            "look at /sys/kernel/iommu_groups/N/reserved_regions: none may be of type direct",
        )  # fmt: skip
    return Check("direct-regions", title, "PASS")


def check_interrupts(seen: Observed) -> Check:
    """Functions whose interrupts are not isolated are refused by iommufd."""
    title = "isolated interrupts"
    if seen.isolated:
        return Check("interrupts", title, "PASS", "the GIC has an ITS")
    if seen.unsafe_allowed:
        return Check.found(
            "interrupts", title, "WARN", "iommufd.allow_unsafe_interrupts is on",
            "a VM can then raise any interrupt of the host: only where VMs are trusted",
        )  # fmt: skip
    return Check.found(
        "interrupts", title, "SKIP", "no ITS is seen in use",
        "if the kernel answers EPERM to a probe, see iommufd.allow_unsafe_interrupts",
    )  # fmt: skip


def check_nesting(seen: Observed) -> Check:
    """Both stages, and a coherent way round the page tables' attributes."""
    title = "nested translation"
    verdicts = {smmu.name: nesting_behind(seen.host, smmu) for smmu in _smmus(seen)}
    lacking = [f"{name}: {found.why}" for name, found in verdicts.items() if found.answer is False]
    partly = [
        text for smmu in _smmus(seen) if verdicts[smmu.name].answer is None for text in _lacking(seen, smmu)
    ]
    if lacking or partly:
        return Check.found(
            "nesting", title, "FAIL" if len(lacking) == len(verdicts) else "WARN", _some(lacking + partly),
            "accel=on is refused behind it; CANWBS is a matter of the firmware, the rest of the hardware",
        )  # fmt: skip
    if not verdicts or any(found.answer is None for found in verdicts.values()):
        return Check.found(
            "nesting", title, "SKIP", "not known before the SMMU is probed and the IORT read",
            "as root: vsmmu probe, then vsmmu doctor",
        )  # fmt: skip
    return Check("nesting", title, "PASS", "stages 1 and 2, and CANWBS or S2FWB")


def check_facts(seen: Observed) -> Check:
    """What show, resolve and check will work with."""
    title = "probed facts"
    smmus = _smmus(seen)
    if smmus and all(smmu.registers for smmu in smmus if seen.host.behind(smmu)):
        return Check("facts", title, "PASS", seen.age)
    likeness = describe_likeness(seen.host)
    return Check.found(
        "facts",
        title,
        "WARN",
        "; ".join(filter(None, [seen.age, likeness])),
        "as root: vsmmu probe (at boot: vsmmu-probe.service)",
    )


def check_journal(seen: Observed) -> Check:
    """An interrupted ``probe --bind``."""
    title = "no interrupted probe"
    if seen.interrupted:
        return Check.found(
            "journal", title, "FAIL", f"still to do: {_some(list(seen.interrupted))}", "as root: vsmmu probe"
        )
    return Check("journal", title, "PASS")


def check_qemu(seen: Observed) -> Check:
    """The version of QEMU: whether it has accel, and auto."""
    accel, auto = spell_version(ACCEL_SINCE), spell_version(AUTO_SINCE)
    title = "QEMU"
    best = newest(seen.qemus)
    if best is None:
        return Check.found(
            "qemu", title, "SKIP", "no qemu-system-aarch64 here",
            "if VMs run in containers, ask there: vsmmu doctor",
        )  # fmt: skip
    if best.features is None or best.features < ACCEL_SINCE:
        remedy = f"use QEMU {accel} or later; auto needs {auto}"
        return Check.found("qemu", title, "FAIL", f"{best}: no accel=on", remedy)
    if best.features < AUTO_SINCE:
        return Check.found(
            "qemu",
            title,
            "WARN",
            f"{best}: accel=on, but no auto",
            f"pin the values (vsmmu resolve), or use QEMU {auto}",
        )
    return Check("qemu", title, "PASS", str(best))


def check_libvirt(seen: Observed) -> Check:
    """The version of libvirt: whether it has accel and the five as attributes."""
    title = "libvirt"
    best = newest(seen.libvirts)
    if best is None:
        remedy = f"needed only for libvirt: {spell_version(LIBVIRT_SINCE)} or later"
        return Check.found("libvirt", title, "SKIP", "neither virtqemud nor libvirtd here", remedy)
    if best.version is None or best.version < LIBVIRT_SINCE:
        return Check.found(
            "libvirt", title, "WARN", f"{best}: drops accel, ats, ril, ssidsize and oas silently",
            f"use libvirt {spell_version(LIBVIRT_SINCE)} or later, or start QEMU without libvirt",
        )  # fmt: skip
    return Check("libvirt", title, "PASS", str(best))


def check_byte_code(seen: Observed) -> Check:
    """Byte code of this program, which a VM's start waits for."""
    title = "compiled Python"
    found = seen.installation
    if not found.bare:
        return Check("byte-code", title, "PASS", f"{found.modules} modules")
    return Check.found(
        "byte-code", title, "WARN",
        f"{found.bare} of {found.modules} modules have no byte code in {_some(list(found.places))}; "
        "for a user who may not write there, each start takes two to four times as long",
        f"as the owner: {shlex.join([found.python, '-m', 'compileall', '-q', *found.places])}",
    )  # fmt: skip


#: In the order in which one would mend what fails.
CHECKS: Final[tuple[Callable[[Observed], Check], ...]] = (
    check_machine,
    check_smmu,
    check_kernel_config,
    check_coherent,
    check_iommufd,
    check_kvm,
    check_functions,
    check_device_files,
    check_groups,
    check_direct_regions,
    check_interrupts,
    check_nesting,
    check_journal,
    check_facts,
    check_qemu,
    check_libvirt,
    check_byte_code,
)


def _smmus(seen: Observed) -> list[HostSmmu]:
    return [smmu for smmu in seen.host.smmus if smmu.name.startswith(_SMMU_V3)]


def _lacking(seen: Observed, smmu: HostSmmu) -> list[str]:
    """The functions behind an SMMU that cannot have a vIOMMU although others may."""
    judged = [(entry, nesting(seen.host, smmu, entry)) for entry in seen.host.behind(smmu)]
    return [f"{entry.address}: {found.why}" for entry, found in judged if found.answer is False]


def _file_check(name: str, title: str, file: ObservedFile, remedy: str) -> Check:
    if not file.exists:
        return Check.found(name, title, "FAIL", f"there is no {file.path}", remedy)
    if not file.permitted:
        return Check.found(
            name, title, "WARN", f"{file.path} is not yours to open",
            "libvirt runs VMs as a user who may; else chown it, or an ACL by a udev rule",
        )  # fmt: skip
    return Check(name, title, "PASS", file.path)


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
