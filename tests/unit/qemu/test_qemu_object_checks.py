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
