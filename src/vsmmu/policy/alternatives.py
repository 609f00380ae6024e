# SPDX-License-Identifier: Apache-2.0
"""Alternatives of a value: each tried in the model of QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.policy.result import Alternative, PropertyResolution, Resolution, VsmmuResolution
from vsmmu.qemu.guest import guest_limits
from vsmmu.qemu.retrial import Retrial
from vsmmu.smmuv3.properties import AUTO, Property

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.policy.options import Options
    from vsmmu.qemu.retrial import Retried
    from vsmmu.qemu.versions import Qemu

__all__ = ["with_alternatives"]


def with_alternatives(
    resolution: Resolution, machine: Machine, host: Host, qemu: Qemu, options: Options
) -> Resolution:
    """The same resolution with :attr:`PropertyResolution.alternatives`, and a note on the guest's limits.

    Each alternative changes one property of the resolved VM, and the model makes that vSMMU again.
    """
    vsmmus = resolution.vsmmus
    if vsmmus:
        resolved = machine.edited(resolution.edits)
        trial = Retrial(resolved, host, qemu, options.functions)
        devices = {device.name: device for device in resolved.vsmmus}
        vsmmus = tuple(_with_alternatives(vsmmu, devices[vsmmu.device], trial) for vsmmu in vsmmus)
    limits = () if resolution.verdict is None else guest_limits(resolution.verdict)
    notes = (*resolution.notes, *(f"{found.where}: {found.what}" for found in limits))
    return msgspec.structs.replace(resolution, vsmmus=vsmmus, notes=notes)


def _with_alternatives(vsmmu: VsmmuResolution, device: Device, trial: Retrial) -> VsmmuResolution:
    def explain(entry: PropertyResolution) -> PropertyResolution:
        row = trial.qemu.property_of(entry.name)
        assert row is not None  # noqa: S101 - the resolution was made of these rows
        tried = tuple(
            _describe(row, entry, value, trial.retry(device, entry.name, value))
            for value in _values(row, entry)
        )
        return msgspec.structs.replace(entry, alternatives=tried)

    return msgspec.structs.replace(vsmmu, properties=tuple(explain(entry) for entry in vsmmu.properties))


def _values(entry: Property, chosen: PropertyResolution) -> Iterator[str]:
    """Every other switch position; for ``ssidsize`` none, one more and the most; and ``auto``."""
    if not entry.is_switch and entry.name == "ssidsize":
        current = int(chosen.value) if chosen.value.isdecimal() else 0
        numbers = sorted({0, current + 1, entry.pinnable[-1]} & set(entry.pinnable))
    else:
        numbers = list(entry.pinnable)
    for value in (*(entry.spell(number) for number in numbers), *([AUTO] if entry.takes_auto else [])):
        if value != chosen.value:
            yield value


def _describe(entry: Property, chosen: PropertyResolution, value: str, tried: Retried) -> Alternative:
    if tried.failure is not None:
        return Alternative(value, "refused", f"QEMU would refuse: {tried.failure.text}", tried.failure.code)
    own = [doubt for doubt in tried.doubts if entry.source in doubt.needs or entry.name in doubt.needs]
    if own:
        return Alternative(value, "unknown", f"QEMU could refuse: {own[0].why}", own[0].code)
    if value == AUTO:
        taken = "?" if tried.outcome is None else tried.outcome.values.get(entry.option, "?")
        told = f"QEMU would take {taken}" if taken not in ("?", AUTO) else "QEMU would find out by itself"
        return Alternative(value, "starts", f"{told}; not known before the start, not the same on every host")
    return Alternative(value, "starts", _loss(entry, chosen.value, value))


def _loss(entry: Property, chosen: str, value: str) -> str:
    """What the guest has less (or more) with ``value``."""
    if entry.is_switch:
        return f"starts; the guest {'gets' if value == 'on' else 'loses'} {entry.title}"
    if chosen.isdecimal():
        more = int(value) > int(chosen)
        return f"starts; the guest has {'more' if more else 'fewer'} {entry.title} than with {chosen}"
    return f"starts; {value} {entry.title}"
