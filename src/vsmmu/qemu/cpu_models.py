# SPDX-License-Identifier: Apache-2.0
"""CPU models of ``-cpu``: whether QEMU has them and the ``virt`` board takes them; their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import Global, Origin
from vsmmu.qemu.board import accelerator
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.names import NameFault, judge_global, nearest
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["judge_cpu"]

_TYPE: Final = "{}-arm-cpu"
#: The versions of which it was asked what the board takes, and what that is.
_ASKED: Final = ((10, 2), LATEST.version)
_MODELS: Final = (
    "cortex-a7 cortex-a15 cortex-a35 cortex-a55 cortex-a72 cortex-a76 cortex-a710 a64fx neoverse-n1 "
    "neoverse-v1 neoverse-n2 cortex-a53 cortex-a57 max"
).split()
#: The same under KVM; of the first two it depends on the host's own CPU [measured].
_UNDER_KVM: Final = frozenset({"cortex-a53", "cortex-a57", "host", "max"})
#: The model that only a build with KVM has.
_OF_THE_HOST: Final = "host"


def judge_cpu(machine: Machine, qemu: Qemu) -> NameFault | Refusal | None:
    """The first fault of ``-cpu``: its model, or a feature that the model does not have."""
    model, _, rest = machine.cpu.partition(",")
    under = accelerator(machine)
    if not model:
        return None
    if model not in {"kvm": _UNDER_KVM, "tcg": frozenset(_MODELS)}.get(under, _UNDER_KVM | set(_MODELS)):
        return _unknown(model, qemu, under)
    features = (_feature(model, text, qemu) for text in filter(None, rest.split(",")))
    return next(filter(None, features), None)


def _feature(model: str, text: str, qemu: Qemu) -> NameFault | None:
    name, equals, value = text.partition("=")
    if not equals:
        return NameFault("qemu-property-value", qemu.modelled, f"Expected key=value format, found {text}.")
    if model != _OF_THE_HOST:
        return judge_global(Global(_TYPE.format(model), name, value, Origin("", "")), qemu)
    # No table has this type; what it has besides the features of max begins with kvm-.
    fault = judge_global(Global(_TYPE.format("max"), name, value, Origin("", "")), qemu)
    if fault is None or name.startswith("kvm-"):
        return None
    return fault._replace(certain=False, text=fault.text.replace(_TYPE.format("max"), _TYPE.format(model)))


def _unknown(model: str, qemu: Qemu, under: str) -> NameFault | Refusal:
    from vsmmu.qemu.device_tables import table

    listed = table(qemu).device(_TYPE.format(model)) is not None
    if listed or (model == _OF_THE_HOST and qemu.has_kvm is not False):
        if qemu.modelled and qemu.version in _ASKED:
            return Refusal(f"qemu-cpu-model{'-kvm' if under == 'kvm' else ''}", {"value": model})
        text = f"Invalid CPU model: {model}"
        return NameFault("qemu-property-value", False, text, nearest(model, _MODELS))
    text = f"unable to find CPU model '{model}'"
    if model == _OF_THE_HOST:
        return NameFault("qemu-property-value", True, text)
    return NameFault("qemu-type-unknown", False, text, nearest(model, [*_MODELS, _OF_THE_HOST]))
