# SPDX-License-Identifier: Apache-2.0
"""The pages of the reference that follow from tables in the code, and the JSON Schemas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
from codes import exit_statuses
from features import features
from json_documents import documents, schema_text
from markdown import code, page, prose, table
from performance import performance
from pictures import plan_svg
from robustness import robustness

from vsmmu.cli.group import cli
from vsmmu.cli.option_table import OPTIONS
from vsmmu.cli.schemas import DOCUMENTS
from vsmmu.codes import code_table, message_causes
from vsmmu.errors import VsmmuError
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.libvirt.rules import RULES
from vsmmu.libvirt.wording import WORDINGS
from vsmmu.policy import rules
from vsmmu.qemu.compat import BASE, CHECKS
from vsmmu.qemu.texts import MESSAGES
from vsmmu.qemu.versions import FORK_RELEASES, RELEASES, Qemu, parse_version
from vsmmu.smmuv3.fields import REGISTERS, fields_of
from vsmmu.smmuv3.properties import LIBVIRT_ORDER, LIBVIRT_SINCE, PROPERTIES, REGISTER_PROPERTIES
from vsmmu.versions import LATEST_LIBVIRT, LATEST_QEMU, spell_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.host.facts import Host, HostSmmu
    from vsmmu.smmuv3.properties import Property

__all__ = ["PAGES"]

_WIDTH = 90
#: Of a message or remedy that has no text of its own.
_VARIES = "*one for each case*"


def _commands(command: click.Command, context: click.Context, name: str) -> Iterator[tuple[str, str]]:
    """The command and all below it, with their help."""
    own = click.Context(
        command, parent=context, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    yield own.command_path, command.get_help(own)
    if isinstance(command, click.Group):
        for child in command.list_commands(own):
            found = command.get_command(own, child)
            if found is not None:
                yield from _commands(found, own, child)


def command_line() -> str:
    """Every verb with the help that it prints."""
    settings = {**cli.context_settings, "max_content_width": _WIDTH}
    root = click.Context(cli, info_name="vsmmu", terminal_width=_WIDTH, **settings)
    blocks = [f"```text\n{cli.get_help(root)}\n```"]
    for verb in cli.list_commands(root):
        command = cli.get_command(root, verb)
        found = _commands(command, root, verb) if command else ()
        blocks += [f"## `{path}`\n\n```text\n{text}\n```" for path, text in found]
    names = dict.fromkeys((row.variable, row.names) for row in OPTIONS if row.variable)
    rows = [(code(variable), code(option)) for variable, option in names]
    return page(
        "Command line",
        "What `--help` prints, verb by verb.",
        *blocks,
        "## Environment",
        "A variable stands for an option that is not given.",
        table(("variable", "stands for"), rows),
        "Others: `VSMMU_RUN_DIR` is where `probe` keeps facts, lock and journal instead of `/run/vsmmu`; "
        "`VSMMU_LAB_CACHE` is where the lab is kept, `VSMMU_LAB_MIRROR` the archive that it is built from; "
        "`VSMMU_DEBUG=1` shows where a bug comes from; `NO_COLOR` means no colours. KubeVirt's hook has "
        "[variables of its own](kubevirt-hook.md).",
    )


def errors() -> str:
    """Exit statuses and error codes."""
    tree = sorted(VsmmuError.__subclasses__(), key=lambda kind: kind.exit_status)
    statuses = [
        ("0", "yes, or done"),
        *((str(kind.exit_status), _summary(kind)) for kind in tree if kind.__module__ == "vsmmu.errors"),
        ("70", "a bug of vsmmu; `VSMMU_DEBUG=1` shows where"),
        ("124, 125", "`vsmmu lab` only: the time was up; the lab itself failed"),
        ("130, 141", "interrupted; nobody reads the output any more (as a shell says SIGINT and SIGPIPE)"),
    ]
    known = exit_statuses()
    rows = [
        (
            code(name),
            ", ".join(str(status) for status in known.get(name, [])),
            prose(row.cause),
            prose(row.next),
        )
        for name, row in sorted(code_table().items())
    ]
    return page(
        "Exit statuses and error codes",
        "The exit status says what kind of answer it is, the code in brackets at the end of the message "
        "which one. Both are stable: scripts may match on them. The sentences are not.",
        table(("exit status", "meaning"), statuses),
        "## Codes of vsmmu",
        "What each means in any case, and what to do; the message itself has the names and numbers. "
        "Refusals that QEMU itself would print have codes of their own, see [](qemu-messages.md), and so "
        "have the rules for libvirt domains, see [](domain-lint.md). A code without an exit status is one "
        "line of an answer, such as a warning, or made from a table. `vsmmu explain CODE` prints one.",
        table(("code", "exit status", "cause", "what to do"), rows),
    )


def _summary(kind: type[VsmmuError]) -> str:
    return prose((kind.__doc__ or "").partition("(exit")[0]).rstrip(". ")


def _property_rows() -> list[tuple[str, ...]]:
    return [
        (
            code(entry.name),
            entry.title,
            code(entry.source) + " " + code(entry.source_field.bits) if entry.source else "none",
            ", ".join(code(text) for text in _short(entry)),
            ", ".join(code(entry.spell(value)) for value in _ends(entry)),
            code(entry.spell(entry.safe)),
            code(entry.spell(entry.software)),
            spell_version(entry.since),
        )
        for entry in PROPERTIES.values()
    ]


def properties() -> str:
    """The five properties."""
    defaults = [
        (code(f"QEMU {version}, {machine}"), *_defaults(version, machine))
        for version, machine in (("11.0", "virt-11.0"), ("11.1", "virt-11.0"), ("11.1", "virt-11.1"))
    ]
    ruled = [
        (code(name), text) for name, text in re.findall(r"^``([a-z-]+)``\s+(.+)$", rules.__doc__ or "", re.M)
    ]
    return page(
        "Properties",
        "The properties of `-device arm-smmuv3` that depend on the host, in the order in which vsmmu "
        "writes them. The same table is what every reader and printer of vsmmu uses.",
        table(
            (
                "property",
                "what it is",
                "bounded by",
                "QEMU's parser takes",
                "can be pinned",
                "safe",
                "without accel",
                "since QEMU",
            ),
            _property_rows(),
        ),
        "*Can be pinned* is what a configuration may say and QEMU then implements; its own `auto` copies "
        "the register's field as it is, so it can reach values that cannot be written down. *Safe* is what"
        " `--assume-safe` takes where a fact is unknown. *Without accel* is what QEMU's SMMU offers without "
        "acceleration: every other value needs `accel=on`.",
        f"libvirt has all of them as attributes of `<driver>` since {spell_version(LIBVIRT_SINCE)}, and "
        f"writes them in the order {', '.join(code(entry.name) for entry in LIBVIRT_ORDER)}. "
        "It has no `auto`: an attribute that is not written is left to QEMU.",
        "## Defaults with `accel=on`",
        table(("", *(code(name) for name in PROPERTIES)), defaults),
        "## Rules",
        "Which rule chose a value is part of the answer (`rule` in JSON, in parentheses in `explain`).",
        table(("rule", "says"), ruled),
    )


def _short(entry: Property) -> tuple[str, ...]:
    return ("auto", "0", "…", "20") if entry.name == "ssidsize" else tuple(entry.spellings)


def _ends(entry: Property) -> tuple[int, ...]:
    return (entry.pinnable[0], entry.pinnable[-1])


def _defaults(version: str, machine: str) -> Iterator[str]:
    major, minor = machine.removeprefix("virt-").split(".")
    known = parse_version(version).defaults((int(major), int(minor)))
    for entry in PROPERTIES.values():
        yield code(entry.spell(known[entry.name])) if entry.name in known else "none"


def registers() -> str:
    """The identification registers."""
    checked = {check.key: check for check in CHECKS}
    blocks = []
    for name, offset in REGISTERS.items():
        rows = [
            (
                code(entry.bits),
                code(entry.name),
                entry.title,
                ", ".join(f"{number}: {text}" for number, text in entry.meanings.items()) or "number",
                _guest(entry.key),
                checked[entry.key].relation if entry.key in checked else "",
            )
            for entry in fields_of(name)
        ]
        blocks += [f"## {name} (offset {offset:#04x})",
                   table(("bits", "field", "what it is", "values", "vSMMU", "compared"), rows)]  # fmt: skip
    return page(
        "Registers",
        "The words that `IOMMU_GET_HW_INFO` returns for an SMMUv3, field by field. *vSMMU* is what an "
        "accelerated vSMMU shows its guest; *compared* is what the host must be for QEMU to accept it: "
        "equal, at least or at most that.",
        *blocks,
    )


def _guest(key: str) -> str:
    own = next((entry for entry in REGISTER_PROPERTIES if entry.source == key), None)
    return f"property {code(own.name)}" if own else str(BASE.get(key))


def _followed(text: str, word: str, more: str) -> str:
    """The text, and in parentheses what else there is to say of it, if anything."""
    return f"{text} ({word}{more})" if more else text


def messages() -> str:
    """QEMU's refusals."""
    causes = message_causes()
    rows = [
        (
            code(entry.code),
            code(f"{entry.prefix}{entry.text}".replace("\n", " / ")) if entry.text != "{text}" else _VARIES,
            prose(_followed(causes[entry.code].cause, "", causes[entry.code].since)),
            prose(causes[entry.code].about),
            prose(_followed(entry.remedy, "cost: ", causes[entry.code].costs))
            if entry.remedy != "{remedy}"
            else _VARIES,
        )
        for entry in MESSAGES.values()
    ]
    return page(
        "QEMU's messages",
        "Every refusal that the model can predict, with QEMU's own text (words in braces stand for what "
        "QEMU fills in), the cause with the QEMU that brought it unless that is older than accelerated "
        "SMMUv3s, the register field, file or option behind it, and what to do. Each has a test that "
        "reaches it. `vsmmu explain` prints a row for a code, a sentence or a whole log.",
        table(("code", "QEMU prints", "cause", "about", "remedy"), rows),
    )


