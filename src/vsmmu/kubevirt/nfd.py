# SPDX-License-Identifier: Apache-2.0
"""A host's facts for Node Feature Discovery: a feature file for its worker, or a NodeFeature object.

Labels are for schedulers, so there are few, each short: the class and what every usable SMMU of the host is
known to offer. The facts themselves travel beside them as a feature without a label, so that ``kubectl get
nodefeatures -o json`` is a fleet that ``vsmmu baseline`` reads.

Source: kubernetes-sigs/node-feature-discovery, source/local/local.go and docs/usage/customization-guide.md:
lines ``KEY[=VALUE]``, directives ``# +expiry-time=``, ``# +no-label``; a file over 64 KiB is ignored, as is
one whose name begins with a dot. Label values: at most 63 of ``[A-Za-z0-9._-]``, ends alphanumeric.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vsmmu.document import encode_line
from vsmmu.errors import InputRefused
from vsmmu.fleet.baseline import offer_of
from vsmmu.fleet.classes import EVERYTHING, Selection, class_of
from vsmmu.fleet.node_features import FACTS_ELEMENT
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host
    from vsmmu.qemu.versions import Qemu

__all__ = ["MAX_FILE_BYTES", "PREFIX", "feature_file", "labels_of", "node_feature"]

#: MaxFeatureFileSize of NFD.
MAX_FILE_BYTES: Final = 65536
#: The one namespace that every NFD lets through.
PREFIX: Final = "feature.node.kubernetes.io/vsmmu."
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_NODE_LABEL: Final = "nfd.node.kubernetes.io/node-name"
#: Where NFD's worker puts the labels of a feature file; rules look at features, and never at ``spec.labels``.
_RULES_SEE: Final = "local.label"
_NODE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


def labels_of(host: Host, qemu: Qemu, selection: Selection = EVERYTHING) -> dict[str, str]:
    """The node's labels.

    ``class`` and ``smmus``; ``accel``: whether an accelerated vSMMU with the least values ``starts``, is
    ``refused``, or ``unknown``; unless refused, the most that may be written for each property. *off* of
    ``cmdqv``, which every host takes, says that the host has no command queues for VMs.
    """
    kind = class_of(host, selection)
    offer = offer_of(kind, qemu)
    values = {"class": kind.fingerprint, "smmus": str(len(host.smmus)), "accel": offer.fit.answer}
    values |= {
        name: PROPERTIES[name].spell(value)
        for name, value in offer.known.items()
        if name != "cmdqv" or value == offer.hoped[name]
    }
    assert all(_VALUE.fullmatch(value) for value in values.values())  # noqa: S101 - by construction
    return {f"{PREFIX}{name}": value for name, value in values.items()}


def feature_file(host: Host, labels: dict[str, str], expires: str = "") -> bytes:
    """The content of a file in ``/etc/kubernetes/node-feature-discovery/features.d``.

    :param expires: RFC 3339; NFD ignores the file afterwards. Empty: never.
    :raise InputRefused: ``facts-too-large``: not even the SMMUs alone fit into 64 KiB.
    """
    head = ["# Written by vsmmu label; changes will be lost."]
    head += [f"# +expiry-time={expires}"] if expires else []
    head += [f"{key}={value}" for key, value in labels.items()]
    for facts in _shorter(host):
        lines = [*head, "# +no-label", f"{FACTS_ELEMENT}={facts}"]
        data = "".join(f"{line}\n" for line in lines).encode()
        if len(data) <= MAX_FILE_BYTES:
            return data
    raise _too_large(host)


def node_feature(host: Host, labels: dict[str, str], node: str) -> dict[str, Any]:
    """The same as an object ``nfd.k8s-sigs.io/v1alpha1`` NodeFeature, for clusters without NFD's worker.

    :raise InputRefused: ``node-name``: ``node`` cannot be the name of a node; ``facts-too-large``.
    """
    if not _NODE_NAME.fullmatch(node):
        raise InputRefused(
            "node-name", f"{node!r:.80} is no name of a node", next="say which node it is: --node NAME"
        )
    facts = next((text for text in _shorter(host) if len(text) <= MAX_FILE_BYTES), None)
    if facts is None:
        raise _too_large(host)
    return {
        "apiVersion": "nfd.k8s-sigs.io/v1alpha1",
        "kind": "NodeFeature",
        "metadata": {"name": f"vsmmu-{node}"[:253].rstrip(".-"), "labels": {_NODE_LABEL: node}},
        "spec": {
            "features": {
                "attributes": {
                    _RULES_SEE: {"elements": labels},
                    "vsmmu": {"elements": {FACTS_ELEMENT: facts}},
                }
            },
            "labels": labels,
        },
    }


def _shorter(host: Host) -> Iterator[str]:
    """The facts on one line: whole; then without logs, without functions outside SMMUs, without functions."""
    yield _line(host)
    smmus = tuple(msgspec.structs.replace(smmu, kernel_log=()) for smmu in host.smmus)
    host = msgspec.structs.replace(host, smmus=smmus)
    yield _line(host)
    behind = tuple(function for function in host.functions if function.smmu is not None)
    yield _line(msgspec.structs.replace(host, functions=behind))
    yield _line(msgspec.structs.replace(host, functions=()))


def _line(host: Host) -> str:
    return encode_line(host).decode()


def _too_large(host: Host) -> InputRefused:
    return InputRefused(
        "facts-too-large",
        f"the SMMUs of {host.name!r:.80} alone take more than 64 KiB",
        why="NFD ignores a larger feature file",
        next="carry the facts file itself, and only the labels in Kubernetes",
    )
