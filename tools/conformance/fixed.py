# SPDX-License-Identifier: Apache-2.0
"""Cases that are not left to chance: each message of QEMU that can be reached, and the known traps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from conformance.cases import Run, Step
from conformance.commands import Line
from conformance.fixed_host import NAMES, address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host

__all__ = ["builtin_runs", "fixed_runs"]


def fixed_runs() -> list[Run]:
    """All of them."""
    groups = (
        _realize, _values, _attachment, _machines, _hosts, _endpoints, _buses, _order, _machine_done,
        _vfio_ats, _cmdqv, _hot_plug,
    )  # fmt: skip
    found = []
    for group in groups:
        kind = f"fixed: {group.__name__.strip('_').replace('_', ' ')}"
        for index, (line, steps) in enumerate(group()):
            found.append(Run(f"fixed/{group.__name__.strip('_')}/{index}", kind, line.words(), tuple(steps)))
    return found


def builtin_runs(host: Host) -> list[Run]:
    """A few cases on a host known in part: the emulator fills the gaps, the model leaves them open."""
    found = []
    least = {"ats": "off", "ril": "off", "oas": "44", "ssidsize": "0"}
    most = {"ats": "on", "ril": "on", "oas": "48", "ssidsize": "20"}
    values: list[dict[str, Any]] = [{}, least, most, {"ril": "off", "oas": "44"}]
    for index, written in enumerate(values):
        line = Line()
        bus = line.root()
        line.vsmmu(bus, accel="on", **written)
        line.vfio(line.port(bus), host.functions[0].address)
        found.append(Run(f"{host.name}/{index}", "built-in hosts", line.words()))
    return found


_Case = tuple[Line, list[Step]]
_EXPLICIT: Final[dict[str, Any]] = {"accel": "on", "ats": "off", "ril": "off", "oas": "44", "ssidsize": "0"}


def _one(smmu: str = "", *, vfio: Any = None, line: Any = None, **properties: Any) -> Line:
    """One vSMMU on a pxb-pcie, with a function of ``smmu`` behind it if that is named."""
    line = line or Line()
    assert isinstance(line, Line)  # noqa: S101
    bus = line.root()
    line.vsmmu(bus, **properties)
    if smmu:
        line.vfio(line.port(bus), address(smmu), **(vfio or {}))
    return line


def _realize() -> Iterator[_Case]:
    """What needs accel=on, and what accel=on needs."""
    for accel in ("off", "on"):
        for name, values in {
            "ril": ("on", "off", "auto"),
            "ats": ("on", "off", "auto"),
            "oas": ("auto", "32", "36", "40", "42", "44", "48", "52", "56"),
            "ssidsize": ("auto", "0", "1", "20"),
            "cmdqv": ("on", "off", "auto"),
            "stage": ("", "1", "2", "nested"),
        }.items():
            for value in values:
                yield _one("generous" if accel == "on" else "", accel=accel, **{name: value}), []
    yield _one("generous", line=Line("virt,gic-version=2,kernel-irqchip=off"), accel="on"), []
    yield _one(line=Line(accel="tcg"), accel="on"), []
    for oas in ("44", "40"):
        yield _one("generous", line=Line(acpi=False), accel="on", oas=oas), []
    yield _one(line=Line(acpi=False)), []
    for accel in ("on", "off"):
        line = Line()
        line.option("-only-migratable")
        yield _one("generous" if accel == "on" else "", line=line, accel=accel), []
    yield _one("generous", accel="on", identifier=7), []


def _values() -> Iterator[_Case]:
    """QEMU's parsers, in both forms."""
    for name, value in (
        ("oas", "50"), ("oas", ""), ("oas", "044"), ("ssidsize", "21"), ("ssidsize", "0x14"),
        ("ssidsize", "-1"), ("ats", "maybe"), ("ats", "ON"), ("ril", "true"), ("cmdqv", "2"),
        ("accel", "1"), ("accel", "auto"), ("accel", "yes"), ("nonsense", "1"),
    ):  # fmt: skip
        yield _one("generous", **{"accel": "on", name: value}), []
    for written in (
        {"oas": 44}, {"ats": True}, {"ssidsize": 20}, {"ril": "off"}, {"accel": "on"}, {"oas": "48"},
        {"cmdqv": None}, {"ssidsize": "20"},
    ):  # fmt: skip
        line = Line()
        bus = line.root()
        port = line.port(bus)
        smmu = {"driver": "arm-smmuv3", "primary-bus": bus, "id": "s", "accel": True, **written}
        vfio = {"driver": "vfio-pci", "host": address("generous"), "bus": port, "iommufd": "i0", "id": "v"}
        line.option("-device", json.dumps(smmu), "-device", json.dumps(vfio))
        yield line, []
    for driver, name, value in (
        ("arm-smmuv3", "accel", "on"), ("arm-smmuv3", "oas", "50"), ("arm-smmuv3", "ats", "off"),
        ("vfio-pci", "ats", "off"),
    ):  # fmt: skip
        line = Line()
        line.option("-global", f"{driver}.{name}={value}")
        yield _one("generous", line=line, accel=None if name == "accel" else "on"), []


