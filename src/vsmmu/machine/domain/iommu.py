# SPDX-License-Identifier: Apache-2.0
"""``<iommu>``: libvirt's attributes as one table, misspelt and draft names included.

libvirt 12.8 drops an attribute that it does not know without a word, so a misspelt one is the common mistake:
KubeVirt wrote ``ssidSize`` for months. Sources: ``domaincommon.rng`` and the binaries of libvirt 12.8.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.domain.numbers import BASES, integer
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import AUTO, LIBVIRT_ORDER, PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.machine.domain.elements import Element

__all__ = ["DRIVER_ORDER", "OTHER_MODELS", "SMMUV3", "Iommu", "Spelling", "read_iommu"]

SMMUV3: Final = "smmuv3"
#: The attributes of ``<driver>`` for smmuv3, in the order in which libvirt writes them.
DRIVER_ORDER: Final = ("pciBus", "accel", *(entry.name for entry in LIBVIRT_ORDER))
#: Attributes that libvirt 12.8 knows for other models, and refuses on smmuv3.
OTHER_MODELS: Final = frozenset(
    ("intremap", "caching_mode", "eim", "iotlb", "aw_bits", "dma_translation", "xtsup", "passthrough")
)
#: Names out of drafts that were never merged -> what they are called now; empty if nothing took their place.
DRAFT_NAMES: Final[Mapping[str, str]] = {
    **{old: entry.name for entry in PROPERTIES.values() for old in entry.old_spellings},
    "parentIdx": "pciBus",
    "identifier": "",
    "vpasidCapOffset": "",
}
DRAFT_MODELS: Final[Mapping[str, str]] = {"smmuv3Dev": SMMUV3}
#: Below zero these are not written, as far as libvirt is concerned.
_UNSET: Final = frozenset(
    ("pciBus", *(entry.name for entry in LIBVIRT_ORDER if entry.libvirt_unset is not None))
)
_SQUEEZED: Final = {name.lower(): name for name in DRIVER_ORDER}


class Spelling(NamedTuple):
    """An attribute as written and as libvirt calls it; ``known`` is empty if libvirt has none like it."""

    written: str
    known: str


class Iommu(NamedTuple):
    """One ``<iommu>``.

    :param model: what is meant: a draft's name for smmuv3 is smmuv3.
    :param settings: what is meant by the attributes of ``<driver>``, by libvirt's names; an integer is in
        decimal, and what libvirt takes for *not written* (``ssidsize='-1'``) is left out.
    :param misspelt: attributes that libvirt drops, in document order.
    :param draft: the model as written, if that is a draft's name; else empty.
    """

    element: Element
    driver: Element | None
    model: str
    settings: Mapping[str, str]
    misspelt: tuple[Spelling, ...]
    draft: str = ""

    def corrected(self, wanted: Mapping[str, str]) -> Iommu:
        """The same as :meth:`vsmmu.machine.domain.document.DomainXml.edit` leaves it.

        :param wanted: values by libvirt's names; ``auto`` is an attribute that is left out.
        """
        if not self.is_smmuv3:
            return self
        settings = {name: value for name, value in {**self.settings, **wanted}.items() if value != AUTO}
        unknown = tuple(entry for entry in self.misspelt if not entry.known)
        return self._replace(settings=settings, misspelt=unknown, draft="")

    @property
    def passed_on(self) -> Mapping[str, str]:
        """The settings that libvirt passes on to QEMU: without values whose attribute is misspelt.

        Without pciBus or accel it would be another SMMU, so these two stay as they are meant.
        """
        if not self.misspelt:
            return self.settings
        written = self.driver.attributes if self.driver is not None else {}
        return {
            name: value for name, value in self.settings.items() if name in written or name not in PROPERTIES
        }

    @property
    def is_smmuv3(self) -> bool:
        """Whether an SMMUv3 is meant."""
        return self.model == SMMUV3

    @property
    def pci_bus(self) -> str:
        """Index of the controller that it is attached to; empty for the SMMU of the whole machine."""
        return self.settings.get("pciBus", "")

    @property
    def accelerated(self) -> bool:
        """Whether it shall be accelerated."""
        return self.settings.get("accel") == "on"


def read_iommu(element: Element) -> Iommu:
    """Read an ``<iommu>`` as it is meant."""
    model = element.get("model")
    driver = element.find("driver")
    written = driver.attributes if driver is not None else {}
    settings: dict[str, str] = {}
    misspelt: list[Spelling] = []
    seen: set[str] = set()
    for name, value in written.items():
        known = _known(name)
        if known != name:
            misspelt.append(Spelling(name, known))
        first = known == name or (known not in written and known not in seen)
        if known and first:
            seen.add(known)
            read = integer(known, value) if known in BASES else None
            if known in _UNSET and read is not None and read < 0:
                continue
            settings[known] = value if read is None else str(read)
    smmuv3 = DRAFT_MODELS.get(model, model) == SMMUV3
    return Iommu(
        element=element,
        driver=driver,
        model=SMMUV3 if smmuv3 else model,
        settings=settings,
        misspelt=tuple(misspelt) if smmuv3 else (),
        draft=model if model in DRAFT_MODELS else "",
    )


def _known(name: str) -> str:
    """Libvirt's name for what is written as ``name``; empty if there is none."""
    if name in DRIVER_ORDER:
        return name
    if name in DRAFT_NAMES:
        return DRAFT_NAMES[name]
    return _SQUEEZED.get(name.lower().replace("_", "").replace("-", ""), "")
