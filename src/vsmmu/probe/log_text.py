# SPDX-License-Identifier: Apache-2.0
"""Text of a kernel log as people have it becomes facts of that host: dmesg, journalctl -k, kern.log, a mail.

Lines come with timestamps, callers, levels, host names and quote marks, coloured, or wrapped at some width.
Only what the kernel said counts: in a journal programs speak, too. Of several boots the last counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import InputRefused
from vsmmu.host.driver_line import DRIVERS, parse_line
from vsmmu.host.evidence import Evidence
from vsmmu.host.facts import SCHEMA, Host, HostSmmu, Kernel
from vsmmu.probe.kernel_log import by_device, is_driver_line, is_understood
from vsmmu.probe.log_entries import kernel_entries
from vsmmu.probe.log_facts import settle_nesting, with_log
from vsmmu.probe.notices import NOT_PROBED

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_LOG_BYTES", "Log", "host_of_log", "read_log"]

#: The kernel's ring rarely has more than 2 MiB; a journal of many boots may.
MAX_LOG_BYTES: Final = 64 << 20
_LINE: Final = 512
_MAX_LINES: Final = 4096
#: A line is wrapped into no more pieces than this.
_PIECES: Final = 4

_TIME: Final = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_DATE: Final = (
    rf"(?:[A-Z][a-z]{{2}} )?(?:[A-Z][a-z]{{2}} [ \d]\d(?: \d{{4}})? {_TIME}"
    rf"|\d{{4}}-\d\d-\d\d[T ]{_TIME}(?:Z|[+-]\d\d:?\d\d)?)(?: [A-Z]{{2,5}})?"
)
_STAMP: Final = rf"(?:{_DATE}|\[ *\d{{1,10}}\.\d{{1,9}}(?: <[ \d.]{{1,20}}>)?\]|\d{{9,11}}\.\d{{1,9}})"
_DRIVER: Final = "|".join(DRIVERS)
_SPEAKER: Final = rf"(?:{_DRIVER}) |Linux version |DMI: |(?:acpi|platform) NVDA"
_NOISE: Final = re.compile(r"\x1b\[[0-9;]{0,16}[mK]|^(?:> ?){1,8}|\r")
#: What carries a kernel's line: docker compose, kubectl logs, a container's log, ts, grep -n.
_CARRIER: Final = re.compile(
    rf"(?:[\w./-]{{1,200}} *\| |{_DATE} (?:std(?:out|err) [FP] )?"
    r"|(?:[^\s:\[]{1,200}[:-])?(?:\d{1,7}[:-])?)"
    r"(?=(?:<\d{1,3}>)?\[ *\d{1,10}\.\d)"
)
#: dmesg --time-format iso, and the kernel's own brackets: [time], [caller], also after a level.
_DMESG: Final = re.compile(
    rf"{_STAMP} (?={_SPEAKER})"
    r"|(?:<\d{1,3}>|[a-z]{1,10} *:[a-z]{1,10} *: ?)?(?>(?:\[[^\]]{1,40}\] ?){1,3})"
    r"(?![\w.-]{1,255} (?:kernel|[^\s:\[]{1,80}\[\d{1,10}\]): )"
)
_SYSLOG: Final = re.compile(
    rf"{_STAMP} (?P<host>[\w.-]{{1,255}}) "
    r"(?P<program>[^\s:\[]{1,80})(?:\[\d{1,10}\])?: (?:\[ *\d+\.\d+\] ?)?"
)
_KMSG: Final = re.compile(r"(?P<priority>\d{1,5}),\d{1,20},\d{1,20},[^;]{0,40};")
_RELEASE: Final = re.compile(r"Linux version (?P<release>[\w.+~-]{1,64})(?= )")
_PRODUCT: Final = re.compile(r"DMI: (?P<product>[^/,]{1,120})")
_BOOT: Final = re.compile(r"-- (?:Boot|Reboot)\b")
_NEXT: Final = "give all of it: dmesg, or journalctl -k -b"


class Log(NamedTuple):
    """The last boot of a kernel log, as far as it bears on SMMUs.

    :param lines: the SMMU driver's messages, without what stood before them.
    :param release: of the kernel; empty if the text does not say.
    :param host: the host's name, as a journal has it; or empty.
    :param product: the machine's maker and name from DMI; or empty.
    """

    lines: tuple[str, ...]
    release: str = ""
    host: str = ""
    product: str = ""


def host_of_log(data: bytes, where: str, release: str = "") -> Host:
    """Facts about the host that wrote a kernel log.

    Registers are not in it, functions neither; an SMMU goes by the name of its platform device.

    :param where: names the text in errors.
    :param release: the kernel's release (``6.8.0-138``), where the kernel's first line is missing.
    :raise InputRefused: ``kernel-log-no-smmu``: no line of the driver with its features.
    """
    log = read_log(data.decode("utf-8", "replace"))
    release = log.release or release
    logged = {device: lines for device, lines in by_device(log.lines).items() if any(map(parse_line, lines))}
    if not logged:
        raise InputRefused(
            "kernel-log-no-smmu",
            "this text has no line of the SMMUv3 driver with oas and features",
            where=where,
            why=f"the driver said {len(log.lines)} other lines" if log.lines else "",
            next=_NEXT,
        )
    evidence = {
        NOT_PROBED: Evidence(
            "unknown", "a kernel log does not say it", "on that host, as root: vsmmu probe -o json"
        )
    }
    return settle_nesting(
        Host(
            schema=SCHEMA,
            name=log.host or "kernel-log",
            kernel=Kernel(release=release),
            product=log.product,
            smmus=tuple(
                with_log(HostSmmu(name=device, device=device), lines, release, evidence)
                for device, lines in logged.items()
            ),
            evidence=evidence,
        )
    )


def read_log(text: str) -> Log:
    """Take a kernel log apart."""
    log = Log(())
    lines: list[str] = []
    for host, message in _messages(text):
        release = _RELEASE.match(f"{message} ")
        if release or _BOOT.match(message):
            lines.clear()
            log = Log((), release["release"] if release else "", host or log.host)
        elif product := _PRODUCT.match(message):
            log = log._replace(product=product["product"].strip(), host=host or log.host)
        elif is_driver_line(message) and len(lines) < _MAX_LINES:
            lines.append(message[:_LINE])
            log = log._replace(host=host or log.host)
    return log._replace(lines=tuple(lines))


def _messages(text: str) -> Iterator[tuple[str, str]]:
    """Host (or nothing) and text of each message of interest, wrapped ones put together."""
    entries = kernel_entries(text)
    if entries is not None:
        for host, message in entries:
            first, *_ = _NOISE.sub("", message).splitlines() or [""]
            if _is_of_interest(first):
                yield host, first
        return
    pieces: list[str] = []
    host = ""
    for raw in text.splitlines():
        line = _NOISE.sub("", raw).replace("\t", " ")
        if carrier := _CARRIER.match(line):
            line = line[carrier.end() :]
        name, message, stands_alone = _unprefixed(line)
        if not stands_alone and pieces and len(pieces) < _PIECES:
            pieces.append(message)
            continue
        if pieces:
            yield host, _joined(pieces)
        host, pieces = name, [message] if _is_of_interest(message) else []
    if pieces:
        yield host, _joined(pieces)


def _unprefixed(line: str) -> tuple[str, str, bool]:
    """Host and text of a line, and whether it certainly is no continuation; no text if a program spoke."""
    kmsg = _KMSG.match(line)
    if kmsg:
        return "", line[kmsg.end() :] if int(kmsg["priority"]) < 8 else "", True
    dmesg = _DMESG.match(line)
    if dmesg:
        return "", line[dmesg.end() :], True
    syslog = _SYSLOG.match(line)
    if syslog:
        return syslog["host"], line[syslog.end() :] if syslog["program"] == "kernel" else "", True
    return "", line, _is_of_interest(line.lstrip())


def _is_of_interest(message: str) -> bool:
    return message.isprintable() and bool(re.match(rf"{_SPEAKER}|-- (?:Boot|Reboot)\b", message))


def _joined(pieces: list[str]) -> str:
    """The message: no more of the pieces than make a line that is understood.

    What has no mark of its own may also be another message, or the rest of a word.
    """
    if len(pieces) > 1 and "option mask 0x" in pieces[0]:
        return ""  # nothing tells whether all digits are there
    for number in range(1, len(pieces) + 1):
        whole = pieces[:number]
        # A mail's own soft line break is "=".
        for candidate in (
            " ".join(map(str.strip, whole)),
            "".join(whole),
            "".join(piece.removesuffix("=") for piece in whole),
        ):
            if not candidate.isprintable():
                continue
            if is_understood(candidate) or _RELEASE.match(candidate):
                return candidate
    return pieces[0].strip()
