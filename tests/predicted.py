# SPDX-License-Identifier: Apache-2.0
"""What the model says of a few words behind a plain command line: a virt board under TCG, on no host."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from conformance.cases import Run
from conformance.here import NOBODY
from conformance.predict import predict
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.cases import Expected
    from vsmmu.qemu.versions import Qemu

HEAD: Final = "qemu-system-aarch64 -M virt -accel tcg -cpu max -nodefaults -S -display none"


def predicted(words: str, qemu: Qemu = LATEST, files: Mapping[str, str] | None = None) -> Expected:
    """The prediction for these words, quoted as for a shell."""
    argv = tuple(shlex.split(f"{HEAD} {words}"))
    return predict(Run(words, "a few words", argv, files=dict(files or {})), NOBODY, qemu)