def _attachment() -> Iterator[_Case]:
    """Where an arm-smmuv3 may be, and how many."""
    for bus in (None, "nowhere", "pcie.0"):
        line = Line()
        line.device("arm-smmuv3", primary_bus=bus, id="s", **_EXPLICIT)
        yield line, []
    line = Line()
    port = line.port("pcie.0")
    line.device("arm-smmuv3", primary_bus=port, id="s", **_EXPLICIT)
    yield line, []
    line = _one(**_EXPLICIT)
    line.device("arm-smmuv3", primary_bus="p0", id="second", **_EXPLICIT)
    yield line, []
    line = Line()
    bus = line.root(bypass_iommu="on")
    line.vsmmu(bus, **_EXPLICIT)
    yield line, []
    line = Line("virt,gic-version=3,default-bus-bypass-iommu=on")
    line.device("arm-smmuv3", primary_bus="pcie.0", id="s", **_EXPLICIT)
    yield line, []
    line = Line()
    line.device("arm-smmuv3", primary_bus="p0", id="s", **_EXPLICIT)
    line.root()
    yield line, []
    for count in (16, 17):
        line = Line()
        for _ in range(count):
            line.vsmmu(line.root(), **_EXPLICIT)
        yield line, []
    for accel in ("on", "off"):
        yield _one(line=Line("virt,gic-version=3,iommu=smmuv3"), accel=accel), []
        line = Line("virt,gic-version=3")
        line.device("virtio-iommu-pci", id="vi", bus="pcie.0")
        yield _one(line=line, accel=accel), []


def _machines() -> Iterator[_Case]:
    """Defaults of machine types; types that there are not."""
    for machine in ("virt", "virt-11.1", "virt-11.0", "virt-10.2", "virt-10.0", "virt-9.2", "virt-8.2"):
        for smmu in ("generous", "gb200", "least"):
            yield _one(smmu, line=Line(f"{machine},gic-version=3"), accel="on"), []
            auto: dict[str, Any] = dict.fromkeys(("ats", "ril", "oas", "ssidsize"), "auto")
            yield _one(smmu, line=Line(f"{machine},gic-version=3"), accel="on", **auto), []
        yield _one(line=Line(f"{machine},gic-version=3")), []
    for machine in ("virt-99.0", "virt-11.2"):
        yield _one(line=Line(machine), accel="on"), []
    line = Line("sbsa-ref", acpi=False, accel="tcg")
    line.device("arm-smmuv3", primary_bus="pcie.0", id="s", accel="on")
    yield line, []
    yield _one(line=Line("virt,gic-version=3,iommu=nonsense")), []
    yield _one(line=Line("virt,gic-version=3,iommu=smmuv3", accel="tcg"), accel="on"), []
    yield _one(line=Line("")), []


