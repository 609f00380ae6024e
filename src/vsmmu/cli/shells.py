# SPDX-License-Identifier: Apache-2.0
"""Completion scripts of bash, zsh and fish, and the classes by which click answers them.

The scripts and what they ask are click's, except for two things. bash takes words apart at ``:`` and ``=``,
so that ``builtin:gb200`` and ``0009:01:00.0`` are several; its script puts them together. And the value of
``--host=`` is offered with the option in front, since to a shell both are one word.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from vsmmu.errors import UsageError

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

__all__ = ["register", "script"]

#: Set by the shell's completion, which is click's.
_VARIABLE: Final = "_VSMMU_COMPLETE"
_DIGITS: Final = 6

#: COMP_WORDS are pieces of COMP_LINE: where no blank stands between two, they are one word. What stands in
#: front of the last piece is no part of a reply.
_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' line=$COMP_LINE words=() index=-1 number=0 piece type value stripped current
    for piece in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $number == 0 || $line == [[:blank:]]* ]]; then
            index=$((index + 1))
        fi
        line=${line#"${line%%%%[![:blank:]]*}"}
        line=${line#"$piece"}
        words[index]+=$piece
        number=$((number + 1))
    done
    current=${words[index]}
    stripped=${current%%"$piece"}
    [[ $piece == [:=]* ]] && stripped=$current
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$stripped"}") ;;
        esac
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$index %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _WholeWords(ShellComplete):
    """Offers ``--option=value`` as one word."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """As click, with what stands in front of the value."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("--"):
            for item in found:
                if item.type == "plain":
                    item.value = f"{option}={item.value}"
        return found


class _Bash(_WholeWords, BashComplete):
    source_template = _BASH


class _Zsh(_WholeWords, ZshComplete):
    pass


class _Fish(_WholeWords, FishComplete):
    pass


def register() -> None:
    """Let click answer the shells by these classes.

    :raise UsageError: nobody's script has asked so.
    """
    shell, _, what = os.environ[_VARIABLE].partition("_")
    words = {"source": (), "complete": ("COMP_WORDS", "COMP_CWORD")}.get(what)
    number = os.environ.get("COMP_CWORD", "0")
    if (
        shell not in _SHELLS
        or words is None
        or not all(word in os.environ for word in words)
        or (shell != "fish" and not (number.isdecimal() and len(number) < _DIGITS))
    ):
        raise UsageError(
            "usage",
            "no shell asks for a completion like this",
            where=_VARIABLE,
            next=f"unset {_VARIABLE}, or load the script again: vsmmu completion bash",
        )
    for kind in _SHELLS.values():
        add_completion_class(kind)


_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: str, command: click.Command) -> str:
    """What the shell reads to complete the words of *command*, called vsmmu."""
    kind = _SHELLS[shell]
    # Not kind.source(): for bash, click starts one to see whether it is older than 4.4.
    return kind.source_template % kind(command, {}, "vsmmu", _VARIABLE).source_vars()
