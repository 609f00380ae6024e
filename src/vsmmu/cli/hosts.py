# SPDX-License-Identifier: Apache-2.0
"""The host and QEMU arguments of the verbs, with a remark on what is not known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.cli import console
from vsmmu.qemu.versions import newer_than_known

if TYPE_CHECKING:
    from collections.abc import Container

    from vsmmu.host.facts import Host
    from vsmmu.qemu.versions import Qemu

__all__ = ["read_described_host", "read_host", "read_qemu"]


def read_host(spec: str, named: Container[str] | None = None) -> Host:
    """The facts about a host: ``live``, a facts file, ``-``, or ``builtin:NAME``.

    :param named: the functions that are asked about, where only those of a live host need be read.
    :raise VsmmuError: as :func:`vsmmu.api.load_host`.
    """
    from vsmmu.host.files import spell_unread

    if spec == "live" and named is not None:
        from vsmmu.probe.live import live_host

        host = live_host(named=named)
    else:
        from vsmmu.api import load_host

        host = load_host(spec)
    if host.unread:
        console.remark(f"note: {spec}: {spell_unread(host)}", "note")
    return host


def read_qemu(spec: str | None) -> Qemu:
    """What is known of a QEMU: a version, or a binary that is asked.

    :raise VsmmuError: as :func:`vsmmu.api.load_qemu`.
    """
    from vsmmu.api import load_qemu

    qemu = load_qemu(spec)
    if not qemu.modelled:
        console.remark(f"note: {newer_than_known(qemu)}", "note")
    return qemu


def read_described_host(spec: str, kernel_log: str | None, release: str, lspci: str | None) -> Host:
    """The facts about a host, from or with texts of other programs.

    :param kernel_log: the path of a kernel log that takes the place of ``spec``.
    :param release: of the kernel that wrote it.
    :param lspci: the path of what ``lspci -vvv`` printed; it adds to the functions that the facts have.
    :raise VsmmuError: as :func:`read_host`; a text that is something else.
    """
    from vsmmu.host.files import read_bounded

    if kernel_log is None:
        host = read_host(spec)
    else:
        from vsmmu.probe.log_text import MAX_LOG_BYTES, host_of_log

        host = host_of_log(read_bounded(kernel_log, MAX_LOG_BYTES, "kernel-log"), kernel_log, release)
    if lspci is None:
        return host
    from vsmmu.probe.lspci_text import MAX_LSPCI_BYTES, add_capabilities, read_lspci

    said = read_lspci(read_bounded(lspci, MAX_LSPCI_BYTES, "lspci"), lspci)
    missing = [entry.address for entry in said if host.function(entry.address) is None]
    if missing:
        console.remark(
            f"note: {lspci}: no facts of {len(missing)} of its {len(said)} functions, such as {missing[0]}",
            "note",
        )
    return add_capabilities(host, said)
