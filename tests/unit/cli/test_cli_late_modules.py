# SPDX-License-Identifier: Apache-2.0
"""msgspec is loaded without what a start does not use, and documents are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

#: The parts that come later, and those that are held back.
LATER: Final = ("msgspec.inspect", "msgspec.toml", "msgspec.yaml", "textwrap")
HELD_BACK: Final = ("typing_extensions", "datetime", "uuid", "platform", "decimal")
LOAD: Final = "from vsmmu.cli.late_modules import load_msgspec; load_msgspec()"


def told(*lines: str) -> object:
    """What a new interpreter prints as JSON."""
    code = "\n".join(("import json, sys", *lines))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_parts_are_loaded_when_something_is_asked_of_them() -> None:
    kinds = "print(json.dumps([type(sys.modules[name]).__name__ for name in {!r}]))"
    assert told(LOAD, kinds.format(LATER)) == ["_LazyModule"] * len(LATER)
    used = (
        "import msgspec; msgspec.inspect.type_info(int); msgspec.toml.decode; msgspec.yaml.decode",
        "sys.modules['textwrap'].dedent",
    )
    assert told(LOAD, *used, kinds.format(LATER)) == ["module"] * len(LATER)


def test_what_was_held_back_is_there_for_others_afterwards() -> None:
    there = f"print(json.dumps([name for name in {HELD_BACK!r} if name in sys.modules]))"
    assert told(LOAD, there) == []
    assert told(LOAD, "import platform", "print(json.dumps(platform.machine()))")
    assert told(LOAD, "from decimal import Decimal", "print(json.dumps(str(Decimal(1))))") == "1"
    assert told(LOAD, "print(json.dumps([type(finder).__name__ for finder in sys.meta_path]))") == told(
        "print(json.dumps([type(finder).__name__ for finder in sys.meta_path]))"
    )


@pytest.mark.parametrize("before", ["import datetime", "import uuid", "import msgspec"])
def test_what_somebody_has_loaded_stays(before: str) -> None:
    name = before.split()[1]
    assert told(
        before, f"mine = sys.modules[{name!r}]", LOAD, f"print(json.dumps(mine is sys.modules[{name!r}]))"
    )


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
        "print(json.dumps([made.next.next, str(typing.ForwardRef('x'))]))",
    )
    assert told(LOAD, "import msgspec, typing", node, *made) == [None, "ForwardRef('x')"]


def test_a_module_that_is_asked_for_more_than_was_known_is_loaded() -> None:
    made = "from vsmmu.cli.late_modules import _StandIn; sys.modules['uuid'] = _StandIn('uuid', UUID=int)"
    known = "import uuid as held; one = held.UUID is int and sys.modules['uuid'] is held"
    more = "two = held.uuid4().version == 4 and sys.modules['uuid'] is not held"
    assert told(made, known, more, "print(json.dumps([one, two]))") == [True, True]
