# SPDX-License-Identifier: Apache-2.0
"""Of a live host only the functions are read that the VM and the options name: no other is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from vsmmu.cli import inputs
from vsmmu.cli.main import run
from vsmmu.host.facts import Host

if TYPE_CHECKING:
    from collections.abc import Container

GOLDEN: Final = Path(__file__).parents[2] / "golden"
VMS: Final = sorted([*GOLDEN.glob("argv/*.in"), *GOLDEN.glob("domain/*.in.xml")])
OPTIONS: Final = ["--also", "0009:02:00.0", "--smmu", "x=0008:01:00.0", "--host", "builtin:gb200"]


@pytest.mark.parametrize("path", VMS, ids=lambda path: path.name)
@pytest.mark.parametrize("verb", ["resolve", "check", "explain", "fix", "fix --accelerate"])
def test_no_other_function_is_asked_for(path: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[Container[str]] = []
    asked: set[str] = set()
    function, read_host = Host.function, inputs.read_host

    def look(host: Host, address: str) -> object:
        asked.add(address)
        return function(host, address)

    def read(spec: str, every: Container[str] | None = None) -> Host:
        assert every is not None
        named.append(every)
        return read_host(spec)

    monkeypatch.setattr(Host, "function", look)
    monkeypatch.setattr(inputs, "read_host", read)
    monkeypatch.chdir(GOLDEN / "argv")
    assert run([*verb.split(), *OPTIONS, str(path)]) in (0, 1)
    assert [address for address in asked if address not in named[0]] == []


def test_a_bundle_has_the_whole_host(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[Container[str] | None] = []
    read_host = inputs.read_host

    def read(spec: str, every: Container[str] | None = None) -> Host:
        named.append(every)
        return read_host(spec)

    monkeypatch.setattr(inputs, "read_host", read)
    assert run(["bundle", "--host", "builtin:gb200", str(GOLDEN / "domain" / "gb200.in.xml")]) == 0
    assert named == [None]
