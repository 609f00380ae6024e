# SPDX-License-Identifier: Apache-2.0
"""From the kernel's answers to facts: every type, every age of kernel."""

from __future__ import annotations

import errno
import struct

import msgspec
import pytest

from fake_host import SMMU, FakeHost
from vsmmu.host.evidence import Fact
from vsmmu.host.facts import Host, HostFunction, HostSmmu, Kernel
from vsmmu.probe.ask import Answer
from vsmmu.probe.discover import discover
from vsmmu.probe.documents import answer_lines
from vsmmu.probe.record import carry_over, record
from vsmmu.uapi.hw_info import HwInfo

ADDRESS = "0000:00:06.0"
WORDS = (0x0D4D143B, 0x02735510, 0, 0x1014, 0, 0x75, 0x43B, 2)
NOW = "2026-11-22T13:05:00+00:00"


def smmuv3(
    flags: int = 0, words: tuple[int, ...] = WORDS, capabilities: int | None = 8, pasid: int = 0
) -> HwInfo:
    data = struct.pack(f"<II{len(words)}I", flags, 0, *words)
    return HwInfo(2, data, len(data), pasid, capabilities)


def told(
    fake: FakeHost, info: HwInfo, cmdqv: HwInfo | None = None, release: str = "7.3.4"
) -> tuple[Host, HostSmmu, HostFunction]:
    before = msgspec.structs.replace(discover(fake.tree), kernel=Kernel(release))
    host = record(before, Answer(ADDRESS, info, cmdqv), NOW)
    smmu, function = host.smmu(SMMU), host.function(ADDRESS)
    assert smmu is not None
    assert function is not None
    return host, smmu, function


def test_an_smmuv3(fake: FakeHost) -> None:
    host, smmu, function = told(fake, smmuv3())
    assert smmu.id_registers == WORDS
    reading = host.read_field(smmu, "IDR1.SSIDSIZE")
    assert (reading.exact, reading.evidence.kind) == (20, "measured")
    assert smmu.fields == {}
    assert smmu.kernel_log
    assert (smmu.hw_info_type.value, smmu.hw_info_flags.value, smmu.cmdqv.value) == (2, 0, 0)
    assert (
        function.ats_not_supported.value,
        function.max_pasid_log2.value,
        function.dirty_tracking.value,
    ) == (1, 0, 0)
    assert function.pasid_exec == Fact()
    assert host.taken_at == NOW
    assert NOW in reading.evidence.detail


def test_the_erratum_bit(fake: FakeHost) -> None:
    host, smmu, _ = told(fake, smmuv3(flags=1))
    assert smmu.hw_info_flags.value == 1
    assert any("T264-SMMU-3" in line for line in answer_lines(host, Answer(ADDRESS, smmuv3(flags=1), None)))


def test_queues_that_the_kernel_offers_and_does_not_give(fake: FakeHost) -> None:
    cmdqv = HwInfo(3, struct.pack("<IBBBB", 0, 1, 2, 4, 0), 8, 0, 8)
    for error, value in ((0, None), (errno.ENOMEM, None), (errno.EOPNOTSUPP, 0)):
        host = record(discover(fake.tree), Answer(ADDRESS, smmuv3(), cmdqv, 0, error), NOW)
        assert host.smmus[0].cmdqv_viommu.value == value


def test_queues_of_another_kind(fake: FakeHost) -> None:
    _, smmu, _ = told(fake, smmuv3(), HwInfo(2, struct.pack("<IBBBB", 0, 1, 2, 4, 0), 8, 0, 8))
    assert smmu.hw_info_data["cmdqv.type"].value == "0x2"


def test_cmdqv(fake: FakeHost) -> None:
    cmdqv = HwInfo(3, struct.pack("<IBBBB", 0, 1, 2, 4, 0), 8, 0, 8)
    host, smmu, _ = told(fake, smmuv3(), cmdqv)
    assert smmu.cmdqv.value == 1
    assert host.evidence[smmu.cmdqv.evidence].detail == "flags 0, version 1, log2vcmdqs 2, log2vsids 4"
    assert smmu.hw_info_data["cmdqv.log2vsids"].value == "0x4"


@pytest.mark.parametrize(
    ("release", "capabilities", "expected"),
    [
        ("7.3.4", 0, 0),
        ("7.1", 0, 0),
        ("7.0.9", 0, None),
        ("6.14", 8, 1),
        ("7.3.4", None, None),
        ("odd", 0, None),
    ],
)
def test_ats_is_only_believed_from_kernels_that_tell(
    fake: FakeHost, release: str, capabilities: int | None, expected: int | None
) -> None:
    host, _, function = told(fake, smmuv3(capabilities=capabilities), release=release)
    reading = host.read(function.ats_not_supported, "ATS")
    assert reading.exact == expected
    assert reading.is_unknown == (expected is None)


