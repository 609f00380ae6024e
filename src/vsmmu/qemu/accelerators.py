# SPDX-License-Identifier: Apache-2.0
"""Accelerators that QEMU refuses: it takes the first that it has of ``-accel``, or of ``-machine accel=a:b``.

Source: configure_accelerators() in system/vl.c. An ``-accel`` behind the one that is taken is not looked at.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.qemu import values
from vsmmu.qemu.board import ELSEWHERE, is_missing
from vsmmu.qemu.doubts import board_doubt
from vsmmu.qemu.findings import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.model import Accel, Machine
    from vsmmu.qemu.names import NameFault
    from vsmmu.qemu.versions import Qemu

__all__ = ["OPTIONS", "accelerator_faults"]

#: Options of what a QEMU for Arm on Linux has: accel/tcg/tcg-all.c, accel/kvm/kvm-all.c, target/arm/kvm.c;
#: held against 11.1.3 for Arm by a test. An option without a type takes words.
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "tcg": {"thread": "", "tb-size": "uint32", "split-wx": "bool", "one-insn-per-tb": "bool"},
        "kvm": {
            "kernel-irqchip": "",
            "kvm-shadow-mem": "int",
            "dirty-ring-size": "uint32",
            "device": "str",
            "eager-split-size": "size",
            "rapl": "bool",
            "rapl-helper-socket": "str",
        },
    }
)
_WORDS: Final = MappingProxyType({"thread": ("single", "multi"), "kernel-irqchip": ("on", "off", "split")})


def accelerator_faults(
    machine: Machine, qemu: Qemu
) -> Iterator[tuple[str, Refusal | NameFault | Diagnostic]]:
    """The option (empty where QEMU names none) and why QEMU takes no accelerator, in QEMU's order.

    :param machine: after :func:`vsmmu.qemu.board.usable_accelerators`.
    """
    if machine.accels and "accel" in machine.machine_options:
        yield "", Refusal("qemu-accelerator-twice", {})
        return
    if not machine.accelerators:
        if "accel" in machine.machine_options:
            yield "", Refusal("qemu-accelerator-none", {})
        return
    name = machine.accelerators[0]
    written = next((accel for accel in machine.accels if accel.name == name), None)
    option = written.origin.option if written is not None else ""
    if is_missing(name, qemu):
        code = "qemu-accelerator" if name == "kvm" else "qemu-accelerator-unknown"
        yield option, Refusal(code, {"value": name})
    elif name in ELSEWHERE:
        refusal = Refusal("qemu-accelerator-unknown", {"value": name})
        yield option, board_doubt(refusal, f"whether this QEMU was built with {name}")
    elif written is not None:
        yield from ((option, fault) for fault in _option_faults(written))


def _option_faults(accel: Accel) -> Iterator[NameFault]:
    from vsmmu.qemu.names import NameFault, nearest  # few accelerators have options

    known = OPTIONS[accel.name]
    for key, value in accel.options.items():
        if key not in known:
            text = f"Property '{accel.name}-accel.{key}' not found"
            yield NameFault("qemu-property-unknown", True, text, nearest(key, known), name=key)
        elif key in _WORDS:
            if value not in _WORDS[key]:
                yield NameFault("qemu-property-value", key == "thread", f"Invalid '{key}' setting {value}")
        elif text := values.refusal(key, known[key], value, "keyval", {}):
            yield NameFault("qemu-property-value", known[key] == "bool", text)
