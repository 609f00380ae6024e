# SPDX-License-Identifier: Apache-2.0
r"""Examples in Markdown: ``console`` blocks, run and compared with what they claim to print.

    ```console
    $ vsmmu check --host builtin:gb200 vm.sh
    verdict: starts
    $ vsmmu check -q --host builtin:gb200 broken.sh
    # exit status 1
    ```

A command begins with ``$ ``. It goes on in the next line after a backslash, and until the word after ``<<``.
What follows, up to the next command, is its output: stdout and stderr as a terminal mixes them. A last line
``# exit status N`` is the status if it is not 0; a line ``...`` stands for any number of lines. All blocks of
a page run in one directory, in order. A block ``console lab`` runs in the lab suite.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from vsmmu.lab.cache import default_directory

__all__ = ["Block", "Example", "find_blocks", "matches", "read_examples", "rewrite", "run"]

_FENCE = re.compile(
    r"^(?P<indent> *)```console(?P<options>(?: \w+)*)\n(?P<body>.*?)^(?P=indent)```$", re.M | re.S
)
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?")
_STATUS = "# exit status "
_ANY = "..."
_TIMEOUT = 120


class Example(NamedTuple):
    """One command and what stands below it."""

    command: str
    output: str
    status: int


class Block(NamedTuple):
    """One fenced block: where its body lies in the page, and the examples in it."""

    start: int
    end: int
    line: int
    indent: str
    is_lab: bool
    examples: tuple[Example, ...]


def find_blocks(text: str) -> list[Block]:
    """Every console block of a page."""
    blocks = []
    for match in _FENCE.finditer(text):
        indent = match["indent"]
        body = [line.removeprefix(indent) for line in match["body"].splitlines()]
        start, end = match.span("body")
        line = text.count("\n", 0, start) + 1
        blocks.append(Block(start, end, line, indent, "lab" in match["options"], tuple(read_examples(body))))
    return blocks


def read_examples(lines: list[str]) -> list[Example]:
    """The examples in the lines of one block.

    :raises ValueError: the first line is no command.
    """
    found: list[Example] = []
    position = 0
    while position < len(lines):
        if not lines[position].startswith("$ "):
            raise ValueError(f"a console block begins with a command, not {lines[position]!r}")
        command, position = _command(lines, position)
        output = []
        while position < len(lines) and not lines[position].startswith("$ "):
            output.append(lines[position])
            position += 1
        status = int(output.pop().removeprefix(_STATUS)) if output and output[-1].startswith(_STATUS) else 0
        found.append(Example(command, "".join(f"{line}\n" for line in output), status))
    return found


def _command(lines: list[str], position: int) -> tuple[str, int]:
    """The command that begins at ``position``, with its continuation lines, and where its output begins."""
    taken = [lines[position].removeprefix("$ ")]
    position += 1
    while taken[-1].endswith("\\"):
        taken.append(lines[position])
        position += 1
    if heredoc := _HEREDOC.search(taken[-1]):
        while taken[-1] != heredoc[1]:
            taken.append(lines[position])
            position += 1
    return "\n".join(taken), position


def run(command: str, directory: Path) -> Example:
    """Run one command as a user with an 80-column terminal and vsmmu in PATH would."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
        "NO_COLOR": "1",
        # Another HOME is not to mean another lab.
        "VSMMU_LAB_CACHE": str(default_directory(os.environ)),
    }
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            text, _ = process.communicate(timeout=_TIMEOUT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    # Editors drop blanks at the ends of lines, so they do not count.
    output = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    return Example(command, output, process.returncode)


def matches(expected: Example, actual: Example) -> bool:
    """Whether the example is what happens."""
    parts = [re.escape(part) for part in re.split(r"(?m)^ *\.\.\.\n", expected.output)]
    return (
        expected.status == actual.status
        and re.fullmatch(r"(?:.*\n)*?".join(parts), actual.output) is not None
    )


def rewrite(text: str, results: dict[int, list[Example]]) -> str:
    """The page with the results (by the blocks' start) instead of what it claimed."""
    for block in sorted(find_blocks(text), reverse=True):
        if block.start in results:
            lines = [line for example in results[block.start] for line in _lines(example)]
            body = "".join(f"{block.indent}{line}".rstrip() + "\n" for line in lines)
            text = text[: block.start] + body + text[block.end :]
    return text


def _lines(example: Example) -> list[str]:
    first, *rest = example.command.split("\n")
    status = [f"{_STATUS}{example.status}"] if example.status else []
    return [f"$ {first}", *rest, *example.output.splitlines(), *status]
