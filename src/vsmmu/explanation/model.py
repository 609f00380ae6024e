# SPDX-License-Identifier: Apache-2.0
"""An explanation of one diagnosis, whoever makes it, and the document that holds several."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Explanation", "ExplanationDocument", "Kind"]

#: Who says it: QEMU refuses, the kernel refuses a call, a rule for libvirt domains, or vsmmu itself.
Kind = Literal["qemu", "kernel", "libvirt", "vsmmu"]


class Explanation(msgspec.Struct, frozen=True):
    """What a code means in any case, or what a printed sentence means with its own names and numbers.

    :param code: the stable code of the diagnosis.
    :param says: the sentence as the table has it, with ``{}`` places; empty where there is none.
    :param cause: why there is such a diagnosis.
    :param about: the register field, file, option or rule behind it; may be empty.
    :param since: the version that brought it; empty where it is older than accelerated SMMUv3s, or no matter.
    :param mend: what to do about it.
    :param costs: what the remedy takes from the guest or the host; empty for nothing.
    :param printed: the line in which the sentence was found; empty for a code.
    :param line: its number from 1; 0 for a code.
    """

    code: str
    kind: Kind
    says: str
    cause: str
    about: str
    since: str
    mend: str
    costs: str
    printed: str = ""
    line: int = 0


class ExplanationDocument(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.explanation/1"):
    """``vsmmu.explanation/1``: the answer of ``explain`` for a code, a sentence or a log.

    A sentence that has several causes has an explanation for each.
    """

    explanations: tuple[Explanation, ...]
