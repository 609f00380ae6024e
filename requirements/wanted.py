# SPDX-License-Identifier: Apache-2.0
"""Print the requirements in pyproject.toml of one lock (``run``, ``image`` or ``lock``), one a line.

pip-compile knows nothing of dependency groups (PEP 735); ``make lock`` feeds it this.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def wanted(lock: str) -> list[str]:
    """The requirements of one lock.

    :param lock: ``run``: the dependencies and what builds this package; ``image``: the dependencies with all
        extras; ``lock``: all of it and what developers use.
    """
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = document["project"], document["dependency-groups"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    more = {
        "run": groups["build"],
        "image": extras,
        "lock": [*extras, *(line for name in groups for line in groups[name])],
    }
    return sorted({*project["dependencies"], *more[lock]})


if __name__ == "__main__":
    print("\n".join(wanted(sys.argv[1])))  # noqa: T201 - its purpose
