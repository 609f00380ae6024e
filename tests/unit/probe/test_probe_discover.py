# SPDX-License-Identifier: Apache-2.0
"""Discovery and the live host, in a made-up tree."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from iort_table import root, smmu, table

from fake_host import BOOT, LOG, SMMU, FakeHost, config_space
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import Host, Kernel, RegisterFact, ReservedRegion
from vsmmu.host.files import save_host
from vsmmu.probe import sysfs
from vsmmu.probe.discover import discover
from vsmmu.probe.live import describe_age, live_host
from vsmmu.probe.sysfs import host_bridge, read_identity
from vsmmu.probe.system_root import Tree
from vsmmu.smmuv3.fields import REGISTERS

if TYPE_CHECKING:
    from pathlib import Path

IORT = "/sys/firmware/acpi/tables/IORT"
BRIDGE = "/sys/devices/platform/40000000.pcie"
#: More than enough for an unprivileged VM start on a host with this many functions.
MANY = 256


def probed(fake: FakeHost, boot: str = BOOT) -> Host:
    host = discover(fake.tree)
    words = {name: RegisterFact("0x00000001", "probe") for name in REGISTERS}
    smmus = tuple(msgspec.structs.replace(entry, registers=words, fields={}) for entry in host.smmus)
    functions = tuple(
        msgspec.structs.replace(entry, ats_not_supported=Fact(1, "probe"))
        if entry.driver == "vfio-pci"
        else entry
        for entry in host.functions
    )
    host = msgspec.structs.replace(
        host,
        taken_at="2026-11-22T13:00:00+00:00",
        kernel=Kernel("7.3.4", boot),
        smmus=smmus,
        functions=functions,
        evidence={**host.evidence, "probe": Evidence("measured", "here")},
    )
    save_host(host, fake.path("/run/vsmmu/host.json"))
    return host


def test_what_sysfs_and_the_log_say(fake: FakeHost) -> None:
    host = live_host(str(fake.root))
    assert (host.name, host.kernel.release, host.kernel.boot_id) == ("fake", "7.3.4", BOOT)
    assert host.synthetic[0].startswith("read from the files below")
    entry = host.smmu(SMMU)
    assert entry is not None
    assert (entry.device, entry.numa_node, entry.kernel_log) == ("9050000.smmuv3", 1, (LOG,))
    assert host.read_field(entry, "IDR5.OAS").exact == 4
    assert host.read_field(entry, "IDR3.RIL").evidence.kind == "inferred"
    assert host.read(entry.coherent, "coherent").exact == 1
    unknown = host.read_field(entry, "IDR1.SSIDSIZE")
    assert unknown.is_unknown
    assert "vsmmu probe" in unknown.evidence.detail


def test_the_log_settles_nesting_and_command_queues(fake: FakeHost) -> None:
    lines = (
        "arm-smmu-v3 9050000.smmuv3: found companion CMDQV device: NVDA200C:00",
        "arm-smmu-v3 9050000.smmuv3: option mask 0x10",
        "acpi NVDA200C:00: tegra241_cmdqv: Falling back to standard SMMU CMDQ",
        LOG.replace("0x01088705", "0x01000705"),
    )
    fake.write("/dev/kmsg", "".join(f"6,1,1,-;{line}\n" for line in lines))
    host = discover(fake.tree)
    entry = host.smmu(SMMU)
    assert entry is not None
    assert entry.kernel_log == lines
    for fact, key in ((entry.cmdqv, "cmdqv"), (entry.nesting, "nesting")):
        reading = host.read(fact, key)
        assert (reading.exact, reading.evidence.kind) == (0, "inferred")


def test_reserved_regions_and_the_machines_name(fake: FakeHost) -> None:
    assert discover(fake.tree).product == ""
    fake.write("/sys/firmware/devicetree/base/model", b"linux,dummy-virt\0")
    assert discover(fake.tree).product == "linux,dummy-virt"
    fake.write("/sys/class/dmi/id/product_name", "GB300 NVL\n")
    text = (
        "0x00000000a1600000 0x00000000b97fffff direct\nx\n0x5 0x4 direct\nz z direct\n0x8000000 0x80fffff msi"
    )
    fake.write("/sys/kernel/iommu_groups/1/reserved_regions", text)
    host = discover(fake.tree)
    assert host.product == "GB300 NVL"
    nic, outside = host.function("0000:00:05.0"), host.function("0001:00:01.0")
    assert nic is not None
    assert outside is not None
    assert nic.reserved_regions == (
        ReservedRegion("0xa1600000", "0xb97fffff", "direct"),
        ReservedRegion("0x8000000", "0x80fffff", "msi"),
    )
    assert outside.reserved_regions is msgspec.UNSET


def test_of_the_command_line_only_what_bears_on_it(fake: FakeHost) -> None:
    fake.write("/proc/cmdline", "quiet token=secret iommu.passthrough=1 vfio-pci.ids=10de:2941 pci=x\x1b\n")
    assert discover(fake.tree).kernel.command_line == "iommu.passthrough=1 vfio-pci.ids=10de:2941"


def test_functions(fake: FakeHost) -> None:
    host = live_host(str(fake.root))
    nic = host.function("0000:00:05.0")
    assert nic is not None
    assert (nic.smmu, nic.driver, nic.vendor, nic.device, nic.class_code, nic.iommu_group) == (
        SMMU, "e1000e", "8086", "10d3", "020000", 1,
    )  # fmt: skip
    outside = host.function("0001:00:01.0")
    assert outside is not None
    assert (outside.smmu, outside.iommu_group, outside.ats_capability) == (None, None, Fact())
    bridge = host.function("0000:00:00.0")
    assert bridge is not None
    assert bridge.ats_capability == Fact()


def test_a_virtual_function_has_its_physical_ones_pasid(fake: FakeHost) -> None:
    pasid = config_space((0x1B, b"\x06\x14\0\0"))
    fake.function("0002:00:01.0", config=pasid)
    fake.write("/sys/bus/pci/devices/0002:00:01.0/sriov_numvfs", "1\n")
    fake.function("0002:00:01.1", config=config_space((0x0F, bytes(4))))
    fake.link("/sys/bus/pci/devices/0002:00:01.1/physfn", "/sys/bus/pci/devices/0002:00:01.0")
    host = discover(fake.tree)
    physical, virtual = host.function("0002:00:01.0"), host.function("0002:00:01.1")
    assert physical is not None
    assert virtual is not None
    assert physical.virtual_functions == 1
    assert virtual.physical_function == "0002:00:01.0"
    assert (physical.ats_capability.value, virtual.ats_capability.value) == (0, 1)
    assert (physical.pasid_width.value, virtual.pasid_width.value, virtual.pasid_capability.value) == (
        20,
        20,
        1,
    )


@pytest.mark.parametrize(("ats", "memory", "expected"), [(1, 4, (1, 1)), (0, 0, (0, 0)), (6, 3, (0, 0))])
def test_the_iorts_word_on_the_root_complex(
    fake: FakeHost, ats: int, memory: int, expected: tuple[int, int]
) -> None:
    fake.write(IORT, table(smmu(), root(ats=ats, memory=memory)))
    entry = discover(fake.tree).function("0000:00:05.0")
    assert entry is not None
    assert (entry.root_complex_ats.value, entry.canwbs.value) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"nonsense", "8 bytes"), (table(smmu(), root(segment=9)), "no root complex for PCI segment 0000"),
     (None, "only root may")],
)  # fmt: skip
def test_an_iort_that_does_not_help(fake: FakeHost, data: bytes | None, reason: str) -> None:
    if data is None:
        fake.path(IORT).mkdir(parents=True)  # exists, and cannot be read as a file
    else:
        fake.write(IORT, data)
    host = discover(fake.tree)
    entry = host.function("0000:00:05.0")
    assert entry is not None
    reading = host.read(entry.root_complex_ats, "ATS")
    assert reading.is_unknown
    assert reason in reading.evidence.detail


@pytest.mark.parametrize("present", [True, False])
def test_the_device_trees_word(fake: FakeHost, present: bool) -> None:
    fake.write("/sys/firmware/devicetree/base/compatible", "x")
    fake.write(f"{BRIDGE}/of_node/compatible", "x")
    if present:
        fake.write(f"{BRIDGE}/of_node/ats-supported", "")
    host = discover(fake.tree)
    entry = host.function("0000:00:05.0")
    assert entry is not None
    assert host.read(entry.root_complex_ats, "ATS").exact == present
    assert host.read(entry.canwbs, "CANWBS").evidence.kind == "inferred"


def test_a_device_tree_without_the_bridge(fake: FakeHost) -> None:
    fake.write("/sys/firmware/devicetree/base/compatible", "x")
    entry = discover(fake.tree).function("0000:00:05.0")
    assert entry is not None
    assert entry.root_complex_ats.value is None


def test_an_empty_machine(tmp_path: Path) -> None:
    host = live_host(str(tmp_path))
    assert (host.name, host.smmus, host.functions) == ("live", (), ())
    assert list(host.evidence) == []
    assert describe_age(host) == "no SMMU is known"


def test_a_kernel_with_iommufd_needs_no_word(fake: FakeHost) -> None:
    assert fake.path("/dev/iommu").exists()
    assert discover(fake.tree).iommufd.value is None
    fake.path("/dev/iommu").unlink()
    assert discover(fake.tree).iommufd.value is None  # nobody says that this is the kernel's own /dev
    own = "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n"
    fake.write("/proc/self/mountinfo", own + "30 24 0:9 / /dev rw - tmpfs tmpfs rw\n")  # a container's
    assert discover(fake.tree).iommufd.value is None
    fake.write("/proc/self/mountinfo", own)
    assert discover(fake.tree).iommufd.value == 0
    fake.write("/sys/class/misc/iommu/uevent", "")  # a container that was not given the device file
    assert discover(fake.tree).iommufd.value is None


def test_other_iommus_are_listed(fake: FakeHost) -> None:
    fake.smmu("dmar0", "intel")
    assert [entry.name for entry in discover(fake.tree).smmus] == ["dmar0", SMMU]


def test_hostile_names_and_contents(fake: FakeHost) -> None:
    fake.write("/proc/sys/kernel/hostname", b"\x1b[2J\xff\n")
    fake.write("/sys/class/iommu/\x07bell/uevent", "")
    fake.write("/sys/bus/pci/devices/not-an-address/uevent", "DRIVER=x")
    fake.write(
        "/sys/bus/pci/devices/0000:00:05.0/uevent", b"PCI_ID=zz:\xff\nPCI_CLASS=fffffffff\nDRIVER=\x1b\n=\n"
    )
    host = discover(fake.tree)
    assert host.name == "live"
    assert [entry.name for entry in host.smmus] == [SMMU]
    entry = host.function("0000:00:05.0")
    assert entry is not None
    assert (entry.vendor, entry.device, entry.class_code, entry.driver) == (None, None, None, "")


def test_without_the_log_the_reason_is_told(fake: FakeHost) -> None:
    fake.path("/dev/kmsg").unlink()
    host = discover(fake.tree)
    assert "log may not be read" in host.read_field(host.smmus[0], "IDR5.OAS").evidence.detail
    assert "inferred" not in describe_age(host)


def test_the_host_bridge(fake: FakeHost) -> None:
    assert host_bridge(fake.tree, "0000:00:05.0") == BRIDGE
    assert host_bridge(fake.tree, "0000:00:1f.7") is None
    fake.write("/sys/devices/odd/x", "")
    fake.link("/sys/bus/pci/devices/0000:00:1e.0", "/sys/devices/odd")
    assert host_bridge(fake.tree, "0000:00:1e.0") is None


def test_facts_of_this_boot_are_used(fake: FakeHost) -> None:
    probed(fake)
    host = live_host(str(fake.root))
    assert host.read_field(host.smmus[0], "IDR0.S2P").evidence.kind == "measured"
    assert describe_age(host, datetime(2026, 11, 22, 13, 3, tzinfo=UTC)) == (
        "probed 3 minutes ago (2026-11-22T13:00:00+00:00)"
    )


def test_only_functions_that_are_named_are_read_again(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        fake.function(f"0007:{number:02x}:00.0", driver="nvme")
    probed(fake)
    for number in (1, 2):
        fake.unbind(f"0007:{number:02x}:00.0", "nvme")
    shutil.rmtree(fake.path("/sys/bus/pci/devices/0007:03:00.0").resolve())
    fake.path("/sys/bus/pci/devices/0007:03:00.0").unlink()
    fake.function("0007:0a:00.0", driver="nvme")
    asked: list[str] = []
    read_identity = sysfs.read_identity
    monkeypatch.setattr(
        sysfs, "read_identity", lambda tree, address: asked.append(address) or read_identity(tree, address)
    )
    host = live_host(str(fake.root), named={"0007:01:00.0"})
    assert set(asked) == {"0007:01:00.0", "0007:0a:00.0"}, "and what was not there before"
    drivers = {entry.address[5:7]: entry.driver for entry in host.functions if entry.address[:4] == "0007"}
    assert drivers.pop("01") == ""
    assert drivers == dict.fromkeys(["00", "02", "04", "05", "06", "07", "0a"], "nvme")
    assert host.function("0007:03:00.0") is None


def test_facts_of_another_boot_are_not_and_that_is_said(fake: FakeHost) -> None:
    probed(fake, boot="other")
    host = live_host(str(fake.root))
    assert not host.smmus[0].registers
    assert "another boot, taken at 2026-11-22T13:00:00+00:00" in describe_age(host)
    assert "another boot" in host.read_field(host.smmus[0], "IDR1.SSIDSIZE").evidence.detail


def test_broken_facts_are_not_used_and_that_is_said(fake: FakeHost) -> None:
    fake.write("/run/vsmmu/host.json", b"{")
    assert "was not used: these are not facts" in describe_age(live_host(str(fake.root)))


def test_the_run_directory_can_be_another(
    fake: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed(fake)
    monkeypatch.setenv("VSMMU_RUN_DIR", str(tmp_path / "elsewhere"))
    assert not live_host(str(fake.root)).smmus[0].registers


def test_functions_come_go_and_change(fake: FakeHost) -> None:
    probed(fake)
    fake.unbind("0000:00:05.0", "e1000e")
    fake.path("/sys/bus/pci/devices/0000:00:06.0").unlink()
    fake.function("0000:00:09.0")
    base = fake.path("/sys/bus/pci/devices/0000:00:07.0")
    (base / "uevent").write_text("DRIVER=vfio-pci\nPCI_ID=1234:5678\n")
    host = live_host(str(fake.root))
    by_address = {entry.address: entry for entry in host.functions}
    assert by_address["0000:00:05.0"].driver == ""
    assert "0000:00:06.0" not in by_address
    assert by_address["0000:00:09.0"].smmu == SMMU
    # Another card in the same slot: what was measured of the old one does not count.
    assert by_address["0000:00:07.0"].device == "5678"
    assert by_address["0000:00:07.0"].ats_not_supported == Fact()


def test_an_smmu_that_was_not_there(fake: FakeHost) -> None:
    probed(fake)
    fake.smmu("smmu3.0x0000000000001000", "late.smmu")
    host = live_host(str(fake.root))
    assert len(host.smmus) == 2
    assert "1 of 2 SMMUs not probed" in describe_age(host)


@pytest.mark.parametrize(
    ("age", "text"),
    [(timedelta(seconds=1), "1 seconds"), (timedelta(minutes=1), "1 minute ago"), (timedelta(hours=5), "5 h"),
     (timedelta(days=2), "2 days"), (timedelta(seconds=-5), "the clock was set")],
)  # fmt: skip
def test_ages(fake: FakeHost, age: timedelta, text: str) -> None:
    host = probed(fake)
    assert text in describe_age(host, datetime.fromisoformat(host.taken_at) + age)


def test_a_time_that_is_none(fake: FakeHost) -> None:
    host = msgspec.structs.replace(probed(fake), taken_at="yesterday")
    assert describe_age(host) == "probed at an unknown time"
    assert "ago" in describe_age(msgspec.structs.replace(host, taken_at="2026-11-22T13:00:00"))


def test_reading_costs_a_few_calls_for_each_function(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """With probed facts: one file and one link a function, however many there are."""
    for number in range(MANY):
        fake.function(f"0003:{number:02x}:00.0")
    probed(fake)
    opened: list[object] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: (opened.append(path), real(path, *rest, **more))[1]
    )
    assert len(live_host(str(fake.root)).functions) >= MANY
    assert len(opened) < MANY + 20


def test_a_function_that_vanishes(fake: FakeHost) -> None:
    assert read_identity(fake.tree, "0000:00:1f.0") is None
    fake.path("/sys/bus/pci/devices/0000:00:05.0/uevent").unlink()
    assert discover(fake.tree).function("0000:00:05.0") is None


def test_the_trees_readers_never_raise(tmp_path: Path) -> None:
    tree = Tree(str(tmp_path))
    assert (tree.text("/x"), tree.number("/x"), tree.link("/x"), tree.names("/x")) == (None, None, None, [])
    assert tree.data("/nul\0byte") is None
    assert tree.target("/nul\0byte") is None
    assert tree.data("/") is None
    assert not tree.is_real
    assert Tree("/").is_real
