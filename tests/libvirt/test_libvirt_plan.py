# SPDX-License-Identifier: Apache-2.0
"""A real libvirt takes what plan gives it, and makes of it the VM that plan described."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from as_libvirt import as_tcg

from domains import domain
from examples import with_nodes, without_memory
from layouts import LAYOUTS
from quoted import quoted
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.plan.domain import next_index, with_host_devices
from vsmmu.plan.libvirt import devices_xml
from vsmmu.plan.libvirt_surroundings import with_surroundings
from vsmmu.plan.planner import Order, plan
from vsmmu.plan.surroundings import Surroundings
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Libvirt
    from vsmmu.machine.model import Machine

pytestmark = [pytest.mark.lab]
GOLDEN = Path(__file__).parents[1] / "golden" / "plan"
GB200 = without_memory(builtin_host("gb200"))
BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}


@pytest.mark.parametrize("name", LAYOUTS)
def test_libvirt_hands_the_surroundings_of_every_layout_to_qemu(name: str, libvirt: Libvirt) -> None:
    layout = LAYOUTS[name]
    given = read_domain_xml(domain(**BARE), "vm.xml")
    planned = plan(layout.order()._replace(domain=given), layout.host(), LATEST, layout.options())
    around = with_surroundings(given, Surroundings(planned.nodes, planned.mmio_window))
    grown = with_host_devices(around, planned.vsmmus)
    done = libvirt(
        "virt-xml-validate vm.xml domain && virsh -q define --validate vm.xml && "
        "virsh dumpxml --inactive t > dumped.xml && virsh domxml-to-native qemu-argv dumped.xml > vm.args",
        {"vm.xml": as_tcg(grown.data)},
    )
    assert done.status == 0, done.stderr
    ours, theirs = grown.machine(), read_source(done.files["vm.args"], "vm.args").machine()
    assert theirs.numa_nodes == ours.numa_nodes
    window = "highmem-mmio-size"
    assert theirs.machine_options.get(window) == ours.machine_options.get(window)
    assert _initiators(theirs) == _initiators(ours)
    assert len(_initiators(theirs)) == sum(
        len(port.initiators) for entry in planned.vsmmus for port in entry.ports
    )


def test_libvirt_hands_distances_to_qemu(libvirt: Libvirt) -> None:
    cells = "<cell id='0' cpus='0' memory='1' unit='GiB'/><cell id='1' cpus='1' memory='1' unit='GiB'/>"
    bound = "".join(f"<memnode cellid='{node}' mode='strict' nodeset='0'/>" for node in (0, 1))
    given = domain(
        **BARE,
        cpu=f"<cpu mode='host-passthrough'><numa>{cells}</numa></cpu>",
        uuid=f"<numatune>{bound}</numatune>",
    )
    # The machine that runs this has one node; the host of the facts has two.
    meant = read_domain_xml(
        given.replace(b"cellid='1' mode='strict' nodeset='0'", b"cellid='1' mode='strict' nodeset='1'"),
        "vm.xml",
    )
    planned = plan(Order(("0009:01:00.0",), domain=meant), with_nodes(builtin_host("gb200")), LATEST)
    around = Surroundings(planned.nodes, planned.mmio_window, distances=planned.distances)
    grown = with_host_devices(with_surroundings(read_domain_xml(given, "vm.xml"), around), planned.vsmmus)
    done = libvirt(
        "virt-xml-validate vm.xml domain && virsh -q define --validate vm.xml && "
        "virsh dumpxml --inactive t > dumped.xml && virsh domxml-to-native qemu-argv dumped.xml > vm.args",
        {"vm.xml": as_tcg(grown.data)},
    )
    assert done.status == 0, done.stderr
    told = {
        (int(option.settings["src"]), int(option.settings["dst"])): int(option.settings["val"])
        for option in read_source(done.files["vm.args"], "vm.args").machine().numa
        if option.settings["type"] == "dist"
    }
    assert planned.distances
    for entry in planned.distances:
        assert told[entry.source, entry.target] == told[entry.target, entry.source] == entry.value


def _initiators(machine: Machine) -> list[tuple[str, str, str]]:
    return [
        (entry.id, str(entry.properties["pci-dev"]), str(entry.properties["node"]))
        for entry in machine.objects
        if entry.qom_type == "acpi-generic-initiator"
    ]


@pytest.mark.parametrize(
    ("name", "given", "devices", "spare"),
    [
        ("two", domain(**BARE), ("0009:01:00.0", "0019:01:00.0"), 0),
        ("three", domain(**BARE), ("0008:01:00.0", "0009:01:00.0", "0009:02:00.0", "0018:01:00.0"), 2),
        ("ports", domain(**BARE), ("smmu3.0x0000000012000000",), 0),
        ("beside", domain(), ("0019:01:00.0", "0019:02:00.0"), 1),
    ],
)
def test_libvirt_makes_the_planned_vm(
    name: str, given: bytes, devices: tuple[str, ...], spare: int, libvirt: Libvirt
) -> None:
    before = read_domain_xml(given, "vm.xml")
    planned = plan(Order(devices, spare, domain=before), GB200, LATEST)
    elements = (
        devices_xml(planned, next_index(before)).removeprefix("<devices>\n").removesuffix("</devices>\n")
    )
    merged = given.replace(b"  </devices>", elements.encode() + b"  </devices>", 1)
    done = libvirt(
        "virt-xml-validate vm.xml domain && virsh -q define --validate vm.xml && "
        "virsh dumpxml --inactive t > dumped.xml && virsh domxml-to-native qemu-argv dumped.xml > vm.args",
        {"vm.xml": as_tcg(merged)},
    )
    assert done.status == 0, done.stderr
    # libvirt opens the functions itself and, asked for a command line only, leaves the descriptors out.
    text = done.files["vm.args"].replace(b"-accel tcg", b"-accel kvm")
    text = text.replace(b'"driver":"vfio-pci",', b'"driver":"vfio-pci","fd":"9",')
    line = read_source(text, "vm.args")
    machine = line.machine()
    hosts = {port.function for entry in planned.vsmmus for port in entry.endpoints}
    names = {
        entry.id: entry.source
        for entry in read_domain_xml(done.files["dumped.xml"], "vm.xml").reading.hostdevs
    }
    assert hosts <= set(names.values())
    verdict = start(machine, GB200, LATEST, names)
    ours = verdict.vsmmus[-len(planned.vsmmus) :]
    assert [entry.registers for entry in ours] == [entry.registers for entry in planned.vsmmus]
    assert [[point.function for point in entry.endpoints] for entry in ours] == [
        [port.function for port in entry.endpoints] for entry in planned.vsmmus
    ]
    numbers = [device.text("bus_nr") for device in machine.devices if device.driver == "pxb-pcie"]
    assert numbers[-len(ours) :] == [str(entry.first_bus) for entry in planned.vsmmus]
    chassis = [device.text("chassis") for device in machine.devices if device.driver == "pcie-root-port"]
    assert len(chassis) == len(set(chassis))
    _record(name, line.words, names, libvirt.versions)


def _record(
    name: str, words: tuple[str, ...], functions: dict[str, str], versions: Mapping[str, str]
) -> None:
    """The devices as libvirt writes them, for the lab to start in QEMU (tests/lab/test_plan_real.py)."""
    kept = [word for before, word in pairwise(words) if before == "-device" or '"iommufd","id"' in word]
    lines = []
    for word in kept:
        settings = json.loads(word)
        if settings.pop("fd", None):
            settings["host"] = functions[settings["id"]]
        lines.append(json.dumps(settings, separators=(",", ":")))
    path = GOLDEN / f"libvirt-{name}.json"
    text = "[\n" + ",\n".join(lines) + "\n]\n"
    if os.environ.get("VSMMU_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    with quoted("libvirt-daemon", "12.8", versions):
        assert path.read_text(encoding="utf-8") == text
