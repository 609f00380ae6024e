# SPDX-License-Identifier: Apache-2.0
"""The model of QEMU at its boundaries: what stays as it is, what is open, and which names belong to whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vsmmu
from examples import Q11_1, function, host, options, port, smmu, vfio, vm
from vsmmu.errors import Negative
from vsmmu.qemu import values
from vsmmu.qemu.compat import BASE, compare
from vsmmu.qemu.installed import Installed, fit_machine
from vsmmu.qemu.names import NameFault
from vsmmu.qemu.naming import meant
from vsmmu.qemu.process import start
from vsmmu.qemu.settings import without
from vsmmu.qemu.versions import RELEASES, is_vendor_machine
from vsmmu.smmuv3.interval import exactly

A, B = "0000:01:00.0", "0000:02:00.0"


def test_only_11_1_has_ats_of_vfio_and_looks_at_it() -> None:
    assert [release.has_vfio_ats for release in RELEASES] == [False, False, True]
    assert [release.checks_ats for release in RELEASES] == [False, None, True]


@pytest.mark.parametrize(
    ("name", "vendor"),
    [
        ("virt-11.1", False), ("virt", False), ("virt-rhel9.8.0", True), ("virt-11.0+pve0", True),
        ("virt-11.0.1", False), ("virt-11", False), ("virt-.2", False), ("virt-", False),
        ("virt-10.x", False), ("virt-11.t", False), ("virt-111", False), ("virt-011.1", False),
        ("virt-11.", False), ("virt-11..1", False), ("virt-6.2-hpb", True), ("virt-noble", True),
        ("virt+pve0", True), ("virt+pve1", True), ("virt+", False), ("virtual", False), ("virt_x", False),
        ("pc-q35-9.0", False), ("q35", False), ("", False),
    ],
)  # fmt: skip
def test_a_vendors_machine_is_a_virt_of_another_name(name: str, vendor: bool) -> None:
    assert is_vendor_machine(name) is vendor


@pytest.mark.parametrize(
    "name", ["virt-111", "virt-11.t", "virt-10.x", "virt-11.1.3", "virt-11.01", "virt-011.1"]
)
def test_what_is_no_release_and_no_vendors_is_refused(name: str) -> None:
    """Each with 11.1.3."""
    failed = start(vm(head=f"-M {name}"), host(), Q11_1).failure
    assert failed is not None
    assert failed.text.splitlines()[0] == f'unsupported machine type: "{name}"'


def test_the_architecture_register_says_3_1() -> None:
    """``s->aidr = 0x1`` in smmuv3_init_id_regs(), hw/arm/smmuv3.c of qemu/qemu."""
    assert BASE.word("AIDR") == 1
    vsmmu = start(vm("ats=on,ril=on,ssidsize=20,oas=48"), host(), Q11_1).vsmmu("s")
    assert vsmmu.registers is not None
    assert vsmmu.registers["AIDR"] == "0x00000001"


def test_a_vsmmu_without_endpoints_has_no_command_queues_to_be_unsure_of() -> None:
    vsmmu = start(vm("ats=on,ril=on,ssidsize=20,oas=48", port(1)), host(), Q11_1).vsmmu("s")
    assert vsmmu.uncertain == ()


def test_a_property_is_taken_from_its_device_and_the_globals_of_its_driver() -> None:
    machine = options(
        "-M virt -global arm-smmuv3.oas=44 -global arm-smmuv3.ril=on -global vfio-pci.oas=1 -global a.oas=2",
        "-device arm-smmuv3,primary-bus=pcie.0,id=s,oas=48,ats=on",
    )
    device, mended = without(machine.vsmmus[0], machine, "oas")
    assert dict(device.properties) == {"primary-bus": "pcie.0", "ats": "on"}
    left = [(entry.driver, entry.property) for entry in mended.globals]
    assert left == [("arm-smmuv3", "ril"), ("vfio-pci", "oas"), ("a", "oas")]


def test_a_function_without_facts_leaves_every_field_open() -> None:
    needs = {
        need
        for doubt in start(vm("ats=on,ril=on,ssidsize=20,oas=48", port(1), vfio(B, 1)), host(), Q11_1).of(
            "unknown"
        )
        for need in doubt.needs
    }
    assert {"IDR0.ATS", "IDR3.RIL", "IDR1.SSIDSIZE", "IDR5.OAS", "nesting"} <= needs


def test_a_refused_value_is_mended_for_the_endpoints_that_follow() -> None:
    on = host(smmu("a", oas=44), smmu("b", oas=44), function(A, "a"), function(B, "b"))
    machine = vm("ats=on,ril=on,ssidsize=20,oas=48", port(1), vfio(A, 1), port(2), vfio(B, 2))
    assert [entry.code for entry in start(machine, on, Q11_1).of("error")] == ["qemu-oas"]


def test_the_last_four_machine_types_are_named() -> None:
    names = tuple(f"virt-{minor}" for minor in ("10.0", "10.1", "10.2", "11.0", "11.1"))
    known = Installed("11.1.3", names, "virt-11.1", {}, vfio_ats=True)
    with pytest.raises(Negative) as caught:
        fit_machine(options("-M virt-9.0"), known)
    assert caught.value.why == "it has virt-10.1, virt-10.2, virt-11.0, virt-11.1"
    assert fit_machine(options("-M virt"), known).machine_type == "virt-11.1"


def test_a_qemu_that_does_not_look_at_ats_looks_at_all_else() -> None:
    on = host(smmu(ats=0, ril=0))
    frozen = {name: exactly(1) for name in ("ats", "ril")} | {"ssidsize": exactly(0), "oas": exactly(4)}

    def codes(looks: bool | None) -> list[str]:
        row = Q11_1._replace(checks_ats=looks)
        found = compare(lambda key: on.read_field(on.smmus[0], key), frozen, row)
        return [f"{entry.check.key}{'' if entry.certain else '?'}" for entry in found]

    assert codes(True) == ["IDR3.RIL", "IDR0.ATS"]
    assert codes(None) == ["IDR3.RIL", "IDR0.ATS?"]
    assert codes(False) == ["IDR3.RIL"]


@pytest.mark.parametrize("cmdqv", ["off", "auto"])
def test_without_command_queues_nothing_is_unsure(cmdqv: str) -> None:
    verdict = start(vm(f"ats=on,ril=on,ssidsize=20,oas=48,cmdqv={cmdqv}"), host(smmu(cmdqv=0)), Q11_1)
    assert verdict.vsmmu("s").uncertain == ()
    able = start(vm(f"ats=on,ril=on,ssidsize=20,oas=48,cmdqv={cmdqv}"), host(smmu(cmdqv=1)), Q11_1)
    assert able.vsmmu("s").uncertain == (() if cmdqv == "off" else ("IDR1.CMDQS",))


def test_two_host_smmus_behind_one_vsmmu_are_named_with_their_first_functions() -> None:
    on = host(smmu("a"), smmu("b"), function(A, "a"), function(B, "b"))
    machine = vm("ats=on,ril=on,ssidsize=20,oas=48", port(1), vfio(A, 1), port(2), vfio(B, 2))
    (hazard,) = start(machine, on, Q11_1).of("hazard")
    assert hazard.what.startswith("v1 sits behind host SMMU a and v2 behind b")


@given(
    st.integers(-(1 << 65), 1 << 65)
    | st.sampled_from([-(1 << 63), (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 8, 9])
)
def test_a_number_is_read_in_each_base_up_to_its_bounds(number: int) -> None:
    sign = "-" if number < 0 else ""
    for text in (f"{number}", f"{sign}0x{abs(number):x}", f"{sign}0{abs(number):o}"):
        assert values.signed(text) == (number if -(1 << 63) <= number < 1 << 63 else None), text
        assert values.unsigned(text) == (number & (1 << 64) - 1 if abs(number) < 1 << 64 else None), text


@given(st.integers(41, 5000), st.sampled_from("19"))
def test_a_number_of_more_digits_than_python_reads_is_too_large(count: int, digit: str) -> None:
    assert values.signed(digit * count) is values.unsigned(f"-{digit * count}") is None
    assert values.size(f"{digit * count}G") is values.size(digit * count) is None
    assert values.size(f"0{'0' * count}{digit}K") == int(digit) << 10
    assert values.size(f"{digit}.5{'0' * count}K") == (int(digit) << 10) + 512


@pytest.mark.parametrize(("nearest", "said"), [("accel", "did you mean accel?"), ("", "")])
def test_a_name_that_looks_like_none_is_not_said_to_mean_one(nearest: str, said: str) -> None:
    assert meant(NameFault("qemu-property-unknown", True, "text", nearest)) == said


@pytest.mark.parametrize(
    ("address", "code"),
    [("", "qemu-slot-shpc"), (",addr=1", "qemu-conventional")],
)
def test_slot_0_behind_a_pci_bridge_is_who_the_vsmmu_sees(address: str, code: str) -> None:
    """Recorded in the lab with 11.1.3 (written-lab-1): QEMU admits it and refuses its slot then."""
    bridge = "-device pcie-pci-bridge,id=b,bus=rp1"
    machine = vm("ats=off,ril=on,ssidsize=0,oas=44", port(1), bridge, f"{vfio(A, 1)},bus=b{address}")
    failed = start(machine, host(), Q11_1).failure
    assert failed is not None
    assert failed.code == code


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("127", "Node ID missing: 126"),
        ("128", "Max number of NUMA nodes reached: 128"),
        ("65535", "Max number of NUMA nodes reached: 65535"),
        ("400000000", "Parameter 'nodeid' expects uint16_t"),
        ("9" * 5000, "Parameter 'nodeid' expects a uint64 value"),
    ],
)
def test_nodes_are_numbered_as_far_as_there_may_be_nodes(number: str, said: str) -> None:
    verdict = vsmmu.check(
        vsmmu.read_vm(["qemu-system-aarch64", "-M", "virt", "-numa", f"node,nodeid={number}"]),
        vsmmu.load_host("builtin:gb200"),
        qemu="11.1",
    )
    assert any(said in entry.why or said in entry.what for entry in verdict.diagnostics), verdict.diagnostics
