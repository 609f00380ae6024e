# SPDX-License-Identifier: Apache-2.0
"""What a start loads and executes: it lies on the path of a VM's start, so only what the verb needs.

Neither gate looks at a clock, so a busy machine passes them, too. Both are as tight as what is reached: who
needs more says why, and raises the number.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

import vsmmu
from domains import domain

VM: Final = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)
DOMAIN: Final = domain().decode()
HOOK: Final = ("--vmi", "{}", "--domain")


class Start(NamedTuple):
    """One way to start.

    :param program: the module with its ``main``.
    :param modules: the most of vsmmu that may be loaded.
    """

    program: str
    arguments: tuple[str, ...]
    modules: int


STARTS: Final = {
    "version": Start("vsmmu.cli", ("--version",), 5),
    "resolve": Start("vsmmu.cli", ("resolve", "--", *VM.split()), 90),
    "resolve, a script": Start("vsmmu.cli", ("resolve", "vm.sh"), 98),
    "resolve, a domain": Start("vsmmu.cli", ("resolve", "vm.xml"), 106),
    "check": Start("vsmmu.cli", ("check", "--", *VM.split()), 86),
    "check, a domain": Start("vsmmu.cli", ("check", "vm.xml"), 103),
    "explain": Start("vsmmu.cli", ("explain", "--", *VM.split()), 99),
    "run": Start("vsmmu.cli", ("run", "--qemu", "11.1", "--dry-run", "--", *VM.split()), 90),
    "hook": Start("vsmmu.cli.hook", (*HOOK, DOMAIN), 97),
    "hook, no SMMU": Start("vsmmu.cli.hook", (*HOOK, DOMAIN.replace("smmuv3", "intel")), 7),
}
#: The most instructions, in those of a bare interpreter: 2 % above what was counted with Debian 12's Python.
INSTRUCTIONS: Final = {
    "version": 0.91, "resolve, a script": 4.43, "check, a domain": 4.42, "hook": 4.55, "hook, no SMMU": 0.93,
}  # fmt: skip
#: What else may be loaded, by typing and by msgspec.
FOREIGN: Final = set(
    "__future__ collections contextlib copyreg enum errno functools gc importlib itertools keyword math "
    "msgspec operator pyexpat re reprlib types typing warnings".split()
)
#: Says which texts are compiled: for the first, Python makes a class for each part of its syntax. It does
#: without where one is evaluated at once, as constructors of functools' named tuples are.
COMPILED: Final = """
import sys
def look(event, given):
    if event == "compile" and given[1] == "<string>" and not given[0].startswith(b"lambda _cls, "):
        print("COMPILED", given[0], file=sys.stderr)
sys.addaudithook(look)
from {program} import main
main()
"""
PROBE: Final = """
import os, sys
leave = os._exit
def end(status):
    print("STATUS", status, *sys.modules, file=sys.stderr, flush=True)
    leave(status)
os._exit = end
from {program} import main
main()
"""


class Place(NamedTuple):
    """An environment that has vsmmu and msgspec and nothing else, and the files that are asked about."""

    python: Path
    directory: Path

    def run(self, *words: str | Path, code: str, arguments: tuple[str, ...] = ()) -> str:
        """What Python prints to stderr, where byte code is kept as in an installation."""
        done = subprocess.run(
            [*words, self.python, "-I", "-c", code, *arguments],
            env={"PATH": os.environ["PATH"], "VSMMU_HOST": str(self.directory / "host.json")},
            cwd=self.directory, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Made by hand and copied: a virtual environment of its own, whose byte code nobody else needs."""
    root = tmp_path_factory.mktemp("start")
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    (root / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    site = root / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for package in (vsmmu, msgspec):
        source = Path(package.__file__).parent
        shutil.copytree(source, site / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(site / "vsmmu" / "host" / "builtin" / "gb200.json", root / "host.json")
    # msgspec takes its functions where it is installed; at once, it would be a fifth of a start.
    (site / "typing_extensions.py").write_text("from typing import NotRequired, Required, get_type_hints\n")
    (root / "vm.sh").write_text(f"{VM}\n")
    (root / "vm.xml").write_text(DOMAIN)
    return Place(root / "bin" / "python", root)


def _loaded(place: Place, start: Start) -> set[str]:
    bare = place.run(code="import sys; print(*sys.modules, file=sys.stderr)")
    said = place.run(code=PROBE.format(program=start.program), arguments=start.arguments)
    last = said.splitlines()[-1].split()
    assert last[:2] == ["STATUS", "0"], said
    return set(last[2:]) - set(bare.split())


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_start_loads_only_what_it_needs(place: Place, start: Start) -> None:
    loaded = _loaded(place, start)
    mine = {name for name in loaded if name.partition(".")[0] == "vsmmu"}
    foreign = {name for name in loaded - mine if not name.startswith("_") or name == "__future__"}
    known = {f"{name}." for name in FOREIGN}
    assert [name for name in foreign if not f"{name}.".startswith(tuple(known))] == []
    assert len(mine) <= start.modules, sorted(mine)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_start_compiles_no_text(place: Place, start: Start) -> None:
    code = COMPILED.format(program=start.program)
    place.run(code=code, arguments=start.arguments)  # compiles what is imported
    assert "COMPILED" not in place.run(code=code, arguments=start.arguments)


@pytest.mark.parametrize("name", ["version", "hook, no SMMU"])
def test_where_there_is_nothing_to_do_no_library_is_loaded(place: Place, name: str) -> None:
    loaded = _loaded(place, STARTS[name])
    # What is built into the interpreter, but for __future__.
    assert {name for name in loaded if not name.startswith("vsmmu")} <= {"__future__", "errno", "gc"}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_a_start_is_done_in_so_many_instructions(place: Place, name: str) -> None:
    start = STARTS[name]
    bare = _instructions(place, "pass")
    code = f"from {start.program} import main; main()"
    place.run(code=code, arguments=start.arguments)  # compiles what is imported
    assert _instructions(place, code, start.arguments) / bare <= INSTRUCTIONS[name]


def _instructions(place: Place, code: str, arguments: tuple[str, ...] = ()) -> int:
    if not (valgrind := shutil.which("valgrind")):
        pytest.skip("valgrind is not installed")
    options = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    said = place.run(valgrind, *options, code=code, arguments=arguments)
    counted = re.search(r"I +refs: +([\d,]+)", said)
    assert counted is not None, said
    return int(counted[1].replace(",", ""))


def test_a_verb_loads_no_other_verb(place: Place) -> None:
    loaded = _loaded(place, STARTS["resolve"])
    verbs = {path.stem for path in (place.directory / "lib").glob("*/site-packages/vsmmu/cli/*.py")}
    assert {f"vsmmu.cli.{verb}" for verb in verbs & {"show", "explain", "check", "probe", "lab"}}.isdisjoint(
        loaded
    )


def test_help_loads_no_layer_below_the_command_line() -> None:
    code = "import sys; from vsmmu.cli.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    layers = {name for name in done.stderr.split() if name.startswith("vsmmu.")}
    assert layers - {"vsmmu.errors", "vsmmu.named_tuple"} <= {
        name for name in layers if name.startswith("vsmmu.cli")
    }
