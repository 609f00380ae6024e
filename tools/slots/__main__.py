# SPDX-License-Identifier: Apache-2.0
"""``python -m slots --qemu BINARY``: ask QEMU for places of PCI devices, print its answers as JSON lines."""

from __future__ import annotations

import json
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from slots.lines import Question, questions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["command"]

_SECONDS = 60


@click.command()
@click.option(
    "--qemu", default="qemu-system-aarch64", show_default=True, help="The emulator, in shell quoting."
)
@click.option("--seed", default=1, show_default=True, help="Of the VMs made by chance.")
@click.option("--mixed", default=250, show_default=True, help="How many VMs to make by chance.")
@click.option("--workers", default=2, show_default=True, help="QEMUs at a time.")
def command(qemu: str, seed: int, mixed: int, workers: int) -> None:
    """Record where a real QEMU puts PCI devices, and what it refuses."""
    program = shlex.split(qemu)
    with ThreadPoolExecutor(workers) as pool:
        for answer in pool.map(lambda question: ask(program, question), questions(seed, mixed)):
            click.echo(json.dumps(answer, separators=(",", ":")))


def ask(program: Sequence[str], question: Question) -> dict[str, Any]:
    """Run one command line; see tests/golden/qemu-11.1.3-slots/README.md for what comes back."""
    commands: list[dict[str, Any]] = [{"execute": "qmp_capabilities"}]
    commands += [{"execute": "device_add", "arguments": plug} for plug in question.plugs]
    names = [*question.names, *dict.fromkeys(plug["id"] for plug in question.plugs)]
    commands += [
        {"execute": "qom-get", "arguments": {"path": f"/machine/peripheral/{name}", "property": "addr"}}
        for name in names
    ]
    commands.append({"execute": "quit"})
    ran = subprocess.run(
        [*program, *question.words[1:], "-qmp", "stdio"],
        input="".join(map(json.dumps, commands)),
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    answer: dict[str, Any] = {
        "id": question.id,
        "command": shlex.join(question.words),
        "exit": ran.returncode,
    }
    if lines := [line for line in ran.stderr.splitlines() if not line.endswith("has no peer")]:
        answer["stderr"] = [line.replace(program[-1], question.words[0]) for line in lines]
    if ran.returncode == 0:
        replies = [
            reply
            for line in ran.stdout.splitlines()
            if {"return", "error"} & (reply := json.loads(line)).keys()
        ]
        plugged = replies[1 : 1 + len(question.plugs)]
        places = zip(names, replies[1 + len(question.plugs) :], strict=False)
        answer["devfn"] = {name: reply["return"] for name, reply in places if "return" in reply}
        if question.plugs:
            answer["plugs"] = list(question.plugs)
            answer["answers"] = [reply.get("error", {}).get("desc", "") for reply in plugged]
    return answer


if __name__ == "__main__":
    command()
