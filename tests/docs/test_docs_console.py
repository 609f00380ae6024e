# SPDX-License-Identifier: Apache-2.0
"""The runner of the examples itself: it must be able to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from console import Example, find_blocks, matches, rewrite, run
from lexer import ConsoleLexer
from pygments.token import Comment, Generic

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """Text.

```console
$ cat > a <<'END'
one
$ two
END
$ cat a; \\
echo err >&2; exit 3
one
$ two
err
# exit status 3
```

```console lab
$ true
```
"""


def test_commands_outputs_and_statuses_are_told_apart() -> None:
    first, second = find_blocks(PAGE)
    assert (first.line, first.is_lab, second.is_lab) == (4, False, True)
    assert first.examples[0] == Example("cat > a <<'END'\none\n$ two\nEND", "", 0)
    assert first.examples[1].command == "cat a; \\\necho err >&2; exit 3"


def test_run_mixes_streams_and_keeps_files(tmp_path: Path) -> None:
    assert run("echo one > a; cat a", tmp_path) == Example("echo one > a; cat a", "one\n", 0)
    assert run("printf 'a \\nb'", tmp_path).output == "a\nb\n"
    assert run("cat a; echo err >&2; exit 3", tmp_path)[1:] == ("one\nerr\n", 3)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("...\nc\n", "c\n", True),
        ("a\n...\n", "b\n", False),
        ("a.c\n", "abc\n", False),
        ("", "a\n", False),
    ],
)
def test_ellipsis_stands_for_whole_lines_and_nothing_else(expected: str, actual: str, same: bool) -> None:
    assert matches(Example("x", expected, 0), Example("x", actual, 0)) is same
    assert not matches(Example("x", expected, 0), Example("x", expected, 1))


def test_rewrite_puts_results_in_and_leaves_the_rest() -> None:
    first, _ = find_blocks(PAGE)
    new = [Example("true", "", 0), Example("false", "no\n", 1)]
    text = rewrite(PAGE, {first.start: new})
    assert text.startswith(
        "Text.\n\n```console\n$ true\n$ false\nno\n# exit status 1\n```\n\n```console lab\n$ true"
    )
    assert rewrite(text, {}) == text


def test_the_lexer_tells_prompt_command_and_output_apart() -> None:
    block = find_blocks(PAGE)[0]
    text = PAGE[block.start : block.end]
    tokens = list(ConsoleLexer().get_tokens(text))
    assert "".join(value for _, value in tokens) == text
    assert [value for token, value in tokens if token is Generic.Prompt] == ["$ "] * len(block.examples)
    outputs = [example.output for example in block.examples if example.output]
    assert [value for token, value in tokens if token is Generic.Output] == outputs
    assert tokens[-1] == (Comment, "# exit status 3\n")


def test_lines_of_a_table_are_told_from_other_output() -> None:
    rows = "VM      ITS OWN QEMU  NOW\na.sh    -             -\n"
    tokens = list(ConsoleLexer().get_tokens(f"$ x\nHOST\n{rows}\nNot A  Heading\n"))
    table = "".join(value for token, value in tokens if token is Generic.Output.Table)
    assert table == rows