def domain_lint() -> str:
    """The rules for libvirt domains."""
    rows = [
        (
            code(rule.code),
            rule.severity,
            *(_template(text) for text in (rule.what, rule.consequence, rule.remedy)),
        )
        for rule in RULES.values()
    ]
    worded = [
        (code(row.code), code(row.of), prose(row.next.replace("{known}", "")))
        for row in WORDINGS
        if row.of in MESSAGES
    ]
    return page(
        "Rules for libvirt domains",
        "What `vsmmu check` finds in domain XML, each with its line; words in braces stand for what is "
        "filled in. An *error* does not start, or not as it is written, and `check` ends with status 1; a "
        "*hazard* starts with another value than is written (an error for pciBus and accel), with the same "
        "status; a *warning* may surprise. What libvirt does is held against libvirt "
        f"{spell_version(LATEST_LIBVIRT)}, what QEMU says against {spell_version(LATEST_QEMU)}.",
        table(("code", "severity", "what", "consequence", "remedy"), rows),
        "## QEMU's refusals of a domain",
        "What QEMU would refuse of the domain is said at the element, with the remedy in libvirt's words, "
        "and some of it under a code of its own. Other [messages of QEMU](qemu-messages.md) keep theirs.",
        table(("code", "QEMU's", "remedy"), worded),
    )


