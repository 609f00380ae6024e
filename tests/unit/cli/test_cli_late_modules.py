# SPDX-License-Identifier: Apache-2.0
"""msgspec is loaded without what a start does not use, and documents are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

#: What is not loaded with msgspec.
LATER: Final = (
    "msgspec.inspect", "msgspec.msgpack", "msgspec.toml", "msgspec.yaml", "textwrap",
    "uuid", "platform", "decimal", "datetime", "typing_extensions",
)  # fmt: skip
LOAD: Final = "from vsmmu.cli.late_modules import load_msgspec; load_msgspec()"


def told(*lines: str) -> object:
    """What a new interpreter prints as JSON."""
    code = "\n".join(("import json, sys", *lines))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_nothing_of_it_is_loaded_at_once() -> None:
    more = f"print(json.dumps([name for name in {LATER!r} if name in sys.modules.keys() - before]))"
    assert told("before = set(sys.modules)", LOAD, more) == []


def test_parts_are_loaded_when_something_is_asked_of_them() -> None:
    packed = "packed = msgspec.msgpack.decode(msgspec.msgpack.encode([1]))"
    asked = "msgspec.yaml.decode, msgspec.toml.decode, msgspec.json.schema(list[int])"
    kind = "kind = msgspec.inspect.type_info(int) == msgspec.inspect.IntType()"
    there = "there = [type(sys.modules[name]).__name__ for name in ('msgspec.inspect', 'msgspec.toml')]"
    answer = "print(json.dumps([packed, kind, there]))"
    assert told(LOAD, "import msgspec", packed, asked, kind, there, answer) == [[1], True, ["module"] * 2]


def test_modules_are_whole_for_others_afterwards() -> None:
    whole = (
        "import datetime, decimal, msgspec.inspect, platform, textwrap, uuid",
        "made = str(decimal.Decimal(1)), textwrap.dedent(' a'), uuid.UUID(int=1).int, datetime.MINYEAR",
        "print(json.dumps([made, platform.system(), msgspec.inspect.__name__]))",
    )
    assert told(LOAD, *whole) == told(*whole)


@pytest.mark.parametrize("before", ["import datetime", "import uuid", "import textwrap", "import msgspec"])
def test_what_somebody_has_loaded_stays(before: str) -> None:
    name = before.split()[1]
    kept = f"print(json.dumps(mine is sys.modules[{name!r}]))"
    assert told(before, f"mine = sys.modules[{name!r}]", LOAD, kept)


def test_documents_have_the_same_types_and_schemas() -> None:
    document = (
        "import datetime, msgspec; from vsmmu.host.facts import Host",
        "values = datetime.date(2026, 11, 26), datetime.timedelta(1)",
        "made = msgspec.json.schema(Host), msgspec.json.encode(values).decode()",
        "print(json.dumps(made))",
    )
    assert told(LOAD, *document) == told(*document)


def test_forward_references_are_as_before() -> None:
    node = "class Node(msgspec.Struct):\n    next: 'Node | None' = None"
    made = (
        "made = msgspec.json.decode(b'{\"next\": {}}', type=Node)",
        "print(json.dumps([made.next.next, str(typing.ForwardRef('Foo'))]))",
    )
    assert told(LOAD, "import msgspec, typing", node, *made) == [None, "ForwardRef('Foo')"]


def test_a_module_that_is_asked_for_more_than_was_known_is_loaded() -> None:
    made = "from vsmmu.cli.late_modules import _StandIn; sys.modules['uuid'] = _StandIn('uuid', UUID=int)"
    known = "import uuid as held; one = held.UUID is int and sys.modules['uuid'] is held"
    more = "two = held.uuid4().version == 4 and sys.modules['uuid'] is not held"
    assert told(made, known, more, "print(json.dumps([one, two]))") == [True, True]
