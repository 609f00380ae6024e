# SPDX-License-Identifier: Apache-2.0
"""The Python page: its examples run as they stand, and every public name is on it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import vsmmu

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def test_the_examples_do_what_the_page_says() -> None:
    text = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    printed: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=printed.append)
    assert result.attempted > 8
    assert result.failed == 0, "".join(printed)


def test_every_public_name_is_on_the_page() -> None:
    words = set(re.findall(r"\w+", PAGE.read_text(encoding="utf-8")))
    assert [name for name in vsmmu.__all__ if name not in words and not name.startswith("_")] == []
