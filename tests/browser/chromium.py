# SPDX-License-Identifier: Apache-2.0
"""A real browser for tests: Chromium over its debugging pipe, so that no port and no other tool is needed."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MARKS", "PROGRAM", "Chromium"]

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --disable-dev-shm-usage "
    "--remote-debugging-pipe --window-size=1280,900"
).split()
_TIMEOUT = 30


PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

#: Marks of every module that needs a browser; one process runs them all.
MARKS = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        PROGRAM is None and os.environ.get("CI") != "true", reason="no chromium here (apt: chromium)"
    ),
]


class Chromium:
    """One browser with one page; everything that the page logs, throws or requests is kept."""

    def __init__(self, program: str, directory: Path) -> None:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        # Chromium reads commands from descriptor 3 and writes to 4.
        words = ["bash", "-c", f'exec "$@" 3<&{to_child} 4>&{from_child}', "bash", program, *FLAGS]
        words += [f"--user-data-dir={directory}", "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(to_child, from_child), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_child)
        os.close(from_child)
        self._number = 0
        self._session = ""
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive()
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return dict(reply["result"])
            self._events.append(reply)

    def open(self, path: Path) -> None:
        """Load a file, and wait until it is."""
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not self.events("Page.loadEventFired"):
            self._events.append(self._receive())

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """What happened since the page was opened, by method."""
        return [event["params"] for event in self._events if event.get("method") in methods]

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key of the keyboard."""
        text = "\r" if key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    def type(self, text: str) -> None:
        """Text, into what has the focus."""
        self.call("Input.insertText", text=text)

    def _receive(self) -> dict[str, Any]:
        limit = time.monotonic() + _TIMEOUT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, limit - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))
