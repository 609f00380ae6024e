# SPDX-License-Identifier: Apache-2.0
"""Lab sessions: one boot, many commands."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsmmu.errors import InputRefused
from vsmmu.lab import file_transfer as bring
from vsmmu.lab import guest, iort_override
from vsmmu.lab.agent import MAX_PAYLOAD, Kind
from vsmmu.lab.build import Artifacts, ensure
from vsmmu.lab.cache import Cache
from vsmmu.lab.errors import LabFailed, LabTimeout
from vsmmu.lab.guest import Guest
from vsmmu.lab.machine import Console, LabConfig, arguments, iort_name
from vsmmu.lab.progress import SILENT, Progress

if TYPE_CHECKING:
    from types import TracebackType

    from vsmmu.lab.file_transfer import Source

__all__ = ["CommandResult", "LabResult", "Session", "run", "shell"]

#: Seconds for a command where the caller names none.
DEFAULT_TIMEOUT = 300.0
# The agent kills a command at its time. When it does not answer for so long after that, the guest hangs.
_AGENT_PATIENCE = 15.0

Sink = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command in the guest ended."""

    #: Its exit status; 128 and the number for a signal; 126 and 127 where it could not be started.
    status: int
    stdout: bytes
    stderr: bytes
    #: Wall time in the guest.
    seconds: float


@dataclass(frozen=True, slots=True)
class LabResult(CommandResult):
    """How a whole run of the lab ended; *seconds* includes the boot."""

    #: What was asked back: for a file its path, for a directory the path of each file below it.
    files: dict[str, bytes] = field(default_factory=dict)
    console: str = ""


