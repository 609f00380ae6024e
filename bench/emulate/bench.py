# SPDX-License-Identifier: Apache-2.0
"""What the emulator costs: a trapped call beside a responder in C, and a program that makes none.

``python bench/emulate/bench.py [--json]``. The caller is one loop in C for both. They take turns, because
other work on the machine makes both larger; the ratio is the median of those of the turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measure import record  # noqa: E402 - found by the line above

ROOT = HERE.parents[1]
HELPERS = ROOT / "tests" / "unit" / "emulate"
ROUNDS = 9
COUNT = 2000
OTHERS = 256
NODE = "/dev/vfio/devices/vfio0"
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


def trapped(directory: Path, facts: Path) -> tuple[list[float], ...]:
    """Microseconds of a call, turn by turn.

    Of the responder, of its system calls made from Python, of the emulator, and of that with more files open.
    """
    responder, caller = compiled(directory, "responder"), compiled(directory, "caller")
    turns = [
        (
            float(output(responder, str(COUNT))),
            float(output(responder, str(COUNT), sys.executable, str(HERE / "bare.py"))),
            float(emulated(facts, caller, str(COUNT), "0", NODE)),
            float(emulated(facts, caller, str(COUNT), str(OTHERS), NODE)),
        )
        for _ in range(ROUNDS)
    ]
    return tuple(map(list, zip(*turns, strict=True)))


def main() -> None:
    sys.path.insert(0, str(HELPERS))
    from emulate_helpers import host

    from vsmmu.host.files import save_host

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        facts = directory / "host.json"
        save_host(host(), facts)
        loop = compiled(directory, "plain")
        native, bare, ours, among = trapped(directory, facts)
        plain: dict[str, list[list[float]]] = {"alone": [], "emulated": []}
        for _ in range(ROUNDS):
            plain["alone"].append(json.loads(output(loop)))
            plain["emulated"].append(json.loads(emulated(facts, loop)))
        began = time.perf_counter()
        emulated(facts, "true")
        start = time.perf_counter() - began
    best = {way: [min(times) for times in zip(*rounds, strict=True)] for way, rounds in plain.items()}
    least, ratio, crowded = (
        median(mine / other for mine, other in zip(times, native, strict=True))
        for times in (bare, ours, among)
    )
    result = {
        "trapped call, C responder [us]": round(median(native), 1),
        "trapped call, its system calls from Python [us]": round(median(bare), 1),
        "trapped call, emulator [us]": round(median(ours), 1),
        "ratio": round(ratio, 2),
        "ratio of the system calls from Python alone": round(least, 2),
        f"trapped call, {OTHERS} more files open [us]": round(median(among), 1),
        **{
            f"{call} {way} [ns]": round(best[way][index])
            for index, call in enumerate(CALLS)
            for way in ("alone", "emulated")
        },
        "start and end of `emulate -- true` [ms]": round(start * 1e3),
    }
    aims = {
        "trapped call, of the peer's": ratio,
        f"trapped call with {OTHERS} more files open, of the peer's": crowded,
    }
    record("emulate", result, aims)
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        print("\n".join(f"{label:42} {value:>8}" for label, value in result.items()))


if __name__ == "__main__":
    main()
