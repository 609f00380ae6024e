# SPDX-License-Identifier: Apache-2.0
"""The report on a mixed pool of 200 hosts, looked at: nothing clipped, and the same numbers everywhere."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from chromium import MARKS
from look import SCHEMES, WIDTHS, look

from vsmmu.host.builtin import builtin_host, builtin_names

if TYPE_CHECKING:
    from pathlib import Path

    from chromium import Chromium

pytestmark = MARKS
HOSTS = 200
WORDS = {"starts": "proven", "unknown": "not proven", "refused": "refused"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hosts of all kinds with long names, in three pools by their kernel."""
    chance = random.Random(7)
    path = tmp_path_factory.mktemp("pool") / "hosts.jsonl"
    with path.open("wb") as out:
        for number in range(HOSTS):
            host = builtin_host(chance.choice(builtin_names()))
            name = f"rack{number % 8}-node-{number:03}.cluster.example.org"
            kernel = msgspec.structs.replace(host.kernel, release=f"7.{number % 3}")
            host = msgspec.structs.replace(host, name=name, kernel=kernel)
            out.write(msgspec.json.encode(host) + b"\n")
    return path


def vsmmu(*words: str | Path) -> bytes:
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, check=False).stdout


@pytest.fixture(scope="module")
def pages(pool: Path) -> list[Path]:
    """The report as it is, and by pools."""
    found = []
    for name, more in (("whole", ()), ("pools", ("--pool", "kernel", "--device", "10de:2941"))):
        page = pool.with_name(f"{name}.html")
        page.write_bytes(vsmmu("report", "-o", "html", *more, pool))
        found.append(page)
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_everything_on_the_page_can_be_seen(
    browser: Chromium, pages: list[Path], width: int, scheme: str
) -> None:
    for page in pages:
        browser.open(page)
        for opened in ("false", "true"):
            browser.run(f"for (const entry of document.querySelectorAll('details')) entry.open = {opened}")
            found = look(browser, width, scheme)
            assert found.pop("texts") > HOSTS
            assert {key: value for key, value in found.items() if value} == {}


def test_captions_and_code_are_whole_on_a_phone(browser: Chromium, pages: list[Path]) -> None:
    browser.open(pages[0])
    look(browser, 390, "light")
    wide = "[...document.querySelectorAll('caption, pre')].map(e => e.getBoundingClientRect().right)"
    assert max(browser.run(wide)) <= 390


def test_the_numbers_are_the_same_in_page_csv_json_and_compare(
    browser: Chromium, pool: Path, pages: list[Path]
) -> None:
    report = json.loads(vsmmu("report", "-o", "json", pool))
    answers = {answer: report["answers"][answer] for answer in WORDS}
    assert sum(answers.values()) == HOSTS
    rows = list(csv.DictReader(io.StringIO(vsmmu("report", "-o", "csv", pool).decode())))
    assert Counter(row["answer"] for row in rows) == answers
    browser.open(pages[0])
    tiles = browser.run("[...document.querySelectorAll('.headline')].map(tile => tile.textContent.trim())")
    assert tiles == [f"{count} {WORDS[answer]}" for answer, count in answers.items()]
    to_probe = {name for group in report["probe"] for name in group["names"]}
    assert to_probe == {row["host"] for row in rows if row["answer"] == "unknown"}
    names = browser.run(
        "[...document.querySelectorAll('#probe td:last-child')].map(e => e.textContent).join(' ')"
    )
    assert to_probe <= set(names.replace(",", " ").split())


@pytest.mark.parametrize("answer", WORDS)
def test_compare_names_the_hosts_of_an_answer(pool: Path, tmp_path: Path, answer: str) -> None:
    vm = tmp_path / "vm.sh"
    vm.write_text(
        "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
        "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
        "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,ats=off,ril=off,ssidsize=0,oas=44 "
        "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
        "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0\n"
    )
    rows = csv.DictReader(io.StringIO(vsmmu("report", "-o", "csv", pool).decode()))
    expected = [row["host"] for row in rows if row["answer"] == answer]
    found = vsmmu("compare", "--for", vm, "-o", "hosts", "--answer", answer, pool).decode().split()
    assert expected
    assert sorted(found) == sorted(expected)
