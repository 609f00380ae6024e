# SPDX-License-Identifier: Apache-2.0
"""Values that an object takes, and one on which the host decides; refusals: test_qemu_start_recorded."""

from __future__ import annotations

import pytest

from predicted import predicted

RAM = "memory-backend-ram,id=m,size=1M"


def said(text: str) -> tuple[str, tuple[str, ...]]:
    expected = predicted(f"-object {text}")
    return expected.answer, expected.possible


@pytest.mark.parametrize(
    "text",
    [
        RAM,
        f"{RAM},host-nodes=0,policy=bind",
        f"{RAM},host-nodes=0-0,policy=bind",
        "iothread,id=i,poll-max-ns=32768",
    ],
)
def test_other_values_start(text: str) -> None:
    assert said(text)[0] == "starts"


@pytest.mark.parametrize("nodes", ["7", "0-7", "7-0x8", "0-70000", "x"])
def test_a_node_of_which_nobody_knows_is_unknown(nodes: str) -> None:
    answer, possible = said(f"{RAM},host-nodes={nodes},policy=bind")
    if nodes in ("0-70000", "x"):  # the reader of options takes no longer range
        assert answer == "refused"
        return
    assert (answer, possible) == ("unknown", ("cannot bind memory to host NUMA nodes: Invalid argument",))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("memory-backend-memfd,id=m,size=100k", "unknown"),
        ("memory-backend-memfd,id=m,size=128k", "starts"),
        ("memory-backend-shm,id=m,size=1000", "refused"),
        ("memory-backend-ram,id=m,size=1000", "starts"),
    ],
)
def test_memory_with_a_file_is_of_whole_pages_of_the_host(text: str, answer: str) -> None:
    assert said(text)[0] == answer


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("-object iommufd,id=i,fd=yes", "-M pflsh0=a"),
        ("-object iothread,id=x,poll-max-ns=-1", "-M pflsh0=a"),
        ("-m 1G,slots=foo", "-object iommufd,id=i,fd=yes"),
        ("-M accel=tcg", "-numa node,memdev=q"),
        ("-M accel=tcg", "-object memory-backend-ram,id=m,size=0"),
        ("-M pflash0=nope", "-M accel=tcg"),
    ],
)
def test_which_of_two_faults_comes_first(first: str, second: str) -> None:
    """QEMU names one alone; measured with 11.1.3."""
    alone, both = predicted(first), predicted(f"{second} {first}")
    assert alone.answer == "refused"
    assert both.text == alone.text


def test_a_card_without_a_model_is_named_by_its_type() -> None:
    expected = predicted("-nic user -device pcie-root-port,id=r,bus=pcie.0,addr=1")
    assert "in use by virtio-net-pci,id=(null)" in expected.text
