# SPDX-License-Identifier: Apache-2.0
"""Take the facts of a node, its name and its labels out of NFD's NodeFeature (JSON)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from vsmmu.errors import InputRefused
from vsmmu.host.text_forms import NAME_PATTERN

__all__ = ["FACTS_ELEMENT", "NodeFacts", "read_node_feature"]

#: The element of a NodeFeature's attributes in which ``vsmmu label`` carries the facts.
FACTS_ELEMENT: Final = "vsmmu.host"
_NODE_NAME: Final = "nfd.node.kubernetes.io/node-name"
_NAME: Final = re.compile(NAME_PATTERN)


class NodeFacts(NamedTuple):
    """What a NodeFeature says of its node.

    :param facts: a document ``vsmmu.host/1``.
    """

    node: str
    labels: dict[str, str]
    facts: str


class _Attributes(msgspec.Struct, frozen=True):
    elements: dict[str, str] = {}


class _Features(msgspec.Struct, frozen=True):
    attributes: dict[str, _Attributes] = {}


class _Spec(msgspec.Struct, frozen=True):
    features: _Features = _Features()
    labels: dict[str, str] = {}


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    labels: dict[str, str] = {}


class _NodeFeature(msgspec.Struct, frozen=True):
    """``nfd.k8s-sigs.io/v1alpha1`` NodeFeature, as far as it matters here; the rest is skipped."""

    kind: str
    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()


def read_node_feature(data: bytes, where: str) -> NodeFacts | None:
    """What a NodeFeature carries; None if it is none, nor any other object of Kubernetes.

    :raise InputRefused: ``no-facts``.
    """
    try:
        feature = _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if feature.kind != "NodeFeature":
        raise _refuse(where, f"a {feature.kind!r:.60} carries no facts", "give NodeFeatures")
    labels = {**feature.metadata.labels, **feature.spec.labels}
    node = labels.get(_NODE_NAME) or feature.metadata.name
    for attributes in feature.spec.features.attributes.values():
        facts = attributes.elements.get(FACTS_ELEMENT)
        if facts is not None:
            if not _NAME.fullmatch(node):
                raise _refuse(
                    where, f"{node!r:.80} is no name of a node", "give NodeFeatures as NFD has them"
                )
            return NodeFacts(node, labels, facts)
    raise _refuse(
        where,
        f"the NodeFeature of {node!r:.80} carries no {FACTS_ELEMENT}",
        "write it on the node with: vsmmu label --write FILE",
    )


def _refuse(where: str, what: str, next_step: str) -> InputRefused:
    return InputRefused("no-facts", what, where=where, next=next_step)


_DECODE: Final = msgspec.json.Decoder(_NodeFeature).decode
