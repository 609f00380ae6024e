# SPDX-License-Identifier: Apache-2.0
"""CPU models of ``-cpu``: whether QEMU has them and the ``virt`` board takes them; their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import Global, Origin
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.names import NameFault, judge_global, nearest
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["judge_cpu"]

_TYPE: Final = "{}-arm-cpu"
#: What the ``virt`` board of 11.1 takes [measured]; 10.2 takes them, too.
_MODELS: Final = (
    "cortex-a7 cortex-a15 cortex-a35 cortex-a55 cortex-a72 cortex-a76 cortex-a710 a64fx neoverse-n1 "
    "neoverse-v1 neoverse-n2 cortex-a53 cortex-a57 max"
).split()
#: Models with features that only a build for Arm hosts lists.
_OF_THE_HOST: Final = "host"


def judge_cpu(machine: Machine, qemu: Qemu) -> NameFault | Refusal | None:
    """The first fault of ``-cpu``: its model, or a feature that the model does not have."""
    model, _, rest = machine.cpu.partition(",")
    if not model or model == _OF_THE_HOST:
        return None
    if model not in _MODELS:
        return _unknown(model, qemu)
    for feature in filter(None, rest.split(",")):
        name, equals, value = feature.partition("=")
        if not equals:
            text = f"Expected key=value format, found {feature}."
            return NameFault("qemu-property-value", qemu.modelled, text)
        given = Global(_TYPE.format(model), name, value, Origin("", ""))
        fault = judge_global(given, qemu)
        if fault is not None:
            return fault
    return None


def _unknown(model: str, qemu: Qemu) -> NameFault | Refusal:
    from vsmmu.qemu.device_tables import table

    if table(qemu).device(_TYPE.format(model)) is not None:
        # Which of QEMU's models the board takes was asked of one version.
        if qemu.modelled and qemu.version == LATEST.version:
            return Refusal("qemu-cpu-model", {"value": model, "accepted": ", ".join(_MODELS)})
        text = f"Invalid CPU model: {model}"
        return NameFault("qemu-property-value", False, text, nearest(model, _MODELS))
    text = f"unable to find CPU model '{model}'"
    return NameFault("qemu-type-unknown", False, text, nearest(model, [*_MODELS, _OF_THE_HOST]))
