# SPDX-License-Identifier: Apache-2.0
"""The command line: one module a verb, loaded when the verb is called."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process; loads it only now, because KubeVirt's hook does without click."""
    from vsmmu.cli.main import main as run

    run()
