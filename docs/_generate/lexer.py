# SPDX-License-Identifier: Apache-2.0
"""Pygments lexer of ``console`` blocks: prompt, command and output are tokens of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console import read_examples
from pygments.lexer import Lexer
from pygments.lexers.shell import BashLexer
from pygments.token import Comment, Generic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pygments.token import _TokenType

__all__ = ["ConsoleLexer"]


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
            for token, value in ((Generic.Output, example.output), (Comment, status)):
                if value and (token is not Comment or example.status):
                    yield position, token, value
                    position += len(value)
