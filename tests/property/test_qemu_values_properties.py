# SPDX-License-Identifier: Apache-2.0
"""Numbers as the C library reads them, which is what QEMU asks; and what holds of any value."""

from __future__ import annotations

import ctypes
import errno

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsmmu.qemu import device_tables, values
from vsmmu.qemu.qdict import in_order
from vsmmu.qemu.versions import LATEST

LIBC = ctypes.CDLL(None, use_errno=True)
#: Without "b": whether 0b1 is a number depends on the version of the C library.
DIGITS = st.text(" \t+-0123456789xXacfG.", max_size=12)
WIDTHS = (
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int32",
    "int",
    "size",
    "bool",
    "OnOffAuto",
    "str",
    "string",
    "list",
)


def by_libc(name: str, text: str) -> int | None:
    """strtoll() or strtoull() with base 0, of the whole text."""
    function = getattr(LIBC, name)
    function.restype = ctypes.c_longlong if name == "strtoll" else ctypes.c_ulonglong
    function.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
    raw = ctypes.create_string_buffer(text.encode())
    end = ctypes.c_void_p()
    ctypes.set_errno(0)
    number: int = function(ctypes.cast(raw, ctypes.c_char_p), ctypes.byref(end), 0)
    read = (end.value or 0) - ctypes.addressof(raw)
    return number if read == len(text) and read and ctypes.get_errno() != errno.ERANGE else None


@given(DIGITS)
@example("-1")
@example("0x")
@example("18446744073709551616")
def test_numbers_are_read_as_the_c_library_does(text: str) -> None:
    assert values.unsigned(text) == by_libc("strtoull", text)
    assert values.signed(text) == by_libc("strtoll", text)


@given(st.integers(0, 1 << 70), st.sampled_from(["", *"bBkKmMgGtTpPeE"]))
def test_a_size_is_a_number_with_a_unit(number: int, unit: str) -> None:
    size = number << (10 * "bkmgtpe".index(unit.lower() or "b"))
    assert values.size(f"{number}{unit}") == (size if size < 1 << 64 else None)


@pytest.mark.parametrize("form", ["keyval", "opts", "json"])
@given(st.sampled_from(WIDTHS), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
))  # fmt: skip
def test_any_value_is_judged(form: values.Form, kind: str, value: object) -> None:
    text = values.refusal("p", kind, value, form, {"OnOffAuto": ["on", "off", "auto"]}, "vfio-pci")  # type: ignore[arg-type]
    assert text == "" or "'p'" in text


@given(st.dictionaries(st.text(max_size=12), st.none(), max_size=20))
def test_the_order_has_every_name_once(names: dict[str, None]) -> None:
    assert sorted(in_order(names)) == sorted(names)


def test_every_type_of_the_tables_can_be_opened() -> None:
    table = device_tables.table(LATEST)
    for name in table.device_names:
        kind = table.device(name)
        assert kind is not None
        assert kind.creatable
        assert not kind.abstract
