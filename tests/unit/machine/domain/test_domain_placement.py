# SPDX-License-Identifier: Apache-2.0
"""Controllers and addresses that libvirt chooses: read as libvirt 12.8 once wrote them."""

from __future__ import annotations

import json

import pytest

from implicit_domains import DOMAINS, IMPLICIT, made
from machines import shape
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.topology import Topology

RECORDED = json.loads(IMPLICIT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DOMAINS)
def test_the_machine_is_libvirts(name: str) -> None:
    machine = read_domain_xml(DOMAINS[name], name).machine()
    assert [list(device) for device in shape(machine)] == RECORDED[name]


def test_every_bus_that_is_named_is_there() -> None:
    """If it comes too late, it does so in libvirt, too: a bridge on a port with a higher index."""
    for seed in range(100):
        topology = Topology.of(read_domain_xml(made(seed), str(seed)).machine())
        assert all(entry.later for entry in topology.missing), seed


def test_a_domain_of_x86_keeps_its_gaps() -> None:
    """Its chipsets have rules of their own, which are not known here."""
    data = DOMAINS["port-of-a-disk"].replace(b"aarch64' machine='virt-11.1", b"x86_64' machine='q35")
    reading = read_domain_xml(data, "vm.xml").reading
    assert list(reading.controllers) == [0]
    channel = DOMAINS["channel"].replace(b"aarch64' machine='virt-11.1", b"x86_64' machine='q35")
    assert [device.id for device in read_domain_xml(channel, "vm.xml").machine().devices] == ["virtio-disk0"]
