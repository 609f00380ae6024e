# SPDX-License-Identifier: Apache-2.0
"""Whole VMs as operators write them: boards, memory, firmware, expanders, switches, endpoints of every kind.

Different in kind from :mod:`conformance.generate`, which varies the values that QEMU compares: here the shape
of the command line varies, and the half of the VMs has a fault (:mod:`conformance.faults`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.cases import Run
from conformance.faults import spoil
from conformance.guest import IOMMUFD
from conformance.habits import CPUS, ENDPOINTS, GLOBALS, HABITS, MACHINES, NETWORKS, OPTIONS, SMMU
from conformance.parts import Part, Size, Value, config_text, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from vsmmu.host.facts import Host

__all__ = ["WrittenVms"]

_PROGRAM: Final = "qemu-system-aarch64"


class WrittenVms:
    """Makes whole VMs.

    :param host: whose functions may be assigned; one without functions gives addresses that nobody has.
    :param lab: whether the VM is for an emulated Arm host with KVM, else for a QEMU on this machine.
    """

    def __init__(self, random: Random, host: Host, prefix: str, *, lab: bool) -> None:
        self._random = random
        self._host = host
        self._prefix = prefix
        self._lab = lab
        self._number = 0

    def run(self) -> Run:
        """One VM, as a run."""
        self._number += 1
        vm = _Vm(self._random, self._host, lab=self._lab)
        parts, faults = vm.parts(), 0
        while self._random.random() < (0.45 if not faults else 0.15):
            parts = spoil(self._random, parts)
            faults += 1
        parts = _disguise(self._random, parts)
        files: dict[str, str] = {}
        moved = [part for part in parts if part.may_be_section]
        if moved and self._random.random() < 0.12:
            kept = set(map(id, self._random.sample(moved, self._random.randint(1, len(moved)))))
            files["vm.cfg"] = config_text(part for part in parts if id(part) in kept)
            parts = [part for part in parts if id(part) not in kept]
            parts.insert(self._random.randrange(len(parts) + 1), Part("-readconfig", "vm.cfg"))
        kind = "written: whole" if not faults else "written: with a fault"
        return Run(f"{self._prefix}/written/{self._number}", kind, (_PROGRAM, *words_of(parts)), files=files)


def _disguise(random: Random, parts: list[Part]) -> list[Part]:
    """Some devices in JSON, all of them in some VMs."""
    share = random.choice((0.0, 0.0, 0.0, 0.3, 1.0))
    return [
        part._replace(form="json")
        if part.option in ("-device", "-object") and part.form == "keyval" and random.random() < share
        else part
        for part in parts
    ]


class _Vm:
    """One VM in the making, part by part in the order of an operator's script."""

    def __init__(self, random: Random, host: Host, *, lab: bool) -> None:
        self._random = random
        self._host = host
        self._lab = lab
        self._parts: list[Part] = []
        self._ids = 0
        self._chassis = 0
        self._nodes = 0
        self._functions = list(host.functions)
        random.shuffle(self._functions)
        #: Buses that take an endpoint: their names, and whether they hang off an accelerated vSMMU.
        self._ports: list[tuple[str, bool]] = []

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids}"

    def _add(self, option: str, kind: str = "", **values: Value) -> None:
        self._parts.append(
            Part(option, kind, {name.replace("__", "-"): value for name, value in values.items()})
        )

    def parts(self) -> list[Part]:
        """All of it."""
        self._board()
        self._memory()
        self._firmware()
        self._defaults()
        if self._chance(0.95 if self._lab else 0.5):
            descriptor: dict[str, Value] = {} if self._lab else {"fd": str(IOMMUFD)}
            self._add("-object", "iommufd", id="iommufd0", **descriptor)
        self._root_bus()
        for number in range(self._random.choice((0, 0, 1, 1, 1, 2, 2, 3, 4, 5))):
            self._expander(number)
        for _ in range(self._random.choice((0, 1, 1, 2, 3, 4))):
            self._endpoint()
        self._others()
        return self._parts

    def _board(self) -> None:
        values: dict[str, Value] = {}
        # Half of the board's options are refused under KVM, and nothing behind them would be seen.
        count = self._random.choice((0, 0, 0, 0, 1, 2) if self._lab else (0, 0, 1, 1, 2, 3))
        for name in self._random.sample(list(OPTIONS), count):
            values[name] = self._random.choice(OPTIONS[name])
        if self._lab:
            values.setdefault("gic-version", 3)
        accel = "kvm" if self._lab else "tcg"
        if self._chance(0.2):
            values["accel"] = accel
        else:
            self._parts.append(Part("-accel", accel))
        option = self._random.choice(("-M", "-machine"))
        self._parts.append(Part(option, self._random.choice(MACHINES), values))
        self._parts.append(Part("-cpu", "host" if self._lab else self._random.choice(CPUS)))
        if self._chance(0.5):
            cpus = self._random.choice((1, 2, 4)) if not self._lab else 1
            self._parts.append(Part("-smp", str(cpus)))

    def _memory(self) -> None:
        size = self._random.choice((128, 256, 512))
        hotplug = self._chance(0.12)
        text = f"{size}M" + (",slots=4,maxmem=4G" if hotplug else "")
        self._parts.append(Part("-m", text))
        if self._chance(0.3):
            self._numa(size)
        if hotplug and self._chance(0.7):
            backend = self._id("mem")
            self._add("-object", "memory-backend-ram", id=backend, size=Size(128 << 20))
            self._add("-device", "pc-dimm", id=self._id("dimm"), memdev=backend)

    def _numa(self, size: int) -> None:
        self._nodes = self._random.choice((1, 2, 2, 4))
        with_memory = self._random.choice((1, min(2, self._nodes)))
        for node in range(self._nodes):
            values: dict[str, Value] = {"nodeid": node}
            if node < with_memory:
                backend = self._id("ram")
                kind = self._random.choice(("memory-backend-ram", "memory-backend-memfd"))
                self._add("-object", kind, id=backend, size=Size(size // with_memory << 20))
                values["memdev"] = backend
            self._parts.append(Part("-numa", "node", values))

    def _firmware(self) -> None:
        form = self._random.choice(("bios", "bios", "pflash", "blockdev", "kernel", "none"))
        if self._lab and self._chance(0.8):
            form = "bios"
        if form == "bios":
            self._parts.append(Part("-bios", "bios.fd"))
        elif form == "pflash":
            for unit, name in enumerate(("code.fd", "vars.fd")):
                chip: dict[str, Value] = {"if": "pflash", "format": "raw", "unit": unit, "file": name}
                chip["file.locking" if unit else "readonly"] = "off" if unit else "on"
                self._parts.append(Part("-drive", "", chip))
        elif form == "blockdev":
            self._add("-blockdev", "", driver="file", filename="code.fd", node__name="fw", read__only=True)
            machine = next(i for i, part in enumerate(self._parts) if part.option in ("-M", "-machine"))
            old = self._parts[machine]
            self._parts[machine] = old._replace(values={**old.values, "pflash0": "fw"})
        elif form == "kernel":
            self._parts.append(Part("-kernel", "kernel.img"))
            if self._chance(0.5):
                self._parts.append(Part("-append", "console=ttyAMA0"))

    def _defaults(self) -> None:
        self._parts.append(Part("-display", "none"))
        self._parts.append(Part("-S", form="bare"))
        if self._chance(0.6):
            self._parts.append(Part("-nodefaults", form="bare"))
        elif self._chance(0.5):
            self._parts.append(self._random.choice(NETWORKS))
        self._parts += [part for share, part in HABITS if self._chance(share)]

    # Buses

    def _port(self, bus: str, accelerated: bool, **values: Value) -> str:
        name = self._id("rp")
        self._chassis += 1
        given: dict[str, Value] = {"id": name, "bus": bus, "chassis": self._chassis, **values}
        rare: dict[str, Value] = {"hotplug": False, "io-reserve": 0, "pref64-reserve": Size(2 << 20),
                                  "port": 16, "slot": self._chassis}  # fmt: skip
        given |= {key: value for key, value in rare.items() if self._chance(0.07)}
        self._parts.append(Part("-device", "pcie-root-port", given))
        if self._chance(0.1):
            self._switch(name, accelerated)
        elif self._chance(0.05):
            bridge = self._id("br")
            self._add("-device", "pcie-pci-bridge", id=bridge, bus=name)
            self._ports.append((bridge, accelerated))
        else:
            self._ports.append((name, accelerated))
        return name

    def _switch(self, port: str, accelerated: bool) -> None:
        upstream = self._id("up")
        self._add("-device", "x3130-upstream", id=upstream, bus=port)
        for _ in range(self._random.choice((1, 2, 3))):
            name = self._id("dn")
            self._chassis += 1
            values: dict[str, Value] = {"id": name, "bus": upstream, "chassis": self._chassis}
            if self._chance(0.4):
                values["slot"] = self._chassis
            self._parts.append(Part("-device", "xio3130-downstream", values))
            self._ports.append((name, accelerated))

    def _root_bus(self) -> None:
        accelerated = False
        if self._chance(0.15):
            accelerated = self._vsmmu("pcie.0")
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 3))):
            self._port("pcie.0", accelerated)
        if self._chance(0.12):
            slot = self._random.randrange(16, 30)
            for function in range(self._random.choice((2, 3, 4))):
                given = {"multifunction": True} if function == 0 else {}
                self._port("pcie.0", accelerated, addr=f"{slot:#x}.{function:#x}", **given)

    def _expander(self, number: int) -> None:
        name = self._random.choice(("pcie", "pxb")) + f".{number + 1}"
        values: dict[str, Value] = {"id": name, "bus": "pcie.0", "bus_nr": 32 * (number + 1)}
        if self._nodes and self._chance(0.6):
            values["numa_node"] = self._random.randrange(self._nodes)
        if self._chance(0.05):
            values["bypass_iommu"] = True
        if self._chance(0.02):
            del values["bus"]
        if self._chance(0.1):
            values["addr"] = f"{self._random.randrange(8, 16):#x}"
        self._parts.append(Part("-device", "pxb-pcie", values))
        accelerated = self._chance(0.6) and self._vsmmu(name)
        ports = self._random.choice((0, 1, 1, 2, 3))
        for _ in range(ports):
            self._port(name, accelerated)
        if not self._lab and self._chance(0.05):
            self._vsmmu(name)

    def _vsmmu(self, bus: str) -> bool:
        """A vSMMU on a bus; whether it is accelerated."""
        accelerated = self._chance(0.85 if self._lab else 0.05)
        values: dict[str, Value] = {"primary-bus": bus, "id": self._id("smmu")}
        if accelerated:
            values["accel"] = True
        elif self._chance(0.2):
            values["accel"] = False
        for name, choices in SMMU.items():
            if self._chance(0.3 if accelerated else 0.03):
                values[name] = self._random.choice(choices)
        self._parts.append(Part("-device", "arm-smmuv3", values))
        if self._chance(0.04):
            name = self._random.choice(list(SMMU))
            self._parts.append(Part("-global", f"arm-smmuv3.{name}={self._random.choice(SMMU[name])}"))
        return accelerated

    # Endpoints and the rest

    def _bus(self) -> dict[str, Value]:
        """Where an endpoint goes."""
        if self._ports and self._chance(0.85):
            bus, _ = self._ports.pop(self._random.randrange(len(self._ports)))
            given: dict[str, Value] = {"bus": bus}
            if self._chance(0.2):
                given["addr"] = self._random.choice(("0", "0x0", "00.0"))
            return given
        if self._chance(0.9):
            return {
                "bus": "pcie.0",
                **({"addr": f"{self._random.randrange(3, 8):#x}"} if self._chance(0.3) else {}),
            }
        return {}

    def _endpoint(self) -> None:
        accelerated = [port for port in self._ports if port[1]]
        if (self._lab and self._functions and self._chance(0.75)) or (not self._lab and self._chance(0.05)):
            if accelerated and self._chance(0.9):
                port = self._random.choice(accelerated)
                self._ports.remove(port)
                self._vfio({"bus": port[0]})
            else:
                self._vfio(self._bus())
            return
        driver, properties, needed = self._random.choice(ENDPOINTS)
        own = self._id("x")
        for part in needed:
            self._parts.append(part._replace(values=_named(part.values, own)))
        place = self._bus()
        given = {**_named(properties, own), **({"id": self._id("dev")} if self._chance(0.7) else {}), **place}
        self._parts.append(Part("-device", driver, given))
        if driver == "qemu-xhci" and "id" in given and self._chance(0.6):
            self._add("-device", self._random.choice(("usb-kbd", "usb-tablet")), bus=f"{given['id']}.0")

    def _vfio(self, place: dict[str, Value]) -> None:
        address = "0000:a1:00.0"
        if self._functions:
            address = self._functions.pop().address
        values: dict[str, Value] = {"host": address, "id": self._id("gpu"), **place}
        # The emulated host has no groups, which vfio-pci opens without an iommufd.
        if self._lab or self._chance(0.9):
            values["iommufd"] = "iommufd0"
        if self._chance(0.15):
            values["ats"] = self._random.choice(("on", "off", "auto"))
        if self._chance(0.1):
            values["rombar"] = 0
        self._parts.append(
            Part("-device", self._random.choice(("vfio-pci",) * 5 + ("vfio-pci-nohotplug",)), values)
        )

    def _others(self) -> None:
        if self._chance(0.05):
            self._add("-device", "virtio-iommu-pci", id=self._id("viommu"), bus="pcie.0")
        if self._chance(0.05):
            self._add("-device", "ramfb")
        if self._nodes and self._chance(0.3):
            devices = [
                part.id for part in self._parts if part.option == "-device" and part.id.startswith("gpu")
            ]
            for node in range(self._nodes) if devices else ():
                self._add(
                    "-object", "acpi-generic-initiator", id=self._id("gi"), pci__dev=devices[0], node=node
                )
        if self._chance(0.06):
            self._parts.append(Part("-global", self._random.choice(GLOBALS)))


def _named(values: Mapping[str, Value], own: str) -> dict[str, Value]:
    """With the part's own id in place of ``@``."""
    return {name: own if value == "@" else value for name, value in values.items()}
