# SPDX-License-Identifier: Apache-2.0
"""What a start of vsmmu loads: it lies on the path of a VM's start, so only what the verb needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

VM = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
).split()
#: Heavy, or never needed to answer from facts; each costs milliseconds that a VM waits. (What msgspec itself
#: loads cannot be helped: decimal, uuid, datetime.)
UNWANTED = set(
    "asyncio click dataclasses email http importlib.metadata jinja2 logging lxml pydoc qemu socket "
    "subprocess tempfile unittest vsmmu.doctor vsmmu.lab vsmmu.probe.live vsmmu.probe.execute "
    "vsmmu.qemu.device_tables vsmmu.uapi xml".split()
)
PROBE = """
import sys
from vsmmu.cli.main import run
status = run(sys.argv[1:])
print("STATUS", status, *sorted(sys.modules), file=sys.stderr)
"""


def _loaded(*arguments: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    last = result.stderr.splitlines()[-1].split()
    assert last[:2] == ["STATUS", "0"], result.stderr
    return set(last[2:])


def _bare() -> set[str]:
    code = "import sys; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize("verb", ["resolve", "check", "explain"])
def test_answering_from_facts_loads_nothing_heavy(verb: str) -> None:
    loaded = _loaded(verb, "--host", "builtin:gb200", "--", *VM) - _bare()
    unwanted = {name for name in loaded if any(name == bad or name.startswith(f"{bad}.") for bad in UNWANTED)}
    assert unwanted == set()


def test_a_verb_loads_no_other_verb() -> None:
    loaded = _loaded("resolve", "--host", "builtin:gb200", "--", *VM)
    others = {
        f"vsmmu.cli.{verb}" for verb in ("show", "explain", "check", "probe", "doctor", "lab", "completion")
    }
    assert loaded & others == set()


def test_help_loads_no_layer_below_the_command_line() -> None:
    layers = {name for name in _loaded("--help") if name.startswith("vsmmu.")}
    assert layers - {"vsmmu.errors"} <= {name for name in layers if name.startswith("vsmmu.cli")}


def test_the_version_loads_no_library_of_documents() -> None:
    assert not _loaded("--version") & {"msgspec", "vsmmu.diagnostic"}
