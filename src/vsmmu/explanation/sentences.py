# SPDX-License-Identifier: Apache-2.0
"""Sentences of QEMU, libvirt and the kernel found in a text by the templates of their tables.

A template's ``{}`` places stand for whatever was printed there, and what was printed fills the remedy in.
Where one sentence has several causes, each is an explanation; a shorter template that fits a part of a longer
one's match is not another cause.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.codes import code_table
from vsmmu.explanation.table import PLACE, explain_code, fill
from vsmmu.libvirt.rules import RULES
from vsmmu.probe.refusals import REFUSALS
from vsmmu.qemu.dialects import DIALECTS
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.explanation.model import Explanation

__all__ = ["Template", "explain_text", "nearest_sentence", "templates"]

#: Of the codes whose text QEMU puts together: the forms that it has (vsmmu.qemu.names, vsmmu.qemu.values).
_FORMS: Final = {
    "qemu-property-unknown": (
        "Property '{property}' not found",
        "Property '{property}' is not writable",
        "Parameter '{property}' is unexpected",
        "Invalid parameter '{property}'",
    ),
    "qemu-property-value": (
        "Parameter '{property}' expects {accepted}",
        "Parameter '{property}' does not accept value '{value}'",
        "Parameter '{property}' is missing",
        "Property '{property}' doesn't take value '{value}'",
        "Invalid parameter type for '{property}', expected: {accepted}",
        "Invalid parameter type for '{property}', expected {accepted}",
        "Invalid {property} value",
    ),
    "qemu-type-unknown": (
        "'{value}' is not a valid device model name",
        "Parameter 'driver' expects a {accepted} device type",
        "global {value} has invalid class name",
    ),
    "qemu-object-unknown": ("Parameter 'qom-type' does not accept value '{value}'",),
}
#: What QEMU prints on a host that is not ready, by the code of what finds it (11.1.3; KVM: accel/kvm).
_UNREADY: Final = {
    "doctor-groups": (
        "group {group} is not viable",
        "Please ensure all devices within the iommu_group are bound to their vfio bus driver.",
        "Verify all devices in group {group} are bound to vfio-<bus> or pci-stub and not already in use",
    ),
    "doctor-kvm": ("Could not access KVM kernel module: {errno}", "failed to initialize kvm: {errno}"),
    "memlock-small": (
        "vfio_container_dma_map({arguments}) = -12 (Cannot allocate memory)",
        "vfio: DMA mapping failed, unable to continue",
    ),
    "no-smmu-behind": ("no iommu_group found",),
}
#: What QEMU prints of the kernel's errno, by the call of a probe that gets the same.
_CALLS: Final = {
    "open iommufd": "Could not open '/dev/iommu': {errno}",
    "open device": "Could not open '/dev/vfio/devices/{file}': {errno}",
    "bind": "error bind device fd={fd} to iommufd={iommufd}: {errno}",
    "hw_info": "Failed to get hardware info: {errno}",
}
#: libvirt's own words in the consequence of a rule.
_LIBVIRT: Final = re.compile(r"libvirt (?:refuses|defines)[^:]*: (?P<sentence>.+)")
_CODE: Final = re.compile(r"\[([a-z][a-z0-9.]*(?:-[a-z0-9.]+)*)\]")
#: Less of the words' weight than this is no likeness.
_NEAR: Final = 0.15
_LONGEST_LINE: Final = 16_384


class Template(NamedTuple):
    """A sentence of a table as a pattern.

    :param literal: its longest part without a place: what is not in a text, spares the search.
    :param length: of all such parts together.
    """

    code: str
    text: str
    pattern: re.Pattern[str]
    literal: str
    length: int


class _Found(NamedTuple):
    template: Template
    match: re.Match[str]

    def lies_within(self, other: _Found) -> bool:
        mine, its = self.match.span(), other.match.span()
        longer = other.template.length > self.template.length
        return longer and mine != its and its[0] <= mine[0] and mine[1] <= its[1]


@functools.cache
def templates() -> tuple[Template, ...]:
    """Every sentence that can be found, in the order of the tables."""
    return tuple(_template(code, text) for code, text in _sentences())


def _sentences() -> Iterator[tuple[str, str]]:
    for message in MESSAGES.values():
        if message.text != "{text}":
            yield message.code, message.text
    for code, forms in (_FORMS | _UNREADY).items():
        yield from ((code, form) for form in forms)
    for rule in RULES.values():
        if sentence := _LIBVIRT.search(rule.consequence):
            yield rule.code, sentence["sentence"].rstrip(".")
    for (call, number), refusal in REFUSALS.items():
        yield refusal.code, _CALLS[call].replace("{errno}", os.strerror(number))
    yield from ((code, row.says) for code, row in code_table().items() if row.says)


def _template(code: str, text: str) -> Template:
    # QEMU's descriptors are numbers, whatever they are.
    text = re.sub(r"=N\b", "={}", text)
    parts: list[str] = []
    literals: list[str] = []
    names: set[str] = set()
    at = 0
    for place in PLACE.finditer(text):
        literals.append(text[at : place.start("name") - 1])
        name, first, last = place["name"], not literals[-1], place.end() == len(text)
        what = r"\S+" if first else ".+" if last else ".+?"
        # A name that comes twice stands for one value.
        group = f"(?P={name})" if name and name in names else f"(?P<{name}>{what})" if name else f"(?:{what})"
        parts += [re.escape(literals[-1]), group]
        names.add(name)
        at = place.end()
    literals.append(text[at:])
    pattern = re.compile("".join([*parts, re.escape(literals[-1])]))
    return Template(code, text, pattern, max(literals, key=len), sum(map(len, literals)))


def explain_text(text: str) -> list[Explanation]:
    """The explanations of all sentences in a text, in order; of the same sentence once.

    :param text: a sentence or a log of any length; lines longer than 16 KiB are cut there.
    """
    near = [template for template in templates() if template.literal in text]
    found: dict[tuple[str, str], Explanation] = {}
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole[:_LONGEST_LINE].strip()
        for entry in _of_line(line, near):
            key = entry.code, entry.mend
            found.setdefault(key, msgspec.structs.replace(entry, printed=line, line=number))
    return list(found.values())


def _of_line(line: str, near: list[Template]) -> Iterator[Explanation]:
    for code in _CODE.findall(line):
        if entry := explain_code(code):
            yield entry
            return
    hits = [
        _Found(template, match)
        for template in near
        if template.literal in line and (match := template.pattern.search(line))
    ]
    seen = set()
    for hit in hits:
        if not any(hit.lies_within(other) for other in hits) and hit.template.code not in seen:
            seen.add(hit.template.code)
            yield _filled(hit)
    for row in DIALECTS.values():
        name = row.name.partition("iommu=")[2] or row.name
        if hits and not row.fork and f"'{name}'" in line and (entry := explain_code("draft-name")):
            yield msgspec.structs.replace(entry, mend=f"{row.name} is of {row.origin}: {row.translation}")


def _filled(hit: _Found) -> Explanation:
    """The explanation with what was printed in the places of the remedy, as far as it was."""
    values = {name: value for name, value in hit.match.groupdict().items() if value is not None}
    if values.get("property") in PROPERTIES:
        values["accepted"] = ", ".join(PROPERTIES[values["property"]].spellings)
    entry = explain_code(hit.template.code, **values)
    assert entry is not None  # noqa: S101 - each template is of a code
    return entry if entry.says else msgspec.structs.replace(entry, says=fill(hit.template.text, {}))


def nearest_sentence(text: str) -> Template | None:
    """The template that shares most with a sentence that none fits; rare words count more than common ones.

    None if they share next to nothing.
    """
    known = {template: _words(fill(template.text, {})) for template in templates()}
    often = Counter(word for words in known.values() for word in words)
    given = _words(text)

    def shared(template: Template) -> float:
        both, either = known[template] & given, known[template] | given
        weights = [sum(1 / (often[word] or 1) for word in words) for words in (both, either)]
        return weights[0] / weights[1] if len(both) > 1 else 0.0

    best = max(known, key=shared)
    return best if shared(best) > _NEAR else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]{3,}", text.lower().replace("doesn't", "does not")))
