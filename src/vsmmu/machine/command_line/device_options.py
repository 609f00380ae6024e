# SPDX-License-Identifier: Apache-2.0
"""Device options while a command line is read: the list that ``-set`` changes.

Also the devices that QEMU makes of other options (``-drive`` with a disk interface, ``-virtfs``), and what
the drives say about the firmware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line import keyval
from vsmmu.machine.command_line.options import NAMED
from vsmmu.machine.limits import MAX_DEVICES, refuse_over
from vsmmu.machine.model import Accel, Device, GroupOption, JsonValue, NamedOption, Origin, Unread

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from vsmmu.machine.command_line.qjson import Member

__all__ = [
    "DISK_OPTIONS",
    "DISK_UNITS",
    "DeviceList",
    "Draft",
    "Drive",
    "accelerators",
    "asks",
    "check_id",
    "drive",
    "firmware_of",
    "group_option",
    "implied_audio",
    "implied_disks",
    "json_members",
    "keyval_option",
    "members",
    "named_option",
    "numa_nodes",
    "opts_id",
    "refusal",
    "unknown_option",
    "well_formed",
]

#: Options that QEMU turns into a ``-drive`` -> the interface they name; empty for the machine's own.
DISK_OPTIONS: Final = {
    "hda": "",
    "hdb": "",
    "hdc": "",
    "hdd": "",
    "cdrom": "",
    "pflash": "pflash",
    "sd": "sd",
    "mtdblock": "mtd",
    "fda": "floppy",
    "fdb": "floppy",
}

#: Those of the machine's own interface -> the number that they give.
DISK_UNITS: Final = {"hda": "0", "hdb": "1", "hdc": "2", "hdd": "3", "cdrom": "2"}

Site = Literal["argument", "config", "implied"]


class Draft:
    """A device as read so far.

    :ivar word: number of the option's argument among the words; of ``-readconfig``'s for ``config``.
    :ivar site: whether the device itself stands there, in a file, or follows from another option.
    :ivar set_words: properties changed by ``-set`` -> number of the word that did it last.
    """

    __slots__ = ("driver", "form", "id", "origin", "properties", "set_words", "site", "word")

    def __init__(
        self,
        properties: dict[str, JsonValue],
        id: str,
        origin: Origin,
        word: int,
        site: Site = "argument",
        form: Literal["keyval", "json"] = "keyval",
    ) -> None:
        self.properties = properties
        self.id = id
        self.origin = origin
        self.word = word
        self.site: Site = site
        self.form: Literal["keyval", "json"] = form
        self.set_words: dict[str, int] = {}
        driver = properties.pop("driver", None)
        self.driver = driver if isinstance(driver, str) else ""

    def set(self, key: str, value: str, word: int) -> None:
        """What ``-set device.ID.key=value`` does."""
        if key == "driver":
            self.driver = value
        elif key == "id":
            self.id = value
        else:
            self.properties[key] = value
            self.set_words[key] = word

    def device(self, number: int) -> Device:
        """The finished device.

        :raise InputRefused: ``driver-missing``.
        """
        if not self.driver:
            raise refusal(
                "driver-missing",
                "the device has no driver",
                self.origin,
                why="Parameter 'driver' is missing",
                next="name the driver first: -device arm-smmuv3,...",
            )
        return Device(number, self.driver, self.id, self.properties, self.form, self.origin)


class Drive:
    """A ``-drive`` or one of its short forms; ``settings`` as written, ``-set`` applied."""

    __slots__ = ("id", "origin", "settings", "word")

    def __init__(self, settings: dict[str, str], id: str, origin: Origin, word: int) -> None:
        self.settings = settings
        self.id = id
        self.origin = origin
        self.word = word

    def named(self) -> NamedOption:
        """The drive as an option whose values are looked at."""
        return NamedOption("drive", self.settings, self.origin)


#: Option -> the spelling of its parameters as -machine options.
_MEMBERS: Final = {
    "m": {"memory.size": "size", "memory.max-size": "maxmem", "memory.slots": "slots"},
    "smp": {f"smp.{name}": name for name in "cpus maxcpus sockets clusters cores threads".split()},
}


def opts_id(name: str | None, origin: Origin) -> str:
    """The id of an option that is no device, empty if there is none.

    :raise InputRefused: ``bad-id``, if QEMU would not take it.
    """
    if name is not None:
        check_id(name, origin, "Parameter 'id' expects an identifier")
    return name or ""


def members(option: str, written: Iterable[Mapping[str, str]], options: Mapping[str, str]) -> dict[str, str]:
    """The parameters of ``-m`` or ``-smp``, by name; ``-machine memory.size=`` is another spelling of them.

    :param written: the parameters of each such option.
    :param options: those of ``-machine``.
    """
    names = _MEMBERS[option]
    settings = {names[key]: value for key, value in options.items() if key in names}
    for parameters in written:
        settings.update(parameters)
    return settings


def asks(origin: Origin) -> InputRefused:
    """The error for an option that starts no VM."""
    return refusal("no-vm", "this asks QEMU for help and starts no VM", origin, next="remove the option")


def group_option(text: str, implied: str, origin: Origin, unread: Container[str] = ()) -> GroupOption:
    """One ``-numa`` or ``-m``.

    :param implied: the key of a first value without one.
    :param unread: parameters whose values only a shell knows.
    """
    pairs = keyval.parse_opts(text, implied)
    settings = {pair.key: Unread(pair.value) if pair.key in unread else pair.value for pair in pairs}
    return GroupOption(settings, origin, tuple([pair.value for pair in pairs if pair.key == "cpus"]))


def drive(text: str, origin: Origin, word: int, unread: Container[str] = ()) -> Drive:
    """One ``-drive``.

    :param word: number of its argument among the words.
    :param unread: parameters whose values only a shell knows.
    """
    settings = dict(group_option(text, "", origin, unread).settings)
    settings.pop("id", None)
    return Drive(settings, keyval.opts_id(keyval.parse_opts(text)) or "", origin, word)


def named_option(name: str, text: str, origin: Origin) -> NamedOption:
    """One option of which only the names and forms of its parameters are looked at."""
    pairs = keyval.parse_opts(text, NAMED[name])
    return NamedOption(name, {pair.key: pair.value for pair in pairs}, origin)


def json_members(text: str, origin: Origin) -> list[Member]:
    """The members of an option in JSON.

    :raise InputRefused: ``json-invalid``.
    """
    from vsmmu.machine.command_line.qjson import JsonError, parse_object

    try:
        return parse_object(text)
    except JsonError as error:
        raise refusal(
            "json-invalid",
            f"QEMU would not read this JSON: {error} at character {error.offset + 1}",
            origin,
            next="correct the JSON; keys and strings need quotation marks that the shell leaves in place",
        ) from None


def keyval_option(
    text: str, implied: str, origin: Origin, unread: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The parameters of a keyval option by name.

    :param implied: the key of a first value without one.
    :param unread: parameters whose values only a shell knows; perhaps it knows names, too.
    :raise InputRefused: ``option-syntax``, in QEMU's words; ``no-vm``, if it asks for help.
    """
    if unread:
        return dict(group_option(text, implied, origin, unread).settings)
    try:
        return dict(keyval.parse_keyval(text, implied))
    except ValueError as error:
        if str(error) == "help":
            raise asks(origin) from None
        raise refusal("option-syntax", "QEMU would not read this", origin, why=str(error)) from None


