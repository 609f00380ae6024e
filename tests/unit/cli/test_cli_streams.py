# SPDX-License-Identifier: Apache-2.0
"""Every verb, and the hook, with standard streams that are closed, full or none: a status and a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from domains import golden
from vsmmu.cli.group import VERBS
from vsmmu.host.files import builtin_files

#: Each verb, in each way that it has to answer; HOST, VM and DOMAIN are files, @DOMAIN what is in one.
LINES: Final = """
resolve --host HOST VM
resolve --host HOST -o json DOMAIN
resolve --host HOST
explain --host HOST VM
explain --host HOST -o json VM
explain qemu-no-property
explain -
check --host HOST VM
check --host HOST -o json -
check --all
fix --host HOST VM
fix --host HOST --diff DOMAIN
fix --host HOST -o json VM
capture -- sh VM
capture -- true FIFO
capture -- FIFO
run --dry-run --host HOST --qemu 11.1 VM
plan --host HOST 0009:01:00.0
plan --host HOST --list
plan --host HOST -o xml 0009:01:00.0
inspect
inspect -o json 1
show --host HOST
show --host HOST -o svg
show --kernel-log -
probe
probe -n -o json
doctor
doctor --for VM -o json
bundle --host HOST VM
bundle --host HOST --write B VM
emulate --host HOST -- true
compare HOST HOST
compare --for VM HOST -o json
baseline HOST HOST
baseline -
report HOST
report HOST -o csv
report HOST -o html
report -
kubevirt capabilities --host HOST
label --host HOST
label --host HOST --write L
lab
lab path
lab build --dry-run
lab clean
schema host
completion bash
version
help
help show
--version
--help
resolve --no-such-option
no-such-verb
onDefineDomain --vmi {} --domain @DOMAIN
onDefineDomain --vmi {} --domain <domain/>
onDefineDomain --vmi {} --domain <domain
onDefineDomain --vmi {}
onDefineDomain --help
""".strip().splitlines()
#: What a shell does to 0, 1 and 2: closed, full, a directory.
STREAMS: Final = [
    {1: "full"}, {1: "full", 2: "full"}, {1: ""}, {2: ""}, {0: ""}, {0: "", 1: "", 2: ""}, {0: "directory"},
]  # fmt: skip
#: Forks for each case, in a process that has imported what they need. ``said`` are what is left of 1 and 2.
RIG: Final = """
import io, json, os, sys, tempfile, traceback
from vsmmu.cli import hook
from vsmmu.cli.main import run
import vsmmu.cli.group, vsmmu.cli.options, vsmmu.api, vsmmu.cli.documents, vsmmu.cli.render
lines, streams = json.load(sys.stdin)
FULL, DIRECTORY = os.open("/dev/full", os.O_WRONLY), os.open("/", os.O_RDONLY)
NULL = os.open("/dev/null", os.O_RDONLY)
def child(words, changes, said):
    for number in (0, 1, 2):
        place = {"full": FULL, "directory": DIRECTORY, None: NULL if number == 0 else said, "": -1}
        place = place[changes.get(str(number))]
        os.dup2(place, number) if place >= 0 else os.close(number)
    def stream(number, mode):
        try:
            raw = open(number, mode, 0 if number == 2 else -1, closefd=False)
        except OSError:
            return None
        return io.TextIOWrapper(raw, errors="backslashreplace", write_through=number == 2)
    sys.stdin, sys.stdout, sys.stderr = stream(0, "rb"), stream(1, "wb"), stream(2, "wb")
    try:
        given = [open(word[1:]).read() if word[0] == "@" else word for word in words]
        status = hook.run(given[1:]) if given[0] == "onDefineDomain" else run(given)
    except BaseException:
        os.write(said, traceback.format_exc().encode())
        status = 99
    os._exit(status)
found = []
for words in lines:
    for changes in streams:
        with tempfile.TemporaryFile() as said:
            process = os.fork()
            if not process:
                child(words, changes, said.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            said.seek(0)
            found.append([words, changes, status, said.read().decode()])
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[str], dict[str, str], int, str]]:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "HOST").write_bytes(Path(builtin_files()["gb200"]).read_bytes())
    (folder / "DOMAIN").write_bytes(golden("kubevirt"))
    (folder / "VM").write_text(
        "qemu-system-aarch64 -M virt,accel=kvm -bios efi.fd -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
        "-device arm-smmuv3,primary-bus=a,id=s,accel=on -device pcie-root-port,id=r,bus=a,chassis=1 "
        "-object iommufd,id=i -device vfio-pci,host=0009:01:00.0,bus=r,iommufd=i\n"
    )
    os.mkfifo(folder / "FIFO")
    asked = json.dumps([[line.split() for line in LINES], STREAMS])
    done = subprocess.run(
        [sys.executable, "-c", RIG], input=asked, capture_output=True, text=True, cwd=folder, timeout=600,
        check=True, env={**os.environ, "VSMMU_HOST": str(folder / "HOST"), "HOME": str(folder)},
    )  # fmt: skip
    cases: list[tuple[list[str], dict[str, str], int, str]] = json.loads(done.stdout)
    return cases


def test_every_verb_is_among_them() -> None:
    assert {line.split()[0] for line in LINES} >= set(VERBS)


def test_no_outcome_is_a_bug(found: list[tuple[list[str], dict[str, str], int, str]]) -> None:
    assert len(found) == len(LINES) * len(STREAMS)
    for words, changes, status, said in found:
        case = f"{' '.join(words)} with {changes}: {status} {said[-500:]}"
        assert status in (0, 1, 2, 3, 4, 5), case
        assert "Traceback" not in said, case
        assert "bug:" not in said, case


def test_an_answer_that_nobody_got_is_no_success(
    found: list[tuple[list[str], dict[str, str], int, str]],
) -> None:
    silent = {"label --host HOST --write L", "emulate --host HOST -- true"}  # they answer elsewhere
    for words, changes, status, said in found:
        if changes in ({"1": "full"}, {"1": ""}) and " ".join(words) not in silent:
            assert status != 0, f"{' '.join(words)} with {changes}: {said[-300:]}"
