# SPDX-License-Identifier: Apache-2.0
"""What ``vsmmu run`` adds to a start of QEMU, and what a plan costs (--qemu names the binary).

The VM that is resolved has accel=on, which needs KVM on Arm; the one that QEMU then starts here is the same
with a software SMMU, by a wrapper that both sides call, so that the difference is vsmmu's alone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
from measure import Cost, best_of, compare, record, skip, version

from vsmmu.errors import HostLacks, Negative, VsmmuError
from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import Host, HostFunction
from vsmmu.monitor.binary_cache import find
from vsmmu.monitor.binary_probe import ask
from vsmmu.plan.planner import Order, plan
from vsmmu.qemu.versions import LATEST

VM = (
    "-M virt -accel kvm -bios firmware.fd -nodefaults -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on{values} "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)
VALUES = ",ats=on,ril=off,ssidsize=20,oas=48"
WRAPPER = """#!/bin/sh
case " $* " in *" -machine none "*) exec {qemu} "$@" ;; esac
exec {qemu} -M virt -display none -nodefaults -S -monitor stdio \\
    -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \\
    -device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0 -device pcie-root-port,id=rp1,bus=pcie.1,chassis=1
"""
#: Behind 16 expanders there is room for 239 ports; 512 are refused.
SIZES = (1, 16, 239, 512)


def starts(qemu: str, runs: int, directory: Path) -> dict[str, Cost]:
    """A start of QEMU with the values written, and by way of ``vsmmu run``; they take turns."""
    wrapper = directory / "qemu-system-aarch64"
    wrapper.write_text(WRAPPER.format(qemu=shlex.quote(qemu)))
    wrapper.chmod(0o755)
    os.environ["XDG_CACHE_HOME"] = str(directory / "cache")
    # The version is told: a binary for another architecture, as there may be here, says that it has no KVM.
    script = str(Path(sys.executable).with_name("vsmmu"))
    run = [sys.executable, script, "run", "--host", "builtin:gb200", "--qemu", "11.1", "--"]
    commands = {
        "QEMU, values written": ([str(wrapper), *VM.format(values=VALUES).split()], b"quit\n"),
        "vsmmu run": ([*run, str(wrapper), *VM.format(values="").split()], b"quit\n"),
        "python -c pass": ([sys.executable, "-c", "pass"], b""),
    }
    return compare(commands, runs)


def first_start(qemu: str) -> float:
    """Seconds that asking a binary takes, the first time it is seen."""
    seen = []
    for _ in range(5):
        begun = time.perf_counter()
        ask(qemu)
        seen.append(time.perf_counter() - begun)
    return median(seen)


def host_with(functions: int) -> Host:
    """A host with 16 SMMUs like the GB200's, and the functions spread over them."""
    given = builtin_host("gb200")
    smmus = tuple(
        msgspec.structs.replace(given.smmus[0], name=f"smmu{number}", device="") for number in range(16)
    )
    return Host(
        schema=given.schema,
        name="bench",
        smmus=smmus,
        functions=tuple(
            HostFunction(address=f"{n % 16:04x}:{n // 512:02x}:{n // 16 % 32:02x}.0", smmu=f"smmu{n % 16}")
            for n in range(functions)
        ),
        evidence=given.evidence,
    )


def plans() -> dict[int, float]:
    """CPU seconds of a plan for so many functions of a host with 512; the last is refused."""
    host = host_with(512)
    addresses = tuple(entry.address for entry in host.functions)
    return {size: best_of(lambda size=size: _plan(addresses[:size], host), 5) for size in SIZES}


def _plan(devices: tuple[str, ...], host: Host) -> None:
    try:
        plan(Order(devices), host, LATEST)
    except Negative as error:
        if error.code != "no-bus-numbers":
            raise


def binary(given: str, directory: Path) -> str:
    """The QEMU to start: what was given, else the system's, else the lab's, by a script that calls it."""
    with suppress(HostLacks):
        return find(given or "qemu-system-aarch64")
    from vsmmu.lab.build import ensure
    from vsmmu.lab.cache import Cache

    script = directory / "lab-qemu"
    kernel = os.environ.get("VSMMU_LAB_KERNEL")
    tools = ensure(Cache.default(), Path(kernel) if kernel else None).tools
    script.write_text(f'#!/bin/sh\nexec {shlex.join(tools.qemu())} "$@"\n')
    script.chmod(0o755)
    return str(script)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--qemu", default="", help="the binary to start; the lab's if there is none")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vsmmu-bench-") as name:
        try:
            qemu = binary(arguments.qemu, Path(name))
        except VsmmuError as error:
            skip("run", f"no QEMU: {error.diagnostic.what}")
            return
        named = version(qemu, "--version")
        costs = starts(qemu, arguments.runs, Path(name))
        first = first_start(qemu)
    sizes = plans()
    for label, cost in costs.items():
        print(f"{label:24} {cost.wall * 1000:7.1f} ms wall {cost.cpu * 1000:7.1f} ms CPU")
    direct, ours = costs["QEMU, values written"], costs["vsmmu run"]
    added = ours.wall - direct.wall
    print(f"{'vsmmu run adds':24} {added * 1000:7.1f} ms wall, {added / direct.wall:.0%} of QEMU's own start")
    print(f"{'asking a new binary':24} {first * 1000:7.1f} ms, once")
    for size, seconds in sizes.items():
        note = "  (refused: bus numbers)" if size == 512 else ""
        print(f"plan, {size:4} functions    {seconds * 1000:9.2f} ms CPU{note}")
    figures = {
        "starts": {label: cost._asdict() for label, cost in costs.items()},
        "added_seconds": added,
        "qemu": named,
        "first_seconds": first,
        "plan_seconds": sizes,
    }
    record("run", figures, {"added, of QEMU's own start": added / direct.wall})


if __name__ == "__main__":
    main()
