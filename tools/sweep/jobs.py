# SPDX-License-Identifier: Apache-2.0
"""What is swept: verbs, the hook, probes of a made-up host; their inputs, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from sweep.made_up_host import FUNCTION, drivers, make_host, probing
from vsmmu.cli import hook
from vsmmu.cli.main import run
from vsmmu.errors import VsmmuError
from vsmmu.host.files import builtin_files, load_host
from vsmmu.monitor.binary_probe import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sweep.supervise import Ended, Pause

__all__ = ["JOBS", "Job", "faults_of", "leftovers", "prepare"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_GOLDEN: Final = _ROOT / "tests" / "golden" / "domain"
_VM: Final = (
    "qemu-system-aarch64 -M virt,accel=kvm -bios efi.fd -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=a,id=s,accel=on\n"
)
_FAULTY: Final = (
    "qemu-system-aarch64 -M virt,accel=kvm -bios efi.fd -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=a,id=s,accel=on,ssidSize=20 -object iommufd,id=i "
    "-device pcie-root-port,id=r,bus=a,chassis=1 -device vfio-pci,host=0009:01:00.0,bus=r,iommufd=i\n"
)
_LOG: Final = b"[ 0.0] Linux version 6.14.0\n"
_OLD: Final = b"old"
#: The end of the name of a file that is to take another's place.
_NEW: Final = ".vsmmu-new"
_READERS: Final = (
    "show --host HOST -o json",
    "show --host HOST -o svg",
    "show -o json",
    "show --list",
    "show --kernel-log LOG -o json",
    "check --host HOST VM -o json",
    "check --host HOST DOMAIN",
    "resolve --host HOST VM --assume-safe",
    "resolve --host HOST DOMAIN",
    "explain --host HOST VM --assume-safe -o json",
    "plan --host HOST --domain DOMAIN 0009:01:00.0",
    "report FLEET -o json",
    "report FLEET -o csv",
    "report --strict FLEET -o html",
    "baseline FLEET LINES -o json",
    "compare HOST OTHER -o json",
    "compare --for VM FLEET",
    "label --host HOST",
    "label --host HOST --write NOWHERE/new",
    "kubevirt capabilities --host HOST",
    "inspect NOWHERE/socket -o json",
    "inspect 1 --host HOST -o json",
    "doctor -o json",
    "capture -- sh VM",
    "schema host",
    "run --dry-run --host HOST --qemu 11.1 VM",
)
#: Verbs that write a file, and which: one of the inputs, or a new one.
_WRITERS: Final = {
    "label --host HOST --write NEW": "NEW",
    "label --host HOST --write LINK": "LINK",
    "label --host HOST --write target": "target",
    "resolve --host HOST --assume-safe --in-place VM": "VM",
    "resolve --host HOST --in-place --backup DOMAIN": "DOMAIN",
    "fix --host HOST --in-place FAULTY": "FAULTY",
    "fix --host HOST --in-place --backup -o json KUBEVIRT": "KUBEVIRT",
    "bundle --host HOST --yes --write NEW VM": "NEW",
    "bundle --host HOST --yes --write target DOMAIN": "target",
}


class Job(NamedTuple):
    """One program with its inputs.

    :param kind: ``reader``, ``writer``, ``probe`` or ``hook``.
    :param program: runs in the folder that :func:`prepare` made; the exit status.
    :param target: the file that it writes; empty for none.
    :param is_new: whether that file's content is what the program writes, whole.
    :param more: what else is wrong after a run.
    """

    name: str
    kind: str
    program: Callable[[Pause], int]
    target: str = ""
    is_new: Callable[[bytes], bool] = lambda _data: False
    more: Callable[[Path, Ended], Iterator[str]] = lambda _folder, _ended: iter(())


@cache
def _inputs() -> dict[str, bytes]:
    host, other = (Path(builtin_files()[name]).read_bytes() for name in ("gb200", "altra"))
    return {
        "HOST": host, "OTHER": other, "VM": _VM.encode(), "FAULTY": _FAULTY.encode(), "LOG": _LOG,
        "DOMAIN": (_GOLDEN / "gb200.in.xml").read_bytes(),
        "KUBEVIRT": (_GOLDEN / "kubevirt.in.xml").read_bytes(),
        "FLEET/a.json": host, "FLEET/deeper/b.json": other, "target": _OLD,
        "LINES": msgspec.json.format(host, indent=-1) + b"\n" + msgspec.json.format(other, indent=-1),
    }  # fmt: skip


def prepare(folder: Path, job: Job) -> None:
    """Make the folder anew, with every input in it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "FLEET" / "deeper").mkdir(parents=True)
    for name, data in _inputs().items():
        (folder / name).write_bytes(data)
    (folder / "LINK").symlink_to("target")
    if job.kind == "probe":
        make_host(folder / "host")


