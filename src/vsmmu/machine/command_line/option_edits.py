# SPDX-License-Identifier: Apache-2.0
"""Edits of a command line's options: properties set and taken out, devices and objects added and moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import MACHINE, Edit, Insertion, Reordering, spelled
from vsmmu.errors import Negative
from vsmmu.machine.command_line.device_options import DISK_UNITS
from vsmmu.machine.command_line.keyval import escape
from vsmmu.machine.command_line.sources import Splice, WordSource, moved, spliced
from vsmmu.machine.command_line.text_edits import (
    set_in_json,
    set_in_opts,
    set_in_set_option,
    unset_in_json,
    unset_in_opts,
)
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vsmmu.diagnostic import Change, Written
    from vsmmu.machine.command_line.device_options import Draft
    from vsmmu.machine.command_line.options import WrittenOption

__all__ = ["edited"]


#: Options that make a drive, and on the virt board a disk with it.
_DRIVES = frozenset({"", "drive", *DISK_UNITS})


class _Line(NamedTuple):
    """A command line to be edited: its words, how each device was written, and its options."""

    source: WordSource
    drafts: Sequence[Draft]
    options: Sequence[WrittenOption]

    @property
    def machine_options(self) -> list[WrittenOption]:
        return [entry for entry in self.options if entry.name in ("machine", "M")]


def edited(
    source: WordSource, drafts: Sequence[Draft], options: Iterable[WrittenOption], edits: Iterable[Change]
) -> WordSource:
    """The command line with changes; all numbers of devices are those before.

    Moves stand alone: what is inserted or set together with one would lose its place.

    :raise Negative: ``not-editable``.
    """
    line, edits = _Line(source, drafts, tuple(options)), tuple(edits)
    moves = [edit for edit in edits if isinstance(edit, Reordering)]
    if moves:
        return _moved(line, moves)
    settings = [edit for edit in edits if isinstance(edit, Edit)]
    source = _with_settings(line, settings) if settings else source
    insertions = [edit for edit in edits if isinstance(edit, Insertion)]
    # From the last place to the first, so that numbers of words stay; those of one place in their order.
    for before in sorted({entry.before for entry in insertions}, reverse=True):
        here = [entry for entry in insertions if entry.before == before]
        source = _with_insertions(line._replace(source=source), before, here)
    return _with_words_as_drives(line, source, settings, insertions)


def _with_settings(line: _Line, edits: Sequence[Edit]) -> WordSource:
    words = line.source.words
    changes: dict[int, list[Splice]] = {}
    added: dict[str, str] = {}
    disks: list[str] = []
    for edit in edits:
        for at, change in _changes(line, edit, changes):
            changes.setdefault(at, []).append(change)
        if edit.device == MACHINE:
            continue
        if _is_disk_of_drive(line, edit):
            drive = line.drafts[edit.device].properties["drive"]
            settings: dict[str, Written] = {"driver": "virtio-blk-pci", "drive": str(drive)}
            settings[edit.property] = spelled(edit.value)
            disks += ["-device", _argument(Insertion("device", settings, 0), json=False)]
        elif _by_set_option(line.drafts[edit.device], edit):
            added[f"device.{line.drafts[edit.device].id}.{edit.property}"] = spelled(edit.value)
    source = line.source.splice(changes) if changes else line.source
    new = [*disks, *(word for key, value in added.items() for word in ("-set", f"{key}={value}"))]
    return source.insert(len(words) - 1, new) if new else source


def _changes(line: _Line, edit: Edit, changes: dict[int, list[Splice]]) -> Iterator[tuple[int, Splice]]:
    """The replacements in words that set a property, or take it out everywhere."""
    words = line.source.words

    def text(at: int) -> str:
        return spliced(words[at], changes.get(at, ()))

    if edit.device == MACHINE:
        yield from _machine_changes(line, edit, text)
        return
    draft = line.drafts[edit.device]
    word = draft.set_words.get(edit.property)
    if _is_disk_of_word(line, edit):
        yield draft.word, (0, len(words[draft.word]), "-drive")  # its argument comes behind it
        return
    if _is_disk_of_drive(line, edit):
        # The drive makes no device any more, and keeps its name, which may be one that QEMU gave it.
        yield from _as_drive(line, draft)
        yield draft.word, set_in_opts(text(draft.word), "if", "none", "")
        yield draft.word, set_in_opts(text(draft.word), "id", str(draft.properties["drive"]), "")
        return
    if edit.value is None:
        _check_unset(draft, edit)
        unset = unset_in_json if draft.form == "json" else unset_in_opts
        for change in unset(text(draft.word), {edit.property}):
            yield draft.word, change
    elif word is not None:
        yield word, set_in_set_option(text(word), edit.value)
    elif draft.site == "argument":
        setter = set_in_json if draft.form == "json" else set_in_opts
        yield draft.word, setter(text(draft.word), edit.property, edit.value)


def _as_drive(line: _Line, draft: Draft) -> Iterator[tuple[int, Splice]]:
    """What makes a ``-drive`` of its short form, such as ``-hda FILE``."""
    short = next(option for option in line.options if option.last == draft.word)
    if short.name == "drive":
        return
    words = line.source.words
    yield short.first, (0, len(words[short.first]), "-drive")
    written = words[short.last]
    if short.name == "cdrom":
        yield short.last, (len(written), len(written), ",media=cdrom")
    for at in reversed([at for at, letter in enumerate(written) if letter == ","]):
        yield short.last, (at, at, ",")
    yield short.last, (0, 0, "file=")


def _machine_changes(line: _Line, edit: Edit, text: Callable[[int], str]) -> Iterator[tuple[int, Splice]]:
    """The same in the options of ``-machine``, where ``_`` and ``-`` are the same."""
    keys = {edit.property, edit.property.replace("-", "_")}
    found = line.machine_options
    if edit.value is not None:
        if not found:
            raise _refused(edit, "the machine", "there is no -machine", "add -machine virt")
        at = found[-1].last
        yield at, set_in_opts(text(at), edit.property, edit.value, "type")
    for option in found if edit.value is None else ():
        for change in unset_in_opts(text(option.last), keys, "type"):
            yield option.last, change


def _with_insertions(line: _Line, before: int, insertions: Sequence[Insertion]) -> WordSource:
    draft = line.drafts[before]
    if draft.site != "argument":
        raise _refused(insertions[0], draft.driver, "QEMU makes the device there of another option")
    option = _option_of(line, draft)
    source = line.source
    for entry in reversed(insertions):
        new = [f"-{entry.option}", _argument(entry, json=draft.form == "json" and entry.option == "device")]
        source = source.insert(option.first - 1, new, like=option.first)
    return source


def _with_words_as_drives(
    line: _Line, source: WordSource, edits: Sequence[Edit], insertions: Sequence[Insertion]
) -> WordSource:
    """The files of words that have become ``-drive``, each as the argument behind it."""
    bare = {line.drafts[edit.device].word: edit.device for edit in edits if _is_disk_of_word(line, edit)}
    places = [_option_of(line, line.drafts[entry.before]).first for entry in insertions] if bare else []
    for word in sorted(bare, reverse=True):
        file, drive = line.source.words[word].replace(",", ",,"), line.drafts[bare[word]].properties["drive"]
        now = word + 2 * sum(place <= word for place in places)
        source = source.insert(now, [f"file={file},if=none,id={drive}"])
    return source


def _argument(insertion: Insertion, *, json: bool) -> str:
    if json:
        import msgspec

        return msgspec.json.encode(insertion.settings).decode()
    first, *rest = insertion.settings.items()
    return ",".join([spelled(first[1]), *(f"{key}={escape(spelled(value))}" for key, value in rest)])


def _moved(line: _Line, moves: Iterable[Reordering]) -> WordSource:
    source = line.source
    order: Sequence[int] = range(len(source.words))
    for move in moves:
        option = _option_of(line, line.drafts[move.device])
        # Words that have moved before: where those of the line as it came are now.
        first, last = order.index(option.first), order.index(option.last)
        behind = _behind(line, move, order)
        source, order = source.move(first, last, behind), moved(order, first, last, behind)
    return source


def _behind(line: _Line, move: Reordering, order: Sequence[int]) -> int:
    """The word behind which a device is to stand."""
    draft = line.drafts[move.device]
    if move.behind < 0:
        alike = (other for other in line.drafts if _is_like(other, draft))
        return min(order.index(_option_of(line, other).first) for other in alike) - 1
    other = line.drafts[move.behind]
    if not _is_like(other, draft):
        why = "QEMU makes the devices in JSON after all others"
        raise _refused(move, draft.driver, why, "write both in one form")
    return order.index(_option_of(line, other).last)


def _is_like(one: Draft, other: Draft) -> bool:
    return one.site == "argument" and one.form == other.form


def _option_of(line: _Line, draft: Draft) -> WrittenOption:
    for option in line.options if draft.site == "argument" else ():
        if option.last == draft.word:
            return option
    raise _refused(None, draft.driver, "it does not stand on the command line itself")


def _is_disk_of_drive(line: _Line, edit: Edit) -> bool:
    """Whether it is about the disk that QEMU makes of a ``-drive``, ``-hda`` or word: it can be a device.

    A word that is no option becomes two, so it has to be known in full.
    """
    draft = line.drafts[edit.device]
    known = draft.word not in line.source.opaque
    return (
        draft.site == "implied"
        and edit.value is not None
        and any(
            option.name in _DRIVES and option.last == draft.word and (option.name or known)
            for option in line.options
        )
    )


def _is_disk_of_word(line: _Line, edit: Edit) -> bool:
    """Whether its disk comes of a word that is no option."""
    word = -1 if edit.device == MACHINE else line.drafts[edit.device].word
    return (
        word >= 0
        and _is_disk_of_drive(line, edit)
        and any(not option.name and option.last == word for option in line.options)
    )


def _by_set_option(draft: Draft, edit: Edit) -> bool:
    """Whether a property takes an option ``-set`` of its own, because the device stands in a file.

    :raise Negative: ``not-editable``, for what ``-set device.ID.property=value`` cannot express.
    """
    if edit.value is None or draft.site == "argument" or edit.property in draft.set_words:
        return False
    if draft.site == "config" and draft.id and "." not in draft.id:
        return True
    why = (
        "QEMU makes the device of another option"
        if draft.site == "implied"
        else f"-set cannot name the id {draft.id!r}, which holds a dot"
        if draft.id
        else "-set needs an id, and the device has none"
    )
    following = f'write {edit.property} = "{spelled(edit.value)}" into its section of the file'
    raise Negative(
        "not-editable",
        f"{edit.property}={spelled(edit.value)} cannot be given to {draft.driver} from the command line",
        where=draft.origin.place,
        why=why,
        next=following if draft.site == "config" else "give the device with -device",
    )


def _check_unset(draft: Draft, edit: Edit) -> None:
    if draft.site != "argument" or edit.property in draft.set_words:
        why = "it is not written in the device's own option"
        raise _refused(edit, draft.driver, why, f"take {edit.property} out where it is written")


def _refused(change: Change | None, what: str, why: str, following: str = "") -> Negative:
    wanted = f"{change.property}={spelled(change.value)}" if isinstance(change, Edit) else "a device"
    return Negative(
        "not-editable",
        f"{wanted} cannot be written for {what} on the command line",
        why=why,
        next=following or "write the devices with -device",
    )
