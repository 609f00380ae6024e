# SPDX-License-Identifier: Apache-2.0
"""Pygments lexer of ``console`` blocks: prompt, command and output are tokens of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from console import read_examples
from pygments.lexer import Lexer
from pygments.lexers.shell import BashLexer
from pygments.token import Comment, Generic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pygments.token import _TokenType

__all__ = ["ConsoleLexer"]

#: The heading of a table: words in capitals, columns two blanks or more apart.
_COLUMN = r"[A-Z][A-Z0-9.]*(?: [A-Z0-9.]+)*"
_HEADING = re.compile(rf"{_COLUMN}(?: {{2,}}{_COLUMN})+\n")


class ConsoleLexer(Lexer):
    """Reads a block as the tests do, heredocs included, which Pygments' own lexer takes for output."""

    name = "Console"
    aliases = ("console",)

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Position, kind and text of each token; their texts together are the block."""
        position = 0
        for example in read_examples(text.splitlines()):
            command, status = f"{example.command}\n", f"# exit status {example.status}\n"
            yield position, Generic.Prompt, "$ "
            position += 2
            for offset, token, value in BashLexer(stripnl=False).get_tokens_unprocessed(command):
                yield position + offset, token, value
            position += len(command)
            tokens = [*_read_output(example.output), (Comment, status)]
            for token, value in tokens if example.status else tokens[:-1]:
                yield position, token, value
                position += len(value)


def _read_output(text: str) -> Iterator[tuple[_TokenType, str]]:
    """Lines of output; those of a table, which must not wrap, have a kind of their own."""
    is_table = False
    for line in text.splitlines(keepends=True):
        is_table = line != "\n" and (is_table or _HEADING.fullmatch(line) is not None)
        yield Generic.Output.Table if is_table else Generic.Output, line
