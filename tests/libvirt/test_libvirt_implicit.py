# SPDX-License-Identifier: Apache-2.0
"""What a real libvirt adds to a domain and where it puts devices without address is what we read of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from as_libvirt import as_tcg

from implicit_domains import DOMAINS, IMPLICIT, made
from machines import shape
from quoted import quoted
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml

if TYPE_CHECKING:
    from conftest import Libvirt

pytestmark = [pytest.mark.lab]


@pytest.mark.parametrize("name", DOMAINS)
def test_libvirts_command_line_is_the_machine_that_we_read(name: str, libvirt: Libvirt) -> None:
    """Of the domain as it is written, before libvirt has put anything into it."""
    done = libvirt("virsh domxml-to-native qemu-argv vm.xml > vm.args", {"vm.xml": as_tcg(DOMAINS[name])})
    assert done.status == 0, done.stderr
    ours = read_domain_xml(as_tcg(DOMAINS[name]), name)
    theirs = read_source(done.files["vm.args"], name).machine()
    assert shape(ours.machine()) == shape(theirs)
    assert ours.reading.unplaced == frozenset()
    with quoted("libvirt-daemon", "12.8", libvirt.versions):
        assert _recorded(name, shape(theirs)) == shape(theirs)


def _recorded(name: str, machine: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The machine as libvirt made it once, for tests without libvirt (test_domain_placement.py)."""
    if os.environ.get("VSMMU_REGENERATE"):
        known = json.loads(IMPLICIT.read_text(encoding="utf-8")) if IMPLICIT.exists() else {}
        known[name] = machine
        rows = [f"  {json.dumps(key)}: {json.dumps(known[key])}" for key in DOMAINS if key in known]
        IMPLICIT.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    return [tuple(device) for device in json.loads(IMPLICIT.read_text(encoding="utf-8"))[name]]


def test_domains_of_a_seed(libvirt: Libvirt) -> None:
    """What libvirt refuses (addresses twice, buses that do not fit) is none of ours here; that is half."""
    files = {f"{seed}.xml": as_tcg(made(seed)) for seed in range(80)}
    done = libvirt(
        "".join(
            f"virsh domxml-to-native qemu-argv {name} > {name}.args || rm {name}.args\n" for name in files
        ),
        files,
    )
    accepted = [name for name in files if f"{name}.args" in done.files]
    assert len(accepted) > len(files) // 3, done.stderr
    for name in accepted:
        ours = read_domain_xml(files[name], name)
        assert shape(ours.machine()) == shape(read_source(done.files[f"{name}.args"], name).machine()), name
        assert ours.reading.unplaced == frozenset()
