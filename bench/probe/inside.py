# SPDX-License-Identifier: Apache-2.0
"""Runs inside the lab: our question and the C program's, turn by turn, on the same device. Prints JSON.

usage: inside.py ADDRESS TURNS ROUNDS
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from vsmmu.probe.ask import ask
from vsmmu.probe.steps import (
    BindDriver,
    DriverStep,
    OverrideDriver,
    SysfsWriter,
    UnbindDriver,
    bound_driver,
    current_override,
)
from vsmmu.probe.system_root import Tree
from vsmmu.probe.vfio_files import vfio_device


def ours(tree: Tree, address: str, node: str, rounds: int) -> list[int]:
    times = []
    for _ in range(rounds):
        start = time.monotonic_ns()
        ask(tree, address, node, None)
        times.append(time.monotonic_ns() - start)
    return times


def peers(node: str, rounds: int) -> list[int]:
    done = subprocess.run(["/root/peer", node, str(rounds)], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def commands(runs: int) -> dict[str, list[int]]:
    """Whole processes: the interpreter alone, and the command with all that it does besides asking."""
    programs = {"python": ["python3", "-c", "pass"], "vsmmu probe": ["vsmmu", "probe"]}
    times: dict[str, list[int]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, argv in programs.items():
            start = time.monotonic_ns()
            subprocess.run(argv, check=True, capture_output=True)
            times[name].append(time.monotonic_ns() - start)
    return times


def to_vfio(tree: Tree, address: str) -> list[DriverStep]:
    """What gives the function to vfio-pci; a kernel with drivers has bound it to its own."""
    own = bound_driver(tree, address)
    return [
        *([UnbindDriver(address, own)] if own else []),
        OverrideDriver(address, "vfio-pci", current_override(tree, address)),
        BindDriver(address, "vfio-pci"),
    ]


def main() -> None:
    address, turns, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tree, writer = Tree(), SysfsWriter(Tree())
    steps = to_vfio(tree, address)
    for step in steps:
        step.apply(writer)
    device = vfio_device(tree, address)
    assert device is not None
    ours(tree, address, device.node, 1)
    peers(device.node, 1)
    result: dict[str, list[int]] = {"vsmmu": [], "c": []}
    for _ in range(turns):
        result["c"] += peers(device.node, rounds)
        result["vsmmu"] += ours(tree, address, device.node, rounds)
    print(json.dumps(result | commands(3)))
    for step in reversed(steps):
        step.undo(writer)


if __name__ == "__main__":
    main()
