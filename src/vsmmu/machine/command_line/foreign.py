# SPDX-License-Identifier: Apache-2.0
"""Text that no shell reads: Makefiles, configuration files, other languages; and templates not filled in.

Split as a shell would, such a text can have a command in it that nobody would ever start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.shell import line_and_column
from vsmmu.machine.command_line.sources import is_emulator, named_emulator

if TYPE_CHECKING:
    from vsmmu.machine.command_line.shell import Command

__all__ = ["MAKEFILE", "PYTHON", "YAML", "is_foreign", "no_script", "refuse_foreign", "refuse_placeholders"]

#: ``NAME = value`` and its like: to a shell, a program NAME with an argument ``=``.
_ASSIGNS: Final = frozenset({"=", ":=", "::=", "?=", "+=", "=>", ":"})
#: ``NAME=-M virt``: to a shell, a program ``virt`` with NAME in its environment.
_OPTIONS_ASSIGNED: Final = r"[A-Za-z_]\w*[:?+]?=[ \t]*--?(?:M|machine|device|accel|cpu|m|smp|object)\Z"
#: A target and, in the next line, its recipe behind a tabulator; or how only make assigns.
MAKEFILE: Final = (
    r"^[A-Za-z0-9_.%/${}()-][^\n:=#'\"]*::?(?![=:])[^\n=]*\n(?:\t|#[^\n]*\n\t)"
    r"|^[A-Za-z_]\w*[ \t]*(?:\?=|::?=[ \t]*[^\s'\"])"
)
#: Python begins with what it imports.
PYTHON: Final = r"^(?:import [a-z][\w.]*(?: as \w+)?(?:, ?[\w.]+)*|from [\w.]+ import [\w*( ].*)$"
#: A playbook, a compose file, cloud-init.
YAML: Final = r"\A(?!#!)(?:\s|#[^\n]*\n)*(?:---|- [\w.]+:|[A-Za-z_]+:(?:\s|\Z))"
#: ``{{ gpu }}`` of Jinja, Go and just; ``<GPU>`` and ``<your GPU>`` of a manual, which a shell redirects.
_PLACEHOLDER: Final = r"\{\{[^{}\"\n]*\}\}|(?<=[=,:'\"\s])<[A-Za-z](?:[\w :.-]*\w)?>(?=[\s,:'\"]|\Z)"


def refuse_foreign(text: str, where: str, command: Command) -> None:
    """Refuse a command that only seems to be one.

    :raise InputRefused: ``not-a-vm``.
    """
    words = [word.value for word in command.words]
    named = named_emulator(words)
    if (
        (len(words) > 1 and words[1] in _ASSIGNS)
        or re.match(_OPTIONS_ASSIGNED, words[0]) is not None
        or (named is None and words[0] == "-")
        or (named is None and "=" in words[0] and words[1:2] and words[1].startswith("-"))
        or any(word.endswith(":") and is_emulator(word[:-1]) for word in words)  # what QEMU printed
        or (_open(command, named) and _is_makefile(text))
    ):
        raise no_script(where)


def no_script(where: str) -> InputRefused:
    """The refusal of a text that no shell reads; what it looks like is told where it is a VM's text."""
    return InputRefused("not-a-vm", "this is no shell script", where=where, next="give a script")


def is_foreign(text: str) -> bool:
    """Whether a whole text is of another language; asked where a shell would not read it either."""
    return any(re.search(form, text, re.MULTILINE) for form in (PYTHON, YAML))


def _open(command: Command, named: int | None) -> bool:
    return named is None or any(word.expansion is not None for word in command.words)


def _is_makefile(text: str) -> bool:
    return not text.startswith("#!") and bool(re.search(MAKEFILE, text, re.MULTILINE))


def refuse_placeholders(text: str, where: str, command: Command) -> None:
    """Refuse what has to be filled in before a shell reads it.

    :raise InputRefused: ``placeholder``.
    """
    start, end = command.words[0].start, command.words[-1].end
    if "{{" not in text and "<" not in text:
        return
    literal = [
        (segment.start, segment.end) for word in command.words for segment in word.segments if segment.expands
    ]
    # The end of a redirection is no word: to the end of the line.
    end = len(text) if (line_end := text.find("\n", end)) < 0 else line_end
    for found in re.finditer(_PLACEHOLDER, text[start:end]):
        at = start + found.start()
        if not any(first <= at < last for first, last in literal):
            raise InputRefused(
                "placeholder",
                f"nobody has filled in {found.group()!r:.60}",
                where=f"{where}, {line_and_column(text, at)}",
                next="write the value there; of a template (Ansible, Helm, just), give what it renders",
            )
