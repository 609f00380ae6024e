# SPDX-License-Identifier: Apache-2.0
"""The built-in host that a machine looks like, by PCI ids, product or IIDR: an offer, never used unasked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.host.facts import Host, HostSmmu

__all__ = ["Likeness", "recognise", "spell_likeness"]


class Likeness(NamedTuple):
    """A built-in host, and the sign by which a machine looks like it.

    :param builtin: its name, without ``builtin:``.
    :param sign: such as ``PCI id 10de:31c2``.
    """

    builtin: str
    sign: str


#: Vendor and device of what only that platform has: the GPU in the package, or the root complex.
#: Source: KubeVirt pull request 18316 (10de), boot logs of the machines (the rest).
_PCI: Final = {
    "10de:2941": "gb200",
    "10de:31c2": "gb300",
    "10de:31c3": "gb300",
    "10de:31a1": "gb300",
    "10de:2342": "gh200",
    "10de:2348": "gh200",
    "10de:2e12": "gb10",
    "1def:e100": "altra",
    "1def:e101": "altra",
}
#: In DMI's product name or the device tree's model.
_PRODUCTS: Final = {
    r"GB300": "gb300",
    r"GB200": "gb200",
    r"GH200|Grace Hopper": "gh200",
    r"GB10\b|DGX[ _]Spark": "gb10",
    r"\bAltra\b|Mt\.? ?(?:Jade|Snow|Collins)": "altra",
    r"TaiShan 200|Kunpeng ?920": "kunpeng920",
    r"ThunderX2|Saber|Comanche": "thunderx2",
    r"RK3588": "rk3588",
}
#: IIDR.ProductID of SMMUs by Arm (implementer 0x43b).
_PRODUCT_IDS: Final = {0x487: "pkvm-mmu700"}
_ARM: Final = 0x43B


def recognise(host: Host) -> Likeness | None:
    """The built-in host that this one looks like: a device decides before a name, a name before an SMMU."""
    return next(iter((*_by_device(host), *_by_product(host), *_by_smmu(host))), None)


def spell_likeness(likeness: Likeness, published: Host) -> str:
    """One sentence with what is published of it, and how to try it.

    :param published: the built-in host.
    """
    values = [
        f"{entry.name}={entry.spell_code(exact)}"
        for entry in REGISTER_PROPERTIES
        if (exact := _common(published, published.smmus, entry.source)) is not None
    ]
    name = f"builtin:{likeness.builtin}"
    return (
        f"this looks like {name} ({likeness.sign}); published: {' '.join(values) or 'nothing of these'}; "
        f"not measured here; --host {name} tries it"
    )


def _by_device(host: Host) -> Iterable[Likeness]:
    for function in host.functions:
        ids = f"{function.vendor}:{function.device}"
        if ids in _PCI:
            yield Likeness(_PCI[ids], f"PCI id {ids}")


def _by_product(host: Host) -> Iterable[Likeness]:
    for pattern, name in _PRODUCTS.items():
        if host.product and re.search(pattern, host.product):
            yield Likeness(name, f"product {host.product}")


def _by_smmu(host: Host) -> Iterable[Likeness]:
    for smmu in host.smmus:
        product = host.read_field(smmu, "IIDR.ProductID").exact
        if host.read_field(smmu, "IIDR.Implementer").exact == _ARM and product in _PRODUCT_IDS:
            yield Likeness(_PRODUCT_IDS[product], f"IIDR.ProductID {product:#x}")


def _common(host: Host, smmus: tuple[HostSmmu, ...], key: str) -> int | None:
    """The value that all SMMUs have; None if it is open or not the same."""
    values = {host.read_field(smmu, key).exact for smmu in smmus}
    return values.pop() if len(values) == 1 else None
