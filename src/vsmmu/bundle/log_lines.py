# SPDX-License-Identifier: Apache-2.0
"""Lines of a log that a bug report needs: QEMU's messages, and the kernel's on SMMUs, iommufd and vfio."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.bundle.redaction import REDACTED, redacted_option

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LogLines", "lines_of_log", "redacted_line"]

# None of these looks twice at a long run of characters: a log may hold one word of megabytes.
_QEMU: Final = re.compile(r"\b(qemu-[\w-]{1,64}|kvm): (?P<said>.+)")
_OPTION: Final = re.compile(r"-(?P<name>[\w-]+) (?P<text>\S+|\{.*?\}): (?P<said>.+)")
#: What stands in front of a line of the kernel: the journal's time and host, the ring's time.
_KERNEL: Final = re.compile(r"(?:.*?\bkernel: )?(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[\S+\])? )?(?P<said>.*)")
_SPEAKER: Final = re.compile(r"(?:arm-smmu|tegra241|vfio|iommu|pci |pcieport |platform |ACPI: IORT)")
_SUBJECT: Final = re.compile(r"(?i)smmu|iommu|vfio|cmdqv|iort")
_OTHERS: Final = (
    re.compile(r"(?<![\w.])/(?!sys/|proc/|dev/vfio|dev/iommu)[^\s,;:'\"()]+"),
    re.compile(r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"),
    re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    re.compile(r"(?<![\w.+-])[\w.+-]+@[\w.-]+"),
    re.compile(r"(?<=\bvm=')[^']*|(?<=guest=)[^\s,]+"),
    re.compile(r"(?i)(?<=data=)[^\s,]+|(?<=password=)[^\s,]+|(?<=secret=)[^\s,]+|(?<=serial=)[^\s,]+"),
)
_MOST: Final = 400
_LONGEST: Final = 1000


class LogLines(NamedTuple):
    """Lines without time stamps, the last of many."""

    qemu: tuple[str, ...]
    kernel: tuple[str, ...]


def lines_of_log(lines: Iterable[str]) -> LogLines:
    """The lines of QEMU and of the kernel, each once, in order."""
    qemu: dict[str, None] = {}
    kernel: dict[str, None] = {}
    for line in lines:
        if message := _QEMU.search(line):
            qemu[f"{message[1]}: {_without_option(message['said'])}"[:_LONGEST]] = None
        else:
            said = _said_by_kernel(line)
            if _SPEAKER.match(said) and _SUBJECT.search(said):
                kernel[redacted_line(said)[:_LONGEST]] = None
    return LogLines(tuple(qemu)[-_MOST:], tuple(kernel)[-_MOST:])


def _said_by_kernel(line: str) -> str:
    found = _KERNEL.fullmatch(line)
    return found["said"] if found else ""


def _without_option(said: str) -> str:
    """What QEMU says of an option, with the option's own values redacted."""
    option = _OPTION.match(said)
    if option is None:
        return redacted_line(said)
    shown = redacted_option(option["name"], option["text"])
    return f"-{option['name']} {shown}: {redacted_line(option['said'])}"


def redacted_line(text: str) -> str:
    """A line without paths of people, addresses of networks, ids of hardware, and secrets."""
    for pattern in _OTHERS:
        text = pattern.sub(REDACTED, text)
    return text
