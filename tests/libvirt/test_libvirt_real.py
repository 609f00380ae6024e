# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - sentences of libvirt and domains in one piece
"""A real libvirt: what we write is valid and accepted, and what it makes of a domain is what we read.

libvirt on x86 has no KVM for arm64 guests, so ``type='kvm'`` becomes ``qemu`` on the way in; nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from as_libvirt import as_tcg

import vsmmu.host
from domains import GOLDEN, PARTS, domain, driver, golden
from machines import shape
from quoted import quoted
from vsmmu.kubevirt.hook import mutate
from vsmmu.kubevirt.settings import HookSettings
from vsmmu.libvirt.lint import lint
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.topology import Topology

if TYPE_CHECKING:
    from conftest import Libvirt

pytestmark = [pytest.mark.lab]
UUID = "<uuid>5cc77a1a-6f3c-43ca-8ad0-8f0ccbd6b0d2</uuid>"
RESOLVED = ("gb200", "everything", "kubevirt")


#: What every libvirt that is still in use knows.
PLAIN = domain(
    os="<os firmware='efi'><type arch='aarch64' machine='virt'>hvm</type></os>",
    iommu="<iommu model='smmuv3'/>",
    hostdev=PARTS["hostdev"].replace("<driver iommufd='yes'/>", ""),
)
#: Feature -> a domain that uses it.
FEATURES = {
    "none": PLAIN,
    "pciBus": domain(iommu="<iommu model='smmuv3'><driver pciBus='1'/></iommu>", hostdev=""),
    "accel": driver("pciBus='1' accel='on'"),
    "cmdqv": driver("pciBus='1' accel='on' cmdqv='on'"),
    "hostdev": domain(iommu=""),
    "iommufd": domain(iommu="", hostdev="", iommufd="<iommufd enabled='yes'/>"),
}

#: What the golden domain has beside libvirt's schema, to see that it stays.
UNKNOWN = b"""  <unknown-element   keeps = "its"  blanks='x' />\n"""


def as_kvm(data: bytes) -> bytes:
    return data.replace(b"type='qemu'", b"type='kvm'", 1)


def resolve(data: bytes) -> bytes:
    """``vsmmu resolve``, as a user calls it."""
    command = [sys.executable, "-m", "vsmmu", "resolve", "--host", "builtin:gb200", "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("feature", FEATURES)
def test_lint_knows_what_this_libvirt_lacks(feature: str, libvirt: Libvirt) -> None:
    """The schema of each libvirt knows exactly the features that lint does not call too new for it."""
    data = as_tcg(FEATURES[feature])
    done = libvirt.run("virt-xml-validate vm.xml domain", {"vm.xml": data})
    codes = {entry.code for entry in lint(read_domain_xml(data, feature).reading, libvirt.version)}
    assert (done.status != 0) == ("libvirt-too-old" in codes), done.stderr


@pytest.mark.parametrize("name", RESOLVED)
def test_resolved_domain_is_valid_and_can_be_defined(name: str, libvirt: Libvirt) -> None:
    # KubeVirt's own elements are not all in libvirt's schema, and it does not ask for validation either.
    valid = "true" if name == "kubevirt" else "virt-xml-validate vm.xml domain"
    flag = "" if name == "kubevirt" else "--validate"
    done = libvirt(
        f"{valid} && virsh -q define {flag} vm.xml && "
        "virsh dumpxml --inactive $(virsh list --all --name) > dumped.xml",
        {"vm.xml": as_tcg(resolve(golden(name).replace(UNKNOWN, b"")))},
    )
    assert done.status == 0, done.stderr
    assert done.files["dumped.xml"].count(b"accel='on' ats='on' ril='off' ssidsize='20' oas='48'") >= 1


@pytest.mark.parametrize("name", [*RESOLVED, "controllers", "plain"])
def test_libvirts_command_line_is_the_machine_that_we_read(name: str, libvirt: Libvirt) -> None:
    """Of the domain as libvirt prints it, where every device has its address."""
    source = PLAIN if name == "plain" else golden(name) if name == "controllers" else resolve(golden(name))
    done = libvirt(
        "virsh -q define vm.xml && virsh dumpxml --inactive $(virsh list --all --name) > dumped.xml && "
        "virsh domxml-to-native qemu-argv dumped.xml > vm.args",
        {"vm.xml": as_tcg(source)},
    )
    assert done.status == 0, done.stderr
    ours = read_domain_xml(done.files["dumped.xml"], name).machine()
    theirs = read_source(done.files["vm.args"], name).machine()
    assert shape(ours) == shape(theirs)
    assert ours.machine_type == theirs.machine_type
    assert ours.machine_options.items() <= theirs.machine_options.items()
    assert theirs.machine_options.get("iommu") == ours.machine_options.get("iommu")
    assert ours.accelerators == theirs.accelerators
    assert {entry.id for entry in ours.objects} <= {entry.id for entry in theirs.objects}
    assert bool(ours.firmware) == bool(theirs.firmware)
    assert ours.default_nic == theirs.default_nic


def test_pipeline_of_the_how_to(libvirt: Libvirt) -> None:
    """``virsh dumpxml VM | vsmmu resolve - | virsh define /dev/stdin``, and a second time without change."""
    first = libvirt(
        "virsh -q define vm.xml && virsh dumpxml --inactive t > before.xml", {"vm.xml": as_tcg(domain())}
    )
    assert first.status == 0, first.stderr
    resolved = as_tcg(resolve(as_kvm(first.files["before.xml"])))
    second = libvirt(
        "virsh -q define before.xml && cat resolved.xml | virsh -q define /dev/stdin && "
        "virsh dumpxml --inactive t > after.xml",
        {"before.xml": first.files["before.xml"], "resolved.xml": resolved},
    )
    assert second.status == 0, second.stderr
    before, after = (
        run.files[name].decode().splitlines() for run, name in ((first, "before.xml"), (second, "after.xml"))
    )
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.strip() for _, new in changed] == [
        "<driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' oas='48'/>"
    ]
    assert as_tcg(resolve(as_kvm(second.files["after.xml"]))) == second.files["after.xml"]


def test_created_topology_is_valid_and_what_we_read(libvirt: Libvirt) -> None:
    """The hook's ``vsmmu/accel: create`` on a domain with two plain host devices and no SMMU."""
    hostdev = "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x00{}' bus='0x01' slot='0x00' function='0x0'/></source></hostdev>"
    plain = domain(expander="", port="", iommu="", hostdev=hostdev.format("09") + hostdev.format("19"))
    facts = Path(vsmmu.host.__file__).with_name("builtin") / "gb200.json"
    vmi = b'{"metadata":{"annotations":{"vsmmu/accel":"create"}}}'
    created = mutate(plain, vmi, HookSettings(facts=str(facts))).domain
    done = libvirt(
        "virsh -q define --validate vm.xml && virsh dumpxml --inactive t > dumped.xml && "
        "virsh domxml-to-native qemu-argv dumped.xml > vm.args",
        {"vm.xml": as_tcg(created)},
    )
    assert done.status == 0, done.stderr
    ours = read_domain_xml(done.files["dumped.xml"], "vm.xml").machine()
    assert shape(ours) == shape(read_source(done.files["vm.args"], "vm.args").machine())
    assert [device.text("oas") for device in ours.vsmmus] == ["48", "48"]
    topology = Topology.of(ours)
    assert len({topology.root_of(device) for device in ours.devices if device.driver == "vfio-pci"}) == 2


