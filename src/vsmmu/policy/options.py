# SPDX-License-Identifier: Apache-2.0
"""Options of a resolution: what the caller says besides the VM, the host and the QEMU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from vsmmu.diagnostic import Diagnostic
from vsmmu.errors import UsageError
from vsmmu.named_tuple import NamedTuple
from vsmmu.pci import normal_address
from vsmmu.qemu.versions import is_vendor_machine
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.machine.model import Machine
    from vsmmu.versions import Version

__all__ = ["Ceiling", "Options", "Policy", "make_options", "misnamed"]

#: *common*: the most that all functions behind a vSMMU can have. *qemu*: what QEMU's own auto would take,
#: the first device's.
Policy = Literal["common", "qemu"]


class Ceiling(NamedTuple):
    """A baseline: more than this is not wanted, whatever the host offers.

    :param name: the pool, or the file that it came from.
    :param hosts: how many hosts stand behind it.
    :param values: the most for each property, in the property's unit.
    """

    name: str
    hosts: int
    values: Mapping[str, int]


class Options(NamedTuple):
    """What a command line, a hook or a program adds to a VM; it goes down to the rules unopened.

    :param policy: how a value is chosen where several functions sit behind one vSMMU.
    :param machine_type: of a VM that does not say its own, or QEMU's name for a distribution's
        (``virt-rhel9.8.0``); empty for what the VM says.
    :param libvirt: the version that will define the VM, if it is a libvirt domain; None for the newest known.
    :param functions: host addresses by device name, for vfio-pci with ``fd=``.
    :param also: host addresses of functions to come, by vSMMU name; the key ``""`` is every vSMMU.
    :param smmu: host SMMUs (name, platform device, or a function behind it) by vSMMU name; ``""`` likewise.
    :param assume_safe: take the safe value where a fact is unknown.
    :param allow_mixed: let one vSMMU serve two host SMMUs (QEMU starts, attaching fails later).
    :param pin_cmdqv: also write cmdqv.
    :param ceiling: a baseline that the values must not exceed.
    :param unpin: properties whose written values are forgotten first, as those of another host.
    :param absent: paths that are known not to exist where the VM will start.
    :param lockable: how many bytes of memory who starts QEMU may lock; None where nothing limits it, or where
        that is not known.
    """

    policy: Policy = "common"
    machine_type: str = ""
    libvirt: Version | None = None
    functions: Mapping[str, str] = {}
    also: Mapping[str, tuple[str, ...]] = {}
    smmu: Mapping[str, str] = {}
    assume_safe: bool = False
    allow_mixed: bool = False
    pin_cmdqv: bool = False
    ceiling: Ceiling | None = None
    unpin: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    lockable: int | None = None

    def complete(self, machine: Machine) -> Machine:
        """The VM with :attr:`machine_type`, where it has none, or one that a distribution made of its own.

        :raise UsageError: ``machine-type``, if it has another of QEMU's.
        """
        if not self.machine_type or machine.machine_type == self.machine_type:
            return machine
        if machine.machine_type and not is_vendor_machine(machine.machine_type):
            raise UsageError(
                "machine-type",
                f"--machine-type {self.machine_type} contradicts the VM, which says {machine.machine_type}",
                next="leave --machine-type out",
            )
        return machine._replace(machine_type=self.machine_type)

    def also_for(self, vsmmu: str) -> tuple[str, ...]:
        """The functions to come behind ``vsmmu``."""
        return (*self.also.get("", ()), *self.also.get(vsmmu, ()))

    def smmu_for(self, vsmmu: str) -> str:
        """The host SMMU named for ``vsmmu``; empty if none was."""
        return self.smmu.get(vsmmu) or self.smmu.get("", "")

    def most(self, name: str) -> int | None:
        """What the baseline allows for a property, in its unit; None if nothing limits it."""
        return None if self.ceiling is None else self.ceiling.values.get(name)


def make_options(
    *,
    policy: Policy = "common",
    machine_type: str = "",
    libvirt: str | None = None,
    also: Iterable[str] | Mapping[str, Iterable[str]] = (),
    smmu: str | Mapping[str, str] = "",
    functions: Mapping[str, str] | None = None,
    assume_safe: bool = False,
    allow_mixed: bool = False,
    pin_cmdqv: bool = False,
    ceiling: Ceiling | None = None,
    unpin: Iterable[str] = (),
) -> Options:
    """Options from texts as people write them: addresses in any spelling, a version of libvirt.

    :raise UsageError: ``address``, ``libvirt-version`` or ``property-name``.
    """
    coming = also if isinstance(also, Mapping) else {"": also}
    named = {"": smmu} if isinstance(smmu, str) else smmu
    return Options(
        policy=policy,
        machine_type=machine_type,
        libvirt=_libvirt(libvirt),
        functions={name: _address(text, "--function") for name, text in (functions or {}).items()},
        also={name: tuple(_address(text, "--also") for text in texts) for name, texts in coming.items()},
        smmu={name: text for name, text in named.items() if text},
        assume_safe=assume_safe,
        allow_mixed=allow_mixed,
        pin_cmdqv=pin_cmdqv,
        ceiling=ceiling,
        unpin=_properties(unpin),
    )


def _properties(names: Iterable[str]) -> tuple[str, ...]:
    given = tuple(names)
    for name in given:
        if name not in PROPERTIES:
            raise UsageError(
                "property-name",
                f"{name!r:.80} is no property of a vSMMU that depends on the host",
                next=f"name some of {', '.join(PROPERTIES)}",
            )
    return given


def _libvirt(text: str | None) -> Version | None:
    if text is None:
        return None
    from vsmmu.libvirt.releases import parse_libvirt_version

    return parse_libvirt_version(text)


def _address(text: str, option: str) -> str:
    address = normal_address(text)
    if address is None:
        raise UsageError(
            "address", f"{option}: {text!r:.80} is no PCI address", next="write it as 0009:01:00.0"
        )
    return address


def misnamed(machine: Machine, options: Options) -> Iterator[Diagnostic]:
    """Names that the caller gives and the VM does not have: one misspelt would silently change the answer."""
    vsmmus = {device.name for device in machine.vsmmus} | {""}
    devices = {device.name for device in machine.devices}
    for option, given, known in (
        ("--smmu", options.smmu, vsmmus),
        ("--also", options.also, vsmmus),
        ("--function", options.functions, devices),
    ):
        for name in given:
            if name not in known:
                yield Diagnostic(
                    "no-such-device",
                    f"{option} names {name!r:.80}, which this VM does not have",
                    next=f"it has {', '.join(sorted(known - {''})[:8]) or 'none'}",
                )
