# SPDX-License-Identifier: Apache-2.0
"""Nothing that a user could call his own is left in a bundle, and the verdict is the same."""

from __future__ import annotations

import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains import PARTS, domain, golden
from strategies import vms
from vsmmu.bundle.log_lines import lines_of_log
from vsmmu.bundle.redaction import redacted_domain, redacted_option, redacted_words
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.command_line.options import OPTIONS
from vsmmu.machine.domain.document import read_domain_xml

SECRET = "Zq9AliceSecret"
MANY = 300_000
#: Options whose argument is a type, or made of types: what stands there in front is kept.
TYPED = {"machine", "M", "accel", "device", "object", "cpu", "smp", "m", "numa", "nic"}


@pytest.mark.parametrize(
    "words",
    [
        f"-name guest={SECRET}", f"-name {SECRET}", f"-uuid {SECRET}", f"-append root=/dev/{SECRET}", SECRET,
        f"-drive if=none,file=/home/{SECRET}/x", f"-netdev user,id=n,hostname={SECRET}",
        f"-object secret,id=s,data={SECRET}", "-object secret,id=s,data=1234567",
        f"-vnc :1,password={SECRET}",
        f"-smbios type=1,serial={SECRET}", f"-fw_cfg name=opt/x,string={SECRET}", f"-k {SECRET}",
        f"-device virtio-blk-pci,drive=d,serial={SECRET}", "-device virtio-net-pci,mac=52:54:00:12:34:56",
        f'-device \'{{"driver":"virtio-blk-pci","serial":"{SECRET}"}}\'',
        f"-machine virt,firmware=/x/{SECRET}",
        f"-object '{{\"qom-type\":\"secret\",\"id\":\"s\",\"data\":\"{SECRET}\"}}'", f"-kernel {SECRET}",
        f"-global virtio-blk-pci.serial={SECRET}", f"-set device.d.serial={SECRET}", f"-global {SECRET}",
        f"-monitor unix:/run/{SECRET}", f"-device vfio-pci,sysfsdev=/sys/{SECRET}", f"-unheard-of {SECRET}",
        f"-device vfio-pci,host={SECRET}", f"-cpu host,x={SECRET}", f"-numa node,nodeid=0,x={SECRET}",
    ],
)  # fmt: skip
def test_what_is_somebodys_is_taken_out(words: str) -> None:
    line = read_words(["env", f"TOKEN={SECRET}", f"/opt/{SECRET}/qemu-system-aarch64", *shlex.split(words)])
    shown = redacted_words(line)
    assert shown[0] == "qemu-system-aarch64"
    assert not [word for word in shown if SECRET in word or "1234567" in word or "52:54" in word]


@given(name=st.sampled_from(sorted(set(OPTIONS) - TYPED)), text=st.text(max_size=20))
def test_of_an_option_that_is_not_known_to_decide_nothing_is_shown(name: str, text: str) -> None:
    shown = redacted_option(name, f"a={SECRET},{text}{SECRET}")
    assert SECRET not in shown


@given(text=st.text(max_size=60), name=st.sampled_from(sorted(TYPED)))
def test_any_argument_is_taken(name: str, text: str) -> None:
    redacted_option(name, text)
    assert f"/{SECRET}" not in redacted_option(name, f"{text},x=/{SECRET}")


@given(vm=vms(least=0))
def test_what_decides_stays(vm: object) -> None:
    line = vm.command  # type: ignore[attr-defined]
    shown = read_words(redacted_words(line)).machine()
    assert [(device.driver, device.id, device.properties) for device in shown.devices] == [
        (device.driver, device.id, device.properties) for device in line.machine().devices
    ]


@pytest.mark.parametrize("name", ["everything", "gb200", "kubevirt"])
def test_a_domain_keeps_its_machine(name: str) -> None:
    before = read_domain_xml(golden(name), name)
    after = read_domain_xml("\n".join(redacted_domain(before.root)).encode(), name)
    assert [(device.driver, device.properties) for device in after.machine().devices] == [
        (device.driver, device.properties) for device in before.machine().devices
    ]


@pytest.mark.parametrize(
    "more",
    [
        f"<disk type='file' device='disk'><source file='/x/{SECRET}'/><serial>{SECRET}</serial></disk>",
        f"<interface type='network'><source network='{SECRET}'/><mac address='{SECRET}'/></interface>",
        f"<graphics type='vnc' passwd='{SECRET}'/>",
        f"<channel type='unix'><source mode='bind' path='{SECRET}'/></channel>",
        f"<tpm model='x'><backend type='emulator'><encryption secret='{SECRET}'/></backend></tpm>",
        f"<interface type='tap'><target dev='{SECRET}'/></interface>",
    ],
)
def test_a_domain_loses_what_is_somebodys(more: str) -> None:
    data = domain(
        more=more,
        uuid=f"<uuid>{SECRET}</uuid><title>{SECRET}</title><metadata><x>{SECRET}</x></metadata>",
        end=f"<qemu:commandline><qemu:arg value='{SECRET}'/></qemu:commandline>",
    ).replace(b"<name>t<", f"<name>{SECRET}<".encode())
    shown = "\n".join(redacted_domain(read_domain_xml(data, "x").root))
    assert SECRET not in shown
    assert "<iommu model=" in shown
    assert PARTS["type"] in shown


def test_lines_of_a_log_lose_times_hosts_and_names() -> None:
    log = [
        f"2026-11-25 19:00:00.000+0000: starting up libvirt version: 12.8.0, hostname: {SECRET}",
        f"2026-11-25T19:00:00.1Z qemu-system-aarch64: -device vfio-pci,id=a,x={SECRET}: vfio: no",
        f"qemu-system-aarch64: -drive file=/{SECRET}: Could not open '/home/{SECRET}/x': No such file",
        f"Nov 25 19:00:00 {SECRET} kernel: vfio-pci 0009:01:00.0: iommu says 10.1.2.3 {SECRET}@example.org",
        f"Nov 25 19:00:00 {SECRET} kernel: usb 1-1: {SECRET}",
        f"Nov 25 19:00:00 {SECRET} sshd: iommu",
        "[    1.234567] arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features 0x001c1fff)",
    ]
    found = lines_of_log(log)
    assert found.qemu == (
        "qemu-system-aarch64: -device vfio-pci,id=a,x=REDACTED: vfio: no",
        "qemu-system-aarch64: -drive REDACTED: Could not open 'REDACTED': No such file",
    )
    assert [line.replace(SECRET, "") for line in found.kernel] == [
        "vfio-pci 0009:01:00.0: iommu says REDACTED REDACTED",
        "arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features 0x001c1fff)",
    ]
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    "line",
    ["a" * MANY, "qemu-" * MANY, "kvm" * MANY, "a.b-" * MANY + "@", "qemu-system-x: " + "a." * MANY,
     "kvm: -x " + "{}" * MANY, "arm-smmu " + "a@" * MANY, "kvm: " + "ab:" * MANY, "kernel:" * MANY,
     "kvm: " + "deadbeef-" * MANY, "kvm: " + "guest=," * MANY],
    ids=lambda line: line[:16],
)  # fmt: skip
def test_a_log_of_one_long_line_takes_no_time(line: str) -> None:
    began = time.process_time()
    lines_of_log([line])
    assert time.process_time() - began < 5, "a quadratic one takes minutes"
