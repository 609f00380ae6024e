# SPDX-License-Identifier: Apache-2.0
"""A real libvirt in the lab host starts a domain that vsmmu resolved, with a real card, and nothing faked."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from running_vm import guest_files, vsmmu

from quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.lab import LabConfig, Session

pytestmark = pytest.mark.lab

CARD = "0000:00:05.0"
_DOMAIN = """<domain type='kvm'>
  <name>lab</name>
  <memory unit='MiB'>512</memory>
  <vcpu placement='static'>1</vcpu>
  <os firmware='efi'>
    <type arch='aarch64' machine='virt-11.1'>hvm</type>
    <kernel>/root/running/Image</kernel>
    <initrd>/root/running/initramfs</initrd>
    <cmdline>console=ttyAMA0 acpi=force quiet panic=-1</cmdline>
  </os>
  <features><acpi/><gic version='3'/></features>
  <cpu mode='host-passthrough' check='none'/>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='/tmp/guest.log'/></serial>
    <memballoon model='none'/>
%s  </devices>
</domain>
"""

#: As somebody writes it who knows no platform by heart: accelerated, and no value of the vSMMU.
DOMAIN = (
    _DOMAIN
    % """    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'>
      <target busNr='8'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <target chassis='2' port='0x0'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </controller>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <driver iommufd='yes'/>
      <source><address domain='0x0000' bus='0x00' slot='0x05' function='0x0'/></source>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </hostdev>
    <iommu model='smmuv3'>
      <driver pciBus='1' accel='on'/>
    </iommu>
"""
)
#: As virt-install writes it: ports without a place, a card without a guest address, no SMMU, no iommufd.
INSTALLED = (
    _DOMAIN
    % """    <controller type='pci' model='pcie-root'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0' bus='0' slot='5' function='0'/></source>
    </hostdev>
"""
)


@pytest.fixture(scope="module")
def host(lab_sessions: Callable[[LabConfig], Session], lab_config: LabConfig) -> Session:
    """The lab host with ACPI and libvirt, its daemon running."""
    config = replace(lab_config.with_acpi(), libvirt=True, memory="4G")
    session = lab_sessions(config)
    done(session, "libvirtd -d --pid-file /run/libvirtd.pid")
    guest_files(session)
    return session


def done(session: Session, script: str) -> str:
    """What a script prints that has to go well; virsh hangs for good where libvirtd cannot open /dev/kvm."""
    result = session.run(["sh", "-c", script], timeout=90)
    assert result.status == 0, result.stdout.decode() + result.stderr.decode()
    return result.stdout.decode(errors="replace")


def virsh(session: Session, words: str) -> str:
    return done(session, f"virsh -q -c qemu:///system {words}")


@contextmanager
def started(session: Session, domain: bytes) -> Iterator[str]:
    """Define and start a domain; what its guest has written, once it is up."""
    session.put({"/root/domain.xml": domain})
    virsh(session, "define --validate /root/domain.xml")
    try:
        virsh(session, "start lab")
        end = time.monotonic() + 90
        while "guest is up" not in (said := done(session, "cat /tmp/guest.log")):
            assert time.monotonic() < end, said[-2000:]
            time.sleep(0.5)
        yield said
    finally:
        session.run(["sh", "-c", "virsh -q destroy lab; virsh -q undefine --nvram lab"], timeout=60)


def driver_of(session: Session, function: str) -> str:
    return done(session, f"basename $(readlink /sys/bus/pci/devices/{function}/driver)").strip()


@pytest.mark.parametrize(
    ("written", "verb"), [(DOMAIN, "resolve"), (INSTALLED, "fix --accelerate")], ids=["resolve", "fix"]
)
def test_libvirt_starts_what_vsmmu_wrote(host: Session, written: str, verb: str) -> None:
    before = driver_of(host, CARD)
    probed = vsmmu(host, "probe", "--bind", CARD)
    assert probed.status == 0, probed.stderr.decode()
    assert driver_of(host, CARD) == before
    host.put({"/root/written.xml": written.encode()})
    result = vsmmu(host, *verb.split(), "/root/written.xml")
    assert result.status == 0, result.stderr.decode()
    assert b"ats='off' ril='on' ssidsize='0' oas='44'" in result.stdout
    with started(host, result.stdout) as guest:
        with quoted("linux", "7.3", host.artifacts.versions()):
            assert "oas 44-bit (features 0x01008305)" in guest
        # The assigned e1000e.
        assert "function 0x8086" in guest
        assert driver_of(host, CARD) == "vfio-pci"

        for libvirt in ("qemu:///system", "/usr/sbin/libvirtd", "/usr/bin/virsh"):
            judged = vsmmu(host, "check", "--libvirt", libvirt, "lab")
            assert judged.status == 0, judged.stdout.decode() + judged.stderr.decode()
        pid = done(host, "cat /run/libvirt/qemu/lab.pid").strip()
        for name in ("lab", pid):
            # One virsh for each question, a second each where everything is emulated.
            seen = host.run(["vsmmu", "inspect", "--timeout", "240", "-o", "json", name], timeout=300)
            assert seen.status == 0, seen.stdout.decode() + seen.stderr.decode()
            (smmu,) = json.loads(seen.stdout)["vsmmus"]
            guest_sees = {row["name"]: row["guest"] for row in smmu["properties"]}
            assert guest_sees | {"ats": "off", "ril": "on", "ssidsize": "0", "oas": "44"} == guest_sees
    assert driver_of(host, CARD) == before


def test_libvirt_passes_qemu_s_refusal_on(host: Session) -> None:
    wrong = DOMAIN.replace("accel='on'/>", "accel='on' ats='on' ril='on' ssidsize='0' oas='44'/>")
    host.put({"/root/written.xml": wrong.encode()})
    judged = vsmmu(host, "check", "-o", "json", "/root/written.xml")
    assert judged.status == 1, judged.stderr.decode()
    message = json.loads(judged.stdout)["failure"]["text"]
    virsh(host, "define /root/written.xml")
    try:
        said = host.run(["virsh", "-c", "qemu:///system", "start", "lab"], timeout=90)
        assert said.status != 0
        assert message in said.stderr.decode()
    finally:
        virsh(host, "undefine --nvram lab")
