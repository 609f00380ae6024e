# SPDX-License-Identifier: Apache-2.0
"""Print every requirement that pyproject.toml states, run time and development, one a line.

pip-compile knows nothing of dependency groups (PEP 735); ``make lock`` feeds it this.
"""

from __future__ import annotations

import tomllib
from pathlib import Path


def main() -> None:
    """Print the list."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    parts = [project["project"]["dependencies"], *extras.values(), *groups.values()]
    wanted = {line for part in parts for line in part}
    print("\n".join(sorted(wanted)))  # noqa: T201 - its purpose


if __name__ == "__main__":
    main()
