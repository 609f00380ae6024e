# SPDX-License-Identifier: Apache-2.0
"""What is run, what is expected, what came out: the data that the parts exchange."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

__all__ = ["READ", "Expected", "ExpectedStep", "Outcome", "Run", "Step", "StepOutcome"]

#: The registers that QEMU fills from the properties; the others are constant.
READ: Final = ("IDR0", "IDR1", "IDR3", "IDR5")


class Step(msgspec.Struct, frozen=True):
    """Something done to the running VM.

    :param do: ``add`` and ``delete`` a device, or ``reset`` the machine.
    :param device: the arguments of ``device_add``, or ``{"id": ...}``.
    """

    do: Literal["add", "delete", "reset"]
    device: dict[str, Any] = {}


class Run(msgspec.Struct, frozen=True):
    """One QEMU process.

    :param name: kind, seed and number: enough to make it again.
    :param packed: whether each vSMMU is a case of its own (they do not influence each other).
    :param registers: guest-visible registers that something other than the model of QEMU claims, by vSMMU.
    :param files: text by name, to be put beside the firmware where QEMU is started.
    """

    name: str
    kind: str
    argv: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    packed: bool = False
    registers: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}


class ExpectedStep(msgspec.Struct, frozen=True):
    """What a step should answer: the error's text (empty: it works), and the registers after it."""

    error: str
    registers: tuple[dict[str, str] | None, ...]
    code: str = ""


class Expected(msgspec.Struct, frozen=True):
    """What the model says.

    :param text: what QEMU prints if it refuses.
    :param possible: messages that may come where the facts leave the answer open.
    :param registers: of each vSMMU in the order of creation; None where they are not decided.
    :param uncertain: for each vSMMU the fields that depend on something else.
    :param warnings: lines that must appear on stderr, and (with a leading ``!``) ones that must not.
    """

    answer: Literal["starts", "refused", "unknown"]
    text: str = ""
    code: str = ""
    possible: tuple[str, ...] = ()
    registers: tuple[dict[str, str] | None, ...] = ()
    uncertain: tuple[tuple[str, ...], ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[ExpectedStep, ...] = ()


class StepOutcome(msgspec.Struct, frozen=True):
    """What a step did answer."""

    error: str
    registers: tuple[dict[str, str], ...]


class Outcome(msgspec.Struct, frozen=True):
    """What QEMU did.

    :param status: its exit status, negative for a signal; 0 if it had to be ended.
    """

    name: str
    started: bool
    status: int
    stderr: str
    registers: tuple[dict[str, str], ...] = ()
    steps: tuple[StepOutcome, ...] = ()
    seconds: float = 0.0
