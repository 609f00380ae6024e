# SPDX-License-Identifier: Apache-2.0
"""What real QEMU says of accelerators, held against the model."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from conformance.cases import Run
from conformance.here import play_here
from quoted import quoted
from vsmmu.monitor.binary_probe import ask
from vsmmu.qemu.accelerators import OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from vsmmu.lab import Session
    from vsmmu.lab.build import Artifacts

_FORMS = (
    "-M virt -accel {}",
    "-M virt,accel={}",
    "-M virt,accel={}:tcg",
    "-M virt,accel=tcg:{}",
    "-M virt -accel {} -accel tcg",
    "-M virt -accel tcg -accel {}",
    "-M virt,accel=tcg -accel {}",
    "-enable-kvm -M virt,accel={}",
    "-M virt -enable-kvm -accel {}",
    "-M virt -accel accel={}",
)
_NAMES = ("tcg", "kvm", "maybe", "", "hvf", "tcg,thread=maybe", "tcg,x=y", "tcg,split-wx=maybe")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_are_those_of_qemu_for_arm_itself(lab: Session, name: str) -> None:
    asked = {"execute": "qom-list-properties", "arguments": {"typename": f"{name}-accel"}}
    orders = [{"execute": "qmp_capabilities"}, asked, {"execute": "quit"}]
    lines = "\n".join(json.dumps(order) for order in orders)
    command = f"echo {shlex.quote(lines)} | qemu-system-aarch64 -M none -display none -S -qmp stdio"
    said = lab.run(["sh", "-c", command]).stdout.decode().splitlines()
    (answer,) = (entry["return"] for entry in map(json.loads, said) if entry.get("return"))
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        assert {entry["name"] for entry in answer} - {"type"} == set(OPTIONS[name])


def test_real_qemu_takes_the_accelerators_that_the_model_takes(
    lab_artifacts: Artifacts, tmp_path: Path
) -> None:
    binary = tmp_path / "qemu-system-aarch64"
    binary.write_text(f'#!/bin/sh\nexec {shlex.join(lab_artifacts.tools.qemu())} "$@"\n')
    binary.chmod(0o755)
    end = ("-cpu", "max", "-display", "none", "-S", "-nodefaults")
    words = [form.format(name) for form in _FORMS for name in _NAMES]
    runs = [Run(text, "accelerators", ("qemu-system-aarch64", *text.split(" "), *end)) for text in words]
    with quoted("qemu-system-arm", "11.1", lab_artifacts.versions()):
        judged = [judgement for judgement, _ in play_here(str(binary), runs, ask(str(binary)).qemu)]
    assert [(entry.run.name, entry.complaints) for entry in judged if entry.complaints] == []
    rows = {entry.row for entry in judged}
    assert {"", "qemu-accelerator", "qemu-accelerator-unknown", "qemu-accelerator-twice"} <= rows
