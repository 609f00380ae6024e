# SPDX-License-Identifier: Apache-2.0
"""``vsmmu kubevirt``: the hook as a gRPC server, and a node's capabilities for programs in Go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


_EXAMPLES = """\b
Examples:
  vsmmu kubevirt capabilities --host builtin:gb200
  VSMMU_HOST='/facts/{node}.json' vsmmu kubevirt serve
"""


@click.group("kubevirt", epilog=_EXAMPLES)
def command() -> None:
    """Serve KubeVirt's hook interfaces; print a node's capabilities."""


@command.command("serve")
@parameters("kubevirt serve")
def serve(socket: Path, priority: int, versions: tuple[str, ...]) -> NoReturn:  # noqa: ARG001
    """Serve hook versions v1alpha1 to v1alpha3 and the plugin interface until SIGTERM or Shutdown.

    Set up by the same environment variables and annotations as onDefineDomain. Needs vsmmu[kubevirt].
    """
    import os
    import signal

    from vsmmu.errors import HostLacks
    from vsmmu.kubevirt.settings import from_environment, unknown_variables

    try:
        from vsmmu.kubevirt.server import HookServer
    except ImportError as error:
        raise HostLacks(
            "extra-missing",
            "the gRPC server is not installed",
            why=str(error),
            next="pip install 'vsmmu[kubevirt]'",
        ) from None
    for line in unknown_variables(os.environ):
        console.remark(line, "warning")
    server = HookServer(from_environment(os.environ), console.remark, priority)
    server.start(socket)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    console.remark(f"listening on {socket}")
    server.wait()
    os._exit(0)  # a thread whose system call hangs would hold an ordinary exit


@command.command("capabilities")
@parameters("kubevirt capabilities")
def capabilities(host: str) -> int:
    """Print vsmmu.pci-capabilities/1: for each PCI function the values that its host SMMU allows."""
    from vsmmu.cli.hosts import read_host
    from vsmmu.kubevirt.capabilities import capabilities_document

    console.answer(capabilities_document(read_host(host)))
    return 0
