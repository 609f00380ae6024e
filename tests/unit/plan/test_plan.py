# SPDX-License-Identifier: Apache-2.0
"""Plans, case by case: what is laid out, what it keeps clear of, what is refused."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from domains import domain
from examples import Q11_0, Q11_1, function, host, smmu, without_memory
from vsmmu.errors import Negative, UsageError
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.plan.domain import next_index, with_host_devices
from vsmmu.plan.libvirt import devices_xml
from vsmmu.plan.planner import Order, plan
from vsmmu.policy.options import Options
from vsmmu.qemu.process import start

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.plan.model import Plan

#: For topologies: what GPUs need besides is in test_plan_surroundings.py.
GB200 = without_memory(builtin_host("gb200"))
GPU, OTHER = "0009:01:00.0", "0019:01:00.0"
MEMORY = "-object memory-backend-ram,id=m,size=128M"
HEAD = "qemu-system-aarch64 -M virt -accel kvm -bios firmware.fd -nodefaults"
SMMU = "arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,ats=on,ril=off,ssidsize=20,oas=48"


def planned(*devices: str, on: Host = GB200, vm: str = "", spare: int = 0) -> Plan:
    return plan(Order(devices, spare, tuple(shlex.split(vm))), on, Q11_1)


def refused(code: str, *devices: str, on: Host = GB200, vm: str = "", spare: int = 0) -> str:
    with pytest.raises(Negative) as caught:
        planned(*devices, on=on, vm=vm, spare=spare)
    assert caught.value.code == code
    return str(caught.value)


def several(smmus: int, functions: int = 1) -> tuple[Host, list[str]]:
    """A host with as many functions behind each of its SMMUs."""
    parts: list[HostFunction] = [
        function(f"{number:04x}:{bus + 1:02x}:00.0", f"smmu{number}")
        for number in range(smmus)
        for bus in range(functions)
    ]
    facts = host(*(smmu(f"smmu{number}") for number in range(smmus)), *parts)
    return facts, [part.address for part in parts]


def test_the_seeds_line_with_all_that_it_needs() -> None:
    assert planned(GPU).arguments == (
        *("-object", "iommufd,id=iommufd0"),
        *("-device", "pxb-pcie,id=pcie.1,bus_nr=253,bus=pcie.0"),
        *("-device", SMMU),
        *("-device", "pcie-root-port,id=rp1,bus=pcie.1,chassis=1"),
        *("-device", f"vfio-pci,host={GPU},id=vfio0,bus=rp1,iommufd=iommufd0"),
    )


def test_functions_share_a_vsmmu_if_they_share_a_host_smmu() -> None:
    answer = planned(GPU, OTHER, "0009:02:00.0")
    assert [[port.function for port in entry.ports] for entry in answer.vsmmus] == [
        [GPU, "0009:02:00.0"],
        [OTHER],
    ]


def test_a_function_named_twice_is_given_once() -> None:
    assert planned(GPU, "9:1:0.0".replace("9:1:0", "0009:01:00")).arguments == planned(GPU).arguments


def test_an_smmu_gets_ports_and_values_for_functions_to_come() -> None:
    answer = planned("smmu3.0x0000000012000000", spare=2)
    entry = answer.vsmmus[0]
    assert [port.function for port in entry.ports] == ["", ""]
    assert f"-device {SMMU} " in f"{' '.join(answer.arguments)} "
    assert not any(word.startswith("vfio-pci") for word in answer.arguments)
    # QEMU's own auto would not start without an endpoint.
    assert answer.answer == "starts"
    assert len(planned("smmu3.0x0000000012000000").vsmmus[0].ports) == 1


def test_an_existing_command_line_stays_as_it_is() -> None:
    vm = f"{HEAD} -object iommufd,id=mine -device virtio-rng-pci,id=disk,bus=pcie.0"
    answer = planned(GPU, vm=vm)
    assert answer.command_line is not None
    assert shlex.join(answer.command_line[: len(vm.split())]) == vm
    assert answer.iommufd_present
    assert not any(word.startswith("iommufd,") for word in answer.arguments)
    assert answer.arguments[-1].endswith("iommufd=mine")


def test_names_and_numbers_keep_clear_of_the_vms_own() -> None:
    vm = (
        f"{HEAD} -device pcie-root-port,bus=pcie.0,chassis=9 -device pcie-root-port,bus=pcie.0,chassis=2 "
        "-device pxb-pcie,id=pcie.1x,bus_nr=250,bus=pcie.0 "
        "-device pcie-root-port,id=rp1,bus=pcie.1x,chassis=1 "
        "-device pcie-root-port,id=rp3,bus=pcie.1x,chassis=3 -device virtio-net-pci,bus=rp1,id=vfio0"
    )
    answer = planned(GPU, OTHER, vm=vm)
    first, second = answer.vsmmus
    # A bridge without id makes a bus called pcie.0, pcie.1 ...; the planned expanders take other names.
    assert (first.expander, second.expander) == ("pcie.2", "pcie.3")
    assert [port.chassis for entry in answer.vsmmus for port in entry.ports] == [4, 5]
    assert [port.id for entry in answer.vsmmus for port in entry.ports] == ["rp2", "rp4"]
    assert first.ports[0].device == "vfio1"
    # pcie.1x needs 250..254 (two ports with one number in reserve each).
    assert (first.first_bus, first.last_bus) == (244, 246)
    assert (second.first_bus, second.last_bus) == (247, 249)


def test_a_port_that_hides_the_root_complex_is_refused() -> None:
    vm = f"{HEAD} -device pxb-pcie,id=p,bus_nr=8,bus=pcie.0 -device pcie-root-port,bus=p,chassis=1"
    assert "give that port an id" in refused("root-bus-hidden", GPU, vm=vm)
    planned(GPU, vm=vm.replace("chassis=1", "chassis=1,id=rp1"))


def test_json_devices_are_followed_by_json_devices() -> None:
    """QEMU makes key=value devices before all JSON ones: ours would take their slots."""
    vm = [*HEAD.split(), "-device", '{"driver":"virtio-rng-pci","id":"disk","bus":"pcie.0","addr":"0x1"}']
    answer = plan(Order((GPU,), words=tuple(vm)), GB200, Q11_1)
    assert answer.form == "json"
    smmu_word = next(word for word in answer.arguments if "arm-smmuv3" in word)
    assert smmu_word.endswith('"accel":true,"ats":"on","ril":"off","ssidsize":"20","oas":"48"}')


@pytest.mark.parametrize(
    ("numa", "nodes"),
    [
        ("", (None, None)),
        (f"{MEMORY} -numa node,nodeid=0,memdev=m -numa node,nodeid=1", (0, 1)),
        (f"{MEMORY} -numa node,memdev=m -numa node", (0, 1)),
        (f"{MEMORY} -numa node,nodeid=0,memdev=m", (0, None)),
        (f"{MEMORY},host-nodes=1,policy=bind -numa node,nodeid=0,memdev=m", (None, 0)),
        (f"{MEMORY} -numa node,nodeid=1,memdev=m -numa node,nodeid=0", (0, 1)),
    ],
)  # fmt: skip
def test_expanders_sit_on_the_guest_node_that_stands_for_the_hosts(
    numa: str, nodes: tuple[int | None, ...]
) -> None:
    answer = planned(GPU, OTHER, vm=f"{HEAD} {numa}")
    assert tuple(entry.numa_node for entry in answer.vsmmus) == nodes
    expanders = [word for word in answer.arguments if word.startswith("pxb-pcie")]
    assert [f"numa_node={node}" in word for node, word in zip(nodes, expanders, strict=True)] == [
        node is not None for node in nodes
    ]
    if None in nodes:
        assert any("NUMA" in note for note in answer.notes)


def test_many_ports_share_slots() -> None:
    facts, addresses = several(1, 40)
    ports = [word for word in planned(*addresses, on=facts).arguments if word.startswith("pcie-root-port")]
    assert ports[0].endswith("addr=0.0,multifunction=on")
    assert ports[39].endswith("addr=4.7")


def test_a_long_domain_goes_by_path() -> None:
    facts = host(smmu(), function("10000:01:00.0"))
    assert (
        planned("10000:01:00.0", on=facts)
        .arguments[-1]
        .startswith("vfio-pci,sysfsdev=/sys/bus/pci/devices/10000:01:00.0,")
    )


# --- what goes along ----------------------------------------------------------------------------------------


def test_companions_are_named_with_their_reason() -> None:
    def grouped(address: str, group: int, label: str = "", **more: str) -> HostFunction:
        return msgspec.structs.replace(function(address), iommu_group=group, label=label, **more)

    facts = host(
        smmu(),
        grouped("0000:01:00.0", 7),
        grouped("0000:01:00.1", 8, "audio"),
        grouped("0000:02:00.0", 7),
        grouped("0000:03:00.0", 9),
        grouped("0000:01:00.4", 10, physical_function="0000:01:00.0"),
        grouped("0000:00:01.0", 7, class_code="060400"),
    )
    found = planned("0000:01:00.0", on=facts).companions
    assert [(entry.function, entry.reason) for entry in found] == [
        ("0000:01:00.1", "same-device"),
        ("0000:02:00.0", "same-group"),
    ]
    assert "0000:01:00.1 (audio)" in found[0].text
    assert not planned("0000:01:00.0", "0000:01:00.1", "0000:02:00.0", on=facts).companions


def test_a_bridge_is_refused() -> None:
    facts = host(smmu(), msgspec.structs.replace(function(), class_code="060400"))
    with pytest.raises(UsageError, match="a bridge cannot be given to a VM"):
        planned("0000:01:00.0", on=facts)


def test_a_driver_that_holds_a_function_is_said() -> None:
    held = msgspec.structs.replace(function(), driver="nvme")
    ready = msgspec.structs.replace(function("0000:02:00.0"), driver="nvgrace-gpu-vfio-pci")
    notes = planned("0000:01:00.0", "0000:02:00.0", on=host(smmu(), held, ready)).notes
    assert [note for note in notes if "is bound to" in note] == [
        "0000:01:00.0 is bound to nvme: QEMU needs it bound to vfio-pci (or a variant of it)"
    ]


def test_a_second_vsmmu_for_one_host_smmu_is_said() -> None:
    vm = shlex.join(planned(GPU, vm=HEAD).command_line or ())
    notes = planned("0009:02:00.0", vm=vm).notes
    assert any("smmuv3.1 is a second vSMMU" in note for note in notes)


# --- limits -------------------------------------------------------------------------------------------------


def test_sixteen_vsmmus_and_not_one_more() -> None:
    facts, addresses = several(17)
    assert len(planned(*addresses[:16], on=facts).vsmmus) == 16
    refused("too-many-vsmmus", *addresses, on=facts)
    vm = shlex.join(planned(*addresses[:16], on=facts, vm=HEAD).command_line or ())
    assert "this one has 16" in refused("too-many-vsmmus", addresses[16], on=facts, vm=vm)


def test_bus_numbers_run_out() -> None:
    facts, addresses = several(1, 260)
    assert len(planned(*addresses[:254], on=facts).vsmmus[0].ports) == 254
    refused("no-bus-numbers", *addresses[:255], on=facts)


@pytest.mark.parametrize("option", ["highmem=off", "highmem-ecam=off"])
def test_the_small_configuration_space_has_sixteen_buses(option: str) -> None:
    vm = HEAD.replace("virt", f"virt,{option}")
    assert planned(GPU, vm=vm).vsmmus[0].last_bus == 15
    assert "highmem=off" in refused("no-bus-numbers", GPU, vm=vm, spare=20)


def test_slots_of_the_root_complex_run_out() -> None:
    disks = " ".join("-device virtio-rng-pci,bus=pcie.0" for _ in range(30))
    assert planned(GPU, vm=f"{HEAD} {disks}")
    refused("no-slots", GPU, OTHER, vm=f"{HEAD} {disks}")
    functions = " ".join(f"-device virtio-rng-pci,bus=pcie.0,addr=1.{n},multifunction=on" for n in range(8))
    more = " ".join("-device virtio-rng-pci,bus=pcie.0" for _ in range(28))
    assert planned(GPU, OTHER, vm=f"{HEAD} {functions} {more}")


@pytest.mark.parametrize(
    ("code", "device"),
    [("no-such-device", "0009:09:00.0"), ("no-such-device", "smmu9"), ("already-given", GPU)],
)
def test_devices_that_cannot_be_had(code: str, device: str) -> None:
    refused(code, device, vm=shlex.join(planned(GPU, vm=HEAD).command_line or ()))


def test_a_function_behind_no_smmu() -> None:
    refused("no-smmu-behind", "0000:02:00.0", on=host(smmu(), function("0000:02:00.0", None)))


def test_what_qemu_would_refuse_does_not_come_out() -> None:
    assert "iommu=smmuv3" in refused("qemu-machine-iommu", GPU, vm=HEAD.replace("virt", "virt,iommu=smmuv3"))
    assert "kvm" in refused("qemu-kvm", GPU, vm=HEAD.replace("kvm", "tcg"))


def test_unknown_facts_are_refused_or_assumed() -> None:
    facts = host(smmu(oas=None), function())
    refused("facts-unknown", "0000:01:00.0", on=facts)
    safe = plan(Order(("0000:01:00.0",)), facts, Q11_1, Options(assume_safe=True))
    assert safe.vsmmus[0].value("oas") == "44"


def test_the_plan_is_what_the_model_starts() -> None:
    answer = planned(GPU, OTHER, vm=HEAD, spare=1)
    verdict = start(read_words(answer.command_line or ()).machine(), GB200, Q11_1)
    assert verdict.answer == answer.answer == "starts"
    assert [entry.registers for entry in verdict.vsmmus] == [entry.registers for entry in answer.vsmmus]
    assert answer.vsmmus[0].registers is not None


# --- libvirt ------------------------------------------------------------------------------------------------


def test_a_domain_is_kept_clear_of() -> None:
    order = Order((OTHER,), domain=read_domain_xml(domain(), "vm.xml"))
    answer = plan(order, GB200, Q11_1)
    # The domain's expander at 252 has one port: 252..254.
    assert (answer.vsmmus[0].first_bus, answer.vsmmus[0].last_bus) == (249, 251)
    text = devices_xml(answer, 3)
    merged = domain().replace(b"</devices>", text.encode().removeprefix(b"<devices>"), 1)
    machine = read_domain_xml(merged, "merged.xml").machine()
    assert [entry.text("primary-bus") for entry in machine.vsmmus] == ["pci.1", "pci.3"]


def test_indexes_are_above_what_libvirt_adds() -> None:
    """A disk on bus 7 brings libvirt's root ports up to 7; one without address takes the first of those."""
    disk = "<disk type='file'><target dev='vd{}' bus='virtio'/>{}</disk>"
    more = disk.format("a", "<address type='pci' bus='0x07' slot='0x00'/>") + disk.format("b", "")
    given = read_domain_xml(domain(more=more), "vm.xml")
    grown = with_host_devices(given, plan(Order((OTHER,), 1, domain=given), GB200, Q11_1).vsmmus)
    assert [entry.pci_bus for entry in grown.reading.iommus] == ["1", "8"]
    places = {device.id: device.text("bus") for device in grown.machine().devices}
    assert (places["virtio-disk0"], places["virtio-disk1"]) == ("pci.7", "pci.3")
    assert next_index(given) == 8


