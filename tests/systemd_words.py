# SPDX-License-Identifier: Apache-2.0
"""What the real systemd makes of ExecStart= lines: its own parser, and its own filling in of variables.

``systemd --user --test`` reads the units of a directory, starts nothing, and prints each command after
quotes, escapes and specifiers; variables are filled in only when a command is started, by
``replace_env_argv()`` of systemd's library.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The library has no promise for others: in 253 the function takes other arguments.
LIBRARY: Final = next(iter(Path("/usr/lib").glob("*/systemd/libsystemd-shared-252.so")), None)
SYSTEMD: Final = Path("/lib/systemd/systemd")
_NOBODY: Final = 65534
_NAMED: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_MARK: Final = re.compile(rb"\\([0-7]{3})|\\(.)|([^\"\\])", re.DOTALL)

needs_systemd = pytest.mark.skipif(
    LIBRARY is None or not SYSTEMD.exists() or (os.geteuid() == 0 and not shutil.which("setpriv")),
    reason="systemd 252 is not here (Debian 12: apt-get install systemd)",
)


def commands_of(units: Sequence[str]) -> list[list[list[str]]]:
    """The commands of each unit, as systemd reads them; none of a unit that it refuses."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        directory, runtime = place / "units", place / "run"
        directory.mkdir()
        runtime.mkdir(mode=0o700)
        for number, text in enumerate(units):
            (directory / f"x{number}.service").write_bytes(text.encode("utf-8", "surrogateescape"))
        wants = " ".join(f"x{number}.service" for number in range(len(units)))
        (directory / "default.target").write_text(f"[Unit]\nWants={wants}\n")
        environment = {
            "HOME": name,
            "XDG_RUNTIME_DIR": str(runtime),
            "SYSTEMD_UNIT_PATH": str(directory),
            "SYSTEMD_COLORS": "0",
        }
        words = [str(SYSTEMD), "--user", "--test", "--no-pager", "--log-target=console"]
        if os.geteuid() == 0:  # systemd tests nothing as root
            place.chmod(0o755)
            os.chown(runtime, _NOBODY, _NOBODY)
            user = str(_NOBODY)
            words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", *words]
        done = subprocess.run(words, env=environment, capture_output=True, timeout=120, check=False)
    return _printed(done.stdout, len(units))


def _printed(output: bytes, count: int) -> list[list[list[str]]]:
    found: list[list[list[str]]] = [[] for _ in range(count)]
    unit = None
    for line in output.split(b"\n"):
        named = re.match(rb"\s*-> Unit (.*):$", line)
        if named is not None:
            ours = re.fullmatch(rb"x(\d+)\.service", named[1])
            unit = int(ours[1]) if ours is not None else None
        command = re.match(rb"\s*Command Line: (.*)", line, re.DOTALL)
        if command is not None and unit is not None:
            found[unit].append([word.decode("utf-8", "surrogateescape") for word in _words(command[1])])
    assert any(found) or not count, output[-2000:]
    return found


def _words(line: bytes) -> list[bytes]:
    """The words of quote_command_line(): a word in double quotes has the escapes of C."""
    words = []
    for quoted, bare in re.findall(rb'"((?:[^"\\]|\\.)*)"|([^ "]+)', line, re.DOTALL):
        words.append(bare or b"".join(_unescaped(match) for match in _MARK.finditer(quoted)))
    return words


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 8)])
    return match[3] or _NAMED.get(match[2], match[2])


def started_with(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The command as systemd starts it, with the variables of an environment."""
    library = ctypes.CDLL(str(LIBRARY))
    vector = ctypes.POINTER(ctypes.c_char_p)
    library.replace_env_argv.restype = vector
    library.replace_env_argv.argtypes = [vector, vector]

    def strv(words: Sequence[str]) -> object:
        raw = [word.encode("utf-8", "surrogateescape") for word in words]
        return ctypes.cast((ctypes.c_char_p * (len(raw) + 1))(*raw, None), vector)

    filled = library.replace_env_argv(strv(command), strv([f"{k}={v}" for k, v in environment.items()]))
    words = []
    while (word := filled[len(words)]) is not None:
        words.append(word.decode("utf-8", "surrogateescape"))
    return words
