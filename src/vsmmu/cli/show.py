# SPDX-License-Identifier: Apache-2.0
"""``vsmmu show``: a host, its SMMUs, what each offers, and the functions behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.host.facts import Host, HostFunction, HostSmmu
    from vsmmu.host.numa_nodes import EgmRegion, NumaNode

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu show --host builtin:gb200
  vsmmu show --host builtin:qemu-virt --registers
  vsmmu show 0009:01:00.0 -o json
  vsmmu show 01:00.0                            as lspci writes it: domain 0
  vsmmu show 10de:2941                          all functions of these ids, and their SMMUs
  vsmmu show -o svg > host.svg                  sockets, SMMUs, functions as a picture
  vsmmu show --kernel-log dmesg.txt -o json     facts from what another host logged
  vsmmu show --list                             names of the built-in hosts
"""


@click.command("show", epilog=_EXAMPLES)
@parameters("show")
def command(
    devices: tuple[str, ...],
    host: str,
    kernel_log: str | None,
    kernel_release: str,
    lspci: str | None,
    registers: bool,
    evidence: bool,
    contribute: bool,
    list_hosts: bool,
    output: str,
) -> int:
    """Show the SMMUs of a host and the functions behind them, or only those behind DEVICE.

    DEVICE is a function (0009:01:00.0), its ids (10de:2941, or 10de: for all of a vendor), or an SMMU
    (smmu3.0x0000000011000000). A value that is not known is
    shown as ?, one of which only a bound is known with ≥ or ≤.
    """
    if list_hosts:
        console.say(*_builtin_lines())
        return 0
    from vsmmu.cli.hosts import read_described_host

    facts = read_described_host(host, kernel_log, kernel_release, lspci)
    if contribute:
        from vsmmu.host.sharing import to_contribute

        facts = to_contribute(facts)
        console.answer(facts)
        console.remark(f"note: as {facts.name}.json in a pull request: CONTRIBUTING.md says how", "note")
        return 0
    if devices:
        facts = _narrowed(facts, devices)
    if output != "json" and not host.startswith("builtin:"):
        facts = _named(facts)
    if output == "json":
        console.answer(facts)
    elif output in ("tree", "svg"):
        from vsmmu.cli.picture import draw
        from vsmmu.picture.host import host_picture

        draw(host_picture(facts), output, f"SMMUs and functions of {facts.name}")
    else:
        age = _age(facts, "" if kernel_log else host)
        console.say(*_text(facts, age, registers=registers, evidence=evidence))
        console.say(*_likeness(facts, "" if kernel_log else host))
    return 0


def _age(facts: Host, spec: str) -> str:
    """How old the facts about this machine are; other facts are not about now."""
    if spec != "live":
        return ""
    from vsmmu.probe.live import describe_age

    return describe_age(facts)


def _likeness(facts: Host, spec: str) -> Iterator[str]:
    """The built-in host that another host looks like."""
    from vsmmu.host.builtin import describe_likeness

    if not spec.startswith("builtin:") and (text := describe_likeness(facts)):
        yield ""
        yield text


def _builtin_lines() -> Iterator[str]:
    from vsmmu.host.builtin import builtin_host, builtin_names

    for name in builtin_names():
        yield f"builtin:{name:16} {builtin_host(name).title}"


def _narrowed(host: Host, devices: Sequence[str]) -> Host:
    """The part of the facts that concerns some functions or SMMUs.

    :raise Negative: ``no-such-device``.
    """
    import msgspec

    from vsmmu.errors import Negative

    functions: dict[str, HostFunction] = {}
    smmus: dict[str, HostSmmu] = {}
    for text in devices:
        asked, own = _meant(host, text)
        if not asked and not own:
            raise Negative(
                "no-such-device",
                f"host {host.name!r} has no {text!r:.80}",
                next=_host_meant(text) or f"{_nearest(host, text)}vsmmu show lists its SMMUs and functions",
            )
        functions.update((entry.address, entry) for entry in asked)
        smmus.update((entry.name, entry) for entry in own)
    return msgspec.structs.replace(host, smmus=tuple(smmus.values()), functions=tuple(functions.values()))


def _host_meant(text: str) -> str:
    """Of a host where a function or SMMU is asked for: how it is said."""
    from pathlib import Path

    from vsmmu.host.builtin import builtin_names

    name = text.removeprefix("builtin:")
    if name in builtin_names():
        return f"to show the built-in host: vsmmu show --host builtin:{name}"
    return f"if it is a file of facts: vsmmu show --host {text}" if Path(text).is_file() else ""


def _nearest(host: Host, text: str) -> str:
    """``did you mean 0009:01:00.0?``, as lspci leaves the domain 0 out; the nearest names otherwise."""
    from difflib import get_close_matches

    functions = [entry.address for entry in host.functions]
    near = [address for address in functions if address.partition(":")[2] == text]
    near = near or get_close_matches(text, [*functions, *(smmu.name for smmu in host.smmus)], 2, 0.8)
    return f"did you mean {' or '.join(near)}? " if near else ""


def _named(host: Host) -> Host:
    """The host for people: functions that the facts know by ids alone have names out of pci.ids."""
    import msgspec

    from vsmmu.probe.pci_ids import device_names

    bare = {
        entry.address: (entry.vendor, entry.device)
        for entry in host.functions
        if entry.vendor and entry.device and not entry.label
    }
    names = device_names(set(bare.values()))
    functions = [
        msgspec.structs.replace(entry, label=names.get(bare.get(entry.address, ("", "")), entry.label))
        for entry in host.functions
    ]
    return msgspec.structs.replace(host, functions=tuple(functions))


