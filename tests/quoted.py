# SPDX-License-Identifier: Apache-2.0
"""Sentences of QEMU, libvirt and Linux in tests: the version that they were read in stands beside them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from vsmmu.lab.versions import upstream, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The property of a test report that says what the test ran against; the end of the suite lists them.
MADE_OF = "made of"


@contextmanager
def quoted(package: str, known: str, versions: Mapping[str, str]) -> Iterator[None]:
    """Assertions about the wording or the exact answer of *package* in the version *known*.

    A newer one may say it differently: the test is then skipped as not looked at yet. Else it fails.

    :param known: as many numbers as decide; ``11.1`` covers 11.1.3.
    :param versions: what the test runs against, by package.
    """
    try:
        yield
    except AssertionError as error:
        found = versions.get(package, "")
        if version_of(found)[: len(version_of(known))] <= version_of(known):
            raise
        reason = str(error).partition("\n")[0]
        pytest.skip(f"not looked at yet: {package} {upstream(found)}, known is {known}: {reason:.200}")
