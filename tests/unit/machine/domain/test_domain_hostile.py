# SPDX-License-Identifier: Apache-2.0
"""Hostile XML ends in exit status 3, quickly and in bounded memory, and is never expanded or fetched."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from domains import domain
from vsmmu.errors import InputRefused
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.domain.elements import MAX_DEPTH, MAX_DOMAIN_BYTES, MAX_ELEMENTS

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = 512 << 20
SECONDS = 20  # on a busy machine; on an idle one it is a tenth of a second
BODY = domain()
LAUGHS = b"".join(b'<!ENTITY a%d "%s">' % (at, b"&a%d;" % (at - 1) * 10) for at in range(1, 10))
HOSTILE = {
    "entities": (b'<!DOCTYPE domain [<!ENTITY a0 "ha">' + LAUGHS + b"]><domain>&a9;</domain>", "xml-doctype"),
    "external entity": (
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><name>&x;</name></domain>',
        "xml-doctype",
    ),
    "external DTD": (b'<!DOCTYPE domain SYSTEM "http://example.com/x.dtd">' + BODY, "xml-doctype"),
    "parameter entity": (b'<!DOCTYPE d [<!ENTITY % p SYSTEM "x"> %p;]>' + BODY, "xml-doctype"),
    "unknown entity": (b"<domain><name>&nbsp;</name></domain>", "xml-malformed"),
    "deep": (b"<domain>" + b"<a>" * 200_000, "xml-depth"),
    "deep and closed": (b"<domain>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</domain>", "xml-depth"),
    "wide": (b"<domain>" + b"<a/>" * (MAX_ELEMENTS + 1) + b"</domain>", "xml-depth"),
    "long": (b"<domain>" + b" " * MAX_DOMAIN_BYTES + b"</domain>", "input-too-large"),
    "latin-1": (BODY.replace(b"<name>t", b"<name>\xfc"), "xml-encoding"),
    "declared latin-1": (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + BODY, "xml-encoding"),
    "declared unknown": (b"<?xml version='1.0' encoding='x-nonsense'?>" + BODY, "xml-encoding"),
    "UTF-16": (b"\xff\xfe" + BODY.decode().encode("utf-16-le"), "xml-encoding"),
    "UTF-16 without BOM": (BODY.decode().encode("utf-16-le"), "xml-encoding"),
    "UTF-32": (BODY.decode().encode("utf-32"), "xml-encoding"),
    "UTF-7 declared": (b"<?xml version='1.0' encoding='UTF-7'?>" + BODY, "xml-encoding"),
    "NUL": (BODY.replace(b"<name>t", b"<name>\0"), "xml-encoding"),
    "another root": (b"<network/>", "xml-not-a-domain"),
    "another namespace": (b"<domain xmlns='urn:x'/>", "xml-not-a-domain"),
    "cut off": (BODY[: len(BODY) // 2], "xml-malformed"),
    "two roots": (BODY + BODY, "xml-malformed"),
    "nothing": (b"<", "xml-malformed"),
    "duplicate attribute": (BODY.replace(b"accel='on'", b"accel='on' accel='off'"), "xml-malformed"),
    "unbound prefix": (b"<domain><x:y/></domain>", "xml-malformed"),
    "address": (BODY.replace(b"bus='0x02'", b"bus='0xzz'"), "domain-address"),
    "slot": (BODY.replace(b"bus='0x02' slot='0x00'", b"bus='0x02' slot='0x20'"), "domain-address"),
    "index": (BODY.replace(b"index='1'", b"index='-1'"), "domain-controller"),
    "index twice": (BODY.replace(b"index='2'", b"index='1'"), "domain-controller"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_is_refused_at_once(what: str) -> None:
    data, code = HOSTILE[what]
    started = time.monotonic()
    with pytest.raises(InputRefused) as caught:
        read_domain_xml(data, "vm.xml").machine()
    assert caught.value.code == code
    assert caught.value.where
    assert caught.value.next
    assert len(str(caught.value)) < 600
    assert time.monotonic() - started < SECONDS


def _vsmmu(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    # Not with preexec_fn: Python would fork, and gRPC's threads, of other tests, do not survive that.
    command = ["prlimit", f"--as={MEMORY}", sys.executable, "-m", "vsmmu", *arguments]
    return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, **options)


@pytest.mark.parametrize("verb", ["resolve", "check", "explain"])
@pytest.mark.parametrize("what", ["entities", "external DTD", "deep and closed", "UTF-16", "long"])
def test_command_line_ends_in_3(verb: str, what: str) -> None:
    done = _vsmmu(verb, "--host", "builtin:gb200", "-", input=HOSTILE[what][0])
    assert done.returncode == 3, done.stderr
    assert HOSTILE[what][1].encode() in done.stderr or b"too-large" in done.stderr
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


def test_100_megabytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "vm.xml"
    with path.open("wb") as stream:
        stream.write(b"<domain>")
        stream.truncate(100 << 20)
    with path.open("rb") as stream:
        piped = _vsmmu("resolve", "--host", "builtin:gb200", "-", stdin=stream)
    for done in (piped, _vsmmu("resolve", "--host", "builtin:gb200", str(path))):
        assert done.returncode == 3, done.stderr
        assert b"too-large" in done.stderr


def test_depth_at_the_limit_is_read() -> None:
    inner = b"<a>" * (MAX_DEPTH - 2) + b"</a>" * (MAX_DEPTH - 2)
    assert read_domain_xml(b"<domain><x>" + inner[3:-4] + b"</x></domain>", "x").machine().devices == ()
