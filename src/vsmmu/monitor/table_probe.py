# SPDX-License-Identifier: Apache-2.0
"""Table probe: ask a QEMU binary over QMP for all its types, their properties and the members of objects."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.monitor.qmp import CommandFailed, Monitor
from vsmmu.qemu.table_folding import AskedTypes, Type, fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ask_table", "ask_types"]

_BARE: Final = "-machine none -S -display none -nodefaults -no-user-config".split()
#: A thousand types, each instantiated once: a second, or two minutes where everything is emulated.
_SECONDS: Final = 120.0
_QDM: Final = re.compile(
    r'name "(?P<name>[^"]+)"(?:, bus (?P<bus>[^,\n]+))?(?:, alias "(?P<alias>[^"]+)")?(?P<rest>.*)'
)


def ask_table(path: str) -> bytes:
    """A binary's table of devices as JSON, without what only trying tells (values of enumerations, widths).

    :raise HostLacks: ``qemu-binary``.
    """
    try:
        return msgspec.json.encode(fold(ask_types([path]), {}))
    except (VsmmuError, OSError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise HostLacks(
            "qemu-binary",
            "this QEMU does not tell its types of devices",
            where=path,
            why=str(error)[:200],
            next="say the version: --qemu 11.1",
        ) from None


@contextmanager
def _started(program: Sequence[str]) -> Iterator[Monitor]:
    # Not over standard input: some devices close descriptor 0 when they are taken apart.
    ours, theirs = socket.socketpair()
    number = theirs.fileno()
    monitor = f"socket,id=qmp,fd={number}"
    words = [*program, *_BARE, "-chardev", monitor, "-mon", "chardev=qmp,mode=control"]
    with (
        ours,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[number]
        ) as process,
    ):
        theirs.close()
        try:
            with Monitor(ours.fileno(), ours.fileno(), program[-1], _SECONDS) as connected:
                yield connected
        finally:
            process.kill()


def ask_types(program: Sequence[str]) -> AskedTypes:
    """Start ``program`` (a binary, with whatever stands before it) without a machine, and ask it.

    :return: its answers; an object's numbers are of type ``int``, since QMP does not tell their widths.
    :raise VsmmuError: if it does not answer.
    """
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
    return AskedTypes(
        version=f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}",
        build=version["package"],
        devices=devices,
        machines=machines,
        buses={match["name"]: match["bus"] or "" for match in listed},
        creatable=frozenset(match["name"] for match in listed if "no-user" not in match["rest"]),
        objects=objects,
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
