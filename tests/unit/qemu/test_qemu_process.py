# SPDX-License-Identifier: Apache-2.0
"""The life of a vSMMU: auto_mode, auto_finalised, cold-plug, machine-done, reset, hot-plug, unplug."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples import Q11_0, Q11_1, device, function, host, port, smmu, vfio, vm
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.compat import BASE
from vsmmu.qemu.process import QemuProcess, start
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.state import Vsmmu

PINNED = "ats=on,ril=on,ssidsize=20,oas=48"
EMPTY = (port(1), port(2))
TWO = host(
    smmu("big", oas=48, ssidsize=20),
    smmu("small", oas=44, ssidsize=8, ats=0),
    function("0000:01:00.0", "big"),
    function("0000:02:00.0", "small"),
)


def started(machine: Machine, on: Host | None = None) -> QemuProcess:
    running = QemuProcess(machine, on or host(), Q11_1)
    verdict = running.start()
    assert verdict.failure is None, verdict.failure
    return running


def only(running: QemuProcess) -> Vsmmu:
    [vsmmu] = running.vsmmus
    return vsmmu


# --- auto_mode and auto_finalised ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ats", "ril", "ssidsize", "oas"])
def test_one_auto_of_the_four_sets_auto_mode(name: str) -> None:
    values = PINNED.replace(f"{name}=", "x=").split(",")
    rest = ",".join(value for value in values if not value.startswith("x="))
    assert only(started(vm(f"{rest},{name}=auto"))).auto_mode


def test_cmdqv_auto_alone_does_not_set_auto_mode() -> None:
    assert not only(started(vm(f"{PINNED},cmdqv=auto"))).auto_mode


def test_auto_is_finalised_by_the_first_endpoint() -> None:
    vsmmu = started(vm()).verdict().vsmmu("s")
    assert vsmmu.auto_finalised
    assert vsmmu.finalised_by == "v1"
    assert vsmmu.values == {"ats": "on", "ril": "on", "ssidsize": "20", "oas": "48", "cmdqv": "off"}


def test_auto_is_not_finalised_without_an_endpoint() -> None:
    running = QemuProcess(vm("", *EMPTY), host(), Q11_1)
    verdict = running.start()
    assert verdict.failure is not None
    assert (verdict.failure.code, verdict.failure.phase) == ("qemu-no-cold-plug", "machine-done")
    assert verdict.vsmmu("s").values["oas"] == "auto"
    assert verdict.vsmmu("s").registers is None
    assert not only(running).auto_finalised


def test_finalising_touches_only_what_is_auto() -> None:
    vsmmu = started(vm("oas=44,ril=off")).verdict().vsmmu("s")
    assert vsmmu.values == {"ats": "on", "ril": "off", "ssidsize": "20", "oas": "44", "cmdqv": "off"}


def test_a_second_device_never_changes_what_the_first_settled() -> None:
    machine = vm("", port(1), vfio("0000:02:00.0", 1), port(2), vfio("0000:01:00.0", 2))
    vsmmu = started(machine, TWO).verdict().vsmmu("s")
    assert vsmmu.finalised_by == "v1"
    assert vsmmu.values["oas"] == "44"
    assert vsmmu.values["ats"] == "off"


def test_a_second_device_that_offers_less_is_refused() -> None:
    machine = vm("", port(1), vfio("0000:01:00.0", 1), port(2), vfio("0000:02:00.0", 2))
    failure = start(machine, TWO, Q11_1).failure
    assert failure is not None
    assert failure.text == "Host SMMUv3 SSIDSIZE not compatible (host=8, QEMU=20)"
    option = "-device vfio-pci,host=0000:02:00.0,bus=rp2,iommufd=i0,id=v2"
    vfio_text = f"vfio 0000:02:00.0: Failed to set vIOMMU: {failure.text}"
    assert failure.printed == f"qemu-system-aarch64: {option}: {vfio_text}"


def test_auto_copies_what_cannot_be_written_down() -> None:
    vsmmu = started(vm(), host(smmu(oas=40, ssidsize=31))).verdict().vsmmu("s")
    assert (vsmmu.values["oas"], vsmmu.values["ssidsize"]) == ("40", "31")
    assert vsmmu.registers is not None
    assert (vsmmu.registers["IDR1"], vsmmu.registers["IDR5"]) == ("0x027307d0", "0x00000072")


def test_a_refused_first_device_has_frozen_the_values_all_the_same() -> None:
    running = QemuProcess(vm(), host(smmu(IDR5_GRAN16K=0)), Q11_1)
    assert running.start().answer == "refused"
    assert only(running).auto_finalised


def test_without_acceleration_auto_means_the_software_smmu() -> None:
    vsmmu = started(vm("", *EMPTY, vsmmu="accel=off")).verdict().vsmmu("s")
    assert not vsmmu.auto_mode
    assert vsmmu.values == {"ats": "off", "ril": "on", "ssidsize": "0", "oas": "44", "cmdqv": "off"}
    assert vsmmu.registers == BASE.as_dict()


def test_each_vsmmu_needs_an_endpoint_of_its_own() -> None:
    second = (
        "-device pxb-pcie,id=pcie.2,bus_nr=20,bus=pcie.0 -device arm-smmuv3,primary-bus=pcie.2,id=t,accel=on"
    )
    failure = start(vm("", port(1), vfio("0000:01:00.0", 1), second), host(), Q11_1).failure
    assert failure is not None
    assert (failure.code, failure.device) == ("qemu-no-cold-plug", "t")


# --- hot-plug -----------------------------------------------------------------------------------------------


def test_pinned_values_let_every_device_arrive_by_hot_plug() -> None:
    running = started(vm(PINNED, *EMPTY))
    assert only(running).viommu_smmu == ""
    assert running.hot_plug(device("vfio-pci,host=0000:01:00.0,bus=rp1,iommufd=i0,id=h")) is None
    assert only(running).viommu_smmu == "smmu0"
    assert only(running).attached == "bypass"


def test_hot_plug_is_checked_against_the_settled_values_and_never_resolves_again() -> None:
    running = started(vm("", port(1), vfio("0000:01:00.0", 1), port(2)), TWO)
    before = running.verdict().vsmmu("s").registers
    failure = running.hot_plug(device("vfio-pci,host=0000:02:00.0,bus=rp2,iommufd=i0,id=h"))
    assert failure is not None
    assert failure.phase == "hot-plug"
    assert failure.printed == (
        "vfio 0000:02:00.0: Failed to set vIOMMU: Host SMMUv3 SSIDSIZE not compatible (host=8, QEMU=20)"
    )
    assert running.verdict().vsmmu("s").registers == before
    assert running.verdict().vsmmu("s").finalised_by == "v1"
    assert running.verdict().answer == "starts"


def test_a_better_device_may_be_hot_plugged_and_changes_nothing() -> None:
    running = started(vm("", port(1), vfio("0000:02:00.0", 1), port(2)), TWO)
    assert running.hot_plug(device("vfio-pci,host=0000:01:00.0,bus=rp2,iommufd=i0,id=h")) is None
    assert running.verdict().vsmmu("s").values["oas"] == "44"


def test_a_refused_device_leaves_its_id_free() -> None:
    running = started(vm("ats=on,ril=on,ssidsize=20,oas=48", *EMPTY), host(smmu(ats=0)))
    text = "vfio-pci,host=0000:01:00.0,bus=rp1,iommufd=i0,id=h"
    assert running.hot_plug(device(text)) == running.hot_plug(device(text))


def test_a_device_that_is_refused_late_leaves_no_viommu_behind() -> None:
    running = started(vm(PINNED, *EMPTY), host(smmu(), function(ats_not_supported=1)))
    failure = running.hot_plug(device("vfio-pci,host=0000:01:00.0,bus=rp1,iommufd=i0,id=h,ats=on"))
    assert failure is not None
    assert failure.code == "qemu-vfio-ats"
    assert only(running).viommu_smmu == ""
    assert only(running).attached == ""


def test_a_device_that_is_refused_late_leaves_the_viommu_of_others_alone() -> None:
    on = host(smmu(), function("0000:01:00.0"), function("0000:02:00.0", ats_not_supported=1))
    running = started(vm("", port(1), vfio("0000:01:00.0", 1), port(2)), on)
    assert running.hot_plug(device("vfio-pci,host=0000:02:00.0,bus=rp2,iommufd=i0,id=h,ats=on"))
    assert only(running).viommu_smmu == "smmu0"


def test_a_verdict_has_no_vsmmu_that_the_vm_has_not() -> None:
    with pytest.raises(KeyError):
        started(vm()).verdict().vsmmu("nobody")


@pytest.mark.parametrize("number", ["x", "0x", "08"])
def test_a_chassis_that_is_no_number_is_refused(number: str) -> None:
    machine = vm("", f"-device pcie-root-port,id=rp1,bus=pcie.1,chassis={number}", vfio("0000:01:00.0", 1))
    failed = start(machine, host(), Q11_1).failure
    assert failed is not None
    assert failed.text == "Parameter 'chassis' expects integer"


@pytest.mark.parametrize("driver", ["arm-smmuv3", "pxb-pcie"])
def test_a_vsmmu_and_its_root_complex_are_there_from_the_start(driver: str) -> None:
    running = started(vm())
    failure = running.hot_plug(device(f"{driver},id=late,bus=pcie.0"))
    assert failure is not None
    assert failure.printed == f"Device '{driver}' does not support hotplugging"
    gone = running.unplug("s" if driver == "arm-smmuv3" else "pcie.1")
    assert gone is not None
    assert gone.printed == failure.printed


def test_root_buses_take_nothing_while_the_vm_runs() -> None:
    failure = started(vm()).hot_plug(device("vfio-pci,host=0000:01:00.0,bus=pcie.1,iommufd=i0,id=h"))
    assert failure is not None
    assert failure.printed == "Bus 'pcie.1' does not support hotplugging"


# --- unplug -------------------------------------------------------------------------------------------------


def test_unplugging_the_last_device_frees_the_viommu_and_keeps_the_values() -> None:
    running = started(vm(), TWO)
    assert running.unplug("v1") is None
    vsmmu = running.verdict().vsmmu("s")
    assert (vsmmu.host_smmu, vsmmu.attached, vsmmu.endpoints) == ("", "", ())
    assert vsmmu.auto_finalised
    assert vsmmu.values["oas"] == "48"


def test_after_the_last_unplug_another_host_smmu_may_come() -> None:
    running = started(vm("ats=off,ril=on,ssidsize=0,oas=44"), TWO)
    running.unplug("v1")
    assert running.hot_plug(device("vfio-pci,host=0000:02:00.0,bus=rp1,iommufd=i0,id=v1")) is None
    assert running.verdict().vsmmu("s").host_smmu == "small"
    assert running.verdict().of("hazard") == ()


def test_while_one_device_stays_so_does_the_viommu() -> None:
    on = host(smmu(), function("0000:01:00.0"), function("0000:02:00.0"))
    running = started(vm("", port(1), vfio("0000:01:00.0", 1), port(2), vfio("0000:02:00.0", 2)), on)
    assert running.unplug("v1") is None
    assert running.verdict().vsmmu("s").host_smmu == "smmu0"


def test_an_active_cmdqv_keeps_the_device_that_established_it() -> None:
    on = host(smmu(cmdqv=1), function("0000:01:00.0"), function("0000:02:00.0"))
    running = started(vm("", port(1), vfio("0000:01:00.0", 1), port(2), vfio("0000:02:00.0", 2)), on)
    failure = running.unplug("v1")
    assert failure is not None
    assert failure.text.startswith("CMDQV is active")
    assert running.unplug("v2") is None


def test_unplugging_what_is_not_there_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        started(vm()).unplug("nobody")


# --- GBPA and reset -----------------------------------------------------------------------------------------


def test_the_guest_chooses_abort_and_a_reset_brings_bypass_back() -> None:
    running = started(vm())
    assert only(running).attached == "bypass"
    running.write_gbpa("s", abort=True)
    assert only(running).attached == "abort"
    running.reset()
    assert only(running).attached == "bypass"


def test_a_device_that_is_hot_plugged_under_abort_is_attached_to_abort() -> None:
    running = started(vm(PINNED, *EMPTY))
    running.write_gbpa("s", abort=True)
    assert only(running).attached == ""
    running.hot_plug(device("vfio-pci,host=0000:01:00.0,bus=rp1,iommufd=i0,id=h"))
    assert only(running).attached == "abort"


def test_a_reset_leaves_the_values_alone() -> None:
    running = started(vm())
    before = running.verdict().vsmmu("s")
    running.reset()
    assert running.verdict().vsmmu("s") == before


def test_gbpa_of_no_vsmmu_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        started(vm()).write_gbpa("nobody", abort=True)


# --- cmdqv --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "able", "answer", "shown"),
    [
        ("off", 1, "starts", "off"),
        ("auto", 0, "starts", "off"),
        ("auto", 1, "starts", "on"),
        ("auto", None, "starts", "?"),
        ("on", 1, "starts", "on"),
        ("on", 0, "refused", "on"),
        ("on", None, "unknown", "on"),
    ],
)
def test_cmdqv_as_wished_and_as_the_host_can(wish: str, able: int | None, answer: str, shown: str) -> None:
    verdict = start(vm(f"cmdqv={wish}"), host(smmu(cmdqv=able)), Q11_1)
    assert verdict.answer == answer
    assert verdict.vsmmu("s").values["cmdqv"] == shown


def test_an_active_cmdqv_makes_the_size_of_the_command_queue_uncertain() -> None:
    assert start(vm(), host(smmu(cmdqv=1)), Q11_1).vsmmu("s").uncertain == ("IDR1.CMDQS",)
    assert start(vm(), host(smmu(cmdqv=0)), Q11_1).vsmmu("s").uncertain == ()


def test_cmdqv_on_without_any_device_starts_when_all_else_is_pinned() -> None:
    assert start(vm(f"{PINNED},cmdqv=on", *EMPTY), host(), Q11_1).answer == "starts"


# --- what stands in the order of machine-done ---------------------------------------------------------------


def test_of_two_failures_at_machine_done_the_newest_notifier_speaks() -> None:
    empty = "-device pxb-pcie,id=p,bus_nr=20,bus=pcie.0 -device arm-smmuv3,primary-bus=p,id=t,accel=on"
    emulated = f"{port(9, 'pcie.0')} -device e1000e,bus=rp9"
    late = "-device arm-smmuv3,primary-bus=pcie.0,id=u,accel=on,ats=off,ril=on,ssidsize=0,oas=44"
    both = {
        start(vm("", port(1), vfio("0000:01:00.0", 1), *order), host(), Q11_1).failure.code  # type: ignore[union-attr]
        for order in ((empty, emulated, late), (emulated, late, empty))
    }
    assert both == {"qemu-endpoint-first", "qemu-no-cold-plug"}


# --- fragments and other versions ---------------------------------------------------------------------------


def fragment(*words: str) -> Machine:
    return read_words(words).machine()


def test_a_fragment_is_taken_as_part_of_a_vm_with_kvm_and_firmware() -> None:
    machine = fragment("-device", "arm-smmuv3,primary-bus=pcie.0,id=s,accel=on", "-object", "iommufd,id=i0",
                       "-device", "vfio-pci,host=0000:01:00.0,iommufd=i0")  # fmt: skip
    verdict = start(machine, host(), Q11_1)
    assert verdict.answer == "starts"
    assert verdict.machine_type == "virt-11.1"


def test_a_fragment_may_still_say_that_it_has_no_acpi() -> None:
    machine = fragment("-M", "virt,acpi=off", "-device", "arm-smmuv3,primary-bus=pcie.0,accel=on")
    failure = start(machine, host(), Q11_1).failure
    assert failure is not None
    assert failure.code == "qemu-acpi"


def test_an_old_machine_type_has_the_old_defaults() -> None:
    vsmmu = start(vm("", *EMPTY, head="-M virt-11.0"), host(), Q11_1).vsmmu("s")
    assert not vsmmu.auto_mode
    assert vsmmu.values == {"ats": "off", "ril": "on", "ssidsize": "0", "oas": "44", "cmdqv": "auto"}


def test_auto_on_an_old_machine_type_works_when_it_is_written() -> None:
    values = "ats=auto,ril=auto,ssidsize=auto,oas=auto"
    vsmmu = start(vm(values, head="-M virt-11.0"), host(), Q11_1).vsmmu("s")
    assert vsmmu.auto_finalised
    assert vsmmu.values["oas"] == "48"


def test_plain_accel_on_11_0_asks_for_range_invalidation() -> None:
    failure = start(vm(), host(smmu(ril=0)), Q11_0).failure
    assert failure is not None
    assert failure.code == "qemu-ril"


def test_whether_11_0_compares_ats_is_not_known() -> None:
    verdict = start(vm("ats=on"), host(smmu(ats=0)), Q11_0)
    assert (verdict.answer, [doubt.code for doubt in verdict.of("unknown")]) == ("unknown", ["qemu-ats"])


def test_11_0_has_neither_cmdqv_nor_its_default() -> None:
    assert "cmdqv" not in start(vm(), host(), Q11_0).vsmmu("s").values


def test_a_newer_qemu_behaves_as_the_newest_that_is_known() -> None:
    newer = parse_version("12.0")
    assert not newer.modelled
    assert start(vm(), host(), newer).vsmmu("s").values == start(vm(), host(), Q11_1).vsmmu("s").values


def test_the_trace_tells_each_phase_in_order() -> None:
    phases = [step.phase for step in start(vm(), host(), Q11_1).trace]
    assert phases == ["create", "create", "machine-done", "reset"]
