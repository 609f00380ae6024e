# SPDX-License-Identifier: Apache-2.0
"""The hook: what it does to a domain, what it leaves alone, how it fails, and its settings."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vsmmu.host
from domains import PARTS, domain, driver, golden
from vsmmu.errors import HostLacks, InputRefused, Negative, UsageError
from vsmmu.kubevirt.hook import mutate
from vsmmu.kubevirt.settings import HookSettings, from_environment, unknown_variables
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable

BUILTIN = Path(vsmmu.host.__file__).with_name("builtin")
GB200 = str(BUILTIN / "gb200.json")
ON_GB200 = HookSettings(facts=GB200)
ANNOTATIONS = ("hook", *HookSettings().annotations)
NOTHING_THERE = HookSettings(facts="/nonexistent/host.json")
INERT = {
    "no SMMU": domain(iommu="", hostdev=""),
    "another IOMMU": domain(iommu="<iommu model='virtio'/>"),
    "software SMMU": domain(iommu="<iommu model='smmuv3'><driver pciBus='1'/></iommu>"),
    "SMMU of the machine": domain(iommu="<iommu model='smmuv3'/>"),
    "word in a comment": domain(iommu="", more="<!-- smmuv3 -->"),
    "no XML at all": b"not XML",
}


def vmi(**annotations: str) -> bytes:
    keys = {f"vsmmu/{key.replace('_', '-')}": value for key, value in annotations.items()}
    metadata = {"name": "vm", "namespace": "default", "annotations": {"other/one": "x", **keys}}
    return json.dumps({"kind": "VirtualMachineInstance", "metadata": metadata, "spec": {}}).encode()


def drivers(data: bytes) -> list[dict[str, str]]:
    return [dict(entry.settings) for entry in read_domain_xml(data, "vm.xml").reading.iommus]


@pytest.mark.parametrize("what", INERT)
def test_leaves_a_vm_without_accelerated_smmu_alone(what: str) -> None:
    """Without facts, too: such a node needs none."""
    outcome = mutate(INERT[what], vmi(), NOTHING_THERE)
    assert (outcome.domain, outcome.changed, outcome.messages) == (INERT[what], False, ())


def test_kubevirts_domain_is_reported_and_corrected() -> None:
    before = golden("kubevirt")
    outcome = mutate(before, vmi(), ON_GB200)
    assert outcome.changed
    assert outcome.domain == before.replace(b"ssidSize", b"ssidsize")
    assert sum("ssidSize" in line for line in outcome.messages) == 1
    assert any("iommu0 on pci.1: ats=on ril=off ssidsize=20 oas=48" in line for line in outcome.messages)


@pytest.mark.parametrize(("qemu", "noted"), [("11.1", False), ("12.0", True)])
def test_a_qemu_that_is_newer_than_the_model_is_noted(qemu: str, noted: bool) -> None:
    messages = mutate(golden("kubevirt"), vmi(), ON_GB200._replace(qemu=qemu)).messages
    assert any(f"QEMU {qemu} is newer than what was looked at" in line for line in messages) is noted


@pytest.mark.parametrize("data", [golden("kubevirt"), golden("gb200"), domain()])
def test_is_deterministic_and_idempotent(data: bytes) -> None:
    first = mutate(data, vmi(), ON_GB200).domain
    assert mutate(data, vmi(), ON_GB200).domain == first
    again = mutate(first, vmi(), ON_GB200)
    assert (again.domain, again.changed) == (first, False)


def test_kubevirts_guess_is_replaced_by_what_the_node_has(facts: Callable[..., str]) -> None:
    """KubeVirt writes the same four values for every node; here are others."""
    guess = "pciBus='1' accel='on' ats='on' ril='off' ssidSize='20' oas='48'"
    path = facts(oas=4, ril=1, ssidsize=16, ats=0)
    outcome = mutate(driver(guess), vmi(), HookSettings(facts=path))
    assert b"<driver pciBus='1' accel='on' ats='off' ril='on' ssidsize='16' oas='44'/>" in outcome.domain
    with pytest.raises(Negative) as caught:
        mutate(driver(guess), vmi(values="keep"), HookSettings(facts=path))
    assert caught.value.code.startswith("qemu-")


def test_fails_closed_unless_told_otherwise() -> None:
    two_hosts = golden("gb200").replace(b"bus='0x02' slot='0x00'", b"bus='0x01' slot='0x01'")
    with pytest.raises(Negative, match="two host SMMUs"):
        mutate(two_hosts, vmi(), ON_GB200)
    with pytest.raises(HostLacks):
        mutate(domain(), vmi(), NOTHING_THERE)
    outcome = mutate(two_hosts, vmi(), ON_GB200._replace(on_failure="pass-through"))
    assert (outcome.domain, outcome.changed) == (two_hosts, False)
    assert outcome.failure is not None
    assert "passed through" in outcome.messages[0]
    with pytest.raises(Negative):
        mutate(two_hosts, vmi(on_failure="fail"), ON_GB200._replace(on_failure="pass-through"))


@given(
    settings=st.builds(
        HookSettings,
        facts=st.just(GB200),
        on_failure=st.sampled_from(("fail", "pass-through")),
        assume_safe=st.booleans(),
        annotations=st.lists(st.sampled_from(ANNOTATIONS), unique=True).map(tuple),
    ),
    asked=st.dictionaries(
        st.sampled_from(ANNOTATIONS),
        st.sampled_from(("on", "off", "create", "fail", "pass-through", "resolve", "keep", "common", "qemu")),
    ),
)
def test_no_annotation_weakens_a_check(settings: HookSettings, asked: dict[str, str]) -> None:
    try:
        made = settings.annotated({f"vsmmu/{name}": value for name, value in asked.items()})
    except UsageError:
        return
    assert set(asked) - {"hook"} <= set(settings.annotations)
    assert made.enabled or "hook" in settings.annotations
    assert made.on_failure in ("fail", settings.on_failure)
    assert made.assume_safe <= settings.assume_safe
    assert (made.facts, made.annotations) == (settings.facts, settings.annotations)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (None, HookSettings().annotations),
        ("", ()),
        ("accel, vsmmu/also", ("accel", "also")),
        ("hook", ("hook",)),
    ],
)
def test_the_administrator_names_the_annotations(text: str | None, allowed: tuple[str, ...]) -> None:
    environment = {} if text is None else {"VSMMU_ANNOTATIONS": text}
    settings = from_environment(environment)._replace(facts=GB200)
    assert settings.annotations == allowed
    if "hook" in allowed:
        assert not mutate(golden("kubevirt"), vmi(hook="off"), settings).changed
    else:
        with pytest.raises(UsageError, match="the administrator allows"):
            mutate(golden("kubevirt"), vmi(hook="off"), settings)
    assert mutate(golden("kubevirt"), vmi(hook="on"), settings).changed  # asks for nothing


def test_annotations_that_there_are_not_cannot_be_allowed() -> None:
    with pytest.raises(UsageError, match="VSMMU_ANNOTATIONS does not take 'create'"):
        from_environment({"VSMMU_ANNOTATIONS": "accel,create"})


def test_annotation_switches_it_off() -> None:
    settings = NOTHING_THERE._replace(annotations=("hook",))
    assert not mutate(golden("kubevirt"), vmi(hook="off"), settings).changed


def test_annotation_asks_for_acceleration() -> None:
    before = domain(iommu="<iommu model='smmuv3'><driver pciBus='1'/></iommu>")
    after = mutate(before, vmi(accel="on"), ON_GB200).domain
    assert b"<driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' oas='48'/>" in after
    assert mutate(after, vmi(accel="on"), ON_GB200).domain == after


@pytest.mark.parametrize("iommu", ["", "<iommu model='smmuv3'/>"])
def test_acceleration_needs_an_smmu_that_could_have_it(iommu: str) -> None:
    with pytest.raises(Negative) as caught:
        mutate(domain(iommu=iommu), vmi(accel="on"), ON_GB200)
    assert caught.value.code == "no-vsmmu"
    assert "create" in caught.value.next


def test_annotation_mends_what_is_certain() -> None:
    """Off by default; a VM asks for it as far as the administrator allows, who may want it for all."""
    broken = golden("gb200").replace(b"<acpi/>", b"")
    assert broken != golden("gb200")
    with pytest.raises(Negative):
        mutate(broken, vmi(), ON_GB200)
    outcome = mutate(broken, vmi(fix="certain"), ON_GB200)
    assert b"<acpi/>" in outcome.domain
    assert any(said.startswith("mended: ") and "acpi" in said for said in outcome.messages)
    assert mutate(broken, vmi(), ON_GB200._replace(fix="certain")).domain == outcome.domain
    assert not mutate(outcome.domain, vmi(fix="certain"), ON_GB200).changed
    assert from_environment({"VSMMU_FIX": "certain"}).fix == "certain"
    with pytest.raises(UsageError, match="does not take"):
        mutate(broken, vmi(fix="all"), ON_GB200)
    with pytest.raises(UsageError, match="may not ask"):
        mutate(broken, vmi(fix="certain"), ON_GB200._replace(annotations=()))


def test_annotation_creates_what_is_missing() -> None:
    """One expander and SMMU for each host SMMU, a root port for each function, whatever the format."""
    before = golden("gb200")
    third = (
        b"<hostdev type='pci' mode='subsystem'>"
        b"<source><address domain='0x0009' bus='2' slot='0' function='0'/></source></hostdev>"
    )
    plain = re.sub(rb"<iommu .*</iommu>", third, before, flags=re.DOTALL)
    for data in (plain, plain.replace(b"\n", b"")):
        after = mutate(data, vmi(accel="create"), ON_GB200).domain
        found = read_domain_xml(after, "vm.xml")
        topology = Topology.of(found.machine())
        functions = [device for device in found.machine().devices if device.driver == "vfio-pci"]
        roots = {device.text("host"): topology.root_of(device) for device in functions}
        assert roots["0009:01:00.0"] == roots["0009:02:00.0"] != roots["0019:01:00.0"]
        assert {device.text("iommufd") for device in functions} == {"iommufd0"}
        assert [entry["oas"] for entry in drivers(after)] == ["48", "48"]
        assert mutate(after, vmi(accel="create"), ON_GB200).domain == after
        assert mutate(data, vmi(), ON_GB200).domain == data
    with pytest.raises(Negative, match=r"0000:99:00\.0"):
        mutate(
            plain.replace(b"domain='0x0019' bus='0x01'", b"domain='0' bus='0x99'"),
            vmi(accel="create"),
            ON_GB200,
        )


def test_creation_leaves_what_the_guest_does_not_get() -> None:
    """And comments are no markup."""
    written = "<address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>"
    unassigned = PARTS["hostdev"].replace(written, "<address type='unassigned'/>")
    moved = PARTS["hostdev"].replace("0x0009", "0x0019").replace(written, "<!-- </source> -->")
    before = domain(expander="", port="", iommu="", hostdev=unassigned + moved)
    after = mutate(before, vmi(accel="create"), ON_GB200).domain
    assert unassigned.encode() in after
    assert after.count(b"<!-- </source> -->") == 1
    devices = read_domain_xml(after, "vm.xml").machine().devices
    assert [device.text("host") for device in devices if device.driver == "vfio-pci"] == ["0019:01:00.0"]


def test_function_to_come_counts(facts: Callable[..., str]) -> None:
    path = facts(second_oas=4)
    alone = drivers(mutate(domain(), vmi(), HookSettings(facts=path)).domain)
    with pytest.raises(Negative) as caught:
        mutate(domain(), vmi(also="0019:01:00.0"), HookSettings(facts=path))
    assert alone[0]["oas"] == "48"
    assert caught.value.code == "two-host-smmus"
    with pytest.raises(UsageError):
        mutate(domain(), vmi(also="nonsense"), HookSettings(facts=path))


def test_machine_type_of_a_distribution() -> None:
    data = golden("kubevirt").replace(b'machine="virt"', b'machine="virt-rhel9.8.0"')
    # Values are explicit in any case; whether QEMU starts cannot be told without --machine-type.
    told = mutate(data, vmi(), ON_GB200)
    assert told.changed
    assert any("virt-rhel9.8.0" in message for message in told.messages)
    named = mutate(data, vmi(), ON_GB200._replace(machine_type="virt-11.1"))
    assert named.domain == told.domain
    assert not any("virt-rhel9.8.0" in message for message in named.messages)


@pytest.mark.parametrize(
    "bad", [{"unknown": "x"}, {"hook": "maybe"}, {"policy": "max"}, {"on_failure": "ignore"}]
)
def test_annotation_that_is_wrong_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        mutate(domain(), vmi(**bad), ON_GB200)
    assert "vsmmu/" in caught.value.what


def test_facts_by_node(tmp_path: Path) -> None:
    (tmp_path / "node-1.example.json").write_bytes(Path(GB200).read_bytes())
    settings = HookSettings(facts=f"{tmp_path}/{{node}}.json")
    status = b'{"status":{"nodeName":"%s"}}'
    assert mutate(domain(), status % b"node-1.example", settings).changed
    with pytest.raises(HostLacks, match="cannot read facts"):
        mutate(domain(), status % b"node-2", settings)
    for name in (b"", b"../etc/passwd", b"a/b", b"A", b"."):
        with pytest.raises(InputRefused, match="which node"):
            mutate(domain(), status % name, settings)
    assert not mutate(domain(iommu=""), b"{}", settings).changed


def test_a_built_in_host_can_be_asked_for() -> None:
    built_in = mutate(domain(), vmi(), HookSettings(facts="builtin:gb200"))
    assert built_in.changed
    assert built_in.domain == mutate(domain(), vmi(), ON_GB200).domain
    with pytest.raises(UsageError, match="did you mean builtin:gb200"):
        mutate(domain(), vmi(), HookSettings(facts="builtin:gb20"))


@pytest.mark.parametrize("bad", [b"", b"[]", b"{", b'{"metadata":{"annotations":[]}}', b"\xff"])
def test_vmi_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises(InputRefused):
        mutate(domain(), bad, ON_GB200)


def test_environment() -> None:
    settings = from_environment(
        {
            "VSMMU_HOST": "/x",
            "VSMMU_ON_FAILURE": "pass-through",
            "VSMMU_ASSUME_SAFE": "on",
            "VSMMU_TIMEOUT": "5",
            "VSMMU_VALUES": "keep",
        }
    )
    assert (settings.facts, settings.on_failure, settings.seconds) == ("/x", "pass-through", 5.0)
    assert (settings.assume_safe, settings.values) == (True, "keep")
    assert from_environment({}) == HookSettings()
    for name, value in (("VSMMU_TIMEOUT", "60"), ("VSMMU_TIMEOUT", "nan"), ("VSMMU_ON_FAILURE", "no")):
        with pytest.raises(UsageError, match=name):
            from_environment({name: value})


def test_variables_that_say_nothing_are_told() -> None:
    read = re.findall(r'"(VSMMU_\w+)"', inspect.getsource(from_environment))
    assert len(read) > 10
    assert list(unknown_variables({**dict.fromkeys(read, ""), "VSMMU_DEBUG": "1", "HOME": "/"})) == []
    (told,) = unknown_variables({"VSMMU_ASSUMESAFE": "on"})
    assert told.startswith("warning: VSMMU_ASSUMESAFE in the environment")
    assert told.endswith("did you mean VSMMU_ASSUME_SAFE?")
