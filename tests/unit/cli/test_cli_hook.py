# SPDX-License-Identifier: Apache-2.0
"""The program onDefineDomain: what it prints, its statuses, its time, and what it loads."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vsmmu.host
from domains import domain, driver, golden
from vsmmu.cli.hook import USAGE
from vsmmu.kubevirt.settings import from_environment

GB200 = str(Path(vsmmu.host.__file__).with_name("builtin") / "gb200.json")
VMI = '{"kind": "VirtualMachineInstance", "metadata": {"name": "vm"}, "spec": {}}'


def call(
    data: bytes, *arguments: str, before: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    code = f"{before}from vsmmu.cli.hook import main; main()"
    given = arguments or ("--vmi", VMI, "--domain", data.decode())
    return subprocess.run(
        [sys.executable, "-I", "-c", code, *given],
        capture_output=True,
        env={"VSMMU_HOST": GB200, **environment},
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_program_tells_a_variable_that_is_misspelt_and_does_its_work() -> None:
    done = call(golden("gb200"), VSMMU_ON_FAIL="pass-through")
    assert done.returncode == 0
    assert b"VSMMU_ON_FAIL" in done.stderr
    assert b"oas='48'" in done.stdout


def test_program_prints_the_domain_and_nothing_else() -> None:
    done = call(golden("gb200"))
    assert (done.returncode, done.stdout) == (
        0,
        golden("gb200")
        .replace(
            b"ats='auto' ril='auto' ssidsize='auto' oas='auto'", b"ats='on' ril='off' ssidsize='20' oas='48'"
        )
        .replace(b'accel="on"', b'accel="on" ats="on" ril="off" ssidsize="20" oas="48"'),
    )
    assert all(line.startswith(b"vsmmu: ") for line in done.stderr.splitlines())


def test_program_says_which_built_in_hosts_there_are() -> None:
    assert call(golden("gb200"), VSMMU_HOST="builtin:gb200").stdout == call(golden("gb200")).stdout
    done = call(golden("gb200"), VSMMU_HOST="builtin:gb20")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"did you mean builtin:gb200? choose one of" in done.stderr


def test_usage_names_every_setting() -> None:
    for name in re.findall(r'"(VSMMU_\w+)"', inspect.getsource(from_environment)):
        assert name in USAGE


def test_program_prints_nothing_where_it_fails() -> None:
    done = call(driver("pciBus='2' accel='on'"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"pcibus-no-expander" in done.stderr
    done = call(b"<domain><iommu model='smmuv3'>")
    assert (done.returncode, done.stdout) == (3, b"")
    done = call(domain(), VSMMU_HOST="/nonexistent")
    assert (done.returncode, done.stdout) == (5, b"")


def test_program_passes_through_where_told() -> None:
    data = driver("pciBus='2' accel='on'")
    done = call(data, VSMMU_ON_FAILURE="pass-through")
    assert (done.returncode, done.stdout) == (0, data)
    assert b"passed through" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--vmi", "{}"], ["--domain"], ["--vmi", "{}", "--vmi", "{}"], ["x"], ["--x=1"]]
)
def test_program_called_wrongly(arguments: list[str]) -> None:
    done = call(b"", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"usage" in done.stderr


def test_program_is_bounded_in_time() -> None:
    """Facts that never come must not keep a VM waiting for KubeVirt's minute."""
    hung = "import time, vsmmu.host.files as files; files.load_host = lambda _path: time.sleep(60); "
    done = call(domain(), before=hung, VSMMU_TIMEOUT="0.5")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"hook-timeout" in done.stderr
    done = call(domain(), before=hung, VSMMU_TIMEOUT="0.5", VSMMU_ON_FAILURE="pass-through")
    assert (done.returncode, done.stdout) == (0, domain())


def test_program_loads_nothing_for_other_vms() -> None:
    code = (
        "import sys; from vsmmu.cli.hook import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    given = ["--vmi", '{"metadata":{}}', "--domain", "<domain/>"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *given], capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stderr.split() if name.startswith("vsmmu.")}
    assert loaded == {
        *("vsmmu.cli", "vsmmu.cli.hook", "vsmmu.cli.outcome", "vsmmu.cli.stdout"),
        *("vsmmu.kubevirt", "vsmmu.kubevirt.concern"),
    }
    assert {"typing", "re", "signal", "contextlib", "json", "pyexpat"}.isdisjoint(done.stderr.split())
