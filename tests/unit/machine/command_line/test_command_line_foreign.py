# SPDX-License-Identifier: Apache-2.0
"""Templates that nobody has filled in, and scripts that only look so."""

from __future__ import annotations

import pytest

from vsmmu.api import read_vm
from vsmmu.errors import InputRefused


@pytest.mark.parametrize(
    "value", ["{{gpu}}", "{{ gpu }}", "<GPU>", "<your GPU>", "'{{ .Values.gpu }}'", "'<B:D.F>'"]
)
def test_a_placeholder_is_refused_wherever_it_stands(value: str) -> None:
    """A shell would redirect or take apart what an author has left open: no verdict is about that."""
    for option in (
        f"-device vfio-pci,host={value},bus=b",
        f"-m {value}",
        f"-drive file={value}",
        f"-M {value}",
    ):
        for behind in ("", " -S", "\n", " \\\n  -S\n", " >log 2>&1\n"):
            with pytest.raises(InputRefused) as caught:
                read_vm(f"qemu-system-aarch64 {option}{behind}")
            assert caught.value.code == "placeholder"
            assert caught.value.where.startswith("command line, line 1, column ")


@pytest.mark.parametrize(
    "text",
    [
        "qemu-system-aarch64 -M virt <in >out",
        "qemu-system-aarch64 -M virt < in > out",
        "qemu-system-aarch64 -M virt <in > out",
        "qemu-system-aarch64 -M virt <<<x >log",
        "qemu-system-aarch64 -M virt <<E >log\nx\nE\n",
        "qemu-system-aarch64 -M virt -name \"$(docker inspect -f '{{.Id}}' x)\"",
        """qemu-system-aarch64 -M virt -device '{"driver":"a","b":{"c":{"d":1}}}'""",
    ],
)
def test_what_only_looks_like_a_placeholder_is_read(text: str) -> None:
    assert "virt" in read_vm(text).machine().machine_type