def _hosts() -> Iterator[_Case]:
    """Each host with auto, and with explicit values at its limits."""
    for smmu in NAMES:
        yield _one(smmu, accel="on"), []
        yield _one(smmu, **_EXPLICIT), []
        most: dict[str, Any] = {"ats": "on", "ril": "on", "oas": "48", "ssidsize": "20"}
        yield _one(smmu, accel="on", **most), []
    for name, value in (("ats", "on"), ("ril", "on"), ("oas", "48"), ("ssidsize", "1")):
        yield _one("least", **{**_EXPLICIT, name: value}), []


def _endpoints() -> Iterator[_Case]:
    """What may stand behind an accelerated vSMMU."""
    for driver in ("pci-testdev", "virtio-net-pci", "e1000e", "virtio-rng-pci", "qemu-xhci"):
        line = _one("generous", accel="on")
        line.device(driver, bus=line.port("p0"), id="e")
        yield line, []
    for driver in ("pci-testdev", "e1000e"):
        line = Line()
        line.device("arm-smmuv3", primary_bus="pcie.0", id="s", **_EXPLICIT)
        line.device(driver, bus="pcie.0", id="e")
        yield line, []
    for vfio in ({"iommufd": None}, {"iommufd": "nope"}, {"host": None}, {"bus": "nowhere"}, {"bus": "p0"}):
        line = Line()
        bus = line.root()
        line.vsmmu(bus, accel="on")
        port = line.port(bus)
        given: dict[str, Any] = {"host": address("generous"), "iommufd": "i0", "bus": port, "id": "v", **vfio}
        line.device("vfio-pci", **given)
        yield line, []
    line = _one(**_EXPLICIT)
    line.device("pcie-pci-bridge", id="b", bus=line.port("p0"))
    line.device("vfio-pci", host=address("generous"), iommufd="i0", bus="b", addr=1, id="v")
    yield line, []
    line = _one(**_EXPLICIT)
    line.device("pcie-pci-bridge", id="b", bus=line.port("p0"))
    line.device("pci-testdev", bus="b", addr=1, id="e")
    yield line, []
    yield _one("generous", accel="off"), []
    line = _one("generous", accel="on")
    line.vfio(line.port("p0"), address("generous"))
    yield line, []
    line = Line()
    line.device("arm-smmuv3", primary_bus="pcie.0", id="s", accel="on")
    line.device("vfio-pci", host=address("gb200"), iommufd="i0", bus="pcie.0", id="v")
    yield line, []
    line = Line()
    line.option("-object", "iommufd,id=i1")
    bus = line.root()
    line.vsmmu(bus, accel="on")
    line.vfio(line.port(bus), address("generous"))
    line.vfio(line.port(bus), address("generous", 1), iommufd="i1")
    yield line, []


def _buses() -> Iterator[_Case]:
    """Buses that collide."""
    line = Line()
    line.device("pcie-root-port", bus="pcie.0", chassis=1)
    line.device("arm-smmuv3", primary_bus="pcie.0", id="s", **_EXPLICIT)
    yield line, []
    line = Line()
    for name in ("a", "b"):
        line.device("pcie-root-port", id=name, bus="pcie.0", chassis=1)
    yield line, []
    line = Line()
    for name in ("a", "b"):
        line.device("pxb-pcie", id=name, bus="pcie.0", bus_nr=8)
    yield line, []
    line = Line()
    line.device("pxb-pcie", id="a", bus=line.port("pcie.0"), bus_nr=8)
    yield line, []
    line = _one(accel="off")
    line.device("vfio-pci", bus=line.port("pcie.0"), fd=0, id="v")
    yield line, []


def _order() -> Iterator[_Case]:
    """The order of the command line means something."""
    for properties in ({"accel": "on"}, _EXPLICIT):
        line = Line()
        bus = line.root()
        line.vfio(line.port(bus), address("generous"))
        line.vsmmu(bus, **properties)
        yield line, []
        line = Line()
        bus = line.root()
        line.device("pci-testdev", bus=line.port(bus), id="e")
        line.vsmmu(bus, **properties)
        yield line, []
    for first, second in (
        ("generous", "least"), ("least", "generous"), ("gb200", "generous"), ("generous", "gb200"),
        ("oas52", "generous"), ("generous", "oas52"), ("ssid31", "generous"), ("oas40", "generous"),
    ):  # fmt: skip
        line = _one(first, accel="on")
        line.vfio(line.port("p0"), address(second, 1))
        yield line, []


