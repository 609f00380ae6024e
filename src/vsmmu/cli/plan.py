# SPDX-License-Identifier: Apache-2.0
"""``vsmmu plan``: a PCI topology for host functions, as QEMU arguments, libvirt XML or a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from vsmmu.cli import console
from vsmmu.cli.options import VmCommand, parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.plan.listing import ListedFunction
    from vsmmu.plan.model import Plan
    from vsmmu.plan.selection import Grouping

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu plan --host builtin:gb200 0009:01:00.0 0019:01:00.0
  vsmmu plan 0009:01:00.0 -- qemu-system-aarch64 -M virt ...       the whole command line
  vsmmu plan --spare 2 smmu3.0x0000000012000000                    ports for functions to come
  vsmmu plan --domain vm.xml 0009:01:00.0                          XML to be added with virsh edit
  vsmmu plan --domain VM --merge 0009:01:00.0 | virsh define /dev/stdin
  vsmmu plan --list                                                which functions share what
  vsmmu plan -o svg 0009:01:00.0 0019:01:00.0 > plan.svg
"""


class _PlanCommand(VmCommand):
    """The usage line: devices first, the VM to add them to after ``--``."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The usage line, with the form that click cannot know."""
        return ["[OPTIONS]", "DEVICE...", "[-- QEMU-COMMAND...]"]


class _Question(NamedTuple):
    """The options as given."""

    devices: tuple[str, ...]
    words: tuple[str, ...] | None
    host: str
    qemu: str | None
    machine_type: str | None
    policy: str
    spare: int
    assume_safe: bool
    pin_cmdqv: bool
    domain: str | None
    merge: bool
    list_functions: bool
    group: str


@click.command("plan", cls=_PlanCommand, epilog=_EXAMPLES)
@parameters("plan", _Question)
def command(question: _Question, output: str) -> int:
    """Lay a VM out for functions of the host.

    Each host SMMU gets a pxb-pcie and an arm-smmuv3 with resolved values, each function a root port; bus
    numbers, chassis and ids do not collide.

    DEVICE is a function (0009:01:00.0), or an SMMU (smmu3.0x0000000012000000) for a vSMMU whose functions
    all come by hot-plug. With a QEMU command after --, the whole command line comes out, else the arguments
    to be added to one; with --domain, the elements to be added to its <devices>, or with --merge the whole
    domain. For functions that the VM has already there is vsmmu fix --accelerate. Nothing comes out that
    QEMU would refuse, as far as the facts tell.
    """
    if question.list_functions:
        _list(question.host, output)
        return 0
    domain = _domain(question.domain)
    if question.merge and domain is None:
        from vsmmu.errors import UsageError

        raise UsageError("merge", "--merge is for a domain", next="name it: --domain FILE|NAME")
    plan, host = _plan(question, domain)
    for companion in plan.companions:
        console.remark(f"note: {companion.text}", "note")
    for note in plan.notes:
        console.remark(f"note: {note}", "note")
    if question.merge and domain is not None and output in ("text", "xml"):
        from vsmmu.plan.merge import merged

        console.raw(merged(plan, domain).data)
    else:
        _print(plan, "xml" if domain is not None and output == "text" else output, domain, host)
    return 0


def _list(spec: str, output: str) -> None:
    """The functions that a VM can be given."""
    from vsmmu.cli.hosts import read_host
    from vsmmu.cli.table import table
    from vsmmu.plan.listing import listing

    found = listing(read_host(spec))
    if output == "json":
        console.answer(found)
        return
    rows = [
        (
            entry.function,
            entry.smmu,
            entry.root_complex,
            "" if entry.iommu_group is None else str(entry.iommu_group),
            "" if entry.numa_node is None else str(entry.numa_node),
            " ".join(entry.bars),
            "" if entry.initiators is None else str(entry.initiators),
            entry.obstacle or ", ".join(filter(None, (entry.label, _virtual(entry), _egm(entry)))),
        )
        for entry in found.functions
    ]
    console.say(*table(_COLUMNS, rows))


def _egm(entry: ListedFunction) -> str:
    return f"EGM {entry.egm}" if entry.egm else ""


def _virtual(entry: ListedFunction) -> str:
    if entry.physical_function is not None:
        return f"VF of {entry.physical_function}"
    count = entry.virtual_functions or 0
    return f"has {count} VF{'' if count == 1 else 's'}" if count else ""


_COLUMNS = ("FUNCTION", "SMMU", "ROOT", "GROUP", "NODE", "BARS", "NODES OF ITS OWN", "WHAT")


def _domain(name: str | None) -> DomainXml | None:
    if name is None:
        return None
    from vsmmu.api import read_vm_file
    from vsmmu.errors import UsageError

    domain = read_vm_file(name).domain
    if domain is None:
        raise UsageError(
            "not-a-domain",
            f"--domain {name!r:.80} is a QEMU command line",
            next="write the command after --, or name a libvirt domain or its XML",
        )
    return domain


def _plan(question: _Question, domain: DomainXml | None) -> tuple[Plan, Host]:
    from vsmmu.api import load_qemu, read_vm
    from vsmmu.cli.hosts import read_host
    from vsmmu.errors import UsageError
    from vsmmu.monitor.readconfig import read_config_file
    from vsmmu.plan.planner import Order, plan
    from vsmmu.policy.options import Options

    if not question.devices:
        raise UsageError("no-device", "no function is named", next="name one: vsmmu plan --list shows them")
    words = question.words
    if words is not None and not words:
        raise UsageError("no-vm", "nothing stands after --", next="write the QEMU command there")
    if words and domain is not None:
        raise UsageError(
            "two-inputs", "both a domain and a command after -- are given", next="give one of them"
        )
    if words:
        read_vm(words)  # what is no QEMU command is refused as everywhere
    options = Options(
        policy="qemu" if question.policy == "qemu" else "common",
        machine_type=question.machine_type or "",
        assume_safe=question.assume_safe,
        pin_cmdqv=question.pin_cmdqv,
    )
    group: Grouping = "root-complex" if question.group == "root-complex" else "smmu"
    order = Order(question.devices, question.spare, words or (), domain, group=group)
    host = read_host(question.host)
    return plan(order, host, load_qemu(question.qemu), options, reader=read_config_file), host


def _print(plan: Plan, output: str, domain: DomainXml | None, host: Host) -> None:
    words = plan.arguments if plan.command_line is None else plan.command_line
    if output == "json":
        console.answer(plan)
    elif output == "xml":
        from vsmmu.plan.domain import next_index
        from vsmmu.plan.libvirt import devices_xml

        console.raw(devices_xml(plan, 1 if domain is None else next_index(domain)))
    elif output in ("tree", "svg"):
        from vsmmu.cli.picture import draw
        from vsmmu.plan.boxes import plan_picture

        draw(plan_picture(plan, host), output, f"PCI topology of a VM on {plan.host}")
    elif output == "nul":
        console.raw("".join(f"{word}\0" for word in words))
    else:
        console.raw("".join(f"{line}\n" for line in _text(plan)))


def _text(plan: Plan) -> Iterator[str]:
    from vsmmu.machine.command_line.sources import shell_quote

    if plan.command_line is not None:
        yield " ".join(shell_quote(word) for word in plan.command_line)
        return
    pairs = zip(plan.arguments[::2], plan.arguments[1::2], strict=True)
    lines = [f"{option} {shell_quote(value)}" for option, value in pairs]
    yield from (f"{line} \\" for line in lines[:-1])
    yield lines[-1]
