# SPDX-License-Identifier: Apache-2.0
"""Bad input and bad options: one clear message, the right exit status, never a traceback."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vsmmu.cli.group import VERBS
from vsmmu.cli.main import run
from vsmmu.cli.schemas import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VM = ["--", "qemu-system-aarch64", "-M", "virt"]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], str]:
    def write(data: bytes) -> str:
        path = tmp_path / "input"
        path.write_bytes(data)
        return str(path)

    return write


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Status and message of a call that must print no answer."""
    status = run(list(arguments))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert len(captured.err) < 2000
    return status, captured.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--host", "builtin:nope", *VM], "no-such-builtin"),
        (["--host", "builtin:../../etc", *VM], "no-such-builtin"),
        (["--host", "builtin:gb200", "--"], "no-vm"),
        (["--host", "builtin:gb200", "a-file", *VM], "two-inputs"),
        (["--host", "-", "-"], "two-inputs"),
        (["--host", "builtin:gb200", "--qemu", "9.2", *VM], "qemu-version"),
        (["--host", "builtin:gb200", "--qemu", "1", *VM], "qemu-version"),
        (["--host", "builtin:gb200", "--machine-type", "virt-11.0", *VM], "machine-type"),
        (["--host", "builtin:gb200", "--function", "gpu", *VM], "option-form"),
        (["--host", "builtin:gb200", "--function", "gpu=there", *VM], "address"),
        (["--host", "builtin:gb200", "--also", "there", *VM], "address"),
    ],
)
def test_contradicting_options_are_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: str
) -> None:
    status, message = refusal(capsys, "resolve", *arguments)
    assert (status, f"[{code}]" in message) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["resovle"], "no-such-verb", "did you mean resolve?"),
        (["help", "shwo"], "no-such-verb", "did you mean show?"),
        (["no-such-verb"], "no-such-verb", "next: vsmmu --help"),
        (["resolve", "--hots"], "usage", "Did you mean '--host'?"),
        (["check", "--color", "always"], "usage", "next: write it in front of check"),
        (["kubevirt", "serve", "-V"], "usage", "next: write it in front of kubevirt serve"),
        (["completion"], "usage", "Choose from: bash, zsh, fish ["),
        (["resolve", "--policy", "none"], "usage", "next: vsmmu resolve --help"),
        (["show", "-o", "xml"], "usage", "next: vsmmu show --help"),
        (["show", "--host", "builtin:gb20"], "no-such-builtin", "did you mean builtin:gb200?"),
        (["schema", "verdct"], "no-such-schema", "did you mean verdict?"),
        (["fix", "--only", "qemu-ssidsze", "vm.sh"], "no-such-mend", "did you mean qemu-ssidsize?"),
        (["fix", "--only", "file-missing", "vm.sh"], "no-such-mend", "without --only"),
        (["lab", "nothing"], "usage", "next: vsmmu lab --help"),
    ],
)
def test_unknown_words_are_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, said: str
) -> None:
    status, message = refusal(capsys, *arguments)
    assert (status, f"[{code}]" in message, said in message) == (2, True, True), message