@pytest.mark.parametrize(
    ("release", "bits", "expected"),
    [("6.15", 0, 0), ("6.14.3", 0, None), ("6.14.3", 16, 16), ("7.3.4", 20, 20)],
)
def test_pasid_bits(fake: FakeHost, release: str, bits: int, expected: int | None) -> None:
    _, _, function = told(fake, smmuv3(pasid=bits, capabilities=0b111), release=release)
    assert function.max_pasid_log2.value == expected
    assert function.dirty_tracking.value == 1
    assert (function.pasid_exec.value, function.pasid_privileged.value) == ((1, 1) if bits else (None, None))


def test_a_kernel_without_smmuv3_information(fake: FakeHost) -> None:
    host, smmu, _ = told(fake, HwInfo(0, b"", 0, 0, 8))
    assert smmu.hw_info_type.value == 0
    assert host.read_field(smmu, "IDR5.OAS").evidence.kind == "inferred"
    assert "ARM_SMMU_V3_IOMMUFD" in host.read_field(smmu, "IDR1.SSIDSIZE").evidence.detail
    assert any(
        "ARM_SMMU_V3_IOMMUFD" in line
        for line in answer_lines(host, Answer(ADDRESS, HwInfo(0, b"", 0, 0, 8), None))
    )


@pytest.mark.parametrize(
    ("number", "value", "word"),
    [
        (0, 1, "made"),
        (errno.EOPNOTSUPP, 0, "CANWBS"),
        (errno.ENOMEM, None, "ENOMEM"),
        (None, None, "not tried"),
    ],
)
def test_nesting(fake: FakeHost, number: int | None, value: int | None, word: str) -> None:
    host = record(discover(fake.tree), Answer(ADDRESS, smmuv3(), None, number), NOW)
    fact = host.smmus[0].nesting
    assert fact.value == value
    assert word in host.evidence[fact.evidence].detail


@pytest.mark.parametrize(
    ("info", "words", "name"),
    [(HwInfo(1, struct.pack("<IIQQ", 1, 0, 5, 6), 24, 0, 1),
      {"flags": "0x1", "cap_reg": "0x5", "ecap_reg": "0x6"}, "Intel"),
     (HwInfo(4, struct.pack("<QQ", 7, 8), 16, 0, 1), {"efr": "0x7", "efr2": "0x8"}, "AMD"),
     (HwInfo(4, struct.pack("<Q", 7), 8, 0, 1), {"efr": "0x7"}, "AMD"),
     (HwInfo(77, b"\0" * 8, 8, 0, 1), {}, "77")],
)  # fmt: skip
def test_other_iommus(fake: FakeHost, info: HwInfo, words: dict[str, str], name: str) -> None:
    host, smmu, _ = told(fake, info)
    assert {key: fact.value for key, fact in smmu.hw_info_data.items()} == words
    assert not smmu.registers
    assert name in answer_lines(host, Answer(ADDRESS, info, None))[0]


def test_a_short_answer_gives_the_words_that_it_has(fake: FakeHost) -> None:
    host, smmu, _ = told(fake, smmuv3(words=WORDS[:2]))
    assert set(smmu.registers) == {"IDR0", "IDR1"}
    assert host.read_field(smmu, "IDR5.OAS").evidence.kind == "inferred"
    assert "ssidsize 20" in answer_lines(host, Answer(ADDRESS, smmuv3(words=WORDS[:2]), None))[2]


def test_an_answer_for_a_function_that_is_not_listed(fake: FakeHost) -> None:
    host = discover(fake.tree)
    assert record(host, Answer("0000:00:1f.7", smmuv3(), None), NOW) is host
    assert answer_lines(host, Answer("0000:00:1f.7", smmuv3(), None)) == []


def test_what_was_measured_before_is_kept(fake: FakeHost) -> None:
    before, smmu, function = told(fake, smmuv3())
    host = carry_over(discover(fake.tree), before)
    assert host.smmus[0].registers == smmu.registers
    assert host.function(ADDRESS) == function
    assert host.taken_at == NOW


def test_what_the_log_said_is_kept_when_the_ring_has_been_overwritten(fake: FakeHost) -> None:
    before = discover(fake.tree)
    fake.write("/dev/kmsg", "6,1,1,-;something else\n")
    host = carry_over(discover(fake.tree), before)
    assert host.smmus[0].kernel_log == before.smmus[0].kernel_log
    assert host.read_field(host.smmus[0], "IDR5.OAS").exact == 4


def test_another_device_in_the_same_place_is_not_taken_for_the_old_one(fake: FakeHost) -> None:
    before, _, _ = told(fake, smmuv3())
    base = fake.path(f"/sys/bus/pci/devices/{ADDRESS}")
    (base / "uevent").write_text("DRIVER=vfio-pci\nPCI_ID=1234:5678\n")
    function = carry_over(discover(fake.tree), before).function(ADDRESS)
    assert function is not None
    assert function.ats_not_supported == Fact()