def _meant(host: Host, text: str) -> tuple[list[HostFunction], list[HostSmmu]]:
    """The functions and SMMUs that an argument stands for; none of either if the host has nothing like it."""
    from vsmmu.pci import normal_address

    if smmu := host.smmu(text):
        return list(host.behind(smmu)), [smmu]
    if ids := _IDS.fullmatch(text.lower()):
        wanted = [(key, value) for key, value in ids.groupdict().items() if value]
        functions = [
            entry
            for entry in host.functions
            if wanted and all(getattr(entry, key) == value for key, value in wanted)
        ]
    else:
        function = host.function(normal_address(text) or text)
        functions = [] if function is None else [function]
    smmus = [smmu for name in {entry.smmu for entry in functions} if name and (smmu := host.smmu(name))]
    return functions, smmus


#: As ``lspci -d`` has it; an address has a dot.
_IDS: Final = re.compile(r"(?P<vendor>[0-9a-f]{4})?:(?P<device>[0-9a-f]{4})?")


def _text(host: Host, age: str, *, registers: bool, evidence: bool) -> Iterator[str]:
    from vsmmu.cli.table import table
    from vsmmu.host.mmio_window import spell_size

    yield f"{host.name}: {host.title}" if host.title else host.name
    if host.kernel.release:
        yield f"kernel {host.kernel.release}"
    if (pages := host.page_size.value) is not None:
        yield f"pages of {host.read(host.page_size, 'page_size', pages).spell(spell_size)}"
    if age and host.smmus:
        yield age
    yield from (f"made up: {text}" for text in host.synthetic)
    yield ""
    if host.smmus:
        yield from table(_COLUMNS, [_smmu_row(host, smmu) for smmu in host.smmus])
    else:
        yield "no SMMUv3 is known on this host (vsmmu doctor says what to look at)"
    if host.functions:
        yield ""
        yield from table(_FUNCTION_COLUMNS, [_function_row(host, entry) for entry in host.functions])
    if host.numa_nodes:
        yield ""
        yield from table(_NODE_COLUMNS, [_node_row(node) for node in host.numa_nodes])
    if host.egm:
        yield ""
        yield from table(_EGM_COLUMNS, [_egm_row(region) for region in host.egm])
    if registers:
        for smmu in host.smmus:
            yield from _registers(host, smmu)
    if evidence:
        yield ""
        for name, entry in host.evidence.items():
            yield f"{name}: {entry.kind}: {entry.source}" + (f"; {entry.detail}" if entry.detail else "")


_COLUMNS = ("SMMU", "DEVICE", "NODE", "ATS", "RIL", "SSIDSIZE", "OAS", "CMDQV", "NESTS", "EVIDENCE")
_FUNCTION_COLUMNS = ("FUNCTION", "SMMU", "DRIVER", "GROUP", "NODE", "ATS", "PASID", "WHAT")
_NODE_COLUMNS = ("NUMA NODE", "HAS", "DISTANCES")
_EGM_COLUMNS = ("EGM", "SIZE", "FOR")


def _node_row(node: NumaNode) -> tuple[str, ...]:
    kinds = {"CPUs": node.cpus, "memory": node.memory, "generic initiator": node.generic_initiator}
    has = ", ".join(name for name, there in kinds.items() if there)
    return str(node.id), has, " ".join(map(str, node.distances))


def _egm_row(region: EgmRegion) -> tuple[str, ...]:
    from vsmmu.host.mmio_window import spell_size

    size = "?" if region.length is None else spell_size(region.length)
    return region.path, size, " ".join(region.functions) or "?"


def _smmu_row(host: Host, smmu: HostSmmu) -> tuple[str, ...]:
    from vsmmu.cli.render import spell_answer, spell_fact
    from vsmmu.host.judgements import command_queues
    from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

    readings = [(entry, host.read_field(smmu, entry.source)) for entry in REGISTER_PROPERTIES]
    kinds = dict.fromkeys(reading.evidence.kind for _, reading in readings)
    return (
        smmu.name,
        smmu.device,
        "" if smmu.numa_node is None else str(smmu.numa_node),
        *(reading.spell(entry.spell_code) for entry, reading in readings),
        spell_answer(command_queues(host, smmu).answer),
        spell_fact(smmu.nesting),
        ", ".join(kinds),
    )


def _function_row(host: Host, function: HostFunction) -> tuple[str, ...]:
    from vsmmu.cli.render import spell_ats, spell_fact
    from vsmmu.host.judgements import direct_mapped
    from vsmmu.pci import class_name

    pasid = spell_fact(function.max_pasid_log2, switch=False)
    ids = f"{function.vendor}:{function.device}" if function.vendor else ""
    what = function.label or class_name(function.class_code or "")
    fixed = "(mapped 1:1: for no VM)" if direct_mapped(function).answer else ""
    return (
        function.address,
        function.smmu or "none",
        function.driver,
        "" if function.iommu_group is None else str(function.iommu_group),
        "" if function.numa_node is None else str(function.numa_node),
        spell_ats(host, function),
        pasid,
        " ".join(part for part in (ids, what, fixed) if part),
    )


def _registers(host: Host, smmu: HostSmmu) -> Iterator[str]:
    from vsmmu.cli.render import spell_field
    from vsmmu.smmuv3.fields import REGISTERS, fields_of

    yield ""
    yield smmu.name
    for name in REGISTERS:
        register = smmu.registers.get(name)
        known = [(entry, host.read_field(smmu, entry.key)) for entry in fields_of(name)]
        known = [(entry, reading) for entry, reading in known if not reading.is_unknown]
        if register is None and not known:
            continue
        yield f"  {name} {register.value if register else '(in part)'}"
        for entry, reading in known:
            yield f"    {entry.bits:8} {entry.name:16} {spell_field(entry, reading):20} {entry.title}"