def numa_nodes(options: Iterable[GroupOption], memory: Mapping[str, str]) -> int:
    """How many NUMA nodes a VM has.

    :param memory: the parameters of ``-m``: room for more memory (``maxmem``) makes a node, too.
    """
    written = sum(option.settings.get("type") == "node" for option in options)
    return written or int("maxmem" in memory)


def refusal(code: str, what: str, origin: Origin, *, why: str = "", next: str = "") -> InputRefused:
    """The error for an option that QEMU would not take; the option is quoted, if not too long."""
    option = origin.option if len(origin.option) <= 200 else origin.option[:197] + "..."
    place = option if origin.place in option else f"{origin.place}: {option}"
    return InputRefused(code, what, where=place, why=why, next=next or "correct the option")


class DeviceList:
    """The devices read so far: those in ``key=value`` form, which QEMU makes first, and those in JSON."""

    def __init__(self) -> None:
        self._first: list[Draft] = []
        self._keyval: list[Draft] = []
        self._json: list[Draft] = []
        self._ids: dict[str, Draft] = {}

    def add(self, draft: Draft) -> None:
        """Take a device; one in ``key=value`` form can be found by its id from now on.

        :raise InputRefused: ``bad-id``, ``duplicate-id``, ``input-too-large``.
        """
        if draft.form == "json":
            self._json.append(draft)
        else:
            self._claim(draft, f"Duplicate ID '{draft.id}' for device")
            self._keyval.append(draft)
        refuse_over(len(self._keyval) + len(self._json), MAX_DEVICES, "devices", "command line")

    def add_first(self, draft: Draft) -> None:
        """Take a device that QEMU makes before all others."""
        self._first.append(draft)

    def settable(self, id: str) -> Draft | None:
        """The device that ``-set device.ID`` changes."""
        return self._ids.get(id)

    def ordered(self, disks: list[Draft]) -> tuple[Draft, ...]:
        """All devices in the order of creation; ``disks`` are those that follow from drives.

        :raise InputRefused: ``duplicate-id``, for a device in JSON: QEMU notices when it makes it.
        """
        for draft in self._json:
            self._claim(draft, f"Duplicate device ID '{draft.id}'")
        return (*self._first, *self._keyval, *disks, *self._json)

    def _claim(self, draft: Draft, why: str) -> None:
        if draft.id and self._ids.setdefault(draft.id, draft) is not draft:
            raise refusal(
                "duplicate-id",
                f"two devices have the id {draft.id!r}",
                draft.origin,
                why=why,
                next=f"rename one; the other is at {self._ids[draft.id].origin.place}",
            )


