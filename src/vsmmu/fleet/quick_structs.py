# SPDX-License-Identifier: Apache-2.0
"""Decode a fleet's records without the patterns of the facts, and tell what certainly matches these.

Patterns cost more than all else of a record. Whatever is not certain is for the strict reader.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec

from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.host.facts import (
    SCHEMA,
    HostFunction,
    Kernel,
    fact_fault,
    facts_of,
    region_fault,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NOTHING",
    "PATTERNED",
    "Head",
    "decode_functions",
    "decode_functions_strictly",
    "decode_head",
    "evidence_kinds",
    "is_in_order",
    "is_plain",
    "without_labels",
]

_LONGEST_NAME: Final = 255
NOTHING: Final = msgspec.Raw(b"")


def _without_patterns(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A struct with the same members, of which the texts may be any, see :func:`is_plain` and others."""
    kinds = get_type_hints(struct)  # without what Annotated adds to them
    fields: list[Any] = [
        (entry.name, kinds[entry.name], *(() if entry.required else (entry.default,)))
        for entry in msgspec.structs.fields(struct)
    ]
    return msgspec.defstruct(f"Unchecked{struct.__name__}", fields, frozen=True, gc=False)


if TYPE_CHECKING:
    _UncheckedKernel = Kernel
    _UncheckedFunction = HostFunction
else:
    _UncheckedKernel = _without_patterns(Kernel)
    _UncheckedFunction = _without_patterns(HostFunction)


class Head(msgspec.Struct, frozen=True, gc=False):
    """The members of ``vsmmu.host/1``, with the large ones uncut."""

    schema: str
    name: str
    title: str = ""
    taken_at: str = ""
    kernel: _UncheckedKernel = _UncheckedKernel()
    product: str = ""
    synthetic: tuple[str, ...] = ()
    iommufd: Fact = UNKNOWN
    page_size: msgspec.Raw = NOTHING
    numa_nodes: msgspec.Raw = NOTHING
    egm: msgspec.Raw = NOTHING
    smmus: msgspec.Raw = NOTHING
    functions: msgspec.Raw = NOTHING
    evidence: msgspec.Raw = NOTHING


def is_plain(head: Head) -> bool:
    """Whether the strict reader certainly has nothing against what is small: these texts are names."""
    kernel = head.kernel
    texts = (head.name, head.taken_at, head.product, kernel.release, kernel.boot_id)
    together = "".join(texts)
    if head.schema != SCHEMA or head.iommufd is not UNKNOWN or not together.isprintable():
        return False
    return len(together) <= _LONGEST_NAME or max(map(len, texts)) <= _LONGEST_NAME


def is_in_order(function: HostFunction, smmus: frozenset[str], evidence: Mapping[str, Evidence]) -> bool:
    """Whether the strict reader certainly has nothing against this function, apart from :data:`PATTERNED`.

    :param smmus: the names of the host's SMMUs.
    """
    if function.smmu is not None and function.smmu not in smmus:
        return False
    label, driver = function.label, function.driver
    if not (label.isprintable() and driver.isprintable()) or max(len(label), len(driver)) > _LONGEST_NAME:
        return False
    for region in function.reserved_regions or ():
        if not region.type.isprintable() or region_fault(region, evidence):
            return False
    if any(region_fault(region, evidence) for region in function.memory_regions or ()):
        return False
    return not any(fact is not UNKNOWN and fact_fault(fact, evidence) for fact in _FACTS_OF(function))


def evidence_kinds(evidence: bytes) -> tuple[tuple[str, str], ...]:
    """Name and kind of each evidence: the rest are words for people, with the date of a probe in them.

    :raise msgspec.DecodeError: it is no table of evidence (or ``UnicodeDecodeError``).
    """
    return tuple([(name, entry.kind) for name, entry in _decode_evidence(evidence).items()])


def without_labels(functions: bytes) -> bytes:
    """The text of functions with plain labels empty: nothing depends on these, and each host has its own.

    What is taken out is the whole text of a member, in any text that can be decoded: a quotation mark right
    before a colon ends the name of a member. So if one of two texts that are the same without labels can be
    decoded, the other can.
    """
    return _LABEL.sub(b'"label":""', functions)


_LABEL: Final = re.compile(rb'"label":"[ !#-\[\]-~]{0,255}"')
_FACTS_OF: Final = operator.attrgetter(*facts_of(HostFunction))
#: What has a pattern that is not checked otherwise.
PATTERNED: Final = operator.attrgetter("address", "vendor", "device", "class_code", "physical_function")
decode_functions: Final = msgspec.json.Decoder(tuple[_UncheckedFunction, ...]).decode
decode_functions_strictly: Final = msgspec.json.Decoder(tuple[HostFunction, ...]).decode
_decode_evidence: Final = msgspec.json.Decoder(dict[str, Evidence]).decode
decode_head: Final = msgspec.json.Decoder(Head).decode