class Session:
    """A booted lab host that runs commands as root, one after the other, in milliseconds each.

    ::

        with Session(LabConfig(acpi=True)) as lab:
            lab.put({"/root/cases": Path("cases")})
            result = lab.run(["python3", "/root/cases/all.py"], stdin=b"{}")
            answers = lab.get("/root/answers.json")

    Entering builds what the cache lacks and boots; leaving ends it. The project's sources are in the guest as
    they are at that moment, importable, and ``vsmmu`` is on the path.

    QEMU ends with the thread that entered the session, however that ends.

    :param boot_timeout: seconds until the guest must answer, without those in which it has no processor.
    :param cache: where the artifacts are; the user's cache if None.
    """

    def __init__(
        self,
        config: LabConfig | None = None,
        *,
        boot_timeout: float = 120.0,
        cache: Cache | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.config = config if config is not None else LabConfig()
        self._boot_timeout = boot_timeout
        self._cache = cache if cache is not None else Cache.default()
        self._progress = progress
        self._requests = itertools.count(1)
        self._guest: Guest | None = None
        self._last_console = ""

    def __enter__(self) -> Session:
        artifacts = ensure(self._cache, self.config.kernel, self._progress, libvirt=self.config.libvirt)
        initrd = acpi_tables(self.config, artifacts, self._cache, self._progress)
        starting = Guest(self.config, artifacts, initrd=initrd, boot_timeout=self._boot_timeout)
        self._guest = starting.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the guest."""
        if self._guest is not None:
            self._last_console = self._guest.console()
            self._guest.close()
            self._guest = None

    @property
    def _running(self) -> Guest:
        if self._guest is None:
            raise LabFailed(
                "lab-not-running", "the lab is not running", next="use the session in a with block"
            )
        return self._guest

    @property
    def alive(self) -> bool:
        """Whether commands can be run: it is entered, not left, and nothing has ended the guest."""
        return self._guest is not None

    @property
    def artifacts(self) -> Artifacts:
        """What it was started from; the kernel serves for a guest inside the lab, too."""
        return self._running.artifacts

    def console(self) -> str:
        """What the guest's firmware and kernel have written to the serial console, also after the end."""
        return self._guest.console() if self._guest is not None else self._last_console

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = DEFAULT_TIMEOUT,
        env: Mapping[str, str] | None = None,
        cwd: str = "/root",
        on_stdout: Sink | None = None,
        on_stderr: Sink | None = None,
    ) -> CommandResult:
        """Run one command to its end.

        It ends when its process does; processes that it leaves behind go on.

        :param timeout: seconds; then the process and its session are killed.
        :param env: added to the guest's environment.
        :param on_stdout: gets the output as it comes; the result's *stdout* is empty then.
        :param on_stderr: the same for standard error.
        :raise LabTimeout: when the time is up. The session is usable after it, unless the whole guest hangs.
        :raise LabFailed: if the guest ends.
        """
        pieces: dict[Kind, list[bytes]] = {Kind.STDOUT: [], Kind.STDERR: []}
        sinks: dict[Kind, Sink] = {
            Kind.STDOUT: on_stdout or pieces[Kind.STDOUT].append,
            Kind.STDERR: on_stderr or pieces[Kind.STDERR].append,
        }
        order = {"argv": list(argv), "env": dict(env or {}), "cwd": cwd, "timeout": timeout}
        deadline = time.monotonic() + timeout + _AGENT_PATIENCE
        answer = self._answer(order, stdin, deadline, lambda kind, data: sinks[kind](data))
        stdout, stderr = b"".join(pieces[Kind.STDOUT]), b"".join(pieces[Kind.STDERR])
        if answer["timed_out"]:
            raise LabTimeout(
                f"{argv[0]} did not end within {timeout:g} s and was killed",
                why=self._running.console_tail(),
                stdout=stdout,
                stderr=stderr,
            )
        if answer["error"]:
            message = f"{argv[0]}: {answer['error']}\n".encode()
            sinks[Kind.STDERR](message)
            stderr = b"".join(pieces[Kind.STDERR])
        return CommandResult(answer["status"], stdout, stderr, answer["seconds"])

    def _answer(
        self, order: dict[str, Any], stdin: bytes, deadline: float, receive: Callable[[Kind, bytes], None]
    ) -> dict[str, Any]:
        """What the agent says at a command's end. If anything goes wrong before, the guest is given up."""
        encoded = json.dumps(order).encode()
        if len(encoded) > MAX_PAYLOAD:
            raise InputRefused(
                "lab-arguments",
                f"{order['argv'][0]}: its arguments are too long",
                why="1 MiB",
                next="put the data into a file, and hand that in",
            )
        running = self._running
        try:
            return guest.command(running, next(self._requests), encoded, stdin, deadline, receive)
        except TimeoutError:
            hung = LabTimeout("the emulated host does not answer", why=running.console_tail())
            self.close()
            raise hung from None
        except BaseException:
            self.close()
            raise

    def put(self, files: Mapping[str, Source]) -> None:
        """Hand in files: guest path -> content as bytes, or a file or directory of this machine."""
        data = bring.pack(files)
        self._checked("cannot hand in files", ["tar", "-x", "-f", "-", "-C", "/"], data)

    def get(self, path: str) -> bytes:
        """The content of one file of the guest.

        :raise LabFailed: if there is none.
        """
        return self._checked(f"cannot bring back {path}", ["cat", path])

    def get_tree(self, path: str) -> dict[str, bytes]:
        """The files below a directory of the guest, by their path relative to it."""
        return {name: data for name, (data, _) in self._fetch(path).items()}

    def download(self, path: str, target: Path) -> None:
        """Copy a file or directory of the guest to *target* on this machine, with permissions."""
        for name, (data, mode) in self._fetch(path).items():
            file = target / name
            if ".." in Path(name).parts:
                raise LabFailed(
                    "lab-get",
                    f"the guest sent the file name {name!r}",
                    next="bring back single files, and do not trust this guest",
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(mode)

    def _fetch(self, path: str) -> dict[str, tuple[bytes, int]]:
        """The files below *path*; for a file itself, the name is ``.``."""
        isolate = (
            'if [ -d "$1" ]; then exec tar -c -f - -C "$1" .; fi; tar -c -f - -C "${1%/*}/" -- "${1##*/}"'
        )
        files = bring.unpack(self._checked(f"cannot bring back {path}", ["sh", "-c", isolate, "sh", path]))
        last = Path(path).name
        return {"." if name == last and len(files) == 1 else name: value for name, value in files.items()}

    def _checked(self, failure: str, argv: Sequence[str], stdin: bytes = b"") -> bytes:
        result = self.run(argv, stdin=stdin)
        if result.status:
            why = result.stderr.decode(errors="replace").strip()
            raise LabFailed(
                "lab-files", failure, why=why, next="check the path in the guest, and the room there"
            )
        return result.stdout


def acpi_tables(config: LabConfig, artifacts: Artifacts, cache: Cache, progress: Progress) -> bytes | None:
    """The initrd with the lab's IORT, from the one that the firmware gives; that takes a boot, once."""
    if not config.acpi:
        return None
    name = iort_name(config, artifacts)

    def read_table(directory: Path) -> None:
        with progress.step("read the firmware's IORT"), Guest(config, artifacts) as plain:
            session = Session(config)
            session._guest = plain  # noqa: SLF001
            (directory / "iort").write_bytes(session.get("/sys/firmware/acpi/tables/IORT"))

    return iort_override.override_initrd((cache.publish(name, read_table) / "iort").read_bytes())


def run(
    argv: Sequence[str],
    *,
    config: LabConfig | None = None,
    put: Mapping[str, Source] | None = None,
    get: Sequence[str] = (),
    stdin: bytes = b"",
    timeout: float = DEFAULT_TIMEOUT,
    env: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> LabResult:
    """Boot, hand in *put*, run one command, bring back *get*, end.

    :param get: guest paths of files or directories; what the command did not make is left out.
    """
    started = time.monotonic()
    with Session(config, progress=progress) as session:
        if put:
            session.put(put)
        result = session.run(argv, stdin=stdin, timeout=timeout, env=env)
        files: dict[str, bytes] = {}
        for path in get:
            with contextlib.suppress(LabFailed):
                found = session.get_tree(path)
                files.update({str(Path(path) / name): data for name, data in found.items()})
        seconds = time.monotonic() - started
        console = session.console()
    return LabResult(result.status, result.stdout, result.stderr, seconds, files, console)


def shell(config: LabConfig, *, cache: Cache | None = None, progress: Progress = SILENT) -> int:
    """A prompt in the lab on this terminal. Ctrl-D ends it; Ctrl-A X, whatever hangs.

    :return: QEMU's exit status.
    """
    cache = cache if cache is not None else Cache.default()
    artifacts = ensure(cache, config.kernel, progress, libvirt=config.libvirt)
    initrd = acpi_tables(config, artifacts, cache, progress)
    with tempfile.TemporaryDirectory(prefix="vsmmu-lab-") as directory:
        start = guest.prepare(Path(directory), artifacts, Console(None), None, initrd)
        return subprocess.run(arguments(config, start), check=False).returncode
