# SPDX-License-Identifier: Apache-2.0
"""What QEMU for Arm itself says that its options take, held against the table."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from quoted import quoted
from vsmmu.qemu.option_parameters import NETDEVS, PARAMETERS

if TYPE_CHECKING:
    from vsmmu.lab import Session

_FORMS = {"boolean": "bool", "number": "number"}


def test_the_parameters_are_those_of_qemu_for_arm_itself(lab: Session) -> None:
    orders = ["qmp_capabilities", "query-command-line-options", "query-qmp-schema", "quit"]
    lines = "\n".join(json.dumps({"execute": order}) for order in orders)
    command = f"echo {shlex.quote(lines)} | qemu-system-aarch64 -M none -display none -S -qmp stdio"
    said = lab.run(["sh", "-c", command]).stdout.decode().splitlines()
    options, schema = (entry["return"] for entry in map(json.loads, said) if entry.get("return"))
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        asked = {entry["option"]: entry["parameters"] for entry in options}
        assert {name: _written(asked[name]) for name in PARAMETERS} == {
            name: set(text.split()) for name, text in PARAMETERS.items()
        }
        netdevs = _netdevs({entry["name"]: entry for entry in schema})
        # Builds differ in which types they have.
        assert netdevs == {name: set(NETDEVS[name].split()) for name in netdevs}


def _written(parameters: list[dict[str, str]]) -> set[str]:
    forms = {entry["name"]: _FORMS.get(entry["type"], "") for entry in parameters}
    return {
        f"{name}:{form}" if form else name
        for name, form in forms.items()
        if not name.startswith("throttling.")
    }


def _netdevs(types: dict[str, Any]) -> dict[str, set[str]]:
    variants = types[types["netdev_add"]["arg-type"]]["variants"]
    return {
        variant["case"]: {_member(entry, types) for entry in types[variant["type"]].get("members", ())}
        for variant in variants
    }


def _member(entry: dict[str, Any], types: dict[str, Any]) -> str:
    kind = types[entry["type"]]
    form = {"object": ":struct", "array": ":list"}.get(kind["meta-type"], "")
    if kind.get("json-type") == "boolean":
        form = ":bool"
    return f"{entry['name']}{form}{'' if 'default' in entry else '!'}"