def faults_of(job: Job, folder: Path, ended: Ended, *, spoke: bool = True) -> list[str]:
    """What must not be after a run in which a call failed.

    :param spoke: whether what it said on stderr was taken.
    """
    found = []
    # A file that has gone is one that there is not: a host of no such name, a VM that is no file.
    gone = "[no-such-builtin]" in ended.err or "[no-file]" in ended.err
    if ended.status not in (0, 1, 3, 4, 5, 141) and not gone:
        found.append(f"status {ended.status}")
    if "Traceback" in ended.err or "bug" in ended.err:
        found.append("a traceback or a bug")
    if ended.status in (1, 3, 4, 5) and spoke and not ended.err and not ended.out:
        found.append("it says nothing")
    if ended.status >= 3 and ended.status != 141 and spoke and "\n  next: " not in ended.err:
        found.append("no next step")
    return [*found, *_lost(job, folder), *job.more(folder, ended)]


def _lost(job: Job, folder: Path) -> Iterator[str]:
    """Inputs that are not as they were, and a target that is neither the old nor a new one."""
    target = "target" if job.target == "LINK" else job.target
    if not (folder / "LINK").is_symlink():
        yield "a link is lost"
    for name, old in _inputs().items():
        file = folder / name
        if not file.is_file():
            yield f"a file is lost: {name}"
        elif (data := file.read_bytes()) != old and not (name == target and job.is_new(data)):
            yield "neither the old file nor the new one" if name == target else f"an input is another: {name}"
        backup = folder / f"{name}~"
        if backup.exists() and backup.read_bytes() != old:
            yield f"half a backup: {backup.name}"
    new = folder / "NEW"
    if new.exists() and not job.is_new(new.read_bytes()):
        yield "half a file"


def leftovers(folder: Path) -> list[str]:
    """Temporary files of writers, which the next one sweeps away."""
    return [str(path) for path in folder.rglob(f"*{_NEW}")]


def _verb(text: str) -> Job:
    words = text.split()
    target = _WRITERS.get(text, "")
    kind = "writer" if target else "reader"

    def more(_folder: Path, ended: Ended) -> Iterator[str]:
        """Whoever asks for JSON gets a document, also of an error; if stdout was not what failed."""
        if "json" in words and ended.out:
            try:
                document = json.loads(ended.out)
            except ValueError:
                if ended.status == 0:
                    yield "half a document, and status 0"
                return
            if (document["schema"] == "vsmmu.error/1") < (ended.status >= 2):
                yield "an answer, and an error's status"

    return Job(text, kind, lambda _pause: run(words), target, lambda data: data == _written(text), more)


@cache
def _written(text: str) -> bytes:
    """What the verb writes, by another way: what it prints when it is not asked to write."""
    words = [word for word in text.split() if word not in ("--in-place", "--backup")]
    for option in {"--write", "-o"} & set(words):
        at = words.index(option)
        del words[at : at + 2]
    with tempfile.TemporaryDirectory(prefix="vsmmu-sweep-written-") as scratch:
        folder = Path(scratch) / "job"
        prepare(folder, Job(text, "", lambda _pause: 0))
        command = [sys.executable, "-m", "vsmmu", *words]
        return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True).stdout


def _cache(_pause: Pause) -> int:
    keep(f"{Path.cwd()}/cache/one.json", b"{}")
    return 0


def _cached(folder: Path, _ended: Ended) -> Iterator[str]:
    file = folder / "cache" / "one.json"
    if file.exists() and file.read_bytes() != b"{}":
        yield "half a file"


def _hook(on_failure: str) -> Job:
    domain = (_GOLDEN / "kubevirt.in.xml").read_text(encoding="utf-8")

    def program(_pause: Pause) -> int:
        os.environ |= {"VSMMU_HOST": "HOST", "VSMMU_ON_FAILURE": on_failure}
        return hook.run(["--vmi", "{}", "--domain", domain])

    def more(_folder: Path, ended: Ended) -> Iterator[str]:
        """A domain or nothing: with an error's status libvirt would never see it, half of one is no XML."""
        if ended.status == 0 and not ended.out.rstrip().endswith(b"</domain>"):
            yield "status 0 and no domain"
        if on_failure == "fail" and ended.status == 0 and ended.out.decode() == domain:
            yield "an unresolved domain passes"

    return Job(f"onDefineDomain ({on_failure})", "hook", program, more=more)


def _probe(*words: str) -> Job:
    def more(folder: Path, ended: Ended) -> Iterator[str]:
        """Every driver is where it was, or the program says so and the journal has the way back."""
        journal = folder / "host" / "run" / "vsmmu" / "journal"
        if drivers(folder / "host") != drivers(None):
            if not journal.exists() or not journal.stat().st_size:
                yield f"a driver is lost: {drivers(folder / 'host')}"
            elif ended.status == 0:
                yield "a driver is elsewhere, and status 0"
        facts = folder / "host" / "run" / "vsmmu" / "host.json"
        try:
            load_host(str(facts))
        except VsmmuError as error:
            yield f"the facts are lost: {error}"

    name = " ".join(("probe", *words))
    return Job(name, "probe", lambda pause: probing(pause, ["probe", *words]), "facts", more=more)


JOBS: Final = (
    *(_verb(text) for text in (*_WRITERS, *_READERS)),
    Job("the cache of QEMU's properties", "writer", _cache, "cache", more=_cached),
    _hook("fail"),
    _hook("pass-through"),
    _probe(),
    _probe("-n", "-o", "json"),
    _probe("--bind", FUNCTION, "-o", "json"),
    _probe("--bind", FUNCTION, "--bind", "0000:00:06.0"),
)
