# SPDX-License-Identifier: Apache-2.0
"""Facts of this machine: this boot's probe, brought up to date from sysfs.

Facts of an *other* boot are not used, not even as hints: firmware and kernel updates come with a reboot and
change what is reported, images are cloned onto other machines with the file inside, /run is emptied at boot
anyway, and asking again takes milliseconds. That such a file was found is said.

This is on the path of a VM's start: with probed facts at hand it reads two small files for each function that
the VM names, and imports neither ctypes nor the prober nor what reads logs and firmware.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.errors import VsmmuError
from vsmmu.host.files import load_host
from vsmmu.probe import sysfs
from vsmmu.probe.notices import NOT_PROBED, fake_notice, not_probed
from vsmmu.probe.system_root import Tree

if TYPE_CHECKING:
    from collections.abc import Container

    from vsmmu.host.evidence import Evidence, Fact
    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.host.numa_nodes import EgmRegion

__all__ = ["FACTS_FILE", "Saved", "describe_age", "live_host", "refresh", "saved_facts"]

#: The file in the run directory.
FACTS_FILE: Final = "host.json"
_EGM: Final = "/sys/class/egm"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Saved(NamedTuple):
    """The facts file of the run directory.

    :param host: None if there is no file that may be used.
    :param note: why a file that is there may not be used; empty otherwise.
    """

    host: Host | None
    note: str = ""


def live_host(root: str = "/", named: Container[str] | None = None) -> Host:
    """Everything known of the running host, each value with its evidence.

    :param root: another directory to look below; the facts then say so of themselves.
    :param named: the functions that are asked about, as :func:`refresh` takes them.
    """
    tree = Tree(root)
    saved = saved_facts(tree)
    if saved.host is None:
        from vsmmu.probe.discover import discover

        return discover(tree, note=saved.note).listing_all()
    return refresh(saved.host, tree, named).listing_all()


def saved_facts(tree: Tree) -> Saved:
    """What a probe has written, if it was in this boot."""
    path = f"{tree.run_directory()}/{FACTS_FILE}"
    if not os.path.lexists(path):
        return Saved(None)
    try:
        host = load_host(path)
    except VsmmuError as error:
        return Saved(None, f"{path} was not used: {error.what}{': ' if error.why else ''}{error.why}")
    boot = sysfs.read_kernel(tree).boot_id
    if not boot or host.kernel.boot_id != boot:
        taken = f", taken at {host.taken_at}" if host.taken_at else ""
        return Saved(None, f"{path} was not used: it is of another boot{taken}")
    return Saved(host)


def refresh(saved: Host, tree: Tree, named: Container[str] | None = None) -> Host:
    """Bring facts of this boot up to date: functions come and go, and change their drivers.

    A function whose ids or SMMU have changed is another one now; what was measured of the old one is dropped.

    :param named: addresses of the functions that are asked about: of others that were there it is only
        seen whether they still are. None for all.
    """
    names = sysfs.smmu_names(tree)
    known = {smmu.name: smmu for smmu in saved.smmus}
    evidence = dict(saved.evidence)
    smmus = []
    for name in names:
        smmu = known.get(name)
        if smmu is None:
            evidence.setdefault(NOT_PROBED, not_probed("it was not there", readable_log=True))
            smmu = sysfs.read_smmu(tree, name)
        smmus.append(smmu)
    functions = {function.address: function for function in saved.functions}

    def brought_up(address: str, old: HostFunction | None) -> HostFunction | None:
        if old is not None and named is not None and address not in named:
            return old
        return _refreshed(tree, address, old, frozenset(names))

    current = [
        function
        for address in sysfs.function_addresses(tree)
        if (function := brought_up(address, functions.get(address))) is not None
    ]
    return msgspec.structs.replace(
        saved,
        synthetic=fake_notice(tree) or saved.synthetic,
        smmus=tuple(smmus),
        functions=tuple(current),
        egm=_egm(saved, tree, evidence),
        evidence=evidence,
    )


def _egm(saved: Host, tree: Tree, evidence: dict[str, Evidence]) -> tuple[EgmRegion, ...] | msgspec.UnsetType:
    """The EGM regions that are there now: some kernels make them when a driver takes their first GPU."""
    if not (saved.egm or tree.exists(_EGM)):
        return saved.egm
    from vsmmu.probe.egm import EVIDENCE, KEY, read_egm  # few hosts have any

    regions = read_egm(tree)
    if regions:
        evidence[KEY] = EVIDENCE
    return saved.egm if regions is None else regions


def _refreshed(
    tree: Tree, address: str, old: HostFunction | None, smmus: frozenset[str]
) -> HostFunction | None:
    identity = sysfs.read_identity(tree, address)
    if identity is None:
        return None
    if old is None or (old.vendor, old.device, old.smmu) != (
        identity.vendor,
        identity.device,
        identity.smmu if identity.smmu in smmus else None,
    ):
        return sysfs.read_function(tree, address, smmus)
    if old.driver == identity.driver:
        return old
    return msgspec.structs.replace(old, driver=identity.driver)


def describe_age(host: Host, now: datetime | None = None) -> str:
    """One sentence on how fresh a host's facts are, and what of them is only inferred.

    :param now: the time to compare with; the present if None.
    """
    probed = [smmu.name for smmu in host.smmus if smmu.registers]
    if not host.smmus:
        return "no SMMU is known"
    if not probed:
        evidence = host.evidence.get(NOT_PROBED)
        reason = f" ({evidence.detail})" if evidence and evidence.detail else ""
        inferred = any(_is_inferred(host, fact) for smmu in host.smmus for fact in smmu.fields.values())
        source = "; what is known is inferred from the kernel log" if inferred else ""
        return f"not probed in this boot{source}{reason}"
    rest = len(host.smmus) - len(probed)
    others = f"; {rest} of {len(host.smmus)} SMMUs not probed" if rest else ""
    return f"probed {_age(host.taken_at, now)}{others}"


def _is_inferred(host: Host, fact: Fact) -> bool:
    evidence = host.evidence.get(fact.evidence)
    return evidence is not None and evidence.kind == "inferred"


def _age(taken_at: str, now: datetime | None) -> str:
    try:
        taken = datetime.fromisoformat(taken_at)
    except ValueError:
        return "at an unknown time"
    if taken.tzinfo is None:
        taken = taken.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - taken).total_seconds()
    if seconds < 0:
        return f"at {taken_at} (the clock was set since)"
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''} ago ({taken_at})"
    return f"{int(seconds)} seconds ago ({taken_at})"
