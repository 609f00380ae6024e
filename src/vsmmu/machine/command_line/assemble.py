# SPDX-License-Identifier: Apache-2.0
"""Build a :class:`~vsmmu.machine.model.Machine` from words, option by option, as QEMU does.

What QEMU would refuse while it still reads its command line is refused here. What it would only find out when
it makes the devices (unknown buses, values, properties) is left to those who know a QEMU version.

The parsers of JSON and of configuration files are imported when one is met: the start of a VM waits for this.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vsmmu.machine.command_line import device_options as drafts
from vsmmu.machine.command_line import keyval
from vsmmu.machine.command_line.backends import backends, doubtful_backends, files, is_defined
from vsmmu.machine.command_line.device_options import (
    DISK_OPTIONS,
    DeviceList,
    Draft,
    Drive,
    refusal,
)
from vsmmu.machine.command_line.options import MACHINE_SUGAR, NAMED, OPTIONS, PATCHED, options
from vsmmu.machine.limits import MAX_CONFIG_FILES, refuse_over
from vsmmu.machine.model import (
    Accel,
    Global,
    GroupOption,
    JsonValue,
    Machine,
    MachineObject,
    NamedOption,
    Origin,
    Unread,
)
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.command_line.options import WrittenOption
    from vsmmu.machine.command_line.readconfig import Section
    from vsmmu.machine.command_line.sources import WordSource

__all__ = ["RELEVANT", "Assembly", "Reader", "assemble"]

#: Gives the bytes of a ``-readconfig`` file for its name as written.
Reader = Callable[[str], bytes]

# sscanf("%63[^.=].%63[^=]%n"): a field takes all it can. It is compiled when met.
_GLOBAL: Final = r"(?s)([^.=]{1,63}+)\.([^=]{1,63}+)=(.*)"
_ASKS: Final = frozenset({"h", "help", "version"})


class Assembly(NamedTuple):
    """A machine, and for each of its devices how it was written."""

    machine: Machine
    drafts: tuple[Draft, ...]


class _Assembler:
    """The state of QEMU's option loop; one method for each option that matters here."""

    def __init__(self, source: WordSource, start: int, reader: Reader | None) -> None:
        self.source = source
        self.reader = reader
        self.machine: dict[str, str] = {}
        self.accels: list[Accel] = []
        self.objects: list[MachineObject] = []
        self.object_ids: set[str] = set()
        self.globals: list[Global] = []
        self.devices = DeviceList()
        self.drives: list[Drive] = []
        self.cards: list[str] = []
        self.memory: list[GroupOption] = []
        self.smp: dict[str, str] = {}
        self.named: list[NamedOption] = []
        self.numa: list[GroupOption] = []
        self.cpu = ""
        self.start = start
        self.default_nic = True
        self.only_migratable = False
        self.config_files = 0
        self.sections: list[Section] = []
        self.opaque: frozenset[str] = frozenset()
        self.unread: list[Diagnostic] = []
        self.hides: frozenset[str] = frozenset()

    def origin(self, first: int, last: int) -> Origin:
        return Origin(" ".join(self.source.words[first : last + 1]), self.source.place(first))

    def run(self) -> None:
        words, start, opaque = self.source.words, self.start, self.source.opaque
        for option in options(words, start):
            if opaque and (option.first in opaque or option.last in opaque) and not self.admitted(option):
                continue
            name, text, first, last = option
            word = words[first]
            if not word.startswith("-"):
                self.drives.append(Drive({"file": word, "index": "0"}, "", self.origin(first, first), first))
            elif name not in OPTIONS and not (
                name in PATCHED and "".join(words[max(0, start - 1) : start]) in PATCHED[name]
            ):
                raise drafts.unknown_option(word, self.origin(first, first))
            elif last >= len(words):
                raise refusal(
                    "option-argument-missing",
                    "the last option has no argument",
                    self.origin(first, first),
                    why=f"{word}: requires an argument",
                    next="give the argument, or remove the option",
                )
            elif name in RELEVANT:
                self.option(name, text, self.origin(first, last), last)
            if name in NAMED and last not in opaque and not text.startswith("{"):
                self.named.append(drafts.named_option(name, text, self.origin(first, last)))

    def admitted(self, option: WrittenOption) -> bool:
        """Whether an option of which a part is not known can be read."""
        from vsmmu.machine.command_line.opaque_options import admit

        admitted = admit(self.source, option)
        self.opaque = admitted.unread
        self.unread += admitted.notes
        self.hides |= admitted.hides
        if not admitted.read and option.name in ("nic", "net"):
            self.default_nic = False
        return admitted.read

    def hidden(self, properties: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """The properties of the option at hand, those marked whose values are not known."""
        return properties | {key: Unread(properties[key]) for key in self.taken() if key in properties}

    def taken(self) -> frozenset[str]:
        """The keys whose values are not known, of the option at hand; they are nobody else's."""
        opaque, self.opaque = self.opaque, frozenset()
        return opaque

    def option(self, name: str, text: str, origin: Origin, word: int) -> None:
        if name in _ASKS:
            raise drafts.asks(origin)
        if name in MACHINE_SUGAR:
            key, value = MACHINE_SUGAR[name]
            self.machine[key] = value or text
        elif name in DISK_OPTIONS:
            interface, unit = DISK_OPTIONS[name], drafts.DISK_UNITS.get(name)
            place = {"if": interface} if unit is None else {"index": unit}
            self.drives.append(Drive({"file": text} | place, "", origin, word))
        elif name in ("nodefaults", "netdev"):
            self.default_nic = False
        elif name == "only-migratable":
            self.only_migratable = True
        else:
            _HANDLERS[name](self, text, origin, word)

    def machine_option(self, text: str, origin: Origin, word: int) -> None:  # noqa: ARG002
        self.machine.update(drafts.keyval_option(text, "type", origin))

    def accel(self, text: str, origin: Origin, word: int) -> None:  # noqa: ARG002
        settings = keyval.merged(keyval.parse_opts(text, "accel"))
        if settings.get("accel", "help") in ("help", "?"):
            raise drafts.asks(origin)
        self.accels.append(Accel(settings.pop("accel"), settings, origin))

    def object(self, text: str, origin: Origin, word: int) -> None:  # noqa: ARG002
        if text.startswith("{"):
            properties: dict[str, JsonValue] = {m.key: m.value for m in drafts.json_members(text, origin)}
            name = str(properties.pop("id")) if isinstance(properties.get("id"), str) else None
            self.add_object(properties, name, origin)
        else:
            pairs = keyval.parse_opts(text, "qom-type")
            self.add_object(dict(keyval.merged(pairs)), keyval.opts_id(pairs), origin)

    def add_object(self, properties: dict[str, JsonValue], name: str | None, origin: Origin) -> None:
        qom_type = properties.pop("qom-type", None)
        if not isinstance(qom_type, str):
            raise refusal(
                "option-syntax", "the object has no type", origin, why="Parameter 'qom-type' is missing"
            )
        own = drafts.opts_id(name, origin)
        if own and own in self.object_ids:
            raise refusal("duplicate-id", f"two objects have the id {own!r}", origin, next="rename one")
        self.object_ids.add(own)
        self.objects.append(MachineObject(qom_type, own, self.hidden(properties), origin))

    def global_(self, text: str, origin: Origin, word: int) -> None:  # noqa: ARG002
        if match := re.match(_GLOBAL, text):
            self.globals.append(Global(match.group(1), match.group(2), match.group(3), origin))
        else:
            self.add_global(keyval.merged(keyval.parse_opts(text)), origin)

    def add_global(self, settings: dict[str, str], origin: Origin) -> None:
        try:
            entry = Global(settings["driver"], settings["property"], settings["value"], origin)
        except KeyError:
            raise refusal(
                "option-syntax",
                "QEMU would not read this",
                origin,
                why="options 'driver', 'property', and 'value' are required",
                next="write -global driver.property=value",
            ) from None
        self.globals.append(entry)

    def device(self, text: str, origin: Origin, word: int) -> None:
        if text.startswith("{"):
            properties: dict[str, JsonValue] = {m.key: m.value for m in drafts.json_members(text, origin)}
            name = properties.pop("id", None)
            if isinstance(name, str):
                drafts.check_id(name, origin, f"Invalid qdev ID '{name}'")
            name = name if isinstance(name, str) else ""
            draft = Draft(self.hidden(properties), name, origin, word, form="json")
        else:
            pairs = keyval.parse_opts(text, "driver")
            settings = keyval.merged(pairs)
            if settings.get("driver") in ("help", "?") or {"help", "?"} & settings.keys():
                raise drafts.asks(origin)
            name = drafts.opts_id(keyval.opts_id(pairs), origin)
            draft = Draft(self.hidden(dict(settings)), name, origin, word)
        self.devices.add(draft)

    def set(self, text: str, origin: Origin, word: int) -> None:
        from vsmmu.machine.command_line.set_option import not_defined, parse_set

        setting = parse_set(text, origin)
        if setting.group == "device":
            if (draft := self.devices.settable(setting.id)) is not None:
                draft.set(setting.key, setting.value, word)
            defined = draft is not None
        else:
            for drive in self.drives if setting.group == "drive" else ():
                if drive.id == setting.id:
                    drive.settings[setting.key] = setting.value
            # The sections of -readconfig files count, too; their ids are not kept.
            defined = bool(self.config_files) or is_defined(self.written(word), setting.group, setting.id)
        if not (defined or self.unread):  # what is not known may define it
            raise not_defined(setting, origin)

    def drive(self, text: str, origin: Origin, word: int) -> None:
        self.drives.append(drafts.drive(text, origin, word, self.taken()))

    def virtfs(self, text: str, origin: Origin, word: int) -> None:
        pairs = keyval.parse_opts(text, "fsdriver")
        tag = keyval.merged(pairs).get("mount_tag", "")
        properties: dict[str, JsonValue] = {
            "driver": "virtio-9p-pci",
            "fsdev": keyval.opts_id(pairs) or tag,
            "mount_tag": tag,
        }
        self.devices.add(Draft(properties, "", origin, word, "implied"))

    def audio(self, text: str, origin: Origin, word: int) -> None:
        model = keyval.merged(keyval.parse_opts(text, "driver")).get("model", "")
        draft = drafts.implied_audio(model, origin, word)
        if draft is not None:
            self.devices.add_first(draft)

    def card(self, text: str, *, nic: bool) -> None:
        """``-nic`` makes a card unless it is none; ``-net`` makes one if it is a nic."""
        self.default_nic = False
        settings = keyval.merged(keyval.parse_opts(text, "type"))
        kind = settings.get("type")
        if kind != "none" if nic else kind == "nic":
            self.cards.append(settings.get("model", ""))

    def readconfig(self, name: str, origin: Origin, word: int) -> None:
        if self.reader is None:
            raise refusal(
                "config-unreadable",
                "the configuration file is not at hand",
                origin,
                next="give vsmmu the command line where the file is",
            )
        from vsmmu.machine.command_line.readconfig import parse_config

        self.config_files += 1
        refuse_over(self.config_files, MAX_CONFIG_FILES, "configuration files", "command line")
        for section in parse_config(self.reader(name), name):
            place = f"{name}:{section.line}"
            self.sections.append(section)
            self.section(section, Origin(place, place), word)

    def section(self, section: Section, origin: Origin, word: int) -> None:
        settings = dict(section.settings)
        if section.group == "machine":
            self.machine.update(settings)
            return
        name = settings.pop("id", None)
        if section.group == "device":
            self.devices.add(Draft(dict(settings), drafts.opts_id(name, origin), origin, word, "config"))
        elif section.group == "object":
            self.add_object(dict(settings), name, origin)
        elif section.group == "global":
            self.add_global(settings, origin)
        elif section.group == "accel":
            self.accels.append(Accel(settings.pop("accel", ""), settings, origin))
        elif section.group == "drive":
            self.drives.append(Drive(settings, name or "", origin, word))
        elif section.group == "numa":
            self.numa.append(GroupOption(dict(section.settings), origin, tuple(section.cpus)))
        elif section.group == "memory":
            self.memory.append(GroupOption(settings, origin))

    def written(self, end: int | None = None) -> Iterator[WrittenOption]:
        """The options of the command line, as far as the word ``end``."""
        return options(self.source.words[:end], self.start)

    def finish(self, program: str) -> Assembly:
        options = keyval.dashed(self.machine)
        machine_type = options.pop("type", "")
        ordered = self.devices.ordered(drafts.implied_disks(self.drives, machine_type))
        memory = drafts.members("m", [option.settings for option in self.memory], options)
        machine = Machine(
            program=program,
            machine_type=machine_type,
            machine_options=options,
            accelerators=drafts.accelerators(self.accels, options.get("accel", "")),
            accels=tuple(self.accels),
            firmware=options.get("firmware") or options.get("pflash0") or drafts.firmware_of(self.drives),
            default_nic=self.default_nic,
            only_migratable=self.only_migratable,
            objects=tuple(self.objects),
            globals=tuple(self.globals),
            devices=tuple([draft.device(number) for number, draft in enumerate(ordered)]),
            network_cards=tuple(self.cards),
            numa_nodes=drafts.numa_nodes(self.numa, memory) if program else None,
            numa=tuple(self.numa),
            cpu=self.cpu,
            memory=memory,
            memory_options=tuple(self.memory),
            named=(*self.named, *map(Drive.named, self.drives)),
            smp=drafts.members("smp", [self.smp], options),
            backends=backends([*self.written()], self.sections) if program and not self.unread else None,
            files=tuple(files(self.drives, self.objects, options)),
            plain_memory=all(option.name != "mem-path" for option in self.written()),
            unread=(*self.unread, *doubtful_backends([*self.written()])),
            hidden=tuple(sorted(self.hides)),
        )
        return Assembly(machine, ordered)


_HANDLERS: Final[dict[str, Callable[[_Assembler, str, Origin, int], None]]] = {
    "machine": _Assembler.machine_option,
    "M": _Assembler.machine_option,
    "accel": _Assembler.accel,
    "object": _Assembler.object,
    "global": _Assembler.global_,
    "device": _Assembler.device,
    "set": _Assembler.set,
    "drive": _Assembler.drive,
    "audio": _Assembler.audio,
    "virtfs": _Assembler.virtfs,
    "nic": lambda self, text, *_: self.card(text, nic=True),
    "net": lambda self, text, *_: self.card(text, nic=False),
    "m": lambda self, text, origin, _: self.memory.append(
        drafts.group_option(text, "size", origin, self.taken())
    ),
    "smp": lambda self, text, origin, _: self.smp.update(
        drafts.keyval_option(text, "cpus", origin, self.taken())
    ),
    "numa": lambda self, text, origin, _: self.numa.append(
        drafts.group_option(text, "type", origin, self.taken())
    ),
    "cpu": lambda self, text, *_: setattr(self, "cpu", text),
    "readconfig": _Assembler.readconfig,
}
#: Options that a rule reads.
RELEVANT: Final = (
    _HANDLERS.keys()
    | MACHINE_SUGAR.keys()
    | DISK_OPTIONS.keys()
    | _ASKS
    | {"nodefaults", "only-migratable", "netdev"}
)


def assemble(source: WordSource, program: int | None, reader: Reader | None) -> Assembly:
    """Read the options after the program.

    :param program: number of the word that names the emulator; None if the options come first.
    :param reader: gives the bytes of ``-readconfig`` files; None if there is no access to any.
    :raise InputRefused: for what QEMU would refuse while it reads its command line.
    """
    assembler = _Assembler(source, 0 if program is None else program + 1, reader)
    if program is not None and program in source.opaque:
        from vsmmu.machine.command_line.opaque_options import doubts_of_program

        assembler.unread += doubts_of_program(source, program)
    assembler.run()
    return assembler.finish("" if program is None else source.words[program])