REFUSED = {
    "iommu-without-pcibus": {"iommu": "<iommu model='smmuv3'/>"},
    "iommu-models-mixed": {"iommu": "<iommu model='virtio'/>"},
    "no-kvm": {"type": "qemu"},
    "no-acpi": {"features": "<features><gic version='3'/></features>"},
    "machine-not-virt": {"os": "<os><type arch='x86_64' machine='q35'>hvm</type></os>"},
}


@pytest.mark.parametrize("code", REFUSED)
def test_the_domain_is_looked_at_first(code: str) -> None:
    """As ``plan --`` looks at a command line: nothing comes out that could not be started."""
    bare = {"expander": "", "port": "", "hostdev": "", "iommu": ""}
    given = read_domain_xml(domain(**bare | REFUSED[code]), "vm.xml")
    with pytest.raises(Negative) as caught:
        plan(Order((GPU,), domain=given), GB200, Q11_1)
    assert caught.value.code == code


@pytest.mark.parametrize("devices", ["", "<devices/>", "<devices></devices>", "<devices >\n</devices>"])
def test_a_domain_without_devices(devices: str) -> None:
    head = (
        "<os firmware='efi'><type arch='aarch64' machine='virt'>hvm</type></os><features><acpi/></features>"
    )
    given = read_domain_xml(f"<domain type='kvm'>{head}{devices}</domain>".encode(), "vm.xml")
    grown = with_host_devices(given, plan(Order((GPU,), domain=given), GB200, Q11_1).vsmmus)
    assert [device.driver for device in grown.machine().devices] == [
        *("pxb-pcie", "pcie-root-port", "arm-smmuv3", "vfio-pci")
    ]


def test_a_domains_nodes() -> None:
    numa = (
        "<cpu mode='host-passthrough'><numa><cell id='0' memory='1'/><cell id='1' memory='1'/></numa></cpu>"
    )
    tune = "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>"
    order = Order((OTHER,), domain=read_domain_xml(domain(cpu=numa + tune), "vm.xml"))
    assert "<node>0</node>" in devices_xml(plan(order, GB200, Q11_1), 3)


def test_auto_is_left_out_of_xml_only_where_it_is_the_default() -> None:
    facts = host(smmu(oas=40), function())
    new = plan(Order(("0000:01:00.0",)), facts, Q11_1)
    assert "oas" not in devices_xml(new)
    old = plan(Order(("0000:01:00.0",)), facts, Q11_1, Options(machine_type="virt-11.0"))
    with pytest.raises(Negative) as caught:
        devices_xml(old)
    assert caught.value.code == "xml-inexpressible"
    assert caught.value.why == "virt-11.0 takes 44 where nothing is written"
    with pytest.raises(Negative) as caught:
        plan(Order(("0000:01:00.0",)), facts, Q11_0)
    assert caught.value.code == "oas-inexpressible"
