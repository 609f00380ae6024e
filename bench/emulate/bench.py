# SPDX-License-Identifier: Apache-2.0
"""What the emulator costs: a trapped call beside a responder in C, and a program that makes none.

``python bench/emulate/bench.py [--json]``. Both figures are the best of several rounds, for other work on the
machine makes both larger.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measure import record  # noqa: E402 - found by the line above

ROOT = HERE.parents[1]
PROGRAM = ROOT / "tests" / "unit" / "emulate" / "emulated_program.py"
ROUNDS = 5
COUNT = 2000
#: Calls that the filter lets through at once, and one of which it looks at an argument.
CALLS = ("getppid", "read", "pread64")


def compiled(directory: Path, name: str) -> str:
    """One of the C programs here, compiled."""
    program = directory / name
    subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return str(program)


def output(*command: str) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def emulated(facts: Path, *command: str) -> str:
    """Run a program under the emulator; its output."""
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    full = [sys.executable, "-c", code, "emulate", "-q", "--host", str(facts), "--", *command]
    return output(*full)


def main() -> None:
    sys.path.insert(0, str(PROGRAM.parent))
    from emulate_helpers import host

    from vsmmu.host.files import save_host

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        facts = directory / "host.json"
        save_host(host(), facts)
        responder, loop = compiled(directory, "responder"), compiled(directory, "plain")
        native = min(float(output(responder, str(COUNT))) for _ in range(ROUNDS))
        ours, among = (
            min(
                float(emulated(facts, sys.executable, str(PROGRAM), "busy", str(COUNT), others))
                for _ in range(ROUNDS)
            )
            for others in ("0", "256")
        )
        plain: dict[str, list[list[float]]] = {"alone": [], "emulated": []}
        for _ in range(ROUNDS):
            plain["alone"].append(json.loads(output(loop)))
            plain["emulated"].append(json.loads(emulated(facts, loop)))
        began = time.perf_counter()
        emulated(facts, "true")
        start = time.perf_counter() - began
    best = {way: [min(times) for times in zip(*rounds, strict=True)] for way, rounds in plain.items()}
    result = {
        "trapped call, C responder [us]": round(native, 1),
        "trapped call, emulator [us]": round(ours, 1),
        "ratio": round(ours / native, 2),
        "trapped call, 256 more files open [us]": round(among, 1),
        **{
            f"{call} {way} [ns]": round(best[way][index])
            for index, call in enumerate(CALLS)
            for way in ("alone", "emulated")
        },
        "start and end of `emulate -- true` [ms]": round(start * 1e3),
    }
    record("emulate", result, {"trapped call, of the peer's": (ours / native, 1.5)})
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        print("\n".join(f"{label:42} {value:>8}" for label, value in result.items()))


if __name__ == "__main__":
    main()
