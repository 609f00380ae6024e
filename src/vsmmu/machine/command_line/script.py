# SPDX-License-Identifier: Apache-2.0
"""A shell script: find the command that starts QEMU among its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.shell import line_and_column, scan
from vsmmu.machine.command_line.shell_values import command_fields
from vsmmu.machine.command_line.sources import is_emulator
from vsmmu.machine.command_line.text_source import FoundCommand
from vsmmu.machine.limits import MAX_SOURCE_BYTES, refuse_over

if TYPE_CHECKING:
    from vsmmu.machine.command_line.command_word import CommandWord
    from vsmmu.machine.command_line.shell import Command

__all__ = ["read_script"]

_TELLING: Final = frozenset({"-device", "--device", "-machine", "--machine", "-M", "--M"})
#: Words in front of a command.
_LEADERS: Final = frozenset(
    {"if", "elif", "then", "else", "while", "until", "do", "!", "{", "time", "sudo", "doas", "env", "RUN"}
)
#: Commands that start no program, whatever their words are, and those that look for one, get one or end one.
_NO_START: Final = frozenset(
    "set echo printf declare typeset local export readonly [ [[ test which type hash alias trap ls stat file "
    "ldd readlink dirname basename chmod chown setcap setfacl chcon restorecon rm grep pgrep pidof pkill "
    "killall kill ps cp mv ln install mkdir tar rsync scp wget curl make ninja meson apt apt-get aptitude "
    "apt-cache dpkg dnf yum rpm zypper apk pacman brew snap systemctl modprobe sysctl sha256sum".split()
)
#: Arguments with which QEMU says something and ends.
_TELLS: Final = frozenset({"-version", "--version", "-h", "-help", "--help", "help", "?"})
#: Programs that add words of their own input to a command.
_ADDS: Final = frozenset({"xargs", "parallel"})
#: FoundCommand a command anew for each variable in a script has to end.
_MOST_EXPANDED: Final = 256
#: What stands in front of each line of quoted text: ``> ``, ``+``, ``12  ``.
_FRONTS: Final = " \t>+:0123456789"


def read_script(text: str, where: str) -> FoundCommand:
    """The command that starts QEMU in a script, or in a part of one.

    :raise InputRefused: if there is none or more than one, a quote is open, or a limit is exceeded.
    """
    refuse_over(len(text), MAX_SOURCE_BYTES, "characters", where)
    if "\r\n" in text:
        raise InputRefused(
            "shell-syntax",
            "a carriage return ends the line (Windows line ends), and a shell would take it for text",
            where=f"{where}, {line_and_column(text, text.index(chr(13)))}",
            next="convert the file, for example with dos2unix",
        )
    commands = scan(text, where)
    if not commands:
        raise InputRefused(
            "no-command", "there is no command in it", where=where, next="give a QEMU command line"
        )
    if all(command.words[0].value.startswith("-") for command in commands):
        return FoundCommand(
            tuple(field for at in range(len(commands)) for field in command_fields(commands, at))
        )
    return FoundCommand(_qemu_command(text, where, commands))


def _qemu_command(text: str, where: str, commands: list[Command]) -> tuple[CommandWord, ...]:
    running = [at for at, command in enumerate(commands) if _starts_something(command)]
    named = [at for at in running if any(is_emulator(word.value) for word in commands[at].words)]
    # `which qemu-system-aarch64` and its like start no VM, nor does `echo`.
    started = [at for at in named if _has_options_behind(commands[at])]
    if not started:
        started = _called(commands, running) or named
    if len(started) > 1:
        raise InputRefused(
            "many-commands",
            "more than one command starts QEMU",
            where=f"{where}, {line_and_column(text, commands[started[1]].words[0].start)}",
            next=f"give each to vsmmu on its own; or let it say what it starts: {_captured(text, where)}",
        )
    if not running:
        from vsmmu.machine.command_line.foreign import no_script

        raise no_script(where)
    chosen = started[0] if started else running[-1]
    _refuse_lost_options(text, where, commands, chosen)
    _refuse_added_words(text, where, commands[chosen])
    _refuse_quoted(text, where, commands[chosen])
    if not _is_plain(text, commands[chosen]):
        from vsmmu.machine.command_line.foreign import refuse_foreign, refuse_placeholders

        refuse_foreign(text, where, commands[chosen])
        refuse_placeholders(text, where, commands[chosen])
    return command_fields(commands, chosen)


def _is_plain(text: str, command: Command) -> bool:
    """Whether it begins with an emulator, in a text without a mark of a Makefile or a template."""
    words = command.words
    first = words[words[0].value == "exec" and len(words) > 1].value
    return is_emulator(first) and not ("{{" in text or "<" in text or ("$(" in text and text[:2] != "#!"))


def _starts_something(command: Command) -> bool:
    """Whether a command can start a VM: not ``[ -w /dev/kvm ]``, ``pkill -f qemu`` or ``qemu --version``."""
    words = [word.value for word in command.words]
    while len(words) > 1 and (words[0] in _LEADERS or _stands_before(words[0])):
        words = words[1:]
    if words[0] in _NO_START or words[:2] in (["command", "-v"], ["command", "-V"]):
        return False
    behind = next((words[at + 1 :] for at, word in enumerate(words) if is_emulator(word)), [])
    return not behind or behind[-1] not in _TELLS


def _stands_before(word: str) -> bool:
    """Whether it is ``A=b``, or an option of ``sudo`` and its like."""
    return word.startswith("-") or (word.partition("=")[0].isidentifier() and "=" in word)


def _has_options_behind(command: Command) -> bool:
    """Whether QEMU is given options: ``make -j8 qemu-system-aarch64`` gives it none."""
    behind = False
    for word in command.words:
        if behind and word.value.startswith("-"):
            return True
        behind = behind or is_emulator(word.value)
    return False


def _refuse_added_words(text: str, where: str, command: Command) -> None:
    """Refuse a command to which ``xargs`` adds options."""
    for word in command.words:
        if is_emulator(word.value):
            return
        if word.value in _ADDS:
            raise InputRefused(
                "shell-expansion",
                f"{word.value} adds words to the command that are not in this text",
                where=f"{where}, {line_and_column(text, word.start)}",
                next=f"let it say what it starts: {_captured(text, where)}",
            )


def _refuse_quoted(text: str, where: str, command: Command) -> None:
    """Refuse lines of a mail, a prompt, a patch or a listing: with what stands in front, they are others."""
    start = command.words[0].start
    lines = text[start : command.words[-1].end].split("\n")[1:]
    bare = [line.lstrip(_FRONTS) for line in lines]
    fronts = [line.removesuffix(rest).strip() for line, rest in zip(lines, bare, strict=True)]
    options = any(rest.startswith("-") for rest in bare)
    # One number can be the argument of the option before it.
    if options and all(fronts) and (len(fronts) > 1 or not fronts[0].isdigit()):
        line = text.count("\n", 0, start) + 2
        raise InputRefused(
            "shell-syntax",
            f"each line begins with {fronts[0]!r:.20}, as in a mail, after a prompt, or in a listing",
            where=f"{where}, line {line}",
            why="a shell would take it for a part of the command",
            next="take it away, and keep the rest: sed -E 's/^[ \\t]*([>+][>+ ]*|[0-9]+:?)[ \\t]?//'",
        )


def _captured(text: str, where: str) -> str:
    from vsmmu.machine.command_line.interpreter import capturing  # only for what is refused

    return capturing(text, where)


def _called(commands: list[Command], running: list[int]) -> list[int]:
    """Commands with the options of a VM, or of which a variable can be the emulator: ``$QEMU "$@"``."""
    with_options = [at for at in running if any(word.value in _TELLING for word in commands[at].words)]
    if with_options:
        return with_options[:1]
    expanded = [at for at in running if any(word.expansion is not None for word in commands[at].words)]
    filled = {at: [field.value for field in command_fields(commands, at)] for at in expanded[:_MOST_EXPANDED]}
    return [
        at for at, values in filled.items() if any(map(is_emulator, values)) and _has_options(values)
    ] or [at for at, values in filled.items() if not _TELLING.isdisjoint(values)]


def _has_options(values: list[str]) -> bool:
    return any(value.startswith("-") for value in values)


def _refuse_lost_options(text: str, where: str, commands: list[Command], chosen: int) -> None:
    """Refuse a line of options after the command: a shell would take it for a command of its own."""
    lost = next((at for at in (chosen, chosen + 1) if _is_option(commands[at : at + 1])), None)
    if lost is None:
        return
    from vsmmu.machine.command_line.foreign import is_foreign, no_script

    if is_foreign(text):
        raise no_script(where)
    stray = commands[lost].words[0]
    raise InputRefused(
        "shell-syntax",
        f"the command has ended before the option {stray.value!r}",
        where=f"{where}, {line_and_column(text, stray.start)}",
        why="a line break without a backslash, a comment or an operator ends it",
        next="end each line but the last with a backslash, and keep comments out of the continued lines",
    )


def _is_option(commands: list[Command]) -> bool:
    return bool(commands) and commands[0].words[0].value.startswith("-")
