# SPDX-License-Identifier: Apache-2.0
"""libvirt's namespace for QEMU: what stands in it is read, or said not to be looked at; never a yes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domains import domain, driver
from vsmmu.api import check, load_host, read_vm
from vsmmu.machine.command_line.assemble import RELEVANT
from vsmmu.machine.command_line.options import OPTIONS
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from vsmmu.qemu.outcome import Verdict

QUIET = sorted(OPTIONS.keys() - RELEVANT)


def verdict(data: bytes) -> Verdict:
    vm = read_vm(data)
    assert vm.render() == data
    return check(vm, load_host("builtin:gb200"), qemu="11.1")


def appended(*words: str, prefix: str = "qemu") -> bytes:
    args = "".join(f"<{prefix}:arg value='{word}'/>" for word in words)
    data = domain(
        end=f"<{prefix}:commandline>{args}<{prefix}:env name='A' value='-M'/></{prefix}:commandline>"
    )
    return data.replace(b"xmlns:qemu", f"xmlns:{prefix}".encode())


def override(alias: str, *properties: str) -> str:
    inside = "".join(f"<qemu:property {entry}/>" for entry in properties)
    return (
        f"<qemu:override><qemu:device alias='{alias}'><qemu:frontend>{inside}</qemu:frontend></qemu:device>"
        "</qemu:override>"
    )


@pytest.mark.parametrize("name", sorted(RELEVANT))
def test_an_option_that_a_rule_reads_leaves_the_answer_open(name: str) -> None:
    words = [f"--{name}", "x,y=z"] if OPTIONS.get(name) else [f"-{name}"]
    for prefix in ("qemu", "q"):
        found = verdict(appended("-msg", "timestamp=on", *words, prefix=prefix))
        assert found.answer == "unknown"
        (doubt,) = [entry for entry in found.diagnostics if entry.severity == "unknown"]
        assert doubt.code == "domain-commandline"
        assert doubt.what.endswith(f": {' '.join(words)}")
        assert "domxml-to-native" in doubt.next


def test_an_option_that_nobody_knows_leaves_the_answer_open() -> None:
    assert verdict(appended("-nonsense", "x")).answer == "unknown"
    assert verdict(appended("a-word-alone")).answer == "unknown"


def test_an_option_that_no_rule_reads_is_listed() -> None:
    words = [word for name in QUIET for word in ([f"-{name}", "-M"] if OPTIONS[name] else [f"-{name}"])]
    found = verdict(appended(*words))
    assert found.answer == "starts"
    assert "<qemu:commandline>" in found.not_judged


def test_what_options_could_mend_is_no_certain_refusal() -> None:
    words = appended("-object", "acpi-generic-initiator,id=x,pci-dev=hostdev0,node=1")
    gone = words.replace(b"<hostdev mode", b"<other mode").replace(b"</hostdev>", b"</other>")
    found = verdict(gone)
    assert found.answer == "unknown"
    assert "qemu-no-cold-plug" in {entry.code for entry in found.diagnostics}


@pytest.mark.parametrize("name", [name for name in PROPERTIES if name != "cmdqv"])
@pytest.mark.parametrize("value", ["on", "off", "20", "48", "0"])
def test_an_override_is_what_the_attribute_would_be(name: str, value: str) -> None:
    written = f"name='{name}' type='string' value='{value}'"
    over = domain(end=override("iommu0", written))
    same = driver(f"pciBus='1' accel='on' {name}='{value}'")
    one, other = (read_vm(data).machine().vsmmus[0] for data in (over, same))
    assert one.properties == other.properties
    assert verdict(over).failure == verdict(same).failure


def test_types_of_an_override() -> None:
    smmu = driver("pciBus='1' ats='on'")
    accelerated = smmu.replace(
        b"</domain>",
        override(
            "iommu0", "name='accel' type='bool' value='true'", "name='ats' type='remove'",
            "name='bus_num' type='unsigned' value='3'", "name='odd' type='signed' value='x'",
        ).encode()
        + override("", "name='accel' type='bool' value='false'").encode()
        + b"</domain>",
    )  # fmt: skip
    properties = read_vm(accelerated).machine().vsmmus[0].properties
    assert properties == {"primary-bus": "pci.1", "accel": True, "bus_num": 3, "odd": "x"}


def test_capabilities_that_are_hidden_leave_the_answer_open() -> None:
    for entry, answer in (("<qemu:del capability='iommufd'/>", "unknown"), ("", "starts")):
        found = verdict(domain(end=f"<qemu:capabilities>{entry}</qemu:capabilities>"))
        assert found.answer == answer