def _template(text: str) -> str:
    """A sentence with places to fill in; a value that is quoted there has its quotes."""
    return prose(re.sub(r"\{(\w+)!r\}", r"'{\1}'", text))


def _judged(qemu: Qemu, feature: str) -> str:
    """Whether a version has a feature; of a fork nobody looked at the two that its row leaves out."""
    if qemu.vendor and feature in ("has_cmdqv", "has_vfio_ats") and not getattr(qemu, feature):
        return "not known"
    return {True: "yes", False: "no"}.get(getattr(qemu, feature), "not known")


def _spelt(qemu: Qemu, name: str) -> str:
    """What a fork calls one of the five, with the type of its values."""
    entry = qemu.properties[name]
    return f"{code(entry.option)} ({entry.kind})" if qemu.has(entry) else "not known"


def versions() -> str:
    """The QEMU versions, and the forks that are versions by name."""
    known = (*RELEASES, *FORK_RELEASES)
    spelt = [(code(name), *(_spelt(qemu, name) for qemu in FORK_RELEASES)) for name in PROPERTIES]
    rows = [
        (text, *(_judged(qemu, name) for qemu in known))
        for name, text in (
            ("has_accel", "`accel`, `ats`, `ril`, `ssidsize`, `oas`"),
            ("has_auto", "`auto` is resolved"),
            ("has_cmdqv", "`cmdqv`"),
            ("has_vfio_ats", "`ats` of vfio-pci"),
            ("checks_ats", "compares the host's ATS with the vSMMU's"),
            ("defaults_known", "what it takes where nothing is written is known"),
        )
    ]
    return page(
        "QEMU versions",
        "What each QEMU release knows of the accelerated SMMUv3. 10.2 has a user-creatable `arm-smmuv3` "
        "and no `accel`; a release newer than those below is treated as the newest, and the answer says "
        "so.",
        table(("", *(f"QEMU {qemu}" for qemu in known)), rows),
        "What is written when nothing is: [](properties.md).",
        "## NVIDIA's forks",
        "`--qemu nvidia-10.1` and `--qemu nvidia-11.0` are versions, too, and so is what their packages call "
        "them (`10.1.0+nvidia2`). No binary of either was asked: what follows was read from their sources, "
        "`vsmmu check --trace` names each row with its source, and what nobody read is `unknown`. "
        "`resolve` writes the fork's own words.",
        table(("", *(f"QEMU {qemu}" for qemu in FORK_RELEASES)), spelt),
        "`pasid=on` is an SSIDSIZE of 16 bits and `pasid=off` none: a host with 20 gets `pasid=on`, one "
        "with fewer than 16 gets `pasid=off`, and nothing between can be written. Neither can an OAS "
        "other than 44 or 48. Whether `nvidia-10.1` calls its command queues `cmdqv` or `tegra241-cmdqv` "
        "differs between builds: either is `unknown`, and never written. A domain for it is `unknown`, "
        "and `resolve` refuses it: the libvirt that writes these words was not looked at. Both take a "
        "`pxb-cxl` as `primary-bus` and the object `acpi-egm-memory`; of `nvidia-11.0` the defaults are "
        "not known, so that `check` says `unknown` until every value is written.",
    )


