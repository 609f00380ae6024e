# SPDX-License-Identifier: Apache-2.0
"""Kernel logs as people paste them: whatever stands around the driver's lines, the same facts come out."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.host.files import decode_host, encode_host
from vsmmu.probe.log_text import host_of_log, read_log

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostSmmu

DRIVER = "arm-smmu-v3 arm-smmu-v3.0.auto: "
CMDQV = (
    f"{DRIVER}found companion CMDQV device: NVDA200C:00",
    f"{DRIVER}option mask 0x10",
    f"{DRIVER}ias 48-bit, oas 48-bit (features 0x001e1fbf)",
    f"{DRIVER}allocated 524288 entries for cmdq",
    f"{DRIVER}allocated 524288 entries for vcmdq0",
)
FALLBACK = "acpi NVDA200C:00: tegra241_cmdqv: Falling back to standard SMMU CMDQ"
VERSION = "Linux version 7.3.4 (builder@host) (gcc) #1 SMP"
LOG = (VERSION, *CMDQV)
#: Forms of dmesg, journalctl, kern.log and /dev/kmsg; %s is the message.
FORMS = (
    "%s",
    "[    1.910102] %s",
    "[    1.910102][    T1] %s",
    "[    1.910102] [    T1] %s",
    "<6>[    1.910102] %s",
    "kern  :info  : [    1.910102] %s",
    "[Fri Nov 20 08:00:00 2026] %s",
    "2026-11-20T08:00:00,123456+00:00 %s",
    "Nov 20 08:00:00 node-a kernel: %s",
    "Nov  2 08:00:00 node-a kernel: [    1.910102] %s",
    "2026-11-20T08:00:00+0000 node-a kernel: %s",
    "2026-11-20T08:00:00.123456+01:00 node-a kernel: %s",
    "Fri 2026-11-20 08:00:00 UTC node-a kernel: %s",
    "[    1.910102] node-a kernel: %s",
    "1763625600.123456 node-a kernel: %s",
    "6,339,5140900,-;%s",
    "> [    1.910102] %s",
    ">> Nov 20 08:00:00 node-a kernel: %s",
    "\x1b[32m[    1.910102] \x1b[0m%s",
    "[    1.910102 <    0.000102 >] node-a kernel: %s",
    "vm-1  | [    1.910102] %s",
    "2026-11-20T08:00:00.123456789Z [    1.910102] %s",
    "2026-11-20T08:00:00.123456789Z stdout F <6>[    1.910102] %s",
    "Nov 20 08:00:00 [    1.910102] %s",
    "boot.log:17:[    1.910102] %s",
    "17:[    1.910102][    T1] %s",
)
NOISE = ("usb 1-1: new device", "pci 0009:01:00.0: Adding to iommu group 12", "systemd[1]: Started.")


def host(*lines: str, release: str = "") -> Host:
    return host_of_log("\n".join(lines).encode(), "log", release)


def only(*lines: str, release: str = "") -> HostSmmu:
    [smmu] = host(*lines, release=release).smmus
    return smmu


def value(smmu: HostSmmu, key: str) -> int | None:
    return smmu.fields[key].value


PLAIN = only(*LOG)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(form: str) -> None:
    lines = [form % line for line in (VERSION, NOISE[0], *CMDQV, *NOISE)]
    assert only(*lines) == PLAIN
    assert only("\r\n".join(lines)) == PLAIN
    assert host(*lines).kernel.release == "7.3.4"
    assert host(*lines).name == ("node-a" if "node-a" in form else "kernel-log")


@given(st.sampled_from([form for form in FORMS if form != "%s"]), st.integers(90, 160), st.booleans())
def test_wrapped_lines_give_the_same(form: str, width: int, words: bool) -> None:
    """At blanks, as mail programs do, or anywhere, as terminals do; a mask may be lost, not misread."""
    lines: list[str] = []
    for message in LOG:
        line = form % message
        if words:
            lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [line]
        else:
            lines += [line[start : start + width] for start in range(0, len(line), width)]
    found = only(*lines)
    assert (found.fields, found.coherent, found.cmdqv) == (PLAIN.fields, PLAIN.coherent, PLAIN.cmdqv)


@pytest.mark.parametrize("cut", range(len(DRIVER) + 1, len(CMDQV[2])))
@pytest.mark.parametrize("mark", ["", "="])
def test_a_line_cut_anywhere(cut: int, mark: str) -> None:
    line = f"[    1.9] {CMDQV[2]}"
    place = cut + len("[    1.9] ")
    found = only(f"[    0.0] {VERSION}", line[:place] + mark, line[place:], "[    2.0] usb 1-1: new")
    assert found.fields == only(VERSION, CMDQV[2]).fields


def test_what_a_program_says_in_a_journal_is_not_the_kernels() -> None:
    evil = "Nov 20 08:00:01 node-a evil[7]: arm-smmu-v3 evil.0.auto: oas 52-bit (features 0x00000000)"
    found = host(*(f"Nov 20 08:00:00 node-a kernel: {line}" for line in LOG), evil, evil.replace("[7]", ""))
    assert [smmu.device for smmu in found.smmus] == ["arm-smmu-v3.0.auto"]
    with pytest.raises(InputRefused, match="no line of the SMMUv3 driver"):
        host(evil, "12,1,1,-;" + CMDQV[2])


def test_the_last_boot_counts() -> None:
    old = (VERSION.replace("7.3.4", "5.4.0"), CMDQV[2].replace("oas 48", "oas 44"))
    assert only(*old, *LOG) == PLAIN
    assert only(*old, "-- Boot 0123456789abcdef --", *CMDQV, release="7.3.4") == PLAIN


@pytest.mark.parametrize(
    ("release", "ril"), [("", None), ("5.4.0", None), ("5.7", 0), ("6.8.0-138-generic", 0)]
)
def test_the_release_is_the_texts_else_the_options(release: str, ril: int | None) -> None:
    assert value(only(CMDQV[2], release=release), "IDR3.RIL") == ril
    assert value(only(VERSION, CMDQV[2], release=release), "IDR3.RIL") == 0


@pytest.mark.parametrize(
    ("features", "release", "nests"),
    [
        ("0x0094dfef", "6.16.0", 0),  # both stages, given up
        ("0x0094dfef", "6.1.0", None),  # before the bit
        ("0x0094dfef", "", None),
        ("0x001e1fbf", "7.3.4", None),  # the bit alone: CANWBS is not in the log
        ("0x009e9fbf", "7.3.4", 1),  # and S2FWB
        ("0x00000305", "7.3.4", 0),  # no stage 2
    ],
)
def test_nesting(features: str, release: str, nests: int | None) -> None:
    line = f"{DRIVER}oas 48-bit (features {features})"
    assert only(line, release=release).nesting.value == nests


@pytest.mark.parametrize(
    ("lines", "release", "cmdqv"),
    [
        (CMDQV, "7.3.4", 1),
        (CMDQV, "6.12.0", None),  # queues for the host alone
        (CMDQV, "", None),
        (CMDQV[:3], "7.3.4", None),  # the rest is cut off
        ((*CMDQV[:2], FALLBACK, CMDQV[2]), "7.3.4", 0),
        ((*CMDQV[:2], FALLBACK.replace("tegra241_cmdqv: ", ""), CMDQV[2]), "", 0),
        ((*CMDQV[:2], f"{DRIVER}tegra241_cmdqv: Falling back to standard SMMU CMDQ", CMDQV[2]), "", 0),
        ((*CMDQV[:2], FALLBACK.replace(":00", ":01"), CMDQV[2]), "7.3.4", None),  # another SMMU's
        ((f"{DRIVER}option mask 0x0", CMDQV[2]), "", 0),
        ((CMDQV[2],), "7.3.4", None),
    ],
)
def test_command_queues(lines: tuple[str, ...], release: str, cmdqv: int | None) -> None:
    assert only(*lines, release=release).cmdqv.value == cmdqv


def test_protected_kvm_has_another_name_for_the_driver() -> None:
    line = "smmuv3-nesting 9050000.smmuv3: ias 44-bit, oas 44-bit (features 0x01008305)"
    found = only(VERSION, line)
    assert (found.name, found.device) == ("9050000.smmuv3", "9050000.smmuv3")
    assert (value(found, "IDR5.OAS"), found.kernel_log) == (4, (line,))


def test_the_machines_name_is_kept() -> None:
    found = host(VERSION, "DMI: NVIDIA GB300 NVL/P4242, BIOS 1.0 11/20/2026", *CMDQV)
    assert found.product == "NVIDIA GB300 NVL"


@pytest.mark.parametrize("text", ["", "\n", "usb 1-1: new device", VERSION, f"{DRIVER}failed", CMDQV[1]])
def test_a_text_without_the_line_is_refused(text: str) -> None:
    with pytest.raises(InputRefused) as caught:
        host(text)
    assert caught.value.code == "kernel-log-no-smmu"


PIECES = (
    *FORMS,
    *LOG,
    *NOISE,
    FALLBACK,
    "\n",
    "[",
    "]",
    "arm-smmu-v3",
    "0x",
    ": ",
    "features",
    "=\n",
    "\x00",
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25), st.binary(max_size=20))
def test_mutated_text_gives_facts_or_our_own_error(parts: list[str], tail: bytes) -> None:
    data = "".join(parts).encode("utf-8", "surrogateescape") + tail
    read_log(data.decode("utf-8", "replace"))
    try:
        found = host_of_log(data, "log", "7.3.4")
    except VsmmuError:
        return
    assert decode_host(encode_host(found), "again") == found
