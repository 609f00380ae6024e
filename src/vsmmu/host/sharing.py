# SPDX-License-Identifier: Apache-2.0
"""Facts fit to be shown to others: without what says whose host it is, and as a host to build in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.errors import Negative

if TYPE_CHECKING:
    from vsmmu.host.evidence import Evidence
    from vsmmu.host.facts import Host, HostFunction

__all__ = ["to_contribute", "without_names"]

#: Files of the system, which tell nothing of whose it is.
_FILE: Final = re.compile(r"(?<![\w.])/(?!sys/|proc/|dev/|run/vsmmu)[^\s,;:()]+")


def without_names(host: Host, name: str = "host") -> Host:
    """The same facts without the host's name, its boot, the time of day, labels, and paths of files.

    What remains are addresses of functions, ids, the product, and what the kernel said.
    """
    known = host.name

    def bare(text: str) -> str:
        text = _FILE.sub("FILE", text)
        return re.sub(rf"(?<![\w.-]){re.escape(known)}(?![\w-])", name, text) if known else text

    def evidence(entry: Evidence) -> Evidence:
        return msgspec.structs.replace(entry, source=bare(entry.source), detail=bare(entry.detail))

    def function(entry: HostFunction) -> HostFunction:
        return msgspec.structs.replace(entry, label="")

    return msgspec.structs.replace(
        host,
        name=name,
        taken_at=host.taken_at[:10],
        kernel=msgspec.structs.replace(host.kernel, boot_id="", command_line=bare(host.kernel.command_line)),
        functions=tuple(function(entry) for entry in host.functions),
        smmus=tuple(
            msgspec.structs.replace(smmu, kernel_log=tuple(bare(line) for line in smmu.kernel_log))
            for smmu in host.smmus
        ),
        evidence={key: evidence(entry) for key, entry in host.evidence.items()},
    )


def to_contribute(host: Host) -> Host:
    """The facts as a built-in host would have them, called after the product.

    :raise Negative: ``nothing-to-contribute``: nothing was measured, or it is a host that was made up.
    """
    why = (
        "its facts are made up, or built in already"
        if host.synthetic
        else "no register of its SMMUs was read"
        if not any(smmu.registers for smmu in host.smmus)
        else "no product is named, by which others would know it"
        if not (host.product or host.title)
        else ""
    )
    if why:
        raise Negative(
            "nothing-to-contribute",
            f"the facts of host {host.name!r} are no measurement of a kind of host",
            why=why,
            next="on the host, as root: vsmmu probe; then vsmmu show --contribute",
        )
    title = host.title or host.product
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return msgspec.structs.replace(without_names(host, name), title=title)
