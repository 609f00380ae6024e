# SPDX-License-Identifier: Apache-2.0
"""QEMU's configuration files (``-readconfig``): sections of quoted values, one section one option.

Read as ``util/qemu-config.c`` (``qemu_config_foreach``) does, with one difference: a line on which QEMU would
silently read an empty value because the quotes or spaces are missing is refused here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.options import CONFIG_GROUPS
from vsmmu.machine.limits import MAX_CONFIG_BYTES, MAX_CONFIG_LINE, decode, refuse_over

__all__ = ["Section", "parse_config"]


class Section(NamedTuple):
    """One section: ``[group "id"]`` and its ``key = "value"`` lines.

    :param settings: keys and values, ``id`` among them if there is one; the last of repeated keys.
    :param line: of the last key (or of the head, if there is none): what QEMU's errors name.
    :param cpus: the values of ``cpus``, each of which counts.
    """

    group: str
    settings: dict[str, str]
    line: int
    cpus: list[str]


# sscanf does not go back: a word takes all it can, up to 63 characters.
_HEAD_WITH_ID: Final = re.compile(r"\[\s*+(\S{1,63}+)\s*+\"([^\"]{1,63})")
_HEAD: Final = re.compile(r"\[([^]]{1,63})")
_SETTING: Final = re.compile(r"\s*+(\S{1,63}+)\s*+=\s*+\"([^\"]{0,1023})\"")


def parse_config(data: bytes, name: str) -> list[Section]:
    """The sections of a configuration file, in order.

    :param name: the file's name, for messages.
    :raise InputRefused: ``config-syntax`` with the line; ``not-utf8``; ``input-too-large``.
    """
    refuse_over(len(data), MAX_CONFIG_BYTES, "bytes", name)
    sections: list[Section] = []
    for number, line in enumerate(decode(data, name).split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        if len(line) > MAX_CONFIG_LINE or "\0" in line:
            raise _refuse(name, number, f"a line of more than {MAX_CONFIG_LINE} characters, or with a NUL")
        if line.startswith("["):
            section = _head(line, name, number)
            if section is not None:
                sections.append(section)
                continue
        setting = _SETTING.match(line)
        if setting is None:
            raise _refuse(name, number, 'neither [section], # comment nor key = "value"')
        if not sections:
            raise _refuse(name, number, "a value before the first section")
        key, value = setting.groups()
        sections[-1].settings[key] = value
        if key == "cpus":
            sections[-1].cpus.append(value)
        sections[-1] = sections[-1]._replace(line=number)
    return sections


def _head(line: str, name: str, number: int) -> Section | None:
    settings: dict[str, str] = {}
    if match := _HEAD_WITH_ID.match(line):
        group = match.group(1)
        settings["id"] = match.group(2)
    elif match := _HEAD.match(line):
        group = match.group(1)
    else:
        return None
    if group not in CONFIG_GROUPS:
        raise _refuse(name, number, f"There is no option group '{group}'")
    return Section(group, settings, number, [])


def _refuse(name: str, line: int, why: str) -> InputRefused:
    return InputRefused(
        "config-syntax",
        "QEMU would not read this configuration file",
        where=f"{name}:{line}",
        why=why,
        next='write [section "id"] and key = "value", with spaces around the equals sign',
    )