def builtin_hosts() -> str:
    """The hosts that ship with vsmmu."""
    blocks = []
    for name in builtin_names():
        host = builtin_host(name)
        sources = [(code(key), entry.kind, prose(entry.source), prose(entry.detail))
                   for key, entry in host.evidence.items()]  # fmt: skip
        rows = [
            (code(smmu.name), *(_value(host, smmu, entry) for entry in REGISTER_PROPERTIES))
            for smmu in host.smmus
        ]
        made_up = f"Made up for the example: {prose('; '.join(host.synthetic))}." if host.synthetic else ""
        blocks += [
            f"## `builtin:{name}`",
            f"{prose(host.title)}. {made_up}",
            table(("SMMU", *(code(entry.name) for entry in REGISTER_PROPERTIES)), rows),
            table(("evidence", "kind", "source", "detail"), sources),
        ]
    return page(
        "Built-in hosts",
        "Documented values of real platforms. What is not documented is unknown here, too, and not "
        "guessed. A built-in host tells what *such* a machine offers; yours may differ, and `vsmmu probe` "
        "on it settles that.",
        *blocks,
    )


def _value(host: Host, smmu: HostSmmu, entry: Property) -> str:
    reading = host.read_field(smmu, entry.source)
    if reading.interval == (0, entry.source_field.limit):
        return "unknown"
    value = entry.spell if reading.exact is not None else str
    return f"{reading.interval.convert(entry.from_code).spell(value)} ({reading.evidence.kind})"


#: File below docs/reference -> what makes its content.
PAGES: dict[str, Callable[[], str]] = {
    "command-line.md": command_line,
    "errors.md": errors,
    "properties.md": properties,
    "registers.md": registers,
    "qemu-messages.md": messages,
    "domain-lint.md": domain_lint,
    "qemu-versions.md": versions,
    "features.md": features,
    "builtin-hosts.md": builtin_hosts,
    "json.md": documents,
    "robustness.md": robustness,
    "performance.md": performance,
    "../_static/plan.svg": plan_svg,
    **{f"schemas/vsmmu.{name}-1.schema.json": schema_text(name) for name in DOCUMENTS},
}
