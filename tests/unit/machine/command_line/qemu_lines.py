# SPDX-License-Identifier: Apache-2.0
"""A QEMU command line of these options, and the machine that it describes, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.command_line.argv import CommandLine, read_words

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine

QEMU = "qemu-system-aarch64"


def line(*options: str, files: dict[str, bytes] | None = None) -> CommandLine:
    return read_words((QEMU, *options), (files or {}).__getitem__)


def machine(*options: str, files: dict[str, bytes] | None = None) -> Machine:
    return line(*options, files=files).machine()
