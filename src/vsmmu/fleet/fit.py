# SPDX-License-Identifier: Apache-2.0
"""Predict a VM's start on a host class, with the executable model of QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.fleet.capability import Capability, host_with
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.qemu.process import start
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.fleet.classes import HostClass
    from vsmmu.fleet.documents import Answer
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.outcome import Verdict
    from vsmmu.qemu.versions import Qemu

__all__ = ["LEAST", "NO_FUNCTION", "Fit", "fit_of", "least_vm", "no_smmu", "values_fit"]

#: The code of hosts that have no function of those that were asked about.
NO_FUNCTION: Final = "function-absent"

#: The values that ask least of a host and can be written: what fails with these fails with all.
LEAST: Final[Mapping[str, int]] = {
    name: min(entry.pinnable) for name, entry in PROPERTIES.items() if entry.source
}
_ADDRESS: Final = "0000:01:00.0"
_VM: Final = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF_CODE.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,{values} "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    f"-device vfio-pci,host={_ADDRESS},bus=rp1,iommufd=iommufd0"
)
_RANK: Final[Mapping[str, int]] = {"starts": 2, "unknown": 1, "refused": 0, "absent": 0}


class Fit(NamedTuple):
    """The answer for one SMMU capability, or for a class of hosts.

    :param answer: *starts*, *refused*, *unknown* where facts are missing, or *absent* of hosts without the
        functions that were asked about.
    :param code: the message that QEMU would (or could) print, as :mod:`vsmmu.qemu.texts` calls it.
    :param text: that message, or what is missing.
    :param needs: the facts that would settle it.
    """

    answer: Answer
    code: str = ""
    text: str = ""
    needs: tuple[str, ...] = ()


_INCOHERENT: Final = Fit("refused", "smmu-incoherent", "vfio refuses functions behind an incoherent SMMU")


def fit_of(machine: Machine, kind: HostClass | Capability, qemu: Qemu) -> Fit:
    """Would this VM start on hosts of this class?

    Its functions are taken to sit behind the host's SMMU, whatever their addresses are there; of a host
    with different SMMUs behind the one that fits best.
    """
    if not isinstance(kind, Capability):
        if not kind.capabilities:
            return no_smmu(kind)
        answers = [fit_of(machine, capability, qemu) for capability in kind.capabilities]
        return max(answers, key=lambda fit: _RANK[fit.answer])
    if kind.get("coherent").exact == 0:
        return _INCOHERENT
    functions, addresses = _functions(machine)
    return _fit(start(machine, host_with(kind, addresses), qemu, functions))


def no_smmu(kind: HostClass) -> Fit:
    """The answer for hosts without an SMMU that counts."""
    if kind.selection.vendor:
        return Fit(
            "absent",
            NO_FUNCTION,
            f"no function {kind.selection} that a VM can have is known behind an SMMU of it",
        )
    return Fit("refused", "no-smmu", "no SMMU is known on it")


def values_fit(values: Mapping[str, int], kind: Capability, qemu: Qemu) -> Fit:
    """Would the least VM with these values start behind such an SMMU?"""
    return fit_of(least_vm(values, qemu), kind, qemu)


def least_vm(values: Mapping[str, int], qemu: Qemu) -> Machine:
    """The smallest VM with one function behind one accelerated vSMMU with these values."""
    pairs = ",".join(
        f"{name}={PROPERTIES[name].spell(value)}"
        for name, value in values.items()
        if qemu.has(PROPERTIES[name])
    )
    return read_words(_VM.format(values=pairs).split(" ")).machine()


def _functions(machine: Machine) -> tuple[dict[str, str], list[str]]:
    """An address for each passed-through function: its own, or a made-up one where it is not written."""
    functions: dict[str, str] = {}
    addresses: dict[str, None] = {}
    for device in machine.devices:
        if is_vfio(device.driver):
            address = host_address(device)
            if address is None:
                address = f"fffe:{len(functions) // 32 % 256:02x}:{len(functions) % 32:02x}.0"
                functions[device.name] = address
            addresses[address] = None
    return functions, list(addresses)


def _fit(verdict: Verdict) -> Fit:
    if verdict.failure is not None:
        return Fit("refused", verdict.failure.code, verdict.failure.text)
    refusing, doubts = verdict.of("hazard"), verdict.of("unknown")
    if refusing:
        return Fit("refused", refusing[0].code, refusing[0].what)
    if doubts:
        needs = tuple(dict.fromkeys(need for doubt in doubts for need in doubt.needs))
        return Fit("unknown", doubts[0].code, f"not known: {', '.join(needs)}", needs)
    answer: Answer = "starts" if verdict.answer == "starts" else "unknown"
    return Fit(answer)