@pytest.mark.parametrize("verb", [*VERBS, "lab run", "kubevirt serve", "no-such-verb"])
@pytest.mark.parametrize("wish", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_every_verbs_usage_errors_are_documents(
    capsys: pytest.CaptureFixture[str], verb: str, wish: list[str]
) -> None:
    """Whatever is wrong, and wherever the wish for JSON stands."""
    jsonschema = pytest.importorskip("jsonschema")
    for arguments in (["--no-such-option", *wish], [*wish, "--no-such-option"]):
        assert run([*verb.split(), *arguments]) == 2
        captured = capsys.readouterr()
        document = json.loads(captured.out)
        jsonschema.validate(document, schema_of("error"))
        assert (document["schema"], document["exit_status"]) == ("vsmmu.error/1", 2)
        assert document["next"]
        assert f"[{document['code']}]" in captured.err


def test_a_bug_is_a_document_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsmmu.api.load_host", lambda _: 1 / 0)
    assert run(["show", "-o", "json"]) == 70
    document = json.loads(capsys.readouterr().out)
    assert (document["code"], document["exit_status"]) == ("bug", 70)


def test_what_stands_after_the_dashes_asks_for_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = refusal(capsys, "check", "--host", "builtin:nope", "--", "qemu-system-aarch64", "-o", "json")
    assert status == 3


def test_a_missing_file_is_said_with_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    status, message = refusal(capsys, "resolve", "--host", missing, *VM)
    assert (status, "[file-missing]" in message, missing in message) == (5, True, True)
    status, message = refusal(capsys, "resolve", "--host", "builtin:gb200", missing)
    assert (status, "[file-missing]" in message) == (5, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b'{"schema":"vsmmu.host/1"}',
        b'{"schema":"vsmmu.host/2","name":"x"}',
        b'{"schema":"vsmmu.host/1","name":"x","title":null}',
        b'{"schema":"vsmmu.host/1","name":"\xff"}',
        b'{"schema":"vsmmu.host/1","name":"x","smmus":[{"name":"a"},{"name":"a"}]}',
        b"[" * 1_000_000,
        b'{"schema":"vsmmu.host/1","name":"x","evidence":' + b'{"a":' * 100_000,
    ],
)
def test_malformed_facts_are_refused(
    capsys: pytest.CaptureFixture[str], file: Callable[[bytes], str], data: bytes
) -> None:
    status, message = refusal(capsys, "show", "--host", file(data))
    assert status == 3
    assert "[facts-" in message


def test_huge_facts_are_refused_unread(
    capsys: pytest.CaptureFixture[str], file: Callable[[bytes], str]
) -> None:
    status, message = refusal(capsys, "show", "--host", file(b" " * (17 << 20)))
    assert (status, "over 16 MiB" in message) == (3, True)


@pytest.mark.parametrize(
    "data",
    [
        b"qemu-system-aarch64 -name '\xff'",
        b"qemu-system-aarch64 -name 'never closed",
        b'qemu-system-aarch64 -device \'{"driver":"arm-smmuv3",\'',
        b"qemu-system-aarch64 -device '" + b'{"a":' * 10_000 + b"'",
        b"qemu-system-aarch64 -name " + b"x" * (10 << 20),
        b"qemu-system-aarch64 -no-such-option",
        b"qemu-system-aarch64 -device pci-testdev,id=a -device pci-testdev,id=a",
        b"qemu-system-aarch64 -device pcie-root-port,id=a,bus=b -device pcie-root-port,id=b,bus=a",
    ],
)
@pytest.mark.parametrize("verb", ["resolve", "explain", "check"])
def test_malformed_command_lines_are_refused(
    capsys: pytest.CaptureFixture[str], file: Callable[[bytes], str], verb: str, data: bytes
) -> None:
    status, message = refusal(capsys, verb, "--host", "builtin:gb200", file(data))
    assert status == 3
    assert message.startswith("vsmmu: ")


def test_standard_input_is_read_when_no_file_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    status, message = refusal(capsys, "resolve", "--host", "builtin:gb200")
    assert (status, "[no-vm]" in message) == (2, True)


def test_a_closed_pipe_ends_quietly() -> None:
    command = [sys.executable, "-m", "vsmmu", "show", "--host", "builtin:gb200", "--registers"]
    done = subprocess.run(["sh", "-c", '"$@" | true', "sh", *command], capture_output=True, check=False)
    assert done.stderr == b""


def test_a_bug_of_ours_is_one_line_and_status_70(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_name: str) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr("vsmmu.host.builtin.builtin_host", fail)
    monkeypatch.delenv("VSMMU_DEBUG", raising=False)
    status, message = refusal(capsys, "show", "--host", "builtin:gb200")
    assert (status, message.startswith("vsmmu: bug: RuntimeError: on purpose")) == (70, True)


@pytest.mark.parametrize("binary", ["/bin/false", "/", "no-such-qemu"])
def test_what_is_no_qemu_cannot_be_asked(capsys: pytest.CaptureFixture[str], binary: str) -> None:
    status, message = refusal(capsys, "check", "--host", "builtin:gb200", "--qemu", binary, *VM)
    assert (status, "[qemu-binary]" in message, "--qemu" in message) == (5, True, binary == "/bin/false")
