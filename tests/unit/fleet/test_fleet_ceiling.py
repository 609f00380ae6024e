# SPDX-License-Identifier: Apache-2.0
"""A baseline in a resolution: it limits what is chosen, it is shown as a source, and nobody exceeds it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from examples import Q11_1, host, smmu, vm
from vsmmu.cli.baseline_file import read_baseline
from vsmmu.errors import InputRefused, UsageError, VsmmuError
from vsmmu.host.evidence import Fact
from vsmmu.policy.options import Ceiling, Options
from vsmmu.policy.resolver import resolve_machine

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.host.facts import Host
    from vsmmu.policy.result import VsmmuResolution

LOW = {"ats": 0, "ril": 0, "ssidsize": 8, "oas": 44, "cmdqv": 0}


def resolved(on: Host, values: dict[str, int], **more: Any) -> VsmmuResolution:
    ceiling = Ceiling("pool.json#blue", 7, values)
    options = Options(ceiling=ceiling, **more)
    return resolve_machine(vm(), on, Q11_1, options).vsmmu("s")


@pytest.mark.parametrize(
    ("name", "value"), [("ats", "off"), ("ril", "off"), ("ssidsize", "8"), ("oas", "44")]
)
def test_a_lower_baseline_wins_and_is_named_as_a_source(name: str, value: str) -> None:
    entry = resolved(host(), LOW).property(name)
    assert (entry.value, entry.rule) == (value, "baseline")
    source = entry.sources[-1]
    assert source.value == value
    assert source.smmu == "baseline pool.json#blue"
    assert "7 hosts" in source.evidence.source


@pytest.mark.parametrize("name", ["ats", "ril", "ssidsize", "oas"])
def test_a_host_below_the_baseline_gets_its_own_values(name: str) -> None:
    on = host(smmu(ats=0, ril=0, ssidsize=4, oas=44))
    entry = resolved(on, {"ats": 1, "ril": 1, "ssidsize": 20, "oas": 48}).property(name)
    assert (entry.value, entry.rule) == ({"ssidsize": "4", "oas": "44"}.get(name, "off"), "host")


def test_an_equal_baseline_changes_nothing_but_the_sources() -> None:
    on = host(smmu(ats=1, ril=1, ssidsize=20, oas=52))
    with_it = resolved(on, {"ats": 1, "ril": 1, "ssidsize": 20, "oas": 48})
    without = resolve_machine(vm(), on, Q11_1).vsmmu("s")
    assert [(e.value, e.rule) for e in with_it.properties] == [(e.value, e.rule) for e in without.properties]


def test_what_is_not_known_is_settled_where_the_baseline_asks_for_the_least() -> None:
    on = host(smmu(ats=None, ril=None, ssidsize=None))
    found = resolved(on, {"ats": 0, "ril": 0, "ssidsize": 0, "oas": 48})
    assert [found.property(name).value for name in ("ats", "ril", "ssidsize")] == ["off", "off", "0"]


def test_what_is_not_known_stays_open_where_the_baseline_asks_for_more() -> None:
    on = host(smmu(ssidsize=Fact(4, "known", "at-least")))
    assert resolved(on, {"ssidsize": 8}).property("ssidsize").action == "open"
    assert resolved(on, {"ssidsize": 4}).property("ssidsize").value == "4"
    assert resolved(on, {"ssidsize": 8}, assume_safe=True).property("ssidsize").value == "4"


def test_cmdqv_is_limited_where_it_is_pinned() -> None:
    on = host(smmu(cmdqv=1))
    assert resolved(on, {"cmdqv": 0}, pin_cmdqv=True).property("cmdqv").value == "off"
    assert resolved(on, {"cmdqv": 1}, pin_cmdqv=True).property("cmdqv").value == "on"
    assert resolved(on, {"cmdqv": 0}).property("cmdqv").action == "deferred"


def test_a_written_value_above_the_baseline_is_a_problem_and_is_kept() -> None:
    options = Options(ceiling=Ceiling("pool", 2, LOW))
    resolution = resolve_machine(vm("oas=48,ril=off"), host(), Q11_1, options)
    problems = [problem for problem in resolution.problems if problem.code == "baseline-exceeded"]
    assert [problem.next.split(",")[0] for problem in problems] == ["write oas=44"]
    assert resolution.vsmmu("s").property("oas").value == "48"


# --- the file -----------------------------------------------------------------------------------------------


def write(path: Path, *pools: dict[str, Any]) -> str:
    common = {"classes": [], "holds": True, "device": "", "libvirt": "", "steps": [], "unproven": []}
    filled = [{"pool": "", "hosts": 3, "left_out": [], **common, **pool} for pool in pools]
    head = {"schema": "vsmmu.baseline/1", "qemu": "11.1", "selection": "", "hosts": 3}
    document = {**head, "refused": 0, "refusals": [], "pools": filled}
    file = path / "pool.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return str(file)


def test_a_file_with_one_pool_needs_no_name(tmp_path: Path) -> None:
    file = write(tmp_path, {"values": {"ats": "on", "oas": "44"}})
    assert read_baseline(file) == Ceiling(file, 3, {"ats": 1, "oas": 44})


def test_of_several_pools_one_is_named(tmp_path: Path) -> None:
    file = write(
        tmp_path, {"pool": "a", "values": {"oas": "44"}}, {"pool": "b", "hosts": 9, "values": {"oas": "48"}}
    )
    assert read_baseline(f"{file}#b") == Ceiling(f"{file}#b", 9, {"oas": 48})
    for spec in (file, f"{file}#c"):
        with pytest.raises(UsageError, match="pool") as caught:
            read_baseline(spec)
        assert "#a" in caught.value.next


def test_hosts_that_were_left_out_do_not_count(tmp_path: Path) -> None:
    lost = {"kind": "k", "hosts": 2, "names": [], "code": "c", "reason": "r"}
    file = write(tmp_path, {"values": {"oas": "48"}, "left_out": [lost]})
    assert read_baseline(file).hosts == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema":"vsmmu.host/1"}', "\xff", "[" * 5000])
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pool.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(InputRefused) as caught:
        read_baseline(str(file))
    assert caught.value.code == "baseline-malformed"


@pytest.mark.parametrize(
    ("values", "code"),
    [({}, "baseline-empty"), ({"oas": "40x"}, "baseline-malformed"), ({"oaz": "44"}, "baseline-malformed")],
)
def test_values_that_cannot_be(tmp_path: Path, values: dict[str, str], code: str) -> None:
    with pytest.raises(VsmmuError) as caught:
        read_baseline(write(tmp_path, {"values": values}))
    assert caught.value.code == code
