# SPDX-License-Identifier: Apache-2.0
"""A real libvirt defines the domains that fix gives, and makes of them the VM that the model has judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from as_libvirt import as_tcg

from domains import PARTS, domain
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.mend.mending import Wishes, mend
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from conftest import Libvirt

pytestmark = [pytest.mark.lab]
GB200 = builtin_host("gb200")
HOSTDEV = PARTS["hostdev"].replace("<driver iommufd='yes'/>", "")
#: As virt-install writes it: no index, no address, no SMMU.
INSTALLED = domain(
    expander="<controller type='usb' model='qemu-xhci' ports='15'/>",
    port="<controller type='pci' model='pcie-root-port'/>" * 4,
    hostdev="<hostdev mode='subsystem' type='pci' managed='yes'>"
    "<source><address domain='9' bus='1' slot='0' function='0'/></source><boot order='2'/></hostdev>",
    iommu="<interface type='user'><model type='virtio'/></interface><console type='pty'/>",
    more="<memballoon model='virtio'/>"
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
)
NAIVE = domain(
    features="<features><gic version='3'/></features>",
    expander=PARTS["expander"].replace("252", "8"),
    port="<controller type='pci' index='3' model='pcie-expander-bus'><target busNr='8'/></controller>",
    hostdev=HOSTDEV.replace("bus='0x02'", "bus='0x01'"),
    iommu="<iommu model='smmuv3'/>"
    "<iommu model='smmuv3'><driver pciBus='1' accel='on' ril='on' ssidSize='8'/></iommu>",
)


@pytest.mark.parametrize("given", [INSTALLED, NAIVE], ids=["installed", "naive"])
def test_libvirt_defines_the_mended_domain(given: bytes, libvirt: Libvirt) -> None:
    wishes = Wishes(unpin=frozenset(PROPERTIES), accelerate=True)
    mending = mend(read_domain_xml(given, "vm.xml"), GB200, LATEST, wishes=wishes)
    assert mending.verdict.answer == "starts"
    done = libvirt(
        "virt-xml-validate vm.xml domain && virsh -q define --validate vm.xml && "
        "virsh dumpxml --inactive t > dumped.xml && virsh domxml-to-native qemu-argv dumped.xml > vm.args",
        {"vm.xml": as_tcg(mending.vm.render())},
    )
    assert done.status == 0, done.stderr
    # libvirt opens the functions itself and, asked for a command line only, leaves the descriptors out.
    text = done.files["vm.args"].replace(b"-accel tcg", b"-accel kvm")
    text = text.replace(b'"driver":"vfio-pci",', b'"driver":"vfio-pci","fd":"9",')
    dumped = read_domain_xml(done.files["dumped.xml"], "vm.xml")
    names = {entry.id: entry.source for entry in dumped.reading.hostdevs}
    verdict = start(read_source(text, "vm.args").machine(), GB200, LATEST, names)
    assert verdict.answer == "starts"
    assert [entry.registers for entry in verdict.vsmmus] == [
        entry.registers for entry in mending.verdict.vsmmus
    ]
