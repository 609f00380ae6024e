# SPDX-License-Identifier: Apache-2.0
"""State of a vSMMU and its endpoints while the modelled VM lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vsmmu.qemu.compat import guest_registers
from vsmmu.qemu.outcome import Answer, EndpointOutcome, VsmmuOutcome
from vsmmu.qemu.settings import VsmmuSettings, is_auto
from vsmmu.qemu.versions import LATEST
from vsmmu.smmuv3.interval import Interval, exactly
from vsmmu.smmuv3.properties import AUTO, PROPERTIES, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import HostFunction, HostSmmu
    from vsmmu.machine.model import Device
    from vsmmu.qemu.versions import Qemu

__all__ = ["Endpoint", "Vsmmu"]


class Endpoint:
    """One vfio-pci with the host function and SMMU that it stands for; either may be unknown."""

    def __init__(self, device: Device, function: HostFunction | None, smmu: HostSmmu | None) -> None:
        self.device = device
        self.function = function
        self.smmu = smmu
        self.answer: Answer = "starts"
        self.ats_visible: bool | None = None

    @property
    def smmu_name(self) -> str:
        """The host SMMU's name; a name of its own where it is not known, so that it equals no other."""
        return self.smmu.name if self.smmu is not None else f"?{self.device.number}"

    def outcome(self) -> EndpointOutcome:
        """The endpoint as the verdict shows it."""
        return EndpointOutcome(
            device=self.device.name,
            function=self.function.address if self.function is not None else "",
            smmu=self.smmu.name if self.smmu is not None else "",
            answer=self.answer,
            ats_visible=self.ats_visible,
        )


class Vsmmu:
    """One ``arm-smmuv3``, from realize on.

    ``auto_mode`` is set at realize if any of the four register properties is ``auto``; ``auto_finalised``
    when the first vfio-pci behind it has settled them; from then on ``frozen`` (codes by property) never
    changes. ``unsure`` is a vSMMU of which it is not known what the values are
    that are not written: ``auto`` stands for them. ``copied`` are the fields that came from
    the host SMMU ``copied_from``, ``mended`` those that QEMU refuses for an endpoint: one change of the
    vSMMU's configuration mends them for all.
    """

    def __init__(self, device: Device, settings: VsmmuSettings, qemu: Qemu = LATEST) -> None:
        self.device = device
        self.settings = settings
        self._rows = qemu.properties
        self.unsure = (
            settings.accel
            and not qemu.defaults_known
            and any(held.written == "default" for held in settings.values.values())
        )
        self.auto_mode = settings.accel and any(
            is_auto(settings.values.get(entry.name)) for entry in REGISTER_PROPERTIES
        )
        self.auto_finalised = False
        self.finalised_by = ""
        self.frozen = self._written()
        self.copied: frozenset[str] = frozenset()
        self.copied_from = ""
        self.mended: set[str] = set()
        self.viommu_smmu = ""
        self.viommu_owner = ""
        self.cmdqv_active: bool | None = False
        self.gbpa_abort = False
        self.attached: Literal["", "bypass", "abort"] = ""
        self.endpoints: list[Endpoint] = []

    @property
    def name(self) -> str:
        """The device's name in messages."""
        return self.device.name

    @property
    def never_settled(self) -> bool:
        """Whether ``auto`` would be left when the machine is done, which QEMU refuses."""
        return self.auto_mode and not (self.auto_finalised or self.unsure)

    def _written(self) -> dict[str, Interval]:
        frozen: dict[str, Interval] = {}
        for entry in REGISTER_PROPERTIES:
            value = self.settings.value(entry.name)
            if not self.settings.accel and (value is None or value == AUTO):
                value = entry.software
            if isinstance(value, int):
                frozen[entry.name] = exactly(entry.to_code(value))
        return frozen

    def free_viommu(self) -> None:
        """The last endpoint is gone: the next one may sit behind another host SMMU."""
        self.viommu_smmu = self.viommu_owner = self.attached = ""
        self.cmdqv_active = False

    def summary(self) -> str:
        """Whether ``auto`` is settled, and the values, for the trace."""
        values = ",".join(f"{name}={value}" for name, value in self.spelled().items())
        return f"auto_finalised={self.auto_finalised} {values}"

    def spelled(self) -> dict[str, str]:
        """The five values after what has happened so far, by the names and in the words of this QEMU."""
        spelled: dict[str, str] = {}
        for entry in (self._rows[each.name] for each in REGISTER_PROPERTIES):
            held = self.frozen.get(entry.name)
            if held is None:
                spelled[entry.option] = AUTO
            else:
                exact = held.exact
                spelled[entry.option] = "?" if exact is None else entry.spell(entry.from_code(exact))
        if "cmdqv" in self.settings.values:
            spelled["cmdqv"] = self._spelled_cmdqv()
        return spelled

    def _spelled_cmdqv(self) -> str:
        value = self.settings.values["cmdqv"].value
        if value == AUTO and not self.settings.accel:
            value = 0
        if value == AUTO and self.viommu_smmu:
            return "?" if self.cmdqv_active is None else PROPERTIES["cmdqv"].spell(int(self.cmdqv_active))
        return PROPERTIES["cmdqv"].spell(value)

    def outcome(self) -> VsmmuOutcome:
        """The vSMMU as the verdict shows it."""
        stage1 = self.settings.stage in (None, "", "1")
        decided = stage1 and len(self.frozen) == len(REGISTER_PROPERTIES)
        registers = guest_registers(self.frozen) if decided else None
        return VsmmuOutcome(
            device=self.name,
            primary_bus=self.settings.primary_bus,
            accel=self.settings.accel,
            auto_mode=self.auto_mode,
            auto_finalised=self.auto_finalised,
            finalised_by=self.finalised_by,
            values=self.spelled(),
            registers=None if registers is None else registers.as_dict(),
            # An active CMDQV lowers CMDQS to what fits the smallest page of the guest's memory backends.
            uncertain=() if self.cmdqv_active is False else ("IDR1.CMDQS",),
            host_smmu=self.viommu_smmu,
            attached=self.attached,
            endpoints=tuple(endpoint.outcome() for endpoint in self.endpoints),
        )
