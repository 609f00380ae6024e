# SPDX-License-Identifier: Apache-2.0
"""Command lines in general: reading and writing is the identity, an edit changes what it names only."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from vsmmu.diagnostic import Edit
from vsmmu.errors import VsmmuError
from vsmmu.machine.command_line.argv import CommandLine, read_source, read_words
from vsmmu.machine.command_line.keyval import escape, merged, opts_id, parse_opts
from vsmmu.machine.command_line.qjson import parse_object, quote
from vsmmu.machine.command_line.shell import scan
from vsmmu.machine.command_line.shell_edits import splice
from vsmmu.machine.topology import Topology

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
#: Characters that mean something to a shell, to QEMU or to JSON.
TRICKY = st.text("ab,=' \"\\$`{}[]*?~#;&|<>()\n\t!é", max_size=12)
WORD = TEXT | TRICKY
KEY = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(
    lambda key: key not in ("id", "driver", "help") and not key.startswith("no")
)
PROPERTIES = st.dictionaries(KEY, WORD, max_size=4)
KEYVAL = st.builds(
    lambda driver, properties: ",".join(
        [driver, *(f"{key}={escape(value)}" for key, value in properties.items())]
    ),
    KEY,
    PROPERTIES,
)
JSON = st.builds(
    lambda properties, driver, indent, spaces: json.dumps(
        {"driver": driver, **properties},
        indent=indent,
        separators=(", ", ": ") if spaces else (",", ":"),
        ensure_ascii=True,
    ).replace("\\u0000", ""),
    st.dictionaries(
        KEY, TEXT | st.integers(-5, 5) | st.booleans() | st.none() | st.lists(TEXT, max_size=2), max_size=4
    ),
    KEY,
    st.none() | st.integers(0, 2),
    st.booleans(),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DEVICES = st.lists(KEYVAL | JSON, min_size=1, max_size=4)
BLANKS = st.sampled_from([" ", "  ", " \\\n  ", "\t", " \\\n"])


@st.composite
def quoted(draw: st.DrawFn, word: str) -> str:
    """A word as some person might write it for a shell."""
    out: list[str] = []
    rest = word
    while rest or not out:
        size = draw(st.integers(0 if not out else 1, max(1, len(rest))))
        part, rest = rest[:size], rest[size:]
        style = draw(st.sampled_from("sdb"))
        if style == "s" and "'" not in part:
            out.append(f"'{part}'")
        elif style == "b" and part and "\n" not in part:
            out.append("".join(c if c.isascii() and c.isalnum() else "\\" + c for c in part))
        else:
            out.append('"' + "".join("\\" + c if c in '"\\$`' else c for c in part) + '"')
    return "".join(out)


@st.composite
def scripts(draw: st.DrawFn) -> tuple[str, list[str], list[str]]:
    """A script, the words of its QEMU command, the device options among them."""
    devices = draw(DEVICES)
    words = ["qemu-system-aarch64", *[word for device in devices for word in ("-device", device)]]
    before = draw(
        st.sampled_from(["", "#!/bin/sh\nset -e\n", "# it's a comment\n\n", "A=b exec ", "cat <<E\n'\nE\n"])
    )
    after = draw(st.sampled_from(["", "\n", " # it's\n", " >log 2>&1 &\nwait\n", "; echo 'done'"]))
    text = (
        before
        + "".join(draw(BLANKS) * bool(at) + draw(quoted(word)) for at, word in enumerate(words))
        + after
    )
    return text, words, devices


def described(line: CommandLine) -> list[tuple[str, dict[str, object]]]:
    return [(device.driver, dict(device.properties)) for device in line.machine().devices]


def check_edit(line: CommandLine, key: str, value: str, which: int) -> CommandLine:
    """Set a property; the description changes there and nowhere else."""
    before = described(line)
    number = which % len(before)
    after = line.edit([Edit(number, key, value)])
    before[number][1][key] = value
    assert described(after) == before
    changed = [pair for pair in zip(line.words, after.words, strict=True) if pair[0] != pair[1]]
    assert len(changed) <= 1
    return after


@given(st.lists(WORD, min_size=1, max_size=8).filter(any))
def test_words_come_back(words: list[str]) -> None:
    line = read_words(words)
    assert line.words == tuple(words)
    (command,) = scan(line.text(), "")
    assert [word.value for word in command.words] == words


@given(st.lists(WORD, min_size=2, max_size=8).filter(any), st.booleans())
def test_nul_separated_comes_back(words: list[str], closed: bool) -> None:
    data = ("\0".join(words) + "\0" * closed).encode()
    assert read_source(data).text().encode() == data
    if closed:
        assert read_source(data).words == tuple(words)
        assert read_source(data).render_nul().encode() == data


@given(scripts())
def test_scripts_are_read_and_come_back(script: tuple[str, list[str], list[str]]) -> None:
    text, words, devices = script
    line = read_source(text.encode())
    assert line.text() == text
    assert list(line.words[-len(words) :]) == words
    assert len(line.machine().devices) == len(devices)


@given(scripts(), KEY, WORD, st.integers(0, 3))
@example(("qemu-system-aarch64 -device 'a'\\\n", ["qemu-system-aarch64", "-device", "a"], ["a"]), "x", "1", 0)
def test_an_edit_of_a_script_changes_one_word(
    script: tuple[str, list[str], list[str]], key: str, value: str, which: int
) -> None:
    text, words, _ = script
    after = check_edit(read_source(text.encode()), key, value, which).text()
    # Around the edited word all is as it was: the longest common head and tail cover the rest.
    head = next(
        (n for n, (a, b) in enumerate(zip(text, after, strict=False)) if a != b), min(len(text), len(after))
    )
    tail = next(
        (
            n
            for n, (a, b) in enumerate(zip(reversed(text[head:]), reversed(after[head:]), strict=False))
            if a != b
        ),
        min(len(text), len(after)) - head,
    )
    removed = text[head : len(text) - tail]
    assert len(removed) <= max(len(repr(word)) * 2 for word in words)


@given(DEVICES, KEY, WORD, st.integers(0, 3), st.booleans())
def test_an_edit_of_words_changes_one(
    devices: list[str], key: str, value: str, which: int, nul: bool
) -> None:
    words = ["qemu-kvm", *[word for device in devices for word in ("-device", device)]]
    line = read_source("".join(word + "\0" for word in words).encode()) if nul else read_words(words)
    check_edit(line, key, value, which)


@given(DEVICES, st.lists(st.tuples(KEY, WORD), max_size=5))
def test_edits_together_are_edits_one_by_one(devices: list[str], settings: list[tuple[str, str]]) -> None:
    line = read_words(["qemu-kvm", *[word for device in devices for word in ("-device", device)]])
    edits = [Edit(0, key, value) for key, value in settings]
    single = line
    for edit in edits:
        single = single.edit([edit])
    assert line.edit(edits).words == single.words
    assert line.edit(edits).edit(edits).words == line.edit([*edits, *edits]).words


@given(st.lists(st.tuples(KEY, WORD), max_size=5), st.booleans())
def test_keyval_round_trip(settings: list[tuple[str, str]], comma: bool) -> None:
    text = ",".join(["a", *(f"{key}={escape(value)}" for key, value in settings)]) + "," * comma
    pairs = parse_opts(text, "driver")
    assert [(pair.key, pair.value) for pair in pairs] == [("driver", "a"), *settings]
    assert merged(pairs) == {"driver": "a", **dict(settings)}
    assert all(text[pair.value_start : pair.end] == escape(pair.value) for pair in pairs)


@given(TRICKY)
def test_every_keyval_string_has_a_reading(text: str) -> None:
    pairs = parse_opts(text, "driver")
    opts_id(pairs)
    assert all(0 <= pair.start <= pair.end <= len(text) for pair in pairs)


@given(JSON_VALUES, st.booleans())
def test_json_is_read_as_the_standard_library_does(value: object, ascii_only: bool) -> None:
    text = json.dumps({"a": value}, ensure_ascii=ascii_only)
    (member,) = parse_object(text)
    assert member.value == json.loads(text)["a"]
    assert text[member.value_start : member.value_end] == json.dumps(value, ensure_ascii=ascii_only)


@given(WORD, st.sampled_from("'\""))
def test_json_quotes(text: str, mark: str) -> None:
    (member,) = parse_object("{" + quote(text, mark) + ":1}")
    assert member.key == text


@given(st.data(), TRICKY.filter(bool), TRICKY)
def test_splice_is_what_it_says(data: st.DataObject, word: str, new: str) -> None:
    raw = data.draw(quoted(word))
    start = data.draw(st.integers(0, len(word)))
    end = data.draw(st.integers(start, len(word)))
    (command,) = scan("x " + splice(raw, start, end, new), "") or [None]
    assert command is not None
    assert [entry.value for entry in command.words[1:]] == [word[:start] + new + word[end:]]
    assert all(entry.expansion is None for entry in command.words)


FRAGMENTS = st.sampled_from(
    [
        *b"""qemu-system-aarch64 -device -M -set -global -object -readconfig -accel -drive virt arm-smmuv3
    vfio-pci pcie-root-port pxb-pcie , = id bus a device.a.x=1 { } ' " \\ $ # : [ << E ( help unit=1 if=pflash
    {"driver":"a","id":"b"}""".split(),
        *(b" ", b"\n", b"\r\n", b"\0", b"\xff", b"\xc3\xa9"),
    ]
)
RUBBISH = st.builds(
    lambda mark, parts: mark.join(parts), st.sampled_from([b"", b" ", b"\0"]), st.lists(FRAGMENTS)
)


def outcome(data: bytes) -> VsmmuError | None:
    """Do everything with it; only our own errors may come of it."""
    try:
        line = read_source(data, "t", lambda _: data)
        assert line.text().encode() == data
        Topology.of(line.machine())
        if line.machine().devices:
            line.edit([Edit(0, "ats", "on")]).text()
    except VsmmuError as error:
        return error
    return None


def survive(data: bytes) -> None:
    """Whatever comes in, a result or an error with a code and a next step comes out."""
    error = outcome(data)
    if error is not None:
        assert error.code
        assert error.next
        assert len(str(error)) < 2000


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(data: bytes) -> None:
    survive(data)


@given(RUBBISH)
def test_likely_rubbish_never_crashes(data: bytes) -> None:
    survive(data)
