# SPDX-License-Identifier: Apache-2.0
"""The ``-set`` option: its syntax, and the option groups that it takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.command_line.device_options import refusal
from vsmmu.machine.command_line.options import CONFIG_GROUPS

if TYPE_CHECKING:
    from vsmmu.errors import InputRefused
    from vsmmu.machine.model import Origin

__all__ = ["SetOption", "not_defined", "parse_set"]

# sscanf("%63[^.].%63[^.].%63[^=]%n"): a field takes all it can.
_SET: Final = r"(?s)([^.]{1,63}+)\.([^.]{1,63}+)\.([^=]{1,63}+)=(.*)"
_NOT_SETTABLE: Final = frozenset({"object", "audiodev", "machine", "smp-opts", "boot-opts"})


class SetOption(NamedTuple):
    """``-set group.id.key=value``."""

    group: str
    id: str
    key: str
    value: str


def parse_set(text: str, origin: Origin) -> SetOption:
    """Read the argument of a ``-set``.

    :raise InputRefused: ``option-syntax``, with QEMU's words.
    """
    match = re.match(_SET, text)
    if match is None:
        raise refusal("option-syntax", "QEMU would not read this", origin, why=f'can\'t parse: "{text}"')
    setting = SetOption(*match.groups())
    why = ""
    if setting.group in _NOT_SETTABLE:
        why = f"-set is not supported with {setting.group}"
    elif setting.group not in CONFIG_GROUPS:
        why = f"There is no option group '{setting.group}'"
    if why:
        raise refusal("option-syntax", "QEMU would not do this", origin, why=why)
    return setting


def not_defined(setting: SetOption, origin: Origin) -> InputRefused:
    """The refusal of a ``-set`` for something that no option before it makes."""
    return refusal(
        "option-syntax",
        "QEMU would not do this",
        origin,
        why=f'there is no {setting.group} "{setting.id}" defined',
        next=f"put -set after the {setting.group}; it does not work for options in JSON",
    )
