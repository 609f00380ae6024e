# SPDX-License-Identifier: Apache-2.0
"""Document on the features that a VM uses and the hosts that have them (``vsmmu.requirements/1``)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["Answer", "FeatureRequirement", "HostsAnswer", "RequirementsDocument"]

SCHEMA: Final = "vsmmu.requirements/1"
Answer = Literal["fits", "too-old", "missing", "unknown"]


class HostsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hosts of which the same is known.

    ``answer`` is *fits*, *too-old* (a release), *missing* (an option that is not set, hardware, or a function
    that no VM can be given) or *unknown*; ``why`` is what is there, and empty where it fits. ``names`` are
    the first of these hosts.
    """

    answer: Answer
    hosts: int
    why: str = ""
    names: tuple[str, ...] = ()


class FeatureRequirement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feature that the VM uses, and the least releases that have it; one that is absent does not matter.

    ``config`` is the option of the kernel that brings it. ``answers`` are those of all hosts, worst first.
    """

    id: str
    title: str
    kernel: str = ""
    config: str = ""
    qemu: str = ""
    libvirt: str = ""
    answers: tuple[HostsAnswer, ...] = ()


class RequirementsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """All features that a VM uses; ``fits`` if every host is known to have each."""

    schema: str = SCHEMA
    vm: str
    hosts: int
    fits: bool
    features: tuple[FeatureRequirement, ...]