def test_command_line_that_the_lab_starts_is_libvirts(libvirt: Libvirt) -> None:
    """tests/lab/test_libvirt_started.py takes it from the file: the lab has no libvirt."""
    done = libvirt(
        "virsh domxml-to-native qemu-argv vm.xml > vm.args", {"vm.xml": as_tcg(resolve(domain(uuid=UUID)))}
    )
    assert done.status == 0, done.stderr
    path = GOLDEN / "started.args"
    if os.environ.get("VSMMU_REGENERATE"):
        path.write_bytes(done.files["vm.args"])
    with quoted("libvirt-daemon", "12.8", libvirt.versions):
        assert done.files["vm.args"] == path.read_bytes()


#: What libvirt 12.8 itself refuses -> its words; each is the consequence of a lint rule.
REFUSED = {
    "value-auto": (driver("pciBus='1' accel='on' ats='auto'"), "Invalid value for attribute 'ats' in element 'driver': 'auto'."),
    "value-refused": (driver("pciBus='1' accel='on' ril='yes'"), "Invalid value for attribute 'ril' in element 'driver': 'yes'."),
    "value-refused-int": (driver("pciBus='1' accel='on' oas='x'"), "Invalid value for attribute 'oas' in element 'driver': 'x'."),
    "accel-missing": (driver("pciBus='1' ats='on'"), "accel must be enabled for iommu model 'smmuv3' when setting ats, ril, ssidsize, oas, or cmdqv"),
    "model-draft": (domain(iommu="<iommu model='smmuv3Dev'><driver pciBus='1' accel='on'/></iommu>"), "Invalid value for attribute 'model' in element 'iommu': 'smmuv3Dev'."),
    "attribute-of-other-model": (driver("pciBus='1' accel='on' intremap='on'"), "iommu model 'smmuv3' doesn't support some additional attributes"),
    "iommufd-fdgroup": (domain(iommufd="<iommufd enabled='no' fdgroup='x'/>"), "Setting 'fdgroup' when 'iommufd' is disabled is not supported"),
    "iommufd-twice": (domain(iommufd="<iommufd enabled='yes'/><iommufd enabled='yes'/>"), "only one 'iommufd' element is supported"),
    "expander-place": (domain(expander="<controller type='pci' index='1' model='pcie-expander-bus'><address type='pci' bus='0x02' slot='0x00'/></controller>", port="<controller type='pci' index='2' model='pcie-root-port'><address type='pci' bus='0x00' slot='0x04'/></controller>", hostdev=""), "pcie-expander-bus"),
    "pcibus-missing": (driver("pciBus='77' accel='on'"), "Could not find a suitable controller for smmuv3"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_lint_says_that_libvirt_refuses_is_refused(name: str, libvirt: Libvirt) -> None:
    data, sentence = REFUSED[name]
    done = libvirt("virsh domxml-to-native qemu-argv vm.xml", {"vm.xml": as_tcg(data)})
    assert done.status != 0, done.stdout
    with quoted("libvirt-daemon", "12.8", libvirt.versions):
        assert sentence in done.stderr


#: What libvirt 12.8 lets through -> what it leaves on the command line.
ACCEPTED = {
    "iommu-models-mixed": (domain(iommu="<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu><iommu model='virtio'><address type='pci' bus='0x00' slot='0x07'/></iommu>"), '"driver":"virtio-iommu","id":"iommu1"'),
    "attribute-of-a-draft": (driver("pciBus='1' accel='on' pasid='on' granule='4k'"), '"accel":true}'),
    "attribute-misspelt": (driver("pciBus='1' accel='on' ssidSize='20' ssid_size='3' parentIdx='4'"), '"accel":true}'),
    "attribute-unknown": (driver("pciBus='1' accel='on' identifier='x'"), '"accel":true}'),
    "oas-range": (driver("pciBus='1' accel='on' oas='52'"), '"oas":"52"}'),
    "ssidsize-range": (driver("pciBus='1' accel='on' ssidsize='21'"), '"ssidsize":"21"}'),
    "accel-without-pcibus": (driver("accel='on' ats='on'"), "iommu=smmuv3"),
    "pcibus-no-expander": (driver("pciBus='2' accel='on'"), '"primary-bus":"pci.2"'),
    "pcibus-twice": (domain(iommu="<iommu model='smmuv3'><driver pciBus='1'/></iommu>" * 2), '"id":"iommu1"'),
    "iommu-without-pcibus": (domain(iommu="<iommu model='smmuv3'/><iommu model='smmuv3'><driver pciBus='1'/></iommu>"), '"id":"iommu1"'),
    "hostdev-without-iommufd": (domain(hostdev="<hostdev mode='subsystem' type='pci'><source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source><address type='pci' bus='0x02' slot='0x00'/></hostdev>"), '"host":"0009:01:00.0"'),
    "hostdev-without-address": (domain(hostdev="<hostdev mode='subsystem' type='pci'><driver iommufd='yes'/><source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source></hostdev>"), '"bus":"pci.2"'),
    "emulated-behind-accel": (domain(hostdev="", more="<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' bus='0x02' slot='0x00'/></rng>"), '"driver":"virtio-rng-pci"'),
    "no-kvm": (domain(), "-accel tcg"),
    "no-acpi": (domain(features="<features><gic version='3'/></features>"), "acpi=off"),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_lint_says_that_libvirt_accepts_is_accepted(name: str, libvirt: Libvirt) -> None:
    data, left = ACCEPTED[name]
    done = libvirt("virsh domxml-to-native qemu-argv vm.xml > vm.args", {"vm.xml": as_tcg(data)})
    text = done.files["vm.args"].decode()
    with quoted("libvirt-daemon", "12.8", libvirt.versions):
        assert left in text, done.stderr
    ours = shape(read_domain_xml(as_tcg(data), name).passed_on())
    assert ours == shape(read_source(text.encode(), name).machine())


def test_misspelt_attribute_fails_only_with_validate(libvirt: Libvirt) -> None:
    data = as_tcg(driver("pciBus='1' accel='on' ssidSize='20'"))
    done = libvirt(
        "virsh -q define vm.xml && virsh dumpxml --inactive t > dumped.xml\n"
        "virsh -q define --validate vm.xml 2> validate.err || echo refused",
        {"vm.xml": data},
    )
    assert b"ssid" not in done.files["dumped.xml"]
    assert done.stdout.strip().endswith("refused")
    assert b"failed to validate against schema" in done.files["validate.err"]
