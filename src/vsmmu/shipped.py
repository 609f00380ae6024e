# SPDX-License-Identifier: Apache-2.0
"""Which unit or manifest of packaging/ makes a file or folder that an error names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from typing import Final

__all__ = ["HOOK_FACTS", "MAKERS", "PROBE_UNIT", "Maker", "maker", "with_maker"]

#: The systemd unit that probes at boot.
PROBE_UNIT: Final = "vsmmu-probe.service"


class Maker(NamedTuple):
    """Who makes what lies in some folders.

    :param folders: the same one, as the node, a container or a hook has it.
    :param sources: the files below ``packaging`` that make or mount it.
    :param text: that, for people, with a command that shows it.
    """

    folders: tuple[str, ...]
    sources: tuple[str, ...]
    text: str


#: What a hook reads.
HOOK_FACTS: Final = Maker(
    ("/facts", "/var/run/vsmmu-facts"),
    ("kubernetes/daemonset.yaml", "kubernetes/vmi.yaml"),
    "the DaemonSet vsmmu-facts writes it to the volume claim vsmmu-facts, which the VM's hook mounts: "
    "kubectl get daemonset/vsmmu-facts pvc/vsmmu-facts",
)
#: tests/packaging holds this equal to what packaging/ has.
MAKERS: Final = (
    Maker(
        ("/run/vsmmu",),
        (
            "kubernetes/daemonset.yaml",
            "nfd/daemonset.yaml",
            "systemd/vsmmu-probe.service",
            "tmpfiles.d/vsmmu.conf",
        ),
        f"{PROBE_UNIT} makes it at boot: systemctl enable --now vsmmu-probe; on a cluster's node "
        "packaging/probing lets the DaemonSets vsmmu-facts and vsmmu-label probe first",
    ),
    HOOK_FACTS,
    Maker(
        ("/etc/kubernetes/node-feature-discovery/features.d", "/features.d"),
        ("nfd/daemonset.yaml",),
        "the DaemonSet vsmmu-label makes it and writes there: kubectl get daemonset/vsmmu-label",
    ),
)


def maker(path: str) -> str:
    """Who makes a file or folder, for people; empty if nothing that ships does.

    :param path: absolute; ``: `` and a place in the file may follow.
    """
    for row in MAKERS:
        for folder in row.folders:
            if path.startswith(folder) and path[len(folder) : len(folder) + 1] in ("", "/", ":"):
                return row.text
    return ""


def with_maker(where: str, advice: str) -> str:
    """What the user can do, and, of a file that something shipped makes, who that is."""
    return "; ".join(filter(None, (advice, maker(where))))