def well_formed(id: str) -> bool:
    """QEMU's rule for identifiers: letters, digits, ``-._``, and a letter first."""
    return (
        id.isascii() and id[:1].isalpha() and id.replace("-", "").replace(".", "").replace("_", "").isalnum()
    )


def check_id(id: str, origin: Origin, text: str) -> None:
    """Refuse an id that QEMU does not take, with its words in ``text``.

    :raise InputRefused: ``bad-id``.
    """
    if not well_formed(id):
        raise refusal(
            "bad-id",
            f"QEMU does not take {id!r} as an id",
            origin,
            why=text,
            next="use letters, digits, '-', '.' and '_', starting with a letter",
        )


def firmware_of(drives: Iterable[Drive]) -> str:
    """The file in the first flash drive; its id, or ``pflash``, if it has no file; empty without one."""
    taken: dict[int, Drive] = {}
    for drive in drives:
        if drive.settings.get("if") != "pflash":
            continue
        unit = drive.settings.get("unit", drive.settings.get("index", ""))
        free = next(number for number in range(len(taken) + 1) if number not in taken)
        taken.setdefault(int(unit) if unit.isascii() and unit.isdigit() and len(unit) < 4 else free, drive)
    first = taken.get(0)
    return (first.settings.get("file") or first.id or "pflash") if first else ""


def implied_audio(model: str, origin: Origin, word: int) -> Draft | None:
    """The sound card of ``-audio model=``, which QEMU makes before any other device; None if it is none."""
    driver = {"hda": "intel-hda", "ac97": "AC97", "es1370": "ES1370", "virtio": "virtio-sound-pci"}.get(model)
    return Draft({"driver": driver}, "", origin, word, "implied") if driver else None


def implied_disks(drives: Iterable[Drive], machine_type: str) -> list[Draft]:
    """The ``virtio-blk-pci`` devices that QEMU makes of drives, after all ``key=value`` devices.

    A drive without ``if`` takes the machine's own interface, which is virtio on the ``virt`` board.
    """
    default = "virtio" if machine_type == "virt" or machine_type.startswith(("virt-", "virt+")) else ""
    disks = [drive for drive in drives if (drive.settings.get("if") or default) == "virtio"]
    names = _disk_names(disks)
    return [
        Draft({"driver": "virtio-blk-pci", "drive": name}, "", drive.origin, drive.word, "implied")
        for drive, name in zip(disks, names, strict=True)
    ]


def _disk_names(disks: Iterable[Drive]) -> Iterator[str]:
    """The ids of virtio drives; QEMU makes one of the unit where none is written [measured, 10.0]."""
    taken: set[str] = set()
    for drive in disks:
        unit = drive.settings.get("unit") or drive.settings.get("index") or ""
        free = next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)
        unit = str(int(unit)) if unit.isascii() and unit.isdigit() and len(unit) < 4 else free
        taken.add(unit)
        yield drive.id or f"virtio{unit}"


def accelerators(accels: Iterable[Accel], option: str) -> tuple[str, ...]:
    """The names of ``-accel``, else those of ``-machine accel=a:b``."""
    return tuple([accel.name for accel in accels] or filter(None, option.split(":")))


def unknown_option(word: str, origin: Origin) -> InputRefused:
    """The refusal of an option that QEMU has not."""
    return refusal(
        "option-unknown",
        f"QEMU 11.1 has no option {word if len(word) < 80 else word[:77] + '...'!r}",
        origin,
        why="vsmmu cannot know whether the next word is its argument",
        next="correct its spelling, or leave it out for vsmmu",
    )
