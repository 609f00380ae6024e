# SPDX-License-Identifier: Apache-2.0
"""Mends of VMs that were broken in any number of known ways: what they must never do, and what they claim."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import domains
import examples
import strategies
from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import MemoryRegion
from vsmmu.machine.command_line.argv import read_source, read_words
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.drivers import is_bridge
from vsmmu.machine.topology import Topology
from vsmmu.mend import mending
from vsmmu.mend.fault import VmOnHost
from vsmmu.mend.mending import Mending, Wishes, mend
from vsmmu.policy.options import Options
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.model import Machine
    from vsmmu.machine.vm import Vm
    from vsmmu.qemu.versions import Qemu

Option = tuple[str, str]
_EXTRA = (
    ("-device", "virtio-net-pci,bus=pcie.0,id=net"),
    ("-device", "virtio-blk-pci,id=disk,drive=d"),
    ("-device", "nvme,id=nvme,serial=1,bus=pcie.0,addr=5.0"),
)
#: A pattern in an option's argument, and what stands there in a broken VM.
_SPOILS = (
    (r",iommufd=i0", ""),
    (r"(vfio-pci,.*)bus=rp\d+", r"\1bus=pcie.1"),
    (r"bus_nr=\d+", "bus_nr=8"),
    (r"bus_nr=\d+", "bus_nr=255"),
    (r"chassis=\d+", "chassis=1"),
    (r"accel=on", "acel=on"),
    (r"accel=on", "nested=on"),
    (r",accel=on", ""),
    (r"primary-bus=", "primary_bus="),
    (r"arm-smmuv3,primary-bus=", "arm-smmuv3-accel,bus="),
    (r"(virtio.*)bus=pcie.0", r"\1bus=pcie.1"),
    (r"^virt", "virt,iommu=smmuv3"),
    (r"^pcie-root-port", "pcie-rootport"),
)


@st.composite
def broken(draw: st.DrawFn) -> CommandLine:
    """A script of a VM that was broken a few times."""
    words = list(draw(strategies.vms(least=1)).command.words)
    pairs = _pairs(words[1:])
    for extra in draw(st.lists(st.sampled_from(_EXTRA), unique=True, max_size=2)):
        pairs.insert(draw(st.integers(1, len(pairs))), extra)
    for pattern, new in draw(st.lists(st.sampled_from(_SPOILS), max_size=4)):
        fitting = [at for at, (_, text) in enumerate(pairs) if re.search(pattern, text)]
        for at in fitting if draw(st.booleans()) else fitting and [draw(st.sampled_from(fitting))]:
            pairs[at] = pairs[at][0], re.sub(pattern, new, pairs[at][1])
    for _ in range(draw(st.integers(0, 2))):
        at, to = (draw(st.integers(0, len(pairs) - 1)) for _ in range(2))
        pairs.insert(to, pairs.pop(at))
    if draw(st.booleans()):
        pairs = [pair for pair in pairs if not pair[1].startswith("iommufd,")]
    lines = [" ".join(filter(None, pair)) for pair in pairs]
    text = " \\\n  ".join([words[0], *lines]) + "\n"
    line = read_source(text.encode(), "vm.sh")
    try:
        Topology.of(line.machine())
    except InputRefused:
        reject()
    return line


def _pairs(words: list[str]) -> list[Option]:
    pairs: list[Option] = []
    for word in words:
        if word.startswith("-"):
            pairs.append((word, ""))
        else:
            pairs[-1] = pairs[-1][0], word
    return pairs


wishes = st.builds(
    Wishes, only=st.just(frozenset()), unpin=st.sampled_from([frozenset[str](), frozenset(PROPERTIES)])
)


def _kept(machine: Machine) -> list[tuple[str, str]]:
    """The functions, disks and networks of a VM."""
    return sorted(
        (device.driver, device.text("host") or device.id)
        for device in machine.devices
        if not is_bridge(device.driver) and device.driver not in ("arm-smmuv3", "arm-smmuv3-accel")
        if "root" not in device.driver
    )


def _values(line: CommandLine) -> list[tuple[str, str]]:
    written = re.findall(r"\b(" + "|".join(PROPERTIES) + r")=(\w+)", line.text())
    return sorted(pair for pair in written if pair[1] != "auto")


def _mend(line: CommandLine, host: Host, qemu: Qemu, wish: Wishes) -> Mending:
    return mend(line, host, qemu, Options(), wish)


@given(broken(), strategies.hosts(), strategies.qemus, wishes)
@settings(max_examples=40)
def test_a_second_run_changes_nothing(line: CommandLine, host: Host, qemu: Qemu, wish: Wishes) -> None:
    once = _mend(line, host, qemu, wish)
    twice = _mend(once.vm, host, qemu, wish)  # type: ignore[arg-type]
    assert twice.applied == ()
    assert twice.vm.render() == once.vm.render()


@given(broken(), strategies.hosts(known=True, fit=True), strategies.qemus, wishes)
@settings(max_examples=40)
def test_together_or_one_by_one_it_is_the_same_vm(
    line: CommandLine, host: Host, qemu: Qemu, wish: Wishes
) -> None:
    together = _mend(line, host, qemu, wish)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mending, "_together", lambda wanted: iter(wanted[:1]))
        singly = _mend(line, host, qemu, wish)
    assert together.vm.text() == singly.vm.text(), line.text()
    assert Counter(step.found.code for step in together.applied) == Counter(
        step.found.code for step in singly.applied
    )


@given(broken(), strategies.hosts(), strategies.qemus, wishes)
@settings(max_examples=40)
def test_nothing_is_removed_and_no_value_changed(
    line: CommandLine, host: Host, qemu: Qemu, wish: Wishes
) -> None:
    mended = _mend(line, host, qemu, wish)
    assert _kept(mended.vm.machine()) == _kept(line.machine())
    after = mended.vm.command_line
    assert after is not None
    if not wish.unpin:
        assert [value for value in _values(line) if value not in _values(after)] == []


@given(broken(), strategies.hosts(), strategies.qemus, wishes)
@settings(max_examples=40)
def test_what_is_mended_is_not_refused_again(line: CommandLine, host: Host, qemu: Qemu, wish: Wishes) -> None:
    mended = _mend(line, host, qemu, wish)
    gone = {(step.found.code, step.found.where) for step in mended.applied}
    assert [found for found in mended.left if (found.code, found.where) in gone and found.fix] == []
    assert mended.verdict.answer == _mend(mended.vm, host, qemu, wish).verdict.answer  # type: ignore[arg-type]


@given(broken(), strategies.hosts(known=True, fit=True), strategies.qemus)
@settings(max_examples=40)
def test_accelerate_is_done_once(line: CommandLine, host: Host, qemu: Qemu) -> None:
    wish = Wishes(unpin=frozenset(PROPERTIES), accelerate=True)
    try:
        once = _mend(line, host, qemu, wish)
    except VsmmuError:
        return
    assert _kept(once.vm.machine()) == _kept(line.machine())
    if once.verdict.answer == "starts":
        twice = _mend(once.vm, host, qemu, wish)  # type: ignore[arg-type]
        assert twice.vm.render() == once.vm.render()


@st.composite
def with_memory(draw: st.DrawFn) -> Host:
    """A host with functions that bring memory, have large BARs, or are as small as others."""
    facts = draw(strategies.hosts(known=True, fit=True))
    sizes = st.sampled_from([0, 16 << 20, 128 << 30, 512 << 30])
    functions = []
    for entry in facts.functions:
        size, driver = draw(sizes), draw(st.sampled_from(["vfio-pci", "nvgrace-gpu-vfio-pci"]))
        bars = (MemoryRegion(2, f"{size:#x}", high=True),) if size else msgspec.UNSET
        functions.append(msgspec.structs.replace(entry, driver=driver, memory_regions=bars))
    return msgspec.structs.replace(facts, functions=tuple(functions))


_MAIN = "-m 4G -object memory-backend-ram,id=m0,size=4G -numa node,nodeid=0,cpus=0,memdev=m0"
_WINDOW = "-machine highmem-mmio-size=512G"


@given(strategies.vms(least=1), with_memory(), st.sampled_from(["", _MAIN, "-m 2G -smp 4"]), st.booleans())
@settings(max_examples=40)
def test_accelerated_functions_have_what_they_need(
    vm: strategies.Vm, host: Host, written: str, small: bool
) -> None:
    line = read_words([*vm.command.words, *written.split(), *(_WINDOW.split() if small else ())])
    try:
        once = _mend(line, host, examples.Q11_1, Wishes(unpin=frozenset(), accelerate=True))
    except VsmmuError:
        return
    machine = once.vm.machine()
    codes = {found.code for found in once.verdict.diagnostics}
    assert "generic-initiators-missing" not in codes
    assert "mmio-window-small" not in codes or small
    if small:
        assert machine.machine_options["highmem-mmio-size"] == "512G"
    nodes = [int(option.settings["nodeid"]) for option in machine.numa]
    assert sorted(nodes) == list(range(len(nodes)))
    named = [
        int(str(entry.properties["node"]))
        for entry in machine.objects
        if entry.qom_type == "acpi-generic-initiator"
    ]
    assert named == [node for node in sorted(nodes) if node]
    if once.verdict.answer == "starts":
        twice = _mend(once.vm, host, examples.Q11_1, Wishes(accelerate=True))  # type: ignore[arg-type]
        assert twice.vm.render() == once.vm.render()


#: A text in a right domain, and what stands there in a broken one.
_DOMAIN_SPOILS = (
    ("<driver iommufd='yes'/>", ""),
    ("<acpi/>", ""),
    ("<features><acpi/><gic version='3'/></features>", ""),
    ("<os firmware='efi'>", "<os>"),
    ("accel='on'", "accel='on' ssidSize='8'"),
    ("accel='on'", "accel='on' ats='auto'"),
    (" accel='on'", ""),
    ("model='smmuv3'", "model='smmuv3Dev'"),
    ("<iommu ", "<iommu model='smmuv3'/><iommu "),
    ("accel='on'", "accel='on' ril='on' oas='48'"),
    ("bus='0x02'", "bus='0x01'"),
    ("busNr='252'", "busNr='255'"),
    ("<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>", ""),
    (
        "<memballoon model='none'/>",
        "<controller type='pci' index='3' model='pcie-expander-bus'><target busNr='252'/></controller>",
    ),
    ("<memballoon model='none'/>", "<interface type='user'><model type='virtio'/></interface>"),
)
_GUESTS: Final = ("hostdev", "disk", "interface")


@given(st.lists(st.sampled_from(_DOMAIN_SPOILS), max_size=5, unique=True), wishes, st.booleans())
@settings(max_examples=40)
def test_a_broken_domain(spoils: list[tuple[str, str]], wish: Wishes, accelerate: bool) -> None:
    text = domains.domain().decode()
    for right, wrong in spoils:
        text = text.replace(right, wrong, 1)
    wish = wish._replace(accelerate=accelerate)
    before, host = read_domain_xml(text.encode(), "vm.xml"), builtin_host("gb200")
    once = mend(before, host, examples.Q11_1, Options(), wish)
    twice = mend(once.vm, host, examples.Q11_1, Options(), wish)
    assert twice.vm.render() == once.vm.render()
    after = once.vm.domain
    assert after is not None
    for kind in _GUESTS:
        assert len(list(after.root.all(f"devices/{kind}"))) == len(list(before.root.all(f"devices/{kind}")))
    if not wish.unpin:
        assert set(re.findall(r"(?:ril|oas)='\w+'", text)) <= set(re.findall(r"\w+='\w+'", after.text()))
    gone = {step.found.code for step in once.applied}
    assert [found.code for found in once.left if found.code in gone and found.fix] == []


def _mixes(vm: Vm, host: Host, qemu: Qemu) -> bool:
    """Whether a vSMMU has functions of two host SMMUs, which one value may not fit."""
    setting = VmOnHost(vm, host, qemu, Options())
    behind = [setting.functions_behind(vsmmu) for vsmmu in setting.machine.vsmmus]
    found = [[host.function(device.text("host")) for device in devices] for devices in behind]
    return any(len({entry and entry.smmu for entry in functions}) > 1 for functions in found)


@given(broken(), strategies.hosts(), strategies.qemus, wishes)
@settings(max_examples=40)
def test_what_is_certain_is_done(line: CommandLine, host: Host, qemu: Qemu, wish: Wishes) -> None:
    mended = _mend(line, host, qemu, wish)
    assert _mixes(mended.vm, host, qemu) or [found for found in mended.left if found.fix] == [], line.text()
