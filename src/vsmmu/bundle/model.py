# SPDX-License-Identifier: Apache-2.0
"""The bundle as a document, made of facts, a VM, a verdict and a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.bundle.log_lines import lines_of_log
from vsmmu.bundle.redaction import redacted_domain, redacted_words
from vsmmu.host.facts import Host
from vsmmu.host.sharing import without_names
from vsmmu.machine.recognise import read_vm
from vsmmu.policy.checking import check
from vsmmu.qemu.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["Bundle", "make_bundle"]


class Bundle(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.bundle/1"):
    """``vsmmu.bundle/1``: what a bug report needs, with secrets and names taken out.

    :param versions: of vsmmu, Python, QEMU, libvirt and the kernel, by name.
    :param vm: the words of the command line, or the lines of the domain, without what decides nothing.
    :param verdict: the model's, on the VM as it stands here.
    :param codes: of the diagnoses that the VM had before anything was taken out.
    :param same: whether these are the verdict's; else something that was taken out decides.
    :param qemu: what QEMU printed; :param kernel: what the kernel said of SMMUs, iommufd and vfio.
    """

    versions: dict[str, str]
    host: Host
    vm: tuple[str, ...]
    verdict: Verdict
    codes: tuple[str, ...]
    same: bool
    qemu: tuple[str, ...]
    kernel: tuple[str, ...]


def make_bundle(
    vm: Vm, host: Host, qemu: Qemu, options: Options, log: Iterable[str], versions: dict[str, str]
) -> Bundle:
    """Pack it.

    :param log: lines of QEMU's, libvirt's or the kernel's log; what is none of them is left out.
    :raise InputRefused: buses that contradict each other.
    """
    facts = without_names(host)
    before = check(vm, host, qemu, options)
    lines = _redacted(vm)
    again = read_vm(lines if vm.command_line is not None else "\n".join(lines))
    verdict = check(again, facts if not host.complete else facts.listing_all(), qemu, options)
    found = tuple(entry.code for entry in before.diagnostics)
    said = lines_of_log([*log, *(vm.command_line.printed if vm.command_line is not None else ())])
    driver = (line for smmu in facts.smmus for line in smmu.kernel_log)
    return Bundle(
        versions,
        facts,
        tuple(lines),
        verdict,
        found,
        same=found == tuple(entry.code for entry in verdict.diagnostics),
        qemu=said.qemu,
        kernel=tuple(dict.fromkeys([*driver, *said.kernel])),
    )


def _redacted(vm: Vm) -> list[str]:
    if vm.command_line is not None:
        return redacted_words(vm.command_line)
    assert vm.domain is not None  # noqa: S101 - a VM is one of the two
    return list(redacted_domain(vm.domain.root))
