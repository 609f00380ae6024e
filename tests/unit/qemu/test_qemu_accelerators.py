# SPDX-License-Identifier: Apache-2.0
"""Which accelerators QEMU takes; the texts are what QEMU 11.1.3 printed, built without KVM for Arm."""

from __future__ import annotations

import pytest

from conformance.cases import Run
from conformance.here import NOBODY
from conformance.predict import predict
from vsmmu.qemu.versions import LATEST

#: Words, and the end of what QEMU printed; empty where it started.
PRINTED = [
    ("-M virt -accel maybe", "-accel maybe: invalid accelerator maybe"),
    ("-M virt,accel=maybe", "invalid accelerator maybe"),
    ("-M virt,accel=TCG", "invalid accelerator TCG"),
    ("-M virt,accel=tcg,accel=maybe", "invalid accelerator maybe"),
    ("-M virt,accel=maybe:tcg", ""),
    ("-M virt,accel=tcg:maybe", ""),
    ("-M virt -accel maybe -accel tcg", ""),
    ("-M virt -accel tcg -accel maybe", ""),
    ("-M virt -accel accel=tcg", ""),
    ("-M virt,accel=", "no accelerator found"),
    ("-M virt,accel=tcg -accel tcg", 'The -accel and "-machine accel=" options are incompatible'),
    ("-M virt -enable-kvm -accel tcg", 'The -accel and "-machine accel=" options are incompatible'),
    ("-enable-kvm -M virt,accel=tcg", ""),
    ("-M virt -accel kvm -accel tcg", ""),
    ("-M virt -accel tcg,maybe=on", "-accel tcg,maybe=on: Property 'tcg-accel.maybe' not found"),
    ("-M virt -accel tcg,tb_size=3", "-accel tcg,tb_size=3: Property 'tcg-accel.tb_size' not found"),
    ("-M virt -accel tcg,thread=maybe", "-accel tcg,thread=maybe: Invalid 'thread' setting maybe"),
    ("-M virt -accel tcg,thread=single,tb-size=64", ""),
    ("-M virt -accel tcg,split-wx=maybe", "Parameter 'split-wx' expects 'on' or 'off'"),
    ("-M virt -accel ,thread=single", "-accel ,thread=single: invalid accelerator "),
]  # fmt: skip


def run(words: str) -> Run:
    argv = ("qemu-system-aarch64", *words.split(" "), "-cpu", "max", "-display", "none", "-S", "-nodefaults")
    return Run(words, "accelerators", argv)


@pytest.mark.parametrize(("words", "printed"), PRINTED)
def test_an_accelerator_is_refused_as_qemu_refuses_it(words: str, printed: str) -> None:
    expected = predict(run(words), NOBODY, LATEST._replace(has_kvm=False))
    assert expected.answer == ("refused" if printed else "starts")
    assert expected.text.endswith(printed)


@pytest.mark.parametrize("name", ["hvf", "qtest", "xen", "whpx"])
def test_what_only_some_builds_have_is_unknown(name: str) -> None:
    expected = predict(run(f"-M virt -accel {name}"), NOBODY)
    assert expected.answer == "unknown"
    assert expected.possible == (f"invalid accelerator {name}",)
