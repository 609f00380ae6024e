# SPDX-License-Identifier: Apache-2.0
"""Words of systemd units, held against systemd itself: read as it reads them, and written so that it does."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from systemd_words import commands_of, needs_systemd, started_with
from vsmmu.api import read_vm
from vsmmu.diagnostic import Edit
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.unit import read_unit

#: Variables without anything that would be read once more where one is a word of its own.
ENVIRONMENT = {"A": "v=w", "B": "x", "EMPTY": "", "OPTS": " -m  8G\t-smp 4 "}
UNIT = (
    "[Service]\nType=oneshot\nEnvironment={}\nExecStart={{mark}}/usr/bin/qemu-system-aarch64 -S {{words}} z\n"
).format(" ".join(f'"{name}={value}"' for name, value in ENVIRONMENT.items()))
#: What means something in a unit, at one of systemd's three steps or at several.
PIECES = [
    *(" ", " ", " ", "a", "b", "=", "#", "-", "@", "|", "&", "{", "}", "*", "ä", "😀", "\t", "\x0b", "\x0c"),
    *('"', '"', "'", "'", "\\", "\\\\", '\\"', "\\'", "\\ ", "\\x41", "\\n", "\\s", "\\q", "\\101", "\\777"),
    *("\\x00", "\\xff", "\\xc3\\xa4", "\\u00e4", "\\ud800", "\\U0001F600", "\\U00110000", "\\x24", "\\x25"),
    *(
        "$A",
        "${A}",
        "${B}",
        "$EMPTY",
        "$OPTS",
        "${OPTS}",
        "$$",
        "$",
        "${",
        "$A$B",
        "$ ",
        "$1",
        "'$A'",
        "%%",
        "%",
        "% ",
        "%1",
        "%i",
    ),
    *("\x85", "\u2028", "\ufeff", "\x01", "\x7f", "\r", "x;", ";x", '";"', "\\;x"),
    *("\\\n", "\\\n  ", " \\\n# c\n", " \\\n; c\n", "\\\n\n", "\\\\\n"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
MARKS = st.sampled_from(["", "", ":", "@", "-"])
WORDS = st.lists(
    st.one_of(
        st.text(st.sampled_from("a $%\\'\"{};#@:-=\n\t\x01\x7f\x85äß😀\u2028\ufeff\udcff"), max_size=8),
        st.sampled_from(
            [";", "$A", "${A}", "$$", "%%", "%i", "", "\\", "\\x41", '{"driver":"x","id":"a b"}']
        ),
    ),
    min_size=1,
    max_size=6,
)
#: Each example is some dozens of units, which one systemd reads; the assertion shows the one at fault.
BATCHES = settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def ours(text: str) -> list[str] | None:
    """The words; None for a unit that is refused, or of which a part is not known."""
    try:
        fields = read_unit(text, "u").fields
    except InputRefused:
        return None
    return None if any(field.opaque for field in fields) else [field.value for field in fields]


@needs_systemd
@BATCHES
@given(st.lists(st.tuples(MARKS, TEXTS), min_size=30, max_size=60))
def test_a_unit_is_read_as_systemd_reads_it(written: list[tuple[str, str]]) -> None:
    texts = [UNIT.format(mark=mark, words=words) for mark, words in written]
    for (mark, _), text, commands in zip(written, texts, commands_of(texts), strict=True):
        words = ours(text)
        if words is None:
            continue
        assert len(commands) == 1, text
        real = commands[0] if mark == ":" else started_with(commands[0], ENVIRONMENT)
        assert words[1:] == real[1:], text


@needs_systemd
@BATCHES
@given(st.lists(WORDS, min_size=20, max_size=50))
def test_what_is_written_into_a_unit_is_what_systemd_starts(lists: list[list[str]]) -> None:
    reading = read_unit(UNIT.format(mark="", words=""), "u")
    units = [
        UNIT.format(mark="", words=" ".join(reading.quote_word(word) for word in words)) for words in lists
    ]
    for words, unit, commands in zip(lists, units, commands_of(units), strict=True):
        assert started_with(commands[0], ENVIRONMENT)[2:-1] == words, unit
        assert ours(unit) == started_with(commands[0], ENVIRONMENT)


@needs_systemd
@BATCHES
@given(
    st.lists(st.text(st.sampled_from("a b$%\\'\";{}ä😀"), min_size=1, max_size=8), min_size=20, max_size=40)
)
def test_an_edited_unit_is_what_systemd_starts(values: list[str]) -> None:
    device = "-device arm-smmuv3,primary-bus=pcie.0,id=s0,accel=on"
    forms = [
        device,
        device.replace("s0", "'s0'"),
        f'{device[:8]}"{device[8:]}"',
        device.replace("id", "\\x69d"),
    ]
    lines = []
    for number, value in enumerate(values):
        text = UNIT.format(mark="", words=f"-M virt {forms[number % len(forms)]} $$X %%")
        line = read_vm(text).command_line
        assert line is not None
        (smmu,) = line.machine().vsmmus
        lines.append(line.edit([Edit(smmu.number, "stage", value)]))
    for line, commands in zip(lines, commands_of([line.text() for line in lines]), strict=True):
        assert list(line.words) == started_with(commands[0], ENVIRONMENT), line.text()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("'$$A' \\x24\\x24A", ["$A", "$A"]),
        ("$A= a$A ${A$$}", ["a$A", ""]),
        ("\\xc3\\xa4 \\xff\\u00e4", ["ä", "\udcffä"]),
        ("\\; x\\; \\q\\  a;b", [";", "x\\;", "\\q\\ ", "a;b"]),
        ("$EMPTY ${EMPTY} x${EMPTY}", ["", "x"]),
        ("a\\\\\nExecStartPre=/x", ["a\\"]),
        ("a \\\n# c\n\rb", ["a", "b"]),
        ("a \\\r\n# c\r\nb", ["a", "b"]),
        ("a \\\n\r\nb", ["a"]),
        ("a ; /bin/echo b", ["a"]),
        ("%1", None),
        ("$OPTS '$OPTS' ${OPTS} x$OPTS", ["-m", "8G", "-m", "8G", " -m\t8G", "x$OPTS"]),
    ],
)
def test_words_that_are_easily_misread(written: str, words: list[str] | None) -> None:
    environment = "Environment=A=v=w EMPTY= 'OPTS= -m\t8G'"
    text = f"[Service]\n{environment}\nExecStart=/usr/bin/qemu-system-aarch64 {written}\n"
    found = ours(text)
    assert found == (None if words is None else ["/usr/bin/qemu-system-aarch64", *words])


def test_without_variables_a_dollar_sign_is_one() -> None:
    text = "[Service]\nExecStart=:/usr/bin/qemu-system-aarch64 $A ${A} $$ %%\n"
    assert ours(text) == ["/usr/bin/qemu-system-aarch64", "$A", "${A}", "$$", "%"]
