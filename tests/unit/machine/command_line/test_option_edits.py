# SPDX-License-Identifier: Apache-2.0
"""Edits of options: taken out, added, moved; in words, scripts, arrays and variables of a shell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.diagnostic import MACHINE, Edit, Insertion, Reordering
from vsmmu.errors import Negative
from vsmmu.machine.command_line.argv import CommandLine, read_source, read_words
from vsmmu.machine.command_line.text_edits import unset_in_json, unset_in_opts

PORT = {"driver": "pcie-root-port", "id": "rp", "bus": "x,y", "chassis": 3, "multifunction": True}


def text(script: str, *edits: Edit | Insertion | Reordering) -> str:
    return read_source(script.encode(), "vm.sh").edit(edits).text()


def spliced(before: str, splices: list[tuple[int, int, str]]) -> str:
    for start, end, new in splices:
        before = before[:start] + new + before[end:]
    return before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a,x=1,b=2", "a,b=2"),
        ("a,b=2,x=1", "a,b=2"),
        ("a,x=1,x=2,,3,b=2", "a,b=2"),
        ("a,x,b=2", "a,b=2"),
        ("x=1,b=2", "b=2"),
        ("x=1", ""),
        ("a,b=2", "a,b=2"),
    ],
)
def test_unset_in_opts(before: str, after: str) -> None:
    implied = "" if before.startswith("x") else "driver"
    assert spliced(before, list(unset_in_opts(before, {"x"}, implied))) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a": 1, "x": 2, "b": 3}', '{"a": 1, "b": 3}'),
        ('{"x": 2,  "b": 3}', '{"b": 3}'),
        ('{"x": 2, "y": [1, 2],   "b": 3}', '{"b": 3}'),
        ('{"b": 3, "x": {"x": 1}}', '{"b": 3}'),
        ('{"x": 2, "y": 1}', "{}"),
    ],
)
def test_unset_in_json(before: str, after: str) -> None:
    assert spliced(before, list(unset_in_json(before, {"x", "y"}))) == after


def test_machine_options() -> None:
    before = "qemu-system-aarch64 -M virt,iommu=smmuv3 -machine default_bus_bypass_iommu=on,x=1\n"
    assert text(before, Edit(MACHINE, "iommu", None)) == before.replace(",iommu=smmuv3", "")
    bypass = Edit(MACHINE, "default-bus-bypass-iommu", None)
    assert text(before, bypass) == before.replace("default_bus_bypass_iommu=on,", "")
    both = text(before, Edit(MACHINE, "x", None), Edit(MACHINE, "y", "2"))
    assert both == before.replace("x=1", "y=2")
    with pytest.raises(Negative):
        text("qemu-system-aarch64 -device a\n", Edit(MACHINE, "x", "1"))


LINES = "qemu-system-aarch64 -M virt \\\n  -device a,id=A \\\n  -device b,id=B -device c,id=C\n"


def test_a_new_device_has_a_line_of_its_own() -> None:
    new = Insertion("device", PORT, 1)
    expected = "-device pcie-root-port,id=rp,bus=x,,y,chassis=3,multifunction=on"
    assert text(LINES, new) == LINES.replace("-device b", f"{expected} \\\n  -device b")
    assert text(LINES, Insertion("device", PORT, 2)) == LINES.replace("-device c", f"{expected} -device c")
    several = [new, Edit(1, "x", "1"), Insertion("object", {"qom-type": "iommufd", "id": "i"}, 1)]
    added = f"{expected} \\\n  -object iommufd,id=i \\\n  -device b,id=B,x=1"
    assert text(LINES, *several) == LINES.replace("-device b,id=B", added)


def test_a_new_device_beside_json_is_json() -> None:
    line = read_words(["qemu-system-aarch64", "-device", '{"driver":"a","id":"A"}'])
    after = line.edit([Insertion("device", PORT, 0), Edit(0, "n", 5), Edit(0, "id", None)])
    assert (
        after.words[2] == '{"driver":"pcie-root-port","id":"rp","bus":"x,y","chassis":3,"multifunction":true}'
    )
    assert after.words[4] == '{"driver":"a","n":5}'


@pytest.mark.parametrize(
    ("move", "order"),
    [((0, 1), "bac"), ((0, 2), "bca"), ((2, -1), "cab"), ((2, 0), "acb"), ((1, -1), "bac"), ((1, 0), "abc")],
)
def test_moves(move: tuple[int, int], order: str) -> None:
    a, b, c = (f"-device {name},id={name.upper()}" for name in "abc")
    script = f"# {a}\nqemu-system-aarch64 -M virt \\\n  {a} \\\n\t{b} \\\n  {c} -S # end\n"
    after = text(script, Reordering(*move))
    devices = read_source(after.encode(), "vm.sh").machine().devices
    assert "".join(device.driver for device in devices) == order
    assert sorted(after) == sorted(script)
    assert after.startswith(f"# {a}\nqemu-system-aarch64 -M virt \\\n")
    assert after.endswith(" -S # end\n")
    words = CommandLine.edit(
        read_words(["qemu", "-device", "a", "-device", "b", "-device", "c"]), [Reordering(*move)]
    )
    assert "".join(words.words[2::2]) == order


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 5)).filter(lambda pair: pair[0] != pair[1])))
def test_moves_together_are_moves_one_after_the_other(moves: list[tuple[int, int]]) -> None:
    names = [f"d{number}" for number in range(6)]
    options = " \\\n\t".join(f"-device {name} -S" for name in names)
    script = f"qemu-system-aarch64 -M virt \\\n\t{options} # end\n"
    order = names.copy()
    for device, behind in moves:
        order.remove(names[device])
        order.insert(order.index(names[behind]) + 1 if behind >= 0 else 0, names[device])
    after = text(script, *(Reordering(*move) for move in moves))
    assert [device.driver for device in read_source(after.encode(), "vm.sh").machine().devices] == order
    assert sorted(after) == sorted(script)


def test_moves_in_an_array_and_in_a_variable() -> None:
    array = 'D=(-device a,id=A "-device" "b,id=B")\nqemu-system-aarch64 -M virt "${D[@]}"\n'
    variable = 'D="-device a -device b"\nqemu-system-aarch64 -M virt $D -S\n'
    for script, move in ((array, Reordering(1, -1)), (array, Reordering(0, 1)), (variable, Reordering(0, 1))):
        after = read_source(text(script, move).encode(), "vm.sh")
        assert [device.driver for device in after.machine().devices] == ["b", "a"]
    assert text(variable, Reordering(0, 1)).startswith('D="-device b -device a"\n')


def test_what_cannot_be_done_is_refused() -> None:
    mixed = 'qemu-system-aarch64 -device a,id=A -device \'{"driver":"b"}\'\n'
    implied = "qemu-system-aarch64 -M virt -drive if=virtio,file=f -device a\n"
    written_by_set = "qemu-system-aarch64 -device a,id=A -set device.A.x=1\n"
    unknown_disk = 'qemu-system-aarch64 -M virt -device a "x,$D,y"\n'
    for script, edit in (
        (mixed, Reordering(0, 1)),
        (implied, Reordering(1, 0)),
        (implied, Insertion("device", PORT, 1)),
        (implied, Edit(1, "x", None)),
        (written_by_set, Edit(0, "x", None)),
        (unknown_disk, Edit(1, "bus", "pcie.0")),
    ):
        with pytest.raises(Negative) as raised:
            text(script, edit)
        assert raised.value.code == "not-editable"
