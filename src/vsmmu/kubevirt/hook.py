# SPDX-License-Identifier: Apache-2.0
"""The hook on a domain: the same for the program, the gRPC callback and the plugin.

Same input, same output, and the output again gives itself. A VM without accelerated SMMUv3 passes through
byte for byte, without the facts or even the XML being read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import HostLacks, Negative, error_of
from vsmmu.kubevirt.concern import is_concerned
from vsmmu.kubevirt.settings import NODE
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.host.facts import Host
    from vsmmu.kubevirt.settings import HookSettings
    from vsmmu.kubevirt.vmi import Vmi
    from vsmmu.machine.domain.document import DomainXml

__all__ = ["HookOutcome", "load_facts", "mutate", "passed_through", "too_late"]

_WHERE = "domain"


class HookOutcome(NamedTuple):
    """The hook's answer.

    :param domain: the domain to define.
    :param changed: whether it is another than the one that came.
    :param messages: lines for the log.
    :param failure: what went wrong although the domain passes through.
    """

    domain: bytes
    changed: bool
    messages: tuple[str, ...] = ()
    failure: Exception | None = None


def mutate(
    data: bytes, vmi: bytes, settings: HookSettings, load: Callable[[str], Host] | None = None
) -> HookOutcome:
    """Resolve the accelerated SMMUs of a domain on this node.

    :param data: the domain XML that KubeVirt made.
    :param vmi: the VirtualMachineInstance as JSON.
    :param load: what reads facts; :func:`load_facts` if None.
    :raise VsmmuError: if that cannot be done, unless the settings say to let the domain pass.
    """
    if not is_concerned(data, vmi):
        return HookOutcome(data, changed=False)  # nothing more is loaded
    from vsmmu.kubevirt.vmi import read_vmi

    try:
        instance = read_vmi(vmi)
        settings = settings.annotated(instance.annotations)
        if not settings.enabled:
            return HookOutcome(data, changed=False)
        if b"smmuv3" not in data and settings.accelerate == "off":
            return HookOutcome(data, changed=False)
        return _resolve(data, settings, instance, load)
    except Exception as error:  # a bug of ours must not stop a VM that was to pass through, either
        if settings.on_failure == "fail":
            raise
        return passed_through(data, error)


def passed_through(data: bytes, error: Exception) -> HookOutcome:
    """The answer where something went wrong and the domain passes all the same."""
    message = f"not resolved, passed through: {error_of(error)}"
    return HookOutcome(data, changed=False, messages=(message,), failure=error)


def too_late(seconds: float, what: str = "") -> Negative:
    """The error of a call for which there is no more time."""
    return Negative(
        "hook-timeout",
        f"not done within {seconds:.3g} seconds",
        why=what,
        next="set VSMMU_TIMEOUT, or look at what keeps this node busy",
    )


def _resolve(
    data: bytes, settings: HookSettings, vmi: Vmi, load: Callable[[str], Host] | None
) -> HookOutcome:
    from vsmmu.host.files import spell_unread
    from vsmmu.machine.domain.document import read_domain_xml
    from vsmmu.policy.domain_xml import corrections
    from vsmmu.policy.options import make_options
    from vsmmu.policy.resolver import resolve
    from vsmmu.qemu.versions import is_vendor_machine, parse_version
    from vsmmu.smmuv3.properties import PROPERTIES

    load = _told(load or load_facts)
    domain = read_domain_xml(data, _WHERE)
    if settings.accelerate == "create":
        from vsmmu.kubevirt.create import create_vsmmus

        domain = create_vsmmus(domain, load(_facts(settings, vmi)))
    elif settings.accelerate == "on":
        domain = _accelerated(domain)
    if not any(entry.is_smmuv3 and entry.accelerated for entry in domain.reading.iommus):
        return HookOutcome(data, changed=False)
    vendor = is_vendor_machine(domain.machine().machine_type)
    options = make_options(
        policy=settings.policy,
        machine_type=settings.machine_type if vendor else "",
        libvirt=settings.libvirt,
        also=settings.also,
        assume_safe=settings.assume_safe,
        unpin=tuple(PROPERTIES) if settings.values == "resolve" else (),
    )
    host, qemu = load(_facts(settings, vmi)), parse_version(settings.qemu)
    mended: tuple[str, ...] = ()
    if settings.fix == "certain":
        from vsmmu.kubevirt.mended import mended_domain

        domain, mended = mended_domain(domain, host, qemu, options)
    corrected = tuple(corrections(domain.reading))
    resolution = resolve(domain, host, qemu, options)
    resolution.require()
    assert resolution.vm is not None  # noqa: S101 - there is no problem
    edited = resolution.vm.render()
    messages = [
        f"{vsmmu.device} on {vsmmu.primary_bus}: "
        + " ".join(f"{entry.name}={entry.value}" for entry in vsmmu.properties)
        for vsmmu in resolution.vsmmus
    ]
    unread = [f"facts: {spell_unread(host)}"] if host.unread else []
    messages = list(dict.fromkeys([*mended, *corrected, *messages, *resolution.notes, *unread]))
    return HookOutcome(edited, edited != data, tuple(messages))


def load_facts(spec: str) -> Host:
    """The facts that ``VSMMU_HOST`` names.

    :param spec: a file, or ``builtin:NAME``.
    :raise UsageError: ``no-such-builtin``.
    :raise VsmmuError: as :func:`~vsmmu.host.files.load_host`.
    """
    if spec.startswith("builtin:"):
        from vsmmu.host.builtin import builtin_host

        return builtin_host(spec.removeprefix("builtin:"))
    from vsmmu.host.files import load_host

    return load_host(spec)


def _told(load: Callable[[str], Host]) -> Callable[[str], Host]:
    """The same, which says of facts that are missing how they come to a hook."""

    def load_or_tell(path: str) -> Host:
        try:
            return load(path)
        except HostLacks as error:
            from vsmmu.shipped import HOOK_FACTS, maker

            if error.code != "file-missing" or maker(path) == HOOK_FACTS.text:
                raise
            advice = f"let VSMMU_HOST name {HOOK_FACTS.folders[0]}/{NODE}.json: {HOOK_FACTS.text}"
            raise HostLacks(error.code, error.what, where=path, why=error.why, next=advice) from None

    return load_or_tell


def _facts(settings: HookSettings, vmi: Vmi) -> str:
    return settings.facts.replace(NODE, vmi.node) if NODE in settings.facts else settings.facts


def _accelerated(domain: DomainXml) -> DomainXml:
    """The domain with ``accel='on'`` wherever an SMMUv3 of its own has a host device behind."""
    accelerated = domain.accelerate()
    if not any(entry.accelerated and entry.pci_bus for entry in accelerated.reading.iommus):
        raise Negative(
            "no-vsmmu",
            "the annotation asks for an accelerated SMMUv3, and the domain has none that could be one",
            why="that takes an <iommu model='smmuv3'> with pciBus, and a PCI hostdev behind that expander",
            next="let KubeVirt make them, or let the hook do it with the annotation vsmmu/accel: create",
        )
    return accelerated
