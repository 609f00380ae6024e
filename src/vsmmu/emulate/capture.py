# SPDX-License-Identifier: Apache-2.0
"""Capture: run a program with a stand-in QEMU that writes its words down and starts nothing.

The stand-in is found in PATH, in front of all else; where a mount namespace can be had it also lies over
every QEMU that is installed, so that a script which names ``/usr/bin/qemu-system-aarch64`` meets it, too.
``sudo`` and its like have stand-ins that start the command without them. Everything else that the program
does is done.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from vsmmu.emulate import libc
from vsmmu.emulate.mounts import enter_namespace
from vsmmu.errors import HostLacks, Negative
from vsmmu.host.files import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CaptureDocument", "Captured", "capture"]

_TARGETS: Final = "aarch64 arm x86_64 i386 riscv64 ppc64 s390x loongarch64 mips64el"
_NAMES: Final = ("qemu-kvm", "kvm", *(f"qemu-system-{target}" for target in _TARGETS.split()))
#: Where distributions put QEMU, in PATH or not.
_FOLDERS: Final = ("/usr/bin", "/usr/local/bin", "/usr/libexec", "/bin", "/opt/qemu/bin", "/usr/sbin")
_NAMED: Final = re.compile(r"/[\w./+-]*/(?:qemu-system-[\w-]+|qemu-kvm|kvm)\b")
_MAX_SCRIPT: Final = 2 << 20

#: A call that starts no VM goes to the real QEMU, where there is one; any other is written down.
_STAND_IN: Final = """#!/bin/sh
name=${{0##*/}}
for word do
    case $word in
    -version|--version|-help|--help|-h|help|'?'|*,help|*,'?')
        [ -x {folder}/real/$name ] && exec {folder}/real/$name "$@"
        exit 0 ;;
    esac
done
file=$(mktemp {folder}/started/XXXXXXXX) || exit 1
printf '%s\\0' "$name" "$@" > "$file.part" && mv "$file.part" "$file"
echo "$file" >> {folder}/order
exit 0
"""
#: Options of sudo and doas that take an argument are skipped with it.
_SUDO: Final = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    --) shift; break ;;
    -[CDghpRrtTuU]) shift 2 ;;
    -*) shift ;;
    *=*) export "$1"; shift ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || exit 0
exec "$@"
"""


class Captured(NamedTuple):
    """What a program started.

    :param commands: the words of each QEMU, in the order of their start.
    :param status: the program's exit status; negative for a signal; None if it was stopped after its time.
    """

    commands: tuple[tuple[str, ...], ...]
    status: int | None


class CaptureDocument(msgspec.Struct, frozen=True):
    """What ``vsmmu capture -o json`` prints: the words of each QEMU that would have been started."""

    commands: tuple[tuple[str, ...], ...]
    schema: Literal["vsmmu.capture/1"] = "vsmmu.capture/1"


def capture(argv: Sequence[str], seconds: float) -> Captured:
    """Run a program and write down which QEMU it starts.

    Its standard output goes to standard error.

    :param seconds: when to stop it.
    :raise HostLacks: ``capture-program``: it cannot be run; ``capture-path``: it names a QEMU by its path,
        and no mount namespace can be had to put the stand-in there.
    :raise Negative: ``nothing-started``.
    """
    with tempfile.TemporaryDirectory(prefix="vsmmu-capture-") as folder:
        installed = _installed(argv)
        _furnish(Path(folder), [*_NAMES, *(path.name for path in installed)])
        covers = _can_cover()
        if not covers and (named := [str(path) for path in _named(argv) if _is_file(path)]):
            raise HostLacks(
                "capture-path",
                f"the program names {named[0]}, which PATH does not lead past",
                why="no mount namespace can be had here",
                next="run as root, or write the name without its path in the script",
            )
        status = _run(argv, Path(folder), installed if covers else [], seconds)
        commands = tuple(_commands(Path(folder)))
    if not commands:
        missing = next((str(path) for path in _named(argv) if not os.path.exists(path)), "")  # noqa: PTH110
        ended = "was stopped" if status is None else f"ended with status {status}"
        raise Negative(
            "nothing-started",
            f"the program {ended} and has started no QEMU",
            where=argv[0],
            next=f"write the name without its path: there is no {missing} here"
            if missing
            else "see its own messages above; it may want arguments, or call QEMU by another name",
        )
    return Captured(commands, status)


def _named(argv: Sequence[str]) -> Iterator[Path]:
    """The paths of QEMU in the words and in the scripts that they name."""
    for word in argv:
        text = word
        # Of what is no file, as <(...), the program would miss what is read here.
        with contextlib.suppress(OSError, ValueError):
            if _is_file(word):
                with open_stream(word) as file:
                    text += "\n" + file.read(_MAX_SCRIPT).decode("utf-8", "replace")
        yield from (Path(found) for found in _NAMED.findall(text))


def _is_file(path: str | Path) -> bool:
    """Whether it is a file for all that can be seen; a folder of PATH may be closed to us."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib's raises where it may not look


def _installed(argv: Sequence[str]) -> list[Path]:
    """Every QEMU that can be met, each real file once."""
    folders = dict.fromkeys([*os.environ.get("PATH", "").split(":"), *_FOLDERS])
    found = [Path(folder) / name for folder in folders if folder for name in _NAMES]
    files = {path.resolve(): path.resolve() for path in (*found, *_named(argv)) if _is_file(path)}
    return list(files)


def _furnish(folder: Path, names: Sequence[str]) -> None:
    for part in ("bin", "real", "started"):
        (folder / part).mkdir()
    (folder / "stand-in").write_text(_STAND_IN.format(folder=folder), encoding="utf-8")
    (folder / "sudo").write_text(_SUDO, encoding="utf-8")
    for source, called in (("stand-in", names), ("sudo", ("sudo", "doas", "pkexec", "run0"))):
        (folder / source).chmod(0o755)
        for name in dict.fromkeys(called):
            (folder / "bin" / name).symlink_to(folder / source)


def _can_cover() -> bool:
    """Whether a process of ours gets a mount namespace: tried in one that ends at once."""
    child = os.fork()
    if not child:
        try:
            enter_namespace()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _run(argv: Sequence[str], folder: Path, covered: Sequence[Path], seconds: float) -> int | None:
    def cover() -> None:
        if not covered:
            return
        enter_namespace()
        for path in covered:
            real = folder / "real" / path.name
            real.touch()
            libc.mount(str(path), str(real), "", libc.MS_BIND)
            libc.mount(str(folder / "stand-in"), str(path), "", libc.MS_BIND)

    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
    sys.stdout.flush()
    try:
        process = subprocess.Popen(
            list(argv), env=environment, stdout=sys.stderr.fileno(), start_new_session=True, preexec_fn=cover,
            close_fds=False,  # what a shell opened for it, as with <(...)
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise HostLacks(
            "capture-program",
            f"cannot run {argv[0]!r:.80}",
            why=(error.strerror or "") if isinstance(error, OSError) else str(error),
            next="check its path and permissions: vsmmu capture -- sh vm.sh",
        ) from None
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _commands(folder: Path) -> Iterator[tuple[str, ...]]:
    order = folder / "order"
    for name in order.read_text(encoding="utf-8").splitlines() if order.exists() else ():
        data = Path(name).read_bytes().decode("utf-8", "surrogateescape")
        yield tuple(data.split("\0")[:-1])
