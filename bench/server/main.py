# SPDX-License-Identifier: Apache-2.0
"""The gRPC server under load: many clients, rotten connections, facts on a file system that hangs.

``python bench/server/main.py [--clients 32 --calls 20000 --rotten 200]``. Clients are threads of this
process, each with a channel of its own, and call OnDefineDomain with an accelerated domain; rotten ones send
half a greeting, or noise, and stay. The hung part needs root and /dev/fuse, and is left out without them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from domains import domain  # noqa: E402 - found by the line above
from vsmmu.kubevirt.protocol import CALLBACKS, message  # noqa: E402

FACTS = ROOT / "src" / "vsmmu" / "host" / "builtin" / "gb200.json"
PACKAGE = CALLBACKS["v1alpha2"]
VMI = b'{"metadata": {"name": "vm"}}'
CONCERNED = domain()
OTHER = CONCERNED.replace(b"smmuv3", b"intel").replace(b" accel='on'", b"")
#: At most; the memory beside what the server has after its first call.
AIMS = {"failed": 0, "descriptors left": 5, "MiB more": 64, "p99 ms, other VMs beside hung facts": 500}
#: A FUSE file system whose server never says a word: whatever asks for a file waits.
HUNG = """
import ctypes, os, sys
fuse = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(fuse, True)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"fuse", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Client:
    """One channel, as one virt-launcher has it."""

    def __init__(self, path: Path) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(f"unix:{path}", options=options)
        self.request = message(PACKAGE, "OnDefineDomainParams")
        self.rpc = self.channel.unary_unary(
            f"/{PACKAGE}.Callbacks/OnDefineDomain",
            request_serializer=lambda entry: entry.SerializeToString(),
            response_deserializer=message(PACKAGE, "OnDefineDomainResult").FromString,
        )

    def seconds(self, data: bytes) -> float:
        """How long a call takes; it fails if the answer is no domain."""
        start = time.perf_counter()
        answer = self.rpc(self.request(domainXML=data, vmi=VMI), timeout=60, wait_for_ready=True).domainXML
        if not answer.rstrip().endswith(b"</domain>") or (data is CONCERNED) == (answer == data):
            raise AssertionError(answer[:200])
        return time.perf_counter() - start


def server(path: Path, hung: Path | None = None) -> subprocess.Popen[bytes]:
    """``vsmmu kubevirt serve``; with the facts in ``hung``, if that is given."""
    serve = [sys.executable, "-m", "vsmmu", "kubevirt", "serve", "--socket", str(path)]
    environment = {
        **os.environ,
        "VSMMU_HOST": str(hung / "host.json" if hung else FACTS),
        "VSMMU_TIMEOUT": "5",
    }
    command = ["unshare", "-m", sys.executable, "-c", HUNG, str(hung), *serve] if hung else serve
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def state(pid: int) -> tuple[int, float, int]:
    """Descriptors, MiB and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    words = dict(line.split(":", 1) for line in status.splitlines())
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return descriptors, int(words["VmRSS"].split()[0]) / 1024, int(words["Threads"])


def rot(path: Path, count: int) -> list[socket.socket]:
    """Connections that stay, and say nothing, half a greeting, or noise."""
    found = []
    for number in range(count):
        rotten = socket.socket(socket.AF_UNIX)
        rotten.connect(str(path))
        rotten.send(
            (b"P", b"PRI * HTTP/2.0\r\n\r\nSM", b"\xff" * 100, b"GET / HTTP/1.0\r\n")[number % 4] or b"P"
        )
        found.append(rotten)
    return found


def load(path: Path, clients: int, calls: int, data: bytes) -> tuple[list[float], int, float]:
    """Seconds of each call, how many failed, and seconds of all."""
    took: list[float] = []
    failed: list[str] = []
    lock = threading.Lock()

    def work(count: int) -> None:
        client = Client(path)
        for _ in range(count):
            try:
                seconds = client.seconds(data)
            except (grpc.RpcError, AssertionError) as error:
                with lock:
                    failed.append(str(error)[:200])
            else:
                with lock:
                    took.append(seconds)
        client.channel.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, [calls // clients] * clients))
    if failed:
        sys.stderr.write(f"first failure: {failed[0]}\n")
    return took, len(failed), time.perf_counter() - began


def percentile(took: list[float], part: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(took, n=100)[part - 1] * 1e3 if len(took) > 1 else 0.0


def under_load(folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """The clients' calls beside the rotten connections."""
    path = folder / "vsmmu.sock"
    with server(path) as process:
        first = Client(path)
        first.seconds(CONCERNED)
        before = state(process.pid)
        rotten = rot(path, asked.rotten)
        took, failed, seconds = load(path, asked.clients, asked.calls, CONCERNED)
        during = state(process.pid)
        for one in rotten:
            one.close()
        time.sleep(2)
        first.seconds(CONCERNED)
        after = state(process.pid)
        first.channel.close()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    return {
        "calls": len(took), "failed": failed, "calls/s": len(took) / seconds, "p50 ms": percentile(took, 50),
        "p99 ms": percentile(took, 99), "descriptors before": before[0], "descriptors during": during[0],
        "descriptors after": after[0], "descriptors left": after[0] - before[0], "MiB before": before[1],
        "MiB during": during[1], "MiB after": after[1], "MiB more": after[1] - before[1],
        "threads": during[2],
    }  # fmt: skip


def beside_hung_facts(folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    """VMs without need of facts, while as many others wait for facts that never come."""
    hung, path = folder / "hung", folder / "hung.sock"
    hung.mkdir()
    probe = ["unshare", "-m", sys.executable, "-c", HUNG, str(hung), "/bin/true"]
    if os.geteuid() != 0 or subprocess.run(probe, check=False, capture_output=True).returncode:
        return {}
    with server(path, hung) as process:
        Client(path).seconds(OTHER)
        before = state(process.pid)
        waiting = [Client(path) for _ in range(asked.clients)]
        calls = [
            one.rpc.future(one.request(domainXML=CONCERNED, vmi=VMI), timeout=60, wait_for_ready=True)
            for one in waiting
        ]
        took, failed, _ = load(path, 4, 400, OTHER)
        refused = sum(call.exception(60) is not None for call in calls)
        for one in waiting:
            one.channel.close()
        time.sleep(1)
        after = state(process.pid)
        process.kill()
    return {
        "other VMs beside hung facts": len(took), "failed, other VMs": failed, "refused, in time": refused,
        "p99 ms, other VMs beside hung facts": percentile(took, 99),
        "descriptors left, hung": after[0] - before[0], "MiB more, hung": after[1] - before[1],
    }  # fmt: skip


def main() -> int:
    """Measure, print, and fail if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rotten", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vsmmu-load-") as folder:
        found: dict[str, Any] = {**under_load(Path(folder), asked), **beside_hung_facts(Path(folder), asked)}
    print(f"{asked.clients} clients, {asked.rotten} rotten connections")
    for name, value in found.items():
        aim = f"  (aim: at most {AIMS[name]})" if name in AIMS else ""
        print(f"  {name:40} {value:10.1f}{aim}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="ascii")
    return int(any(found[name] > aim for name, aim in AIMS.items() if name in found))


if __name__ == "__main__":
    sys.exit(main())
