# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies: hosts as they are known, and VMs as people write them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

import examples
from vsmmu.host.evidence import Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu
from vsmmu.machine.command_line.argv import CommandLine, read_words
from vsmmu.policy.options import Options
from vsmmu.smmuv3.fields import OAS_BITS

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine

__all__ = ["ADDRESSES", "Vm", "hosts", "options", "qemus", "settings", "smmus", "vms"]

SMMUS = ("smmu0", "smmu1", "smmu2")
ADDRESSES = tuple(f"0000:{bus:02x}:00.0" for bus in range(1, 7))

qemus = st.sampled_from([examples.Q11_0, examples.Q11_1])
flags = st.sampled_from([0, 1])
sizes = st.sampled_from(sorted(OAS_BITS.values()))
_USUALLY = st.sampled_from([True, True, True, False])
ssid_sizes = st.sampled_from([0, 1, 8, 16, 19, 20, 21, 31])

#: What the compatibility check looks at besides the four, at and around its limits; mostly what passes.
_LIMITS = {
    "IDR0_ST_LEVEL": (1, 1, 1, 1, 1, 1, 0),
    "IDR0_TTENDIAN": (2, 2, 2, 0, 1, 3),
    "IDR0_TTF": (2, 2, 2, 3, 1),
    "IDR1_SIDSIZE": (16, 16, 17, 32, 15),
    "IDR5_GRAN4K": (1, 1, 1, 1, 1, 0),
    "IDR5_GRAN16K": (1, 1, 1, 1, 1, 0),
    "IDR5_GRAN64K": (1, 1, 1, 1, 1, 0),
}
_CODES = {bits: code for code, bits in OAS_BITS.items()}


@st.composite
def smmus(draw: st.DrawFn, name: str = "smmu0", *, known: bool = False, fit: bool = False) -> HostSmmu:
    """A host SMMU.

    :param known: every fact is known exactly.
    :param fit: everything but the four values passes QEMU's checks.
    """

    def fact(values: st.SearchStrategy[int], most: int) -> int | Fact | None:
        value = draw(values)
        if known:
            return value
        how = draw(st.sampled_from(["exact"] * 5 + ["unknown", "at-least", "at-most"]))
        if how == "unknown":
            return None
        return value if how == "exact" or not 0 <= value <= most else Fact(value, "known", how)  # type: ignore[arg-type]

    rest = {} if fit else {key: fact(st.sampled_from(values), 63) for key, values in _LIMITS.items()}
    return examples.smmu(
        name,
        ats=fact(flags, 1),
        ril=fact(flags, 1),
        ssidsize=fact(ssid_sizes, 31),
        oas=Fact(_CODES[draw(sizes)], "known") if known else _size(fact(sizes.map(_CODES.__getitem__), 7)),
        cmdqv=fact(flags, 1),
        nesting=1 if fit else fact(st.sampled_from([1, 1, 1, 0]), 1),
        **rest,
    )


def _size(code: int | Fact | None) -> Fact | None:
    return Fact(code, "known") if isinstance(code, int) else code


@st.composite
def functions(draw: st.DrawFn, address: str, names: tuple[str, ...], *, known: bool = False) -> HostFunction:
    """A function behind one of these SMMUs; its ATS may be spoilt in any way."""
    maybe = flags if known else st.sampled_from([0, 1, None])
    return examples.function(
        address,
        draw(st.sampled_from(names)),
        ats_capability=draw(maybe),
        ats_not_supported=draw(maybe),
        root_complex_ats=draw(maybe),
    )


@st.composite
def hosts(draw: st.DrawFn, *, known: bool = False, fit: bool = False, most: int = 3) -> Host:
    """A host with up to ``most`` SMMUs and a function at each of :data:`ADDRESSES`."""
    names = SMMUS[: draw(st.integers(1, most))]
    return Host(
        schema=SCHEMA,
        name="generated",
        smmus=tuple(draw(smmus(name, known=known, fit=fit)) for name in names),
        functions=tuple(draw(functions(address, names, known=known)) for address in ADDRESSES),
        evidence=examples.EVIDENCE,
    )


@st.composite
def settings(draw: st.DrawFn, *, auto: bool = True) -> str:
    """Properties of a vSMMU as somebody may have written them; most are left out."""
    words = {
        "ats": ["on", "off"],
        "ril": ["on", "off"],
        "ssidsize": ["0", "8", "20"],
        "oas": ["44", "48"],
    }
    chosen = []
    for name, values in words.items():
        text = draw(st.sampled_from([""] * 9 + values + ["auto"] * (2 if auto else 0)))
        if text:
            chosen.append(f"{name}={text}")
    return ",".join(chosen)


class Vm(NamedTuple):
    """A generated VM as its parts, so that a test can put the endpoints in another order.

    :param vsmmus: for each one its properties and the host addresses of its endpoints.
    """

    head: str
    vsmmus: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def command(self) -> CommandLine:
        return read_words(shlex.split(" ".join(self._words())))

    @property
    def machine(self) -> Machine:
        return self.command.machine()

    def _words(self) -> list[str]:
        words = [f"qemu-system-aarch64 {self.head} -accel kvm -bios fw -nodefaults -object iommufd,id=i0"]
        chassis = 0
        for number, (values, addresses) in enumerate(self.vsmmus):
            words.append(f"-device pxb-pcie,id=pcie.{number + 1},bus_nr={16 * number + 8},bus=pcie.0")
            on = f"primary-bus=pcie.{number + 1},id=s{number},accel=on"
            words.append(f"-device arm-smmuv3,{','.join(filter(None, (on, values)))}")
            for address in addresses:
                chassis += 1
                words.append(examples.port(chassis, f"pcie.{number + 1}"))
                words.append(examples.vfio(address, chassis))
        return words


@st.composite
def vms(draw: st.DrawFn, *, most: int = 3, least: int = 0, auto: bool = True, fixed: bool = False) -> Vm:
    """A VM with up to ``most`` vSMMUs, each with ``least`` endpoints or more, no function twice.

    :param fixed: nothing is written but ``accel=on``.
    """
    free = draw(st.permutations(ADDRESSES))
    parts = []
    for _ in range(draw(st.integers(1, most))):
        count = draw(st.integers(least, 2))
        taken, free = tuple(free[:count]), free[count:]
        parts.append(("" if fixed else draw(settings(auto=auto)), taken))
    head = draw(st.sampled_from(["-M virt", "-M virt", "-M virt-11.0", "-M virt-10.2"]))
    return Vm(head, tuple(parts))


@st.composite
def options(draw: st.DrawFn) -> Options:
    """What a caller may add."""
    also = draw(st.lists(st.sampled_from(ADDRESSES), max_size=1))
    named = draw(st.sampled_from(["", "", "", "smmu0", ADDRESSES[0]]))
    return Options(
        also={"": tuple(also)} if also else {},
        smmu={"": named} if named else {},
        assume_safe=draw(_USUALLY),
        allow_mixed=draw(_USUALLY),
        pin_cmdqv=draw(st.booleans()),
    )
