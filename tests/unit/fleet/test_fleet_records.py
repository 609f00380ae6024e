# SPDX-License-Identifier: Apache-2.0
"""Reading records: the quick way gives what the strict way gives, and says what is wrong just the same."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vsmmu.fleet.records as records_module
from fleet_examples import PATTERNED, in_other_words, line, named
from vsmmu.errors import InputRefused
from vsmmu.fleet.classes import Selection, class_of
from vsmmu.fleet.lists import split_list
from vsmmu.fleet.records import RecordReader
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.facts import Kernel
from vsmmu.host.files import decode_host, unknown_members

GH200 = builtin_host("gh200")
PLAIN: dict[str, Any] = json.loads(line(GH200))


def dump(document: object) -> bytes:
    """As vsmmu writes it."""
    return json.dumps(document, separators=(",", ":")).encode()


def test_the_second_of_a_kind_is_read_the_quick_way_and_is_the_same() -> None:
    reader = RecordReader()
    kernel = Kernel(release="7.3.4")
    hosts = [named(GH200, f"n{number}", taken_at="2026-11-22", kernel=kernel) for number in range(2)]
    first, second = (reader.read(line(host), "x") for host in hosts)
    assert first.host == hosts[0]
    assert second.host is None
    assert second._replace(name="n0", host=hosts[0]) == first
    assert (second.name, second.kernel, second.taken_at) == ("n1", "7.3.4", "2026-11-22")


@pytest.mark.parametrize("name", builtin_names())
def test_the_class_is_that_of_the_facts(name: str) -> None:
    reader = RecordReader()
    for number in range(3):
        record = reader.read(line(named(builtin_host(name), f"n{number}")), "x")
        assert reader.classes[record.kind].fingerprint == class_of(builtin_host(name)).fingerprint


def test_order_and_blanks_do_not_matter() -> None:
    reader = RecordReader()
    turned = dict(reversed(PLAIN.items()))
    found = {
        reader.read(data, "x").kind
        for data in (
            dump(PLAIN),
            dump(turned),
            json.dumps(PLAIN).encode(),
            json.dumps(PLAIN, indent=3).encode(),
        )
    }
    assert found == {0}


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "vsmmu.host/2"},
        {"name": "a\nb"},
        {"name": "x" * 300},
        {"name": 7},
        {"taken_at": "\u0000"},
        {"synthetic": 7},
        {"synthetic": [7]},
        {"title": None},
        {"smmus": "none"},
        {"functions": [{"address": "01:00.0"}]},
        {"evidence": {}},
    ],
)
def test_what_the_strict_reader_refuses_is_refused_after_a_good_one_too(change: dict[str, object]) -> None:
    reader = RecordReader()
    reader.read(dump(PLAIN), "x:1")
    with pytest.raises(InputRefused) as caught:
        reader.read(dump({**PLAIN, **change}), "x:2")
    assert "x:2" in caught.value.where


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"kernel": {"relase": "7"}},
        {"functions": [{"address": "0009:01:00.0", "colour": {"a": [None]}}]},
        {"smmus": [{"name": "a", "colour": None}], "functions": []},
        {"evidence": {**PLAIN["evidence"], "x": {"kind": "published", "source": "y", "colour": 1}}},
    ],
)
def test_members_of_a_later_version_are_passed_over_by_both_readers(change: dict[str, object]) -> None:
    data = dump({**PLAIN, **change})
    reader = RecordReader()
    for _ in range(2):  # the strict way, and the quick way
        record = reader.read(data, "x")
        assert reader.classes[record.kind].fingerprint == class_of(decode_host(data, "x")).fingerprint
    assert unknown_members(data)


FUNCTION = {"address": "0009:01:00.0", "smmu": "smmu3.0x0000000011000000"}
OTHER_FUNCTIONS: list[object] = [
    [],
    [{**FUNCTION, "label": "moved"}],
    [{**FUNCTION, "smmu": None}],
    [{**FUNCTION, "colour": "red"}],
    [{**FUNCTION, "reserved_regions": [{"start": "0x5", "end": "0x6", "type": "direct", "colour": 7}]}],
    [{"address": "0009:01:00.0"}, {"address": "0009:02:00.0"}],
    [{**FUNCTION, "canwbs": {"value": 1, "evidence": "kubevirt"}}],
    [{**FUNCTION, "canwbs": {"value": 0, "evidence": "kubevirt"}}],
    [{**FUNCTION, "canwbs": {"value": 1, "evidence": "kubevirt", "bound": "at-most"}}],
    [{**FUNCTION, "pasid_exec": {}}],
]
WRONG_FUNCTIONS: list[object] = [
    [FUNCTION, FUNCTION],
    [{**FUNCTION, "smmu": "another"}],
    [{**FUNCTION, "reserved_regions": None}],
    [{**FUNCTION, "reserved_regions": [{"start": "5", "end": "0x6", "type": "direct"}]}],
    [{**FUNCTION, "reserved_regions": [{"start": "0x7", "end": "0x6", "type": "direct"}]}],
    [{**FUNCTION, "reserved_regions": [{"start": "0x5", "end": "0x6", "type": "x", "evidence": "nobody"}]}],
    [{**FUNCTION, "address": "1:0.0"}],
    [{**FUNCTION, "canwbs": {"value": 1, "evidence": "nobody"}}],
    [{**FUNCTION, "canwbs": {"value": None, "evidence": "kubevirt"}}],
    "none",
    None,
]


@pytest.mark.parametrize("functions", OTHER_FUNCTIONS)
@pytest.mark.parametrize("selection", [Selection(), Selection("10de")])
def test_where_only_functions_are_new_the_class_is_still_that_of_the_facts(
    functions: object, selection: Selection
) -> None:
    reader = RecordReader(selection)
    for other in OTHER_FUNCTIONS:
        reader.read(dump({**PLAIN, "functions": other}), "x")
    data = dump({**PLAIN, "functions": functions, "evidence": {**PLAIN["evidence"]}})
    for spaces in range(1, 4):
        record = reader.read(data.replace(b'"address":', b'"address":' + b" " * spaces), "x")
        expected = class_of(decode_host(data, "x"), selection)
        assert reader.classes[record.kind].fingerprint == expected.fingerprint


@pytest.mark.parametrize("functions", WRONG_FUNCTIONS)
def test_where_only_functions_are_new_and_wrong_the_strict_reader_speaks(functions: object) -> None:
    reader = RecordReader()
    for other in OTHER_FUNCTIONS:
        reader.read(dump({**PLAIN, "functions": other}), "x")
    data = dump({**PLAIN, "functions": functions})
    with pytest.raises(InputRefused) as strict:
        decode_host(data, "x:9")
    with pytest.raises(InputRefused) as quick:
        reader.read(data, "x:9")
    assert str(quick.value) == str(strict.value)


@pytest.mark.parametrize("name", PATTERNED)
@pytest.mark.parametrize("text", ["a\nb", "\x7f", "x" * 256, "", "0009:01:00.0\n", "ABCD"])
def test_a_pattern_holds_in_the_quick_way_too(name: str, text: str) -> None:
    reader = RecordReader()
    for other in OTHER_FUNCTIONS:
        reader.read(dump({**PLAIN, "functions": other}), "x")
    data = dump({**PLAIN, "functions": [{**FUNCTION, name: text}]})
    try:
        expected: object = class_of(decode_host(data, "x")).fingerprint
    except InputRefused as error:
        expected = str(error)
    for _ in range(2):
        try:
            found: object = reader.classes[reader.read(data, "x").kind].fingerprint
        except InputRefused as error:
            found = str(error)
        assert found == expected


@pytest.mark.parametrize("member", ["release", "boot_id", "command_line"])
@pytest.mark.parametrize("text", ["a\nb", "\x7f", "x" * 256, "\u2028", "\u00e9"])
def test_a_pattern_of_the_kernel_holds_too(member: str, text: str) -> None:
    reader = RecordReader()
    reader.read(dump(PLAIN), "x")
    data = dump({**PLAIN, "kernel": {member: text}})
    try:
        decode_host(data, "x")
    except InputRefused:
        with pytest.raises(InputRefused):
            reader.read(data, "x")
    else:
        assert reader.read(data, "x").kind == 0


def test_most_hosts_are_read_the_quick_way() -> None:
    reader = RecordReader()
    for number in range(50):
        functions = (msgspec.structs.replace(GH200.functions[0], label=f"slot {number}"),)
        record = reader.read(line(named(GH200, f"n{number}", functions=functions)), "x")
        assert (record.host is None) is (number > 0)


def test_probed_functions_are_read_the_quick_way_where_their_groups_differ() -> None:
    """A probe writes down that it was not told something, as a fact without anything, and when it was."""
    reader = RecordReader()
    for number in range(5):
        function = {**FUNCTION, "iommu_group": number, "pasid_exec": {}, "canwbs": {}}
        evidence = {**PLAIN["evidence"], "probe": {"kind": "measured", "source": f"at {number}"}}
        record = reader.read(dump({**PLAIN, "functions": [function], "evidence": evidence}), "x")
        assert (record.host is None) is (number > 0)


def test_a_repeated_member_counts_as_the_strict_reader_counts_it() -> None:
    """The last one wins, in both ways of reading."""
    reader = RecordReader()
    reader.read(line(builtin_host("gb200")), "x")
    twice = (
        line(GH200).rstrip()[:-1]
        + b',"smmus":'
        + dump(json.loads(line(builtin_host("gh200")))["smmus"])
        + b"}"
    )
    assert reader.classes[reader.read(twice, "x").kind].fingerprint == class_of(GH200).fingerprint


MEMBERS = [b'"%s":%s' % (name.encode(), dump(value)) for name, value in PLAIN.items()]
OTHERS = [
    *(
        b'"%s":%s' % (name.encode(), dump(value))
        for name, value in json.loads(line(builtin_host("gb200"))).items()
    ),
    b'"more":[{"a":1,"smmus":[]}]',
    b'"more":"b,\\"smmus\\":"',
    b'"title":"\xff"',
    b'"title":"a,"smmus":[]',
    b'"schema":"vsmmu.host/2"',
    b'"smmus":[]',
    b'"functions":[]',
    b'"evidence":{}',
    b'"egm":[]',
    b"",
]


def read_after(before: list[bytes], data: bytes) -> object:
    """What a reader that has met others says of a record."""
    reader = RecordReader()
    for known in before:
        reader.read(known, "x")
    try:
        record = reader.read(data, "x")
    except InputRefused as error:
        return str(error)
    place = reader.topologies[record.topology]
    functions = [(entry.address, entry.smmu) for entry in place.functions]
    return (
        record[:4],
        reader.classes[record.kind].fingerprint,
        [entry.name for entry in place.smmus],
        functions,
    )


@given(st.permutations(MEMBERS), st.lists(st.tuples(st.integers(0, 12), st.sampled_from(OTHERS)), max_size=2))
@settings(max_examples=300)
def test_what_was_read_before_changes_nothing(members: list[bytes], more: list[tuple[int, bytes]]) -> None:
    """Members in any order, twice, unknown and broken, after records that end in the same way."""
    known = [line(GH200), line(builtin_host("gb200")), b"{%s}" % b",".join(members)]
    for position, member in more:
        members.insert(position, member)
    data = b"{%s}\n" % b",".join(members)
    assert read_after(known, data) == read_after([], data)


#: What turns one text into another in JSON, and what a frame is cut at.
PIECES = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b" ", b"0", b"\xff", b'"label":"', b"null"]
PIECES += [b',"smmus":', b',"functions":', b',"evidence":', b'"address":"0009:01:00.0"', b'"}]']


KNOWN = [line(GH200), line(builtin_host("gb200"))]


@given(
    st.sampled_from([*KNOWN, line(in_other_words(GH200))]),
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(0, 12), st.sampled_from([*PIECES, b""])),
        min_size=1, max_size=3,
    ),
)  # fmt: skip
@settings(max_examples=300)
def test_damage_is_seen_in_a_known_frame_too(good: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    """Bytes taken out and put in, anywhere: a reader that has met others says what a new one says."""
    data = bytearray(good)
    for at, length, piece in changes:
        place = at % len(data)
        data[place : place + length] = piece
    assert read_after(KNOWN, bytes(data)) == read_after([], bytes(data))


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000]
)
def test_noise_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(InputRefused) as caught:
        RecordReader().read(data, "noise:1")
    assert caught.value.where.startswith("noise:1")


def test_too_many_classes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MAX_CLASSES", 2)
    reader = RecordReader()
    for name in ("gh200", "gb200", "gh200"):
        reader.read(line(builtin_host(name)), "x")
    with pytest.raises(InputRefused) as caught:
        reader.read(line(builtin_host("thunderx2")), "x")
    assert caught.value.code == "too-many-classes"


def test_topologies_are_told_apart_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "_MOST_TOPOLOGIES", 2)
    reader = RecordReader()
    found = [
        reader.read(line(builtin_host(name)), "x").topology for name in ("gh200", "gb200", "gh200", "altra")
    ]
    assert found == [0, 1, 0, -1]


# --- Kubernetes ---------------------------------------------------------------------------------------------


def feature(facts: str | None, **labels: str) -> dict[str, Any]:
    elements = {} if facts is None else {"vsmmu.host": facts}
    return {
        "apiVersion": "nfd.k8s-sigs.io/v1alpha1",
        "kind": "NodeFeature",
        "metadata": {"name": "obj", "labels": labels, "managedFields": [{"x": 1}]},
        "spec": {
            "features": {
                "flags": {"cpu.cpuid": {"elements": {"SVE": {}}}},
                "attributes": {
                    "kernel.version": {"elements": {"major": "7"}},
                    "local.feature": {"elements": elements},
                },
                "instances": {"pci.device": {"elements": []}},
            },
            "labels": {"zone": "a"},
        },
    }


def test_a_node_feature_carries_facts_and_labels() -> None:
    labels = {"nfd.node.kubernetes.io/node-name": "worker-1"}
    record = RecordReader().read(dump(feature(json.dumps(PLAIN), **labels)), "x")
    assert record.name == "worker-1"
    assert record.labels == {**labels, "zone": "a"}


def test_a_node_feature_without_the_label_is_named_by_its_object() -> None:
    assert RecordReader().read(dump(feature(json.dumps(PLAIN))), "x").name == "obj"


@pytest.mark.parametrize("facts", [None, "", "{}", "null"])
def test_a_node_feature_with_nothing_usable_is_named(facts: str | None) -> None:
    with pytest.raises(InputRefused) as caught:
        RecordReader().read(dump(feature(facts, **{"nfd.node.kubernetes.io/node-name": "worker-9"})), "x")
    assert "worker-9" in str(caught.value)


def test_another_object_is_refused() -> None:
    with pytest.raises(InputRefused, match="Pod"):
        RecordReader().read(dump({"kind": "Pod", "metadata": {}}), "x")


def test_lists_are_taken_apart() -> None:
    items = [PLAIN, {"kind": "x"}]
    for document in (items, {"apiVersion": "v1", "kind": "List", "items": items, "metadata": {}}):
        found = split_list(dump(document))
        assert found is not None
        assert [json.loads(item) for item in found] == items
    assert split_list(dump(PLAIN)) is None
    assert split_list(b"[") is None