def _machine_done() -> Iterator[_Case]:
    """No device behind a vSMMU that has something on auto."""
    yield _one(accel="on"), []
    yield _one(**_EXPLICIT), []
    yield _one(**{**_EXPLICIT, "cmdqv": "on"}), []
    yield _one(accel="on", cmdqv="on"), []
    for name in ("ats", "ril", "oas", "ssidsize"):
        yield _one(**{**_EXPLICIT, name: "auto"}), []
    line = _one("generous", accel="on")
    yield _one(line=line, accel="on"), []
    line = _one("generous", accel="on")
    yield _one(line=line, **_EXPLICIT), []


def _vfio_ats() -> Iterator[_Case]:
    """vfio-pci's own ats, with and without the capability and the kernel's objection."""
    for number in range(4):
        for ats in ("on", "off", "auto", None):
            for smmu in ("generous", "least"):
                line = Line()
                bus = line.root()
                line.vsmmu(bus, accel="on")
                line.vfio(line.port(bus), address(smmu, number), ats=ats)
                yield line, []
    line = Line()
    line.vfio(line.port("pcie.0"), address("generous", 3), ats="on")
    yield line, []
    yield _one("generous", vfio={"ats": "maybe"}, accel="on"), []


def _cmdqv() -> Iterator[_Case]:
    """Command queues, where the host has some and where it has none."""
    for smmu in ("generous", "cmdqv"):
        for cmdqv in ("on", "off", "auto"):
            yield _one(smmu, accel="on", cmdqv=cmdqv), []
            yield _one(smmu, **{**_EXPLICIT, "cmdqv": cmdqv}), []


def _add(**properties: Any) -> Step:
    return Step("add", {name.replace("primary_bus", "primary-bus"): v for name, v in properties.items()})


def _plug(smmu: str, name: str, **more: Any) -> Step:
    given = {"driver": "vfio-pci", "host": address(smmu), "iommufd": "i0", "bus": "r0", "id": name}
    return Step("add", {**given, **more})


def _hot_plug() -> Iterator[_Case]:
    """device_add and device_del, whatever the guest's values are."""
    line = _one(**_EXPLICIT)
    line.port("p0")
    steps = [
        _add(driver="arm-smmuv3", primary_bus="pcie.0", id="t"),
        _add(driver="pci-testdev", bus="r0", id="e"),
        _add(driver="vfio-pci", host=address("generous"), bus="r0", id="v"),
        _plug("generous", "v", iommufd="nope"),
        _plug("generous", "v", bus="nowhere"),
        _plug("generous", "v", bus="p0"),
        _add(driver="pci-testdev", bus="pcie.0", id="e"),
    ]
    steps += [_plug(smmu, f"v-{smmu}") for smmu in ("linear", "type0", "no-nesting", "one-stage", "no-4k")]
    # A device that was there at a reset is unplugged by the guest only, which does not run.
    steps += [_plug("generous", "v"), Step("delete", {"id": "v"}), _plug("least", "w"), Step("reset")]
    yield line, steps
    line = _one(accel="on", ats="on", ril="on", oas="48", ssidsize="20")
    line.port("p0")
    yield line, [_plug(smmu, f"v-{smmu}") for smmu in ("least", "gb200", "oas40", "no-16k", "few-streams")]
    yield from _frozen()


def _frozen() -> Iterator[_Case]:
    """What the first device froze stays when it and all others are gone."""
    line = _one("least", accel="on")
    line.port("p0")
    steps = [_plug("generous", "v", bus="r1"), Step("delete", {"id": "v"}), Step("reset")]
    yield line, [*steps, _plug("oas52", "w", bus="r1")]
    line = Line()
    line.vsmmu(line.root(), **{**_EXPLICIT, "cmdqv": "auto"})
    line.port("p0")
    yield line, [_plug("cmdqv", "v"), Step("delete", {"id": "v"})]
