# SPDX-License-Identifier: Apache-2.0
"""Features that a VM uses, held against the kernel, configuration, QEMU and libvirt of hosts. No I/O.

The least releases are the table of :mod:`vsmmu.machine.features`. Measured facts come first: a kernel that
gave an answer has what gave it, whatever its release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.doctor.requirements_model import (
    Answer,
    FeatureRequirement,
    HostsAnswer,
    RequirementsDocument,
)
from vsmmu.host.driver_line import kernel_version
from vsmmu.host.facts import HW_INFO_ARM_SMMUV3
from vsmmu.host.judgements import command_queues, direct_mapped
from vsmmu.machine.endpoints import host_address
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vsmmu.host.facts import Host
    from vsmmu.machine.features import Feature
    from vsmmu.machine.model import Machine
    from vsmmu.versions import Version

__all__ = ["InstalledHost", "Judged", "Tally", "judge_feature", "named_functions"]

_MAINLINE: Final = re.compile(r"\d+\.\d+(?:\.\d+)?(?:-rc\d+)?\+?")
#: Worst first; the first part of a feature that has the worst answer is the one to speak of.
_RANK: Final[tuple[Answer, ...]] = ("too-old", "missing", "unknown", "fits")
_ASK: Final = "the configuration is not known"


class InstalledHost(NamedTuple):
    """A host with the programs that would run a VM on it.

    :param config: the kernel's configuration, option -> value (``n`` if not set); None if it is not known.
    :param qemu: None if it is not known.
    :param libvirt: None if it is not known.
    :param uses_libvirt: whether the VM is a domain, so that libvirt's release counts.
    """

    host: Host
    config: Mapping[str, str] | None
    qemu: Version | None
    libvirt: Version | None
    uses_libvirt: bool


class Judged(NamedTuple):
    """An answer and, unless it *fits*, its reason."""

    answer: Answer
    why: str = ""


_FITS: Final = Judged("fits")


def named_functions(machine: Machine) -> tuple[str, ...]:
    """The addresses of the host's functions that a VM names."""
    return tuple(filter(None, map(host_address, machine.devices)))


def judge_feature(feature: Feature, on: InstalledHost, functions: Iterable[str] = ()) -> Judged:
    """Whether a feature is there.

    :param functions: the addresses of the host's functions that the VM names.
    """
    if feature.id == "not-direct-mapped":
        parts = [_mapped(on.host, address) for address in functions]
        return _worst(parts or [Judged("unknown", "the VM does not say which functions it takes")])
    parts = [_kernel(feature, on), _program("QEMU", feature.qemu, on.qemu)]
    if on.uses_libvirt:
        parts.append(_libvirt(feature, on.libvirt))
    return _worst(parts)


def _worst(parts: Iterable[Judged]) -> Judged:
    return min(parts, key=lambda part: _RANK.index(part.answer))


def _mapped(host: Host, address: str) -> Judged:
    function = host.function(address)
    if function is None:
        return Judged("unknown", f"{address} is not in the facts")
    found = direct_mapped(function)
    if found.answer is None:
        return Judged("unknown", f"{address}: {found.why}")
    return Judged("missing", f"{address}: {found.why}") if found.answer else _FITS


def _kernel(feature: Feature, on: InstalledHost) -> Judged:
    if feature.kernel is None:
        return _FITS
    seen = _PROOFS[feature.id](on.host) if feature.id in _PROOFS else None
    if seen is not None:
        return seen
    release = on.host.kernel.release
    version = kernel_version(release)
    older = version is not None and version < feature.kernel
    if on.config is not None and on.config.get(feature.config, "n") == "n":
        return Judged("too-old", f"Linux {release}") if older else Judged("missing", f"no {feature.config}")
    if on.config is not None and feature.decisive:
        return _FITS
    if version is None:
        return Judged("unknown", "the kernel's release is not known")
    if older:
        if _MAINLINE.fullmatch(release):
            return Judged("too-old", f"Linux {release}")
        return Judged("unknown", f"Linux {release}, unless its distributor brought it there")
    return _FITS if on.config is not None else Judged("unknown", f"Linux {release}: {_ASK}")


