# SPDX-License-Identifier: Apache-2.0
"""A QEMU command line: read it, get its machine, set properties of its devices, write it back.

It comes as words, NUL-separated, or in a text (script, unit, log, ``ps``), and goes back in the same form
with nothing but the edited properties changed::

    line = read_source(data, "vm.sh", read_config_file)
    smmu = line.machine().vsmmus[0]
    print(line.edit([Edit(smmu.number, "ats", "on")]).text())
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.assemble import Assembly, Reader, assemble
from vsmmu.machine.command_line.options import options
from vsmmu.machine.command_line.sources import ArgvSource, NulSource, Splice, WordSource, emulator_index
from vsmmu.machine.limits import MAX_SOURCE_BYTES, decode, refuse_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.diagnostic import Change, Edit
    from vsmmu.machine.command_line.options import WrittenOption
    from vsmmu.machine.model import Machine

__all__ = ["CommandLine", "read_source", "read_words"]

#: Options of which nothing is left that this package does not look at.
_JUDGED: Final = frozenset(
    "machine M accel enable-kvm object global device set readconfig nodefaults only-migratable numa".split()
)
#: Types of ``-object`` of which the same is true; others need a file, a peer or a secret.
_JUDGED_OBJECTS: Final = tuple("memory-backend- iommufd iothread main-loop acpi- rng-builtin can-bus".split())


class CommandLine:
    """A command line, immutable; made by :func:`read_words` or :func:`read_source`."""

    __slots__ = ("_assembly", "_program", "_reader", "_source")

    def __init__(self, source: WordSource, reader: Reader | None = None) -> None:
        self._source = source
        self._reader = reader
        self._program = emulator_index(source.words, source.opaque)
        self._assembly: Assembly | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """All words, quotes removed: what precedes the emulator, the emulator, its options."""
        return self._source.words

    @property
    def printed(self) -> tuple[str, ...]:
        """What QEMU printed after this start, a line each, where the form tells: a libvirt log."""
        return self._source.printed

    @property
    def program(self) -> str:
        """The emulator as called; empty if the options come first."""
        return "" if self._program is None else self.words[self._program]

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before the emulator: ``NAME=value``, and programs such as ``env`` or ``setpriv``."""
        return self.words[: self._program or 0]

    def with_program(self, path: str) -> CommandLine:
        """The same with another path of the emulator."""
        if self._program is None:
            return self
        whole: Splice = (0, len(self.words[self._program]), path)
        return CommandLine(self._source.splice({self._program: [whole]}), self._reader)

    @property
    def _assembled(self) -> Assembly:
        if self._assembly is None:
            self._assembly = assemble(self._source, self._program, self._reader)
        return self._assembly

    def machine(self) -> Machine:
        """The VM that the command line describes.

        :raise InputRefused: for what QEMU would refuse while it reads its command line; for what a shell
            would expand; for ids that occur twice and limits that are exceeded.
        """
        return self._assembled.machine

    def passed_on(self) -> Machine:
        """The same: QEMU gets the command line itself.

        :raise InputRefused: as :meth:`machine`.
        """
        return self.machine()

    @property
    def command_line(self) -> CommandLine:
        """The VM itself: a :class:`vsmmu.machine.vm.Vm` is a command line or a domain."""
        return self

    @property
    def domain(self) -> None:
        """None: a command line is no libvirt domain."""
        return None

    def apply(self, machine: Machine, edits: Iterable[Edit]) -> Machine:
        """What ``machine`` would be after :meth:`edit`: a property reads as it is written."""
        return machine.edited(edits)

    def options(self) -> Iterator[WrittenOption]:
        """The options after the emulator, in order, each with the numbers of its words."""
        return options(self.words, 0 if self._program is None else self._program + 1)

    def edit(self, edits: Iterable[Change]) -> CommandLine:
        """The same with properties set or taken out, in this order, and devices added or moved.

        :raise Negative: ``not-editable``, if the device stands where the command line cannot reach it.
        """
        from vsmmu.machine.command_line.option_edits import edited  # a check changes nothing

        edits = tuple(edits)
        if not edits:
            return self
        return CommandLine(edited(self._source, self._assembled.drafts, self.options(), edits), self._reader)

    def not_judged(self) -> tuple[str, ...]:
        """The options that are not looked at, each once, in order; an object with its type."""
        return tuple(dict.fromkeys(name for name in map(self._not_judged, self.options()) if name))

    def _not_judged(self, option: WrittenOption) -> str:
        """What nobody looks at there; empty if all is judged."""
        if option.name == "object":
            kind = str(option.settings("qom-type").get("qom-type", ""))
            return "" if kind.startswith(_JUDGED_OBJECTS) else f"-object {kind}".strip()
        judged = option.name in _JUDGED and not (option.name == "numa" and option.last in self._source.opaque)
        return "" if judged or not option.name else f"-{option.name}"

    def text(self) -> str:
        """The command line in the form in which it came; one shell-quoted line if it came as words."""
        return self._source.render()

    def render(self) -> bytes:
        """The same as it is to be written: UTF-8."""
        return self.text().encode()

    def lines(self) -> list[str]:
        """The lines of a text that has several, else one word a line, as it is written; line ends kept."""
        text = self.text()
        if text.count("\n") <= 1 or "\0" in text:
            return [f"{word}\n" for word in self.words]
        return re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines knows more ends than diff and patch do

    def render_words(self) -> tuple[str, ...]:
        """The words, for exec.

        :raise InputRefused: ``shell-expansion``, if a shell would still have to change one.
        """
        self._source.check(0)
        return self.words

    def render_nul(self) -> str:
        """The words, each followed by a NUL.

        :raise InputRefused: as :meth:`render_words`.
        """
        return "".join([word + "\0" for word in self.render_words()])


def read_words(words: Iterable[str], reader: Reader | None = None) -> CommandLine:
    """A command line from words, such as those after ``--``.

    :param reader: gives the bytes of ``-readconfig`` files:
        :func:`vsmmu.monitor.readconfig.read_config_file`.
    :raise InputRefused: if it is empty, not text, or over a limit.
    """
    return _checked(ArgvSource(words), reader, "command line")


def read_source(data: bytes, where: str = "standard input", reader: Reader | None = None) -> CommandLine:
    """A command line from a file or stream: NUL-separated if there is a NUL in it, else one of the forms of
    text: a libvirt log, a systemd unit, ``ps``, else shell text.

    :param where: the file's name, for messages.
    :raise InputRefused: if it is empty, not UTF-8, over a limit, or a quote is not closed.
    """
    refuse_over(len(data), MAX_SOURCE_BYTES, "bytes", where)
    if b"\0" in data:
        return _checked(NulSource.parse(data, where), reader, where)
    # With `--` in front of the words nobody needs these.
    from vsmmu.machine.command_line.forms import form_of
    from vsmmu.machine.command_line.text_source import TextSource

    text = decode(data, where)
    return _checked(TextSource(text, where, form_of(text)), reader, where)


def _checked(source: WordSource, reader: Reader | None, where: str) -> CommandLine:
    if not any(source.words):
        raise InputRefused(
            "no-command", "there is no command in it", where=where, next="give a QEMU command line"
        )
    return CommandLine(source, reader)
