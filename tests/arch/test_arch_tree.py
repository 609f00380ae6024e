# SPDX-License-Identifier: Apache-2.0
"""What must not be in the repository: places of one machine, hosts of registries, things left undone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Bracketed letters, or this file would be its own finding.
FORBIDDEN = {
    "a directory of one machine": re.compile(r"[/](?:work|root/\.pyenv|home/[a-z]+)[/]"),
    "a package registry": re.compile(
        r"(?:pypi|pythonhosted|crates|npmjs|rubygems|deb[.]debian)[.](?:org|io)", re.IGNORECASE
    ),
    "something left undone": re.compile(r"(?:TOD[O]|FIXM[E]|XX[X])"),
    "a conflict marker": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}
MAX_BYTES = 1 << 20


def _texts(tracked: tuple[Path, ...], root: Path) -> Iterator[tuple[str, str]]:
    for path in tracked:
        name = str(path.relative_to(root))
        data = path.read_bytes()
        if name == "LICENSE" or b"\0" in data:
            continue
        yield name, data.decode("utf-8", errors="replace")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_of_this_kind(what: str, tracked: tuple[Path, ...], root: Path) -> None:
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()!r}"
        for name, text in _texts(tracked, root)
        for match in FORBIDDEN[what].finditer(text)
    ]
    assert found == []


def test_no_large_file(tracked: tuple[Path, ...], root: Path) -> None:
    assert [str(path.relative_to(root)) for path in tracked if path.stat().st_size > MAX_BYTES] == []


@pytest.mark.parametrize("name", ["run", "image", "lock"])
def test_lock_names_no_index_and_hashes_everything(name: str, root: Path) -> None:
    lock = (root / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    assert not re.search(r"^(?:-i|--index-url|--extra-index-url|--find-links)", lock, re.MULTILINE)
    packages = [block for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock) if re.match(r"[A-Za-z0-9]", block)]
    assert packages
    assert [block.split()[0] for block in packages if "--hash=sha256:" not in block] == []
