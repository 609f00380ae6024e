# SPDX-License-Identifier: Apache-2.0
"""The selected functions and SMMUs of a plan, grouped by host SMMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from vsmmu.errors import Negative, UsageError
from vsmmu.host.judgements import bridge, direct_mapped
from vsmmu.host.obstacles import direct_region
from vsmmu.pci import normal_address
from vsmmu.plan.model import Companion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from vsmmu.host.facts import Host, HostFunction, HostSmmu

__all__ = ["Grouping", "Share", "companions", "root_complex", "shares", "unready"]

#: What a vSMMU stands for: a host SMMU, or one root complex behind it.
Grouping = Literal["smmu", "root-complex"]


class Share(NamedTuple):
    """One host SMMU and the functions behind it that were asked for; none means ports only."""

    smmu: HostSmmu
    functions: tuple[HostFunction, ...]


def root_complex(function: HostFunction) -> str:
    """The root complex of a function: its PCI domain, as on Arm servers."""
    return function.address.partition(":")[0]


def shares(
    devices: Sequence[str], host: Host, given: Collection[str] = (), group: Grouping = "smmu"
) -> tuple[Share, ...]:
    """Group devices by host SMMU, in the order in which each SMMU first comes up.

    :param devices: function addresses, or names of SMMUs for which there is no function yet.
    :param given: addresses that the VM has already.
    :param group: whether functions behind one SMMU are kept apart by root complex, so that those that talk to
        each other sit together in the guest as they do on the host.
    :raise Negative: ``no-such-device``, ``no-smmu-behind``, ``direct-region``, ``already-given``.
    :raise UsageError: ``not-a-function``.
    """
    found: dict[tuple[str, str], dict[str, HostFunction]] = {}
    smmus: dict[str, HostSmmu] = {}
    for text in devices:
        function = host.function(normal_address(text) or text)
        if function is not None and bridge(function).answer:
            raise UsageError(
                "not-a-function",
                "a bridge cannot be given to a VM",
                where=function.address,
                next="name the function below it: vsmmu show lists them",
            )
        if function is not None and direct_mapped(function).answer:
            raise Negative.of(direct_region(function.address))
        smmu = _smmu_of(function, host) if function is not None else host.smmu(text)
        if smmu is None:
            raise _no_such_device(text, host)
        if function is not None and function.address in given:
            raise Negative(
                "already-given",
                f"this VM has {function.address} already",
                next="leave it out of the plan; vsmmu fix --accelerate moves what a VM has behind a vSMMU",
            )
        smmus[smmu.name] = smmu
        apart = root_complex(function) if function is not None and group == "root-complex" else ""
        behind = found.setdefault((smmu.name, apart), {})
        if function is not None:
            behind[function.address] = function
    return tuple(Share(smmus[name], tuple(functions.values())) for (name, _), functions in found.items())


def _smmu_of(function: HostFunction, host: Host) -> HostSmmu:
    smmu = host.smmu(function.smmu) if function.smmu else None
    if smmu is None:
        raise Negative(
            "no-smmu-behind",
            f"{function.address} does not sit behind an SMMUv3 of host {host.name!r}",
            why="an accelerated vSMMU stands for the SMMU that translates the function",
            next="vsmmu show lists the functions and their SMMUs",
        )
    return smmu


def _no_such_device(text: str, host: Host) -> Negative:
    known = ", ".join(function.address for function in host.functions[:6])
    return Negative(
        "no-such-device",
        f"host {host.name!r} has no {text!r:.80}",
        why=f"it knows {known}{', ...' if len(host.functions) > 6 else ''}"
        if known
        else "it has no functions",
        next="name a function or an SMMU: vsmmu show lists them",
    )


def companions(chosen: Sequence[Share], host: Host, given: Collection[str] = ()) -> Iterator[Companion]:
    """Functions that are concerned by giving the chosen ones away, and are not given themselves.

    A bridge in their group is none: its driver leaves DMA alone, and vfio does not take it.
    """
    mine = [function for share in chosen for function in share.functions]
    taken = {function.address for function in mine} | set(given)
    for other in host.functions:
        if other.address in taken or bridge(other).answer:
            continue
        group = next((one for one in mine if _same_group(one, other)), None)
        if group is not None:
            yield Companion(
                other.address,
                group.address,
                "same-group",
                f"{_called(other)} is in IOMMU group {other.iommu_group} with {group.address}: the host must "
                "let go of it, too (bind it to vfio-pci, or to no driver), whether the guest gets it or not",
            )
            continue
        device = next((one for one in mine if _same_device(one, other)), None)
        if device is not None:
            yield Companion(
                other.address,
                device.address,
                "same-device",
                f"{_called(other)} is another function of the device of {device.address}; "
                "they usually go together: name both, or leave it to the host knowingly",
            )


def _called(function: HostFunction) -> str:
    return f"{function.address} ({function.label})" if function.label else function.address


def _same_group(one: HostFunction, other: HostFunction) -> bool:
    return one.iommu_group is not None and one.iommu_group == other.iommu_group


def _same_device(one: HostFunction, other: HostFunction) -> bool:
    # Virtual functions share slot numbers with their neighbours, and are devices of their own.
    virtual = one.physical_function or other.physical_function
    return not virtual and one.address.rpartition(".")[0] == other.address.rpartition(".")[0]


def unready(chosen: Sequence[Share], host: Host) -> Iterator[str]:
    """What keeps QEMU from having the functions now: drivers of the host, SR-IOV.

    Sources: vfio_pci_core_register_device() and vfio_df_check_token() of Linux 7.3.
    """
    for function in (function for share in chosen for function in share.functions):
        if function.driver and not _is_on_vfio(function):
            yield (
                f"{function.address} is bound to {function.driver}: QEMU needs it bound to vfio-pci "
                "(or a variant of it)"
            )
        if function.virtual_functions and not _is_on_vfio(function):
            yield (
                f"{function.address} has {function.virtual_functions} virtual functions, and vfio-pci takes "
                f"it without any: echo 0 > /sys/bus/pci/devices/{function.address}/sriov_numvfs"
            )
        physical = host.function(function.physical_function or "")
        if physical is not None and _is_on_vfio(physical):
            yield (
                f"the physical function of {function.address}, {physical.address}, is on {physical.driver}: "
                "the kernel gives the virtual one to a VM that knows its token (vf-token=)"
            )


def _is_on_vfio(function: HostFunction) -> bool:
    return function.driver.replace("_", "-").endswith("vfio-pci")
