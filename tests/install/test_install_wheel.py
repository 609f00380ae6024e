# SPDX-License-Identifier: Apache-2.0
"""The built wheel does its work in a bare environment outside the checkout, alike on every supported Python.

Dependencies come from the locks, once for each interpreter, into a cache outside the checkout;
the environment is made anew each time, with the wheel in it. Each has to answer as the checkout's own does.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from interpreters import ROOT, clean_environment, interpreters, supported
from test_install_locks import pins

from vsmmu.cli.schemas import DOCUMENTS

sys.path.append(str(ROOT / "tests"))
from domains import domain

if TYPE_CHECKING:
    from interpreters import Interpreter

# One environment for each interpreter, not one for each worker and interpreter.
pytestmark = pytest.mark.xdist_group("wheel")

_VM = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)
_HOST = "--host builtin:gb200"
_VERBS = {
    "resolve": (f"vsmmu resolve {_HOST} -- {_VM}", "ats=on,ril=off,ssidsize=20,oas=48"),
    "check": (f"vsmmu check {_HOST} -o json -- {_VM}", '"schema": "vsmmu.verdict/1"'),
    "emulate": (f"vsmmu emulate -q {_HOST} -- vsmmu probe 0009:01:00.0", "smmu3.0x0000000012000000"),
    "hook": (
        f"onDefineDomain --vmi '{{}}' --domain {shlex.quote(domain().decode())}",
        "ssidsize='20'",
    ),
    **{f"schema {name}": (f"vsmmu schema {name}", "https://json-schema.org/") for name in DOCUMENTS},
}


class Answer(NamedTuple):
    """What a command ended with."""

    status: int
    stdout: str
    stderr: str


def run(*command: str | Path) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=clean_environment(), cwd="/"
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    where = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(where)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(where.glob("vsmmu-*-py3-none-any.whl"))


def dependencies(interpreter: Interpreter) -> Path:
    """An environment with pip, and in ``packages`` this package's dependencies at their locked versions.

    Made if it is not there. With a pip of its own, because an old pip does not run on a new Python.
    """
    # What is in both locks: neither an extra, nor what builds the wheel.
    names = sorted(set(pins("run")) & set(pins("image")))
    lines = [
        f"{name}=={pins('run')[name][1]} "
        + " ".join(f"--hash={it.removeprefix('--hash=')}" for it in pins("run")[name][2])
        for name in names
    ]
    lock = "\n".join([*lines, ""])
    key = hashlib.sha256(f"{interpreter.version}\n{os.uname().machine}\n{lock}".encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vsmmu", "test-wheels")
    folder = cache / f"python{interpreter.minor}-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as made:
        requirements, ready = Path(made, "lock.txt"), Path(made, "ready")
        requirements.write_text(lock, encoding="utf-8")
        run(interpreter.path, "-I", "-m", "venv", ready)
        options = "-q --no-deps --require-hashes --only-binary :all: --target".split()
        done = subprocess.run(
            [ready / "bin" / "python", "-m", "pip", "install", *options, ready / "packages",
             "-r", requirements],
            env=clean_environment(), cwd=made, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode and "CI" not in os.environ:
            pytest.skip(
                f"Python {interpreter.version}: its packages cannot be had: {done.stderr.strip()[-300:]}"
            )
        assert done.returncode == 0, done.stderr
        try:
            ready.rename(folder)
        except OSError:  # another run was quicker
            assert folder.is_dir()
    return folder


@pytest.fixture(scope="module", params=supported())
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of a fresh environment with the wheel in it."""
    interpreter = {entry.minor: entry for entry in interpreters()}.get(request.param)
    if interpreter is None:
        pytest.skip(f"no Python {request.param} here that can make virtual environments")
    folder = dependencies(interpreter)
    environment = tmp_path_factory.mktemp(f"python{interpreter.minor}")
    run(interpreter.path, "-I", "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    run(folder / "bin" / "python", "-m", "pip", "--python", python, "install", "-q", *options, wheel)
    packages = environment / "lib" / f"python{interpreter.minor}" / "site-packages"
    (packages / "dependencies.pth").write_text(f"{folder / 'packages'}\n", encoding="utf-8")
    return environment / "bin"


def answer(bin_directory: Path, verb: str, where: Path) -> Answer:
    """What a verb of the installation answers, in a directory of its own."""
    where.mkdir()
    environment = clean_environment(
        PATH=f"{bin_directory}:/usr/sbin:/usr/bin:/sbin:/bin",
        VSMMU_HOST="builtin:gb200",
        VSMMU_RUN_DIR=str(where),
    )
    if verb == "hook":  # which takes facts as a file only
        environment["VSMMU_HOST"] = str(ROOT / "src" / "vsmmu" / "host" / "builtin" / "gb200.json")
    words = shlex.split(_VERBS[verb][0])
    command = [str(bin_directory / words[0]), *words[1:]]
    done = subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("verb", _VERBS)
def test_verb_of_the_wheel_answers_as_the_checkout_does(installed: Path, verb: str, tmp_path: Path) -> None:
    found = answer(installed, verb, tmp_path / "wheel")
    assert found.status == 0, found.stderr
    assert _VERBS[verb][1] in found.stdout
    if verb != "emulate":  # whose addresses in a log differ from run to run
        assert found == answer(Path(sys.executable).parent, verb, tmp_path / "checkout")


#: A command line, a script and a domain, through the public API.
_API = """
import sys, vsmmu
host = vsmmu.load_host("builtin:gb200")
words = sys.argv[1:]
for source in (words, open("script.sh").read(), open("domain.xml", "rb").read()):
    vm = vsmmu.read_vm(source)
    answer = vsmmu.resolve(vm, host, qemu="11.1")
    values = [v.value for v in answer.vsmmus[0] if v.name in ("ats", "ril", "ssidsize", "oas")]
    print(*values, vsmmu.check(answer.vm, host, qemu="11.1").answer)
"""


def test_api_of_the_wheel_takes_every_form_of_a_vm(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text(f"#!/bin/sh\nexec {_VM}\n", encoding="utf-8")
    (tmp_path / "domain.xml").write_bytes(domain())
    done = subprocess.run(
        [installed / "python", "-c", _API, *shlex.split(_VM)],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["on off 20 48 starts"] * 3, done.stderr


def test_wheel_is_what_is_imported(installed: Path) -> None:
    code = "import vsmmu, sys; print(vsmmu.__file__)"
    done = subprocess.run(
        [installed / "python", "-c", code],
        cwd="/",
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(installed.parent))
