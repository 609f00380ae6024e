# SPDX-License-Identifier: Apache-2.0
"""Ask a QEMU binary over QMP for all its types, with their properties, and for what ``-object`` takes."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vsmmu.monitor.qmp import CommandFailed, Monitor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Answers", "Type", "ask", "refusal"]

_BARE: Final = "-machine none -S -display none -nodefaults -no-user-config".split()
_VIRT: Final = "-machine virt -accel tcg -S -display none -nodefaults -no-user-config -monitor none".split()
#: A thousand types, each instantiated once.
_SECONDS: Final = 600.0
_QDM: Final = re.compile(
    r'name "(?P<name>[^"]+)"(?:, bus (?P<bus>[^,\n]+))?(?:, alias "(?P<alias>[^"]+)")?(?P<rest>.*)'
)
_OBJECT_TYPE: Final = re.compile(r"expects an? (?P<type>size|uint64|int64) value(?P<list> or range)?")


class Type(NamedTuple):
    """A type as QOM has it; ``properties`` is None for an abstract one, which cannot be asked."""

    parent: str
    properties: dict[str, str] | None


class Answers(NamedTuple):
    """What one binary said.

    :param build: the package's version, as ``query-version`` has it.
    :param buses: kind of bus by device, empty for a device that needs none.
    :param creatable: the devices that ``-device`` takes.
    :param objects: what ``-object`` takes: members in the order in which QEMU visits them, each with its type
        and whether it must be there.
    :param aliases: of machines, such as ``virt`` -> ``virt-11.1``.
    :param device_aliases: such as ``ahci`` -> ``ich9-ahci``.
    """

    version: str
    build: str
    devices: dict[str, Type]
    machines: dict[str, Type]
    buses: dict[str, str]
    creatable: frozenset[str]
    objects: dict[str, list[tuple[str, str, bool]]]
    aliases: dict[str, str]
    device_aliases: dict[str, str]


@contextmanager
def _started(program: Sequence[str]) -> Iterator[Monitor]:
    # Not over standard input: some devices close descriptor 0 when they are taken apart.
    ours, theirs = socket.socketpair()
    number = theirs.fileno()
    monitor = f"socket,id=qmp,fd={number}"
    words = [*program, *_BARE, "-chardev", monitor, "-mon", "chardev=qmp,mode=control"]
    with ours, subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=[number]) as process:
        theirs.close()
        try:
            with Monitor(ours.fileno(), ours.fileno(), program[-1], _SECONDS) as connected:
                yield connected
        finally:
            process.kill()


def refusal(program: Sequence[str], *words: str) -> str:
    """What the ``virt`` machine says to these options; empty if it starts."""
    quit_at_once = '{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'
    done = subprocess.run(
        [*program, *_VIRT, "-qmp", "stdio", *words],
        input=quit_at_once, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


def ask(program: Sequence[str]) -> Answers:
    """Start ``program`` (a binary, with whatever stands before it) without a machine, and ask it."""
    with _started(program) as monitor:
        version = monitor.execute("query-version")
        parents = {
            entry["name"]: entry.get("parent", "")
            for entry in monitor.execute("qom-list-types", abstract=True)
        }
        devices = _types(monitor, "device", "device-list-properties", parents)
        machines = _types(monitor, "machine", "qom-list-properties", parents)
        qdm = monitor.execute("human-monitor-command", command_line="info qdm").replace("\r", "")
        objects = dict(_objects(monitor.execute("query-qmp-schema")))
        aliases = {
            entry["alias"]: entry["name"] for entry in monitor.execute("query-machines") if "alias" in entry
        }
    listed = list(_QDM.finditer(qdm))
    numbers = version["qemu"]
    return Answers(
        version=f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}",
        build=version["package"],
        devices=devices,
        machines=machines,
        buses={match["name"]: match["bus"] or "" for match in listed},
        creatable=frozenset(match["name"] for match in listed if "no-user" not in match["rest"]),
        objects={
            name: [
                (member, _exact(program, name, members, member, kind), must) for member, kind, must in members
            ]
            for name, members in objects.items()
        },
        aliases=aliases,
        device_aliases={match["alias"]: match["name"] for match in listed if match["alias"]},
    )


def _types(monitor: Monitor, root: str, command: str, parents: dict[str, str]) -> dict[str, Type]:
    listed = monitor.execute("qom-list-types", implements=root, abstract=True)
    concrete = {entry["name"] for entry in monitor.execute("qom-list-types", implements=root, abstract=False)}
    found = {}
    for name in sorted(entry["name"] for entry in listed):
        properties = None
        if name in concrete:
            try:
                properties = {
                    entry["name"]: entry["type"] for entry in monitor.execute(command, typename=name)
                }
            except CommandFailed:
                properties = None
        found[name] = Type(parents.get(name, ""), properties)
    return found


def _objects(schema: list[dict[str, Any]]) -> Iterator[tuple[str, list[tuple[str, str, bool]]]]:
    by_name = {entry["name"]: entry for entry in schema}
    argument = by_name[by_name["object-add"]["arg-type"]]
    for variant in sorted(argument["variants"], key=lambda entry: str(entry["case"])):
        members = by_name[variant["type"]]["members"]
        yield (
            variant["case"],
            [(member["name"], _kind(by_name, member["type"]), "default" not in member) for member in members],
        )
    with_members = {variant["case"] for variant in argument["variants"]}
    tag = next(member for member in argument["members"] if member["name"] == "qom-type")
    for name in by_name[tag["type"]]["values"]:
        if name not in with_members:
            yield name, []


def _kind(by_name: dict[str, Any], name: str) -> str:
    entry = by_name[name]
    if entry["meta-type"] == "array":
        return f"[{_kind(by_name, entry['element-type'])}]"
    if entry["meta-type"] == "enum":
        return "|".join(sorted(entry["values"]))
    return str(entry.get("json-type", entry["meta-type"]) if entry["meta-type"] == "builtin" else "struct")


def _exact(
    program: Sequence[str], name: str, members: list[tuple[str, str, bool]], member: str, kind: str
) -> str:
    """The width of an integer, which QMP's schema does not tell, from QEMU's refusal of another value."""
    if kind not in ("int", "[int]"):
        return kind
    others = "".join(f",{other}=1" for other, _, must in members if must and other != member)
    match = _OBJECT_TYPE.search(refusal(program, "-object", f"{name},id=x{others},{member}=?"))
    if match is None:
        return kind
    return f"[{match['type']}]" if match["list"] else match["type"]
