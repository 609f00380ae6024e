# SPDX-License-Identifier: Apache-2.0
"""Kernel logs as journalctl and dmesg put them out for programs: each form has the same messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.errors import InputRefused
from vsmmu.probe.log_entries import kernel_entries
from vsmmu.probe.log_text import host_of_log, read_log

SMMU = "arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features 0x0019bfef)"
KERNEL = ("Linux version 7.3.4-arm64 (x) #1 SMP", "arm-smmu-v3 arm-smmu-v3.0.auto: option mask 0x0", SMMU)
#: What a program says is no fact.
PROGRAM = "arm-smmu-v3 arm-smmu-v3.9.auto: ias 44-bit, oas 44-bit (features 0x0019bfef)"
ENTRIES: list[dict[str, object]] = [
    *(
        {"__REALTIME_TIMESTAMP": "1", "_TRANSPORT": "kernel", "_HOSTNAME": "node1", "MESSAGE": text}
        for text in KERNEL
    ),
    {"_TRANSPORT": "stdout", "SYSLOG_IDENTIFIER": "x", "_HOSTNAME": "node1", "MESSAGE": PROGRAM},
]
LINES = [json.dumps(entry) for entry in ENTRIES]
BYTES = [json.dumps({**entry, "MESSAGE": list(str(entry["MESSAGE"]).encode())}) for entry in ENTRIES]
FIELDS = ["\n".join(f"{name}={value}" for name, value in entry.items()) for entry in ENTRIES]
FORMS = {
    "json": "\n".join(LINES),
    "json-pretty": "\n".join(json.dumps(entry, indent=8) for entry in ENTRIES),
    "json-seq": "".join(f"\x1e{line}\n" for line in LINES),
    "json-sse": "".join(f"data: {line}\n\n" for line in LINES),
    "array": json.dumps(ENTRIES, indent=1),
    "bytes": "\n".join(BYTES),
    "export": "\n\n".join(FIELDS),
    "verbose": "\n".join(
        "Fri 2026-11-20 10:00:01 CET [s=a;i=1]\n    " + text.replace("\n", "\n    ") for text in FIELDS
    ),
    "dmesg": json.dumps({"dmesg": [{"pri": 6, "time": 1.0, "msg": text} for text in KERNEL]}, indent=3),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_the_same_messages(form: str) -> None:
    log = read_log(FORMS[form])
    assert log.lines == KERNEL[1:]
    assert log.release == "7.3.4-arm64"
    assert log.host == ("" if form == "dmesg" else "node1")
    (smmu,) = host_of_log(FORMS[form].encode(), form).smmus
    assert smmu.device == "arm-smmu-v3.0.auto"


@pytest.mark.parametrize("form", FORMS)
def test_what_is_cut_off_has_what_comes_before(form: str) -> None:
    text = FORMS[form]
    for cut in range(0, len(text), 7):
        assert set(read_log(text[:cut]).lines) <= {*KERNEL[1:], SMMU[: len(SMMU) - 1]} or form in (
            "export",
            "verbose",
        )


@pytest.mark.parametrize("text", ["[    0.000000] Linux version 7.3.4 (x)\n", "{", "[" * 100_000, "{}\n{"])
def test_what_is_none_of_them_is_read_as_lines(text: str) -> None:
    assert kernel_entries(text) is None
    with pytest.raises(InputRefused):
        host_of_log(text.encode(), "log")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["dmesg", "msg", "MESSAGE", "_TRANSPORT", "_HOSTNAME"]), inner)))  # fmt: skip
def test_any_json_is_taken_apart_without_a_fault(value: object) -> None:
    read_log(json.dumps(value))
    read_log(f"{json.dumps({'MESSAGE': value})}\n{LINES[2]}")
