# SPDX-License-Identifier: Apache-2.0
"""An installed QEMU binary as data: version, machine types, device properties.

It comes from the binary and not from its version alone: distributions bring features to older versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.errors import Negative
from vsmmu.qemu.versions import Qemu, parse_version

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine

__all__ = ["FORMAT", "Installed", "fit_machine"]

#: Of the answers that are kept; another is not believed.
FORMAT: Final = 4


class Installed(msgspec.Struct, frozen=True):
    """A QEMU binary.

    :param version: such as ``11.1.3``.
    :param machines: its Arm ``virt`` machine types.
    :param virt: what ``virt`` stands for; empty if it has none.
    :param smmu: the properties of ``arm-smmuv3``, each with its default (empty if it has none).
    :param vfio_ats: whether vfio-pci has ``ats``.
    :param kvm: whether it is built with KVM for its guests; None if it does not tell.
    :param iommufd: whether it is built with iommufd; None if it does not tell.
    :param identity: of the file that was asked; empty if nobody keeps the answer.
    """

    version: str
    machines: tuple[str, ...]
    virt: str
    smmu: dict[str, str]
    vfio_ats: bool
    kvm: bool | None = None
    iommufd: bool | None = None
    identity: str = ""
    format: int = FORMAT

    @property
    def qemu(self) -> Qemu:
        """The model's row for it, with the features that the binary itself names.

        :raise UsageError: ``qemu-version``: older than what is modelled.
        """
        # NVIDIA's 10.1 answers 10.1.0 like any other, and has what no release has.
        row = parse_version(f"nvidia-{self.version}" if "pasid" in self.smmu else self.version)
        has_auto = self.smmu.get("ats") == "auto"
        return row._replace(
            has_accel="accel" in self.smmu,
            has_auto=has_auto,
            has_cmdqv="cmdqv" in self.smmu,
            has_vfio_ats=self.vfio_ats,
            checks_ats=row.checks_ats or has_auto,
            defaults_known=True,
            has_kvm=self.kvm,
            accel_built=False if self.iommufd is False else None,
        )


def fit_machine(machine: Machine, known: Installed) -> Machine:
    """The VM with ``virt`` replaced by what this binary means by it.

    :raise Negative: ``qemu-machine-type``, if it has no such machine type.
    """
    name = machine.machine_type
    if name == "virt" and known.virt:
        return machine._replace(machine_type=known.virt)
    if name.startswith("virt") and name not in known.machines:
        some = ", ".join(known.machines[-4:])
        raise Negative(
            "qemu-machine-type",
            f"QEMU {known.version} has no machine type {name!r:.60}",
            why=f"it has {some}" if some else "it is not built for Arm",
            next="use one of these, or virt for the newest",
        )
    return machine