def _program(name: str, least: Version | None, here: Version | None) -> Judged:
    if least is None:
        return _FITS
    if here is None:
        return Judged("unknown", f"which {name} is not known")
    return _FITS if here >= least else Judged("too-old", f"{name} {spell_version(here)}")


def _libvirt(feature: Feature, here: Version | None) -> Judged:
    found = _program("libvirt", feature.libvirt or feature.libvirt_seen, here)
    if found.answer == "too-old" and feature.libvirt is None:
        return Judged("unknown", f"{found.why}: the first with it is not known")
    return found


def _measured_info(host: Host) -> set[int]:
    """The types that IOMMU_GET_HW_INFO gave on this host, of whichever SMMU."""
    readings = [host.read(smmu.hw_info_type, "hw_info_type", 0xFFFF_FFFF) for smmu in host.smmus]
    return {
        entry.exact for entry in readings if entry.exact is not None and entry.evidence.kind == "measured"
    }


def _iommufd(host: Host) -> Judged | None:
    told = host.read(host.iommufd, "iommufd")
    if _measured_info(host) or (told.exact == 1 and told.evidence.kind == "measured"):
        return _FITS
    absent = told.exact == 0 and told.evidence.kind == "measured"
    return Judged("missing", "there is no /dev/iommu") if absent else None


def _cdev(host: Host) -> Judged | None:
    return _FITS if _measured_info(host) else None


def _accel(host: Host) -> Judged | None:
    given = _measured_info(host)
    if HW_INFO_ARM_SMMUV3 in given:
        return _FITS
    return Judged("missing", "the kernel says nothing of its SMMUs (IOMMU_GET_HW_INFO)") if given else None


def _cmdqv(host: Host) -> Judged | None:
    told = [command_queues(host, smmu) for smmu in host.smmus]
    if told and all(entry.answer is False for entry in told):
        return Judged("missing", "no SMMU of it has command queues for VMs")
    words = (name for smmu in host.smmus for name in smmu.hw_info_data)
    return _FITS if any(name.startswith("cmdqv.") for name in words) and _measured_info(host) else None


#: What facts say of a kernel's features; None where they do not settle it.
_PROOFS: Final[Mapping[str, Callable[[Host], Judged | None]]] = {
    "iommufd": _iommufd,
    "cdev": _cdev,
    "accel": _accel,
    "cmdqv": _cmdqv,
}


class Tally:
    """Counts the answers of hosts for each feature of a VM; grows with the different answers alone.

    :param vm: how the user called the VM.
    :param keep: how many names to keep for each answer.
    """

    def __init__(self, vm: str, features: Iterable[Feature], functions: tuple[str, ...], keep: int) -> None:
        self._vm = vm
        self._keep = keep
        self._functions = functions
        self._hosts = 0
        self._found: dict[Feature, dict[Judged, tuple[int, list[str]]]] = {
            feature: {} for feature in features
        }

    def add(self, on: InstalledHost) -> None:
        """Judge one host."""
        self._hosts += 1
        for feature, answers in self._found.items():
            judged = judge_feature(feature, on, self._functions)
            count, names = answers.get(judged, (0, []))
            if count < self._keep:
                names.append(on.host.name)
            answers[judged] = count + 1, names

    def document(self) -> RequirementsDocument:
        """What was counted."""
        features = tuple(
            FeatureRequirement(
                id=feature.id,
                title=feature.title,
                kernel=_spell(feature.kernel),
                config=feature.config,
                qemu=_spell(feature.qemu),
                libvirt=_spell(feature.libvirt),
                answers=tuple(_answers(answers)),
            )
            for feature, answers in self._found.items()
        )
        fits = all(entry.answer == "fits" for row in features for entry in row.answers)
        return RequirementsDocument(vm=self._vm, hosts=self._hosts, fits=fits, features=features)


def _answers(found: Mapping[Judged, tuple[int, list[str]]]) -> Iterator[HostsAnswer]:
    """Worst first, then those of most hosts."""
    ordered = sorted(found.items(), key=lambda entry: (_RANK.index(entry[0].answer), -entry[1][0], entry[0]))
    for judged, (count, names) in ordered:
        yield HostsAnswer(judged.answer, count, judged.why, tuple(names))


def _spell(version: Version | None) -> str:
    return "" if version is None else spell_version(version)
