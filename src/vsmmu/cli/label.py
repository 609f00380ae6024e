# SPDX-License-Identifier: Apache-2.0
"""``vsmmu label``: the host's class and facts as labels for Node Feature Discovery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu label --write /etc/kubernetes/node-feature-discovery/features.d/vsmmu
  vsmmu label --host builtin:gb200
  vsmmu label -o nodefeature --node worker-7 | kubectl apply -n node-feature-discovery -f -
"""


@click.command("label", epilog=_EXAMPLES)
@parameters("label")
def command(
    host: str,
    qemu: str | None,
    device: str | None,
    write: Path | None,
    expires: float | None,
    node: str | None,
    output: str,
) -> int:
    """Print labels for the scheduler and the facts themselves as an NFD feature file.

    The facts travel with the labels: kubectl get nodefeatures -A -o json | vsmmu baseline - reads them back.
    """
    from vsmmu.cli.hosts import read_host, read_qemu
    from vsmmu.document import encode_document
    from vsmmu.fleet.classes import parse_selection
    from vsmmu.host.files import save_bytes
    from vsmmu.kubevirt.nfd import feature_file, labels_of, node_feature

    facts = read_host(host)
    labels = labels_of(facts, read_qemu(qemu), parse_selection(device))
    if output == "nodefeature":
        data = encode_document(node_feature(facts, labels, node or facts.name))
    elif output == "json":
        data = encode_document(labels)
    else:
        data = feature_file(facts, labels, _in_hours(expires))
    if write is not None:
        save_bytes(data, write, "labels")
    else:
        console.raw(data)
    return 0


def _in_hours(hours: float | None) -> str:
    if hours is None:
        return ""
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
