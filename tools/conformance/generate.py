# SPDX-License-Identifier: Apache-2.0
"""Random cases of each kind, on one generated host; reproducible from the seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from conformance.cases import Run, Step
from conformance.commands import Line
from conformance.predict import starts
from vsmmu.diagnostic import Edit
from vsmmu.machine.command_line.argv import read_words
from vsmmu.policy.options import Options, Policy
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.versions import LATEST
from vsmmu.smmuv3.properties import PROPERTIES
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from vsmmu.host.facts import Host, HostFunction

__all__ = ["KINDS", "Generator"]

_MACHINES: Final = ("virt", "virt-11.1", "virt-11.0", "virt-10.2", "virt-10.0", "virt-9.2")
_VALUES: Final = {
    "ats": ("on", "off", "auto"),
    "ril": ("on", "off", "auto"),
    "oas": ("44", "48", "auto"),
    "ssidsize": ("0", "1", "5", "8", "16", "19", "20", "auto"),
}
#: Not every try gives a run: not everything can be resolved.
_TRIES: Final = 10
_PACK: Final = 12
_PLUGS: Final = 5
#: Least values of the guest's registers, for what ``resolve`` claims.
_BASE: Final = IdRegisters(idr0=0x0D44101A, idr1=0x02730010, idr3=0x00001004, idr5=0x00000074)


class Generator:
    """Makes runs for one batch.

    :param prefix: stands in front of every run's name.
    """

    def __init__(self, random: Random, host: Host, prefix: str) -> None:
        self._random = random
        self._host = host
        self._prefix = prefix
        self._number = 0

    def runs(self, kind: str, count: int) -> list[Run]:
        """``count`` runs of a kind."""
        made: list[Run] = []
        for _ in range(count * _TRIES):
            run = KINDS[kind](self) if len(made) < count else None
            made += [run] if run is not None else []
        return made

    def _run(self, kind: str, line: Line, **rest: Any) -> Run:
        self._number += 1
        return Run(f"{self._prefix}/{kind}/{self._number}", kind, line.words(), **rest)

    # Pieces

    def _function(self) -> HostFunction:
        return self._random.choice(self._host.functions)

    def _properties(self, *, explicit: bool = False, absent: float = 0.3) -> dict[str, str]:
        """Values for the four properties; some are not written at all."""
        chosen = {}
        for name, values in _VALUES.items():
            usable = [value for value in values if value != "auto"] if explicit else list(values)
            if explicit or self._random.random() >= absent:
                chosen[name] = self._random.choice(usable)
        if self._random.random() < 0.2:
            chosen["cmdqv"] = self._random.choice(("off", "auto"))
        return chosen

    def _fitting(self, function: HostFunction) -> dict[str, str]:
        """Explicit values near what a function's SMMU has: mostly they fit, sometimes just not."""
        smmu = self._host.smmu(function.smmu or "")
        words = smmu.id_registers if smmu is not None else None
        assert words is not None  # noqa: S101 - generated hosts are known whole
        chosen = {}
        for name, values in _VALUES.items():
            entry = PROPERTIES[name]
            limit = entry.from_code(words.get(entry.source))
            fits = [v for v in values if v != "auto" and _number(entry.parse(v)) <= limit]
            usable = fits if fits and self._random.random() < 0.9 else [v for v in values if v != "auto"]
            chosen[name] = self._random.choice(usable)
        return chosen

    def _single(
        self, machine: str, properties: dict[str, str], functions: list[HostFunction], **vfio: Any
    ) -> Line:
        line = Line(f"{machine},gic-version=3")
        self._unit(line, properties, functions, **vfio)
        return line

    def _unit(
        self, line: Line, properties: dict[str, str], functions: list[HostFunction], **vfio: Any
    ) -> str:
        bus = line.root()
        name = line.vsmmu(bus, accel="on", **properties)
        for function in functions:
            line.vfio(line.port(bus), function.address, **vfio)
        return name

    # Kinds

    def packed(self) -> Run:
        """Up to twelve vSMMUs that each start, with auto, explicit and absent values, any machine type."""
        machine = self._random.choice(_MACHINES)
        line = Line(f"{machine},gic-version=3")
        used: set[str] = set()
        units = 0
        for _ in range(_PACK * 12):
            functions = [self._function() for _ in range(self._random.choice((1, 1, 2)))]
            addresses = {function.address for function in functions}
            if addresses & used or len(addresses) < len(functions):
                continue
            values = self._fitting(functions[0]) if self._random.random() < 0.4 else self._properties()
            vfio = {"ats": self._random.choice(("off", "auto"))} if self._random.random() < 0.3 else {}
            if not starts(self._single(machine, values, functions, **vfio).words(), self._host):
                continue
            used |= addresses
            self._unit(line, values, functions, **vfio)
            units += 1
            if units == _PACK:
                break
        return self._run("packed", line, packed=True)

    def cold(self) -> Run:
        """One vSMMU, any values, one to three functions: starts, or is refused with a certain message."""
        functions = self._random.sample(self._host.functions, self._random.choice((1, 1, 2, 3)))
        vfio = {"ats": self._random.choice(("on", "off", "auto"))} if self._random.random() < 0.4 else {}
        values = self._fitting(functions[0]) if self._random.random() < 0.6 else self._properties()
        return self._run("cold", self._single(self._random.choice(_MACHINES), values, functions, **vfio))

    def near(self) -> Run:
        """Two functions of different SMMUs and mostly auto: the first decides, the second is compared."""
        first, second = self._random.sample(self._host.functions, 2)
        values = self._properties(absent=0.8)
        return self._run("first-decides", self._single("virt", values, [first, second]))

    def plugs(self) -> Run:
        """Explicit vSMMUs without devices; many functions plugged into each, and out again."""
        line = Line()
        ports = []
        for _ in range(_PACK):
            bus = line.root()
            line.vsmmu(bus, accel="on", **self._fitting(self._function()))
            ports.append(line.port(bus))
        steps: list[Step] = []
        for port in ports:
            for function in self._random.sample(self._host.functions, _PLUGS):
                steps += self._plug(line, port, function, steps)
        return self._run("hot-plug", line, steps=tuple(steps), packed=True)

    def _plug(self, line: Line, port: str, function: HostFunction, before: list[Step]) -> list[Step]:
        """Plug, and unplug if that works."""
        from conformance.predict import predict

        arguments: dict[str, Any] = {
            "driver": "vfio-pci",
            "host": function.address,
            "iommufd": "i0",
            "bus": port,
        }
        arguments["id"] = f"h{len(before)}"
        if self._random.random() < 0.2:
            arguments["ats"] = self._random.choice(("on", "off", "auto"))
        add = Step("add", arguments)
        probe = predict(Run("", "", line.words(), (*before, add)), self._host)
        works = bool(probe.steps) and not probe.steps[-1].error
        return [add, Step("delete", {"id": arguments["id"]})] if works else [add]

    def sequence(self) -> Run | None:
        """A resolved vSMMU: its frozen values through plugs, unplugs and resets."""
        line = Line()
        bus = line.root()
        line.vsmmu(bus, accel="on", **self._properties(absent=0.6))
        line.vfio(line.port(bus), self._function().address)
        port = line.port(bus)
        if not starts(line.words(), self._host):
            return None
        cold = {word.partition("host=")[2].partition(",")[0] for word in line.words() if "host=" in word}
        steps: list[Step] = []
        for function in self._random.sample(self._host.functions, 4):
            if function.address in cold:
                continue
            steps += self._plug(line, port, function, steps)
            if self._random.random() < 0.3:
                steps.append(Step("reset"))
        return self._run("sequence", line, steps=tuple(steps))

    def resolved(self) -> Run | None:
        """What ``resolve`` pins must start, with the registers that it claims."""
        line = Line(f"{self._random.choice(_MACHINES)},gic-version=3")
        units = self._random.choice((1, 1, 2, 3))
        for functions in self._groups(units):
            written = self._properties(absent=0.9)
            self._unit(line, written, functions)
        command = read_words(line.words())
        policy: Policy = self._random.choice(("common", "qemu"))
        resolution = resolve_machine(command.machine(), self._host, LATEST, Options(policy))
        if resolution.problems:
            return None
        words = command.edit(Edit(e.device, e.property, e.value) for e in resolution.edits).render_words()
        claims: dict[str, dict[str, str]] = {}
        for vsmmu in resolution.vsmmus:
            values = {entry.name: entry.value for entry in vsmmu.properties}
            if "auto" not in (values.get(name) for name in _VALUES):
                claims[vsmmu.device] = _claimed(values)
        self._number += 1
        name = f"{self._prefix}/resolve/{self._number}"
        return Run(name, "resolve", words, packed=True, registers=claims)

    def _groups(self, count: int) -> list[list[HostFunction]]:
        smmus = self._random.sample(self._host.smmus, count)
        return [self._random.sample(self._host.behind(smmu), self._random.choice((1, 2))) for smmu in smmus]


def _number(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101
    return value


def _claimed(values: dict[str, str]) -> dict[str, str]:
    words = _BASE
    for name in _VALUES:
        entry = PROPERTIES[name]
        words = words.replace(entry.source, entry.to_code(_number(entry.parse(values[name]))))
    return {name: f"{words.word(name):#010x}" for name in ("IDR0", "IDR1", "IDR3", "IDR5")}


#: Kind -> how a run of it is made.
KINDS: Final[dict[str, Callable[[Generator], Run | None]]] = {
    "packed": Generator.packed,
    "cold": Generator.cold,
    "first-decides": Generator.near,
    "hot-plug": Generator.plugs,
    "sequence": Generator.sequence,
    "resolve": Generator.resolved,
}
