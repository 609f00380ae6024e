# SPDX-License-Identifier: Apache-2.0
"""Shell text: words, commands, what a shell would expand, edits inside quotes."""

from __future__ import annotations

import pytest

from vsmmu import read_vm
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.shell import scan
from vsmmu.machine.command_line.shell_edits import splice


def words(text: str) -> list[list[str]]:
    return [[word.value for word in command.words] for command in scan(text, "t")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n# only a comment\n", []),
        ("a b\tc", [["a", "b", "c"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a'b'\"c\"\\d", [["abcd"]]),
        ("''", [[""]]),
        ('a "" b', [["a", "", "b"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("a\\\nb", [["ab"]]),
        ('"a\\\nb"', [["ab"]]),
        ('"\\$\\`\\"\\\\\\x"', [['$`"\\\\x']]),
        ("'a\\'", [["a\\"]]),
        ("a#b # c", [["a#b"]]),
        ("a \\\n# c\nb", [["a"], ["b"]]),
        ("a; b && c || d | e & f", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("(a b)", [["a", "b"]]),
        ("a >log 2>&1 </dev/null >>x b", [["a", "b"]]),
        ("a &>log b", [["a", "b"]]),
        ("a <<< word b", [["a", "b"]]),
        ("cat <<EOF x\nit's\nEOF\nb", [["cat", "x"], ["b"]]),
        ("cat <<-'EOF'\n\tit's\n\tEOF\nb", [["cat"], ["b"]]),
        ("cat <<EOF\nnever closed", [["cat"]]),
        ("a$ b$", [["a$", "b$"]]),
        ('"a $ b"', [["a $ b"]]),
        ("a \\", [["a", "\\"]]),
        ("echo $(a 'b)' (c)) d", [["echo", "$(a 'b)' (c))", "d"]]),
        ("echo $(a \"it's\" \\) 'x') d", [["echo", "$(a \"it's\" \\) 'x')", "d"]]),
        ("if [ -e x ]; then a; fi", [["if", "[", "-e", "x", "]"], ["then", "a"], ["fi"]]),
        ("echo ${a:-b c} d", [["echo", "${a:-b c}", "d"]]),
        ("a [ b", [["a", "[", "b"]]),
        ("{ a; }", [["{", "a"], ["}"]]),
        ("a 12 12>x", [["a", "12"]]),
    ],
)
def test_words(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("text", ["a < <(date) b", "a > >(tee log) b", "a b 2> >(tee (x) log)"])
def test_a_redirection_to_a_process_is_no_word(text: str) -> None:
    assert words(text) == [["a", "b"]]


def test_an_argument_that_is_the_name_of_a_pipe() -> None:
    line = read_vm("#!/bin/bash\nqemu-system-aarch64 -M virt -kernel <(zcat Image.gz) -m 1G\n")
    assert [option.name for option in line.command_line.options()] == ["M", "kernel", "m"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("$HOME/x", "the variable '$HOME'"),
        ('"${HOME}"', "the variable '${...}'"),
        ("$(date)", "the command '$(...)'"),
        ("<(date)", "the command '<(...)'"),
        ("file=>(tee x)", "the command '>(...)'"),
        ("`date`", "the command in backticks"),
        ('"a `date` b"', "the command in backticks"),
        ("*.img", "the file name pattern '*'"),
        ("a?", "the file name pattern '?'"),
        ("[::1]", "the file name pattern '[...]'"),
        ("~/x", "the home directory '~'"),
        ("file=~/x", "the home directory '~'"),
        ('{"a":1,"b":2}', "the brace expansion '{...}'"),
        ("{1..3}", "the brace expansion '{...}'"),
        ("{'x y',a}", "the brace expansion '{...}'"),
        ("[a'b c']", "the file name pattern '[...]'"),
        ("$'a'", "the string $'...'"),
        ("$1", "the variable '$1'"),
    ],
)
def test_expansions_are_noticed(text: str, what: str) -> None:
    ((word,),) = [command.words for command in scan(text, "t")]
    assert word.expansion is not None
    assert word.expansion.what == what


@pytest.mark.parametrize(
    "text",
    [
        "'$HOME'",
        "\\$HOME",
        "'*'",
        "\\*",
        "a~",
        "'{a,b}'",
        "{a}",
        "{a\\,b}",
        "{'a,b'}",
        "}a,b{",
        '"*?[x]~{a,b}"',
        "a$",
        "[x",
    ],
)
def test_quoted_is_literal(text: str) -> None:
    ((word,),) = [command.words for command in scan(text, "t")]
    assert word.expansion is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a\nb 'c\nd", "t, line 2, column 3"),
        ('a "b', "t, line 1, column 3"),
        ("a $(b", "t, line 1, column 4"),
        ("a ${b 'c", "t, line 1, column 4"),
        ("a `b", "t, line 1, column 3"),
        ("a <<;", "t, line 1, column 5"),
    ],
)
def test_what_is_not_closed_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(InputRefused) as caught:
        scan(text, "t")
    assert caught.value.code == "shell-syntax"
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("raw", "start", "end", "new", "expected"),
    [
        ("a,b=1", 5, 5, ",c=2", "a,b=1,c=2"),
        ("'a,b=1'", 5, 5, ",c=2", "'a,b=1,c=2'"),
        ('"a,b=1"', 5, 5, ",c=2", '"a,b=1,c=2"'),
        ("a,b='1'", 4, 5, "on", "a,b='on'"),
        ("a,b=1", 5, 5, " x'$\n", "a,b=1\\ x\\'\\$'\n'"),
        ('"a"', 1, 1, '"$`\\', '"a\\"\\$\\`\\\\"'),
        ("'a'", 1, 1, "'", "'a'\\'''"),
        ("'{\"a\":1}'", 6, 6, ',"b":"c"', '\'{"a":1,"b":"c"}\''),
        ('"{\\"a\\":1}"', 6, 6, ',"b":"c"', '"{\\"a\\":1,\\"b\\":\\"c\\"}"'),
        ("ab'cd'\"ef\"gh", 1, 7, "X", "aX''\"\"h"),
        ("a,\\\nb=1", 2, 3, "c", "a,\\\nc=1"),
        ("a\\\nb", 1, 1, "X", "aX\\\nb"),
        ("''", 0, 0, "x y", "'x y'"),
        ('""', 0, 0, "x y", '"x y"'),
        ("", 0, 0, "x y", "x\\ y"),
        ("\\ab", 0, 1, "X", "Xb"),
        ("ab", 0, 0, "X", "Xab"),
        ("a\\;", 0, 2, "", "''"),
        ("'a'", 0, 1, "", "''"),
    ],
)
def test_splice(raw: str, start: int, end: int, new: str, expected: str) -> None:
    assert splice(raw, start, end, new) == expected
