# SPDX-License-Identifier: Apache-2.0
"""Names out of pci.ids: vendors, devices, subsystems, classes, and files that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vsmmu.probe.pci_ids import PLACES, device_names

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
# The list
8086  Intel Corporation
\t10d3  82574L Gigabit Network Connection
\t\t103c 1797  NC364T
10de  NVIDIA Corporation
\t2941  GB200
\t\t10d3 0001  not a device of NVIDIA
C 10  Encryption controller
\t2941  a class that looks like a device
"""


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "pci.ids"
    file.write_text(TEXT)
    return (str(tmp_path / "missing"), str(file))


def test_a_device_is_called_as_lspci_calls_it(places: tuple[str, ...]) -> None:
    assert device_names({("8086", "10d3"), ("10de", "2941")}, places) == {
        ("8086", "10d3"): "Intel Corporation 82574L Gigabit Network Connection",
        ("10de", "2941"): "NVIDIA Corporation GB200",
    }


@pytest.mark.parametrize("ids", [("10de", "10d3"), ("8086", "2941"), ("103c", "1797"), ("ffff", "ffff")])
def test_what_is_no_device_of_that_vendor_has_no_name(ids: tuple[str, str], places: tuple[str, ...]) -> None:
    assert device_names({ids}, places) == {}


def test_without_a_file_there_are_no_names(tmp_path: Path) -> None:
    assert device_names({("10de", "2941")}, [str(tmp_path / "none"), str(tmp_path)]) == {}


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "pci.ids"
    file.write_bytes(b"10de  NVIDIA\n\t2941  \xff\xfe GB200\n")
    assert device_names({("10de", "2941")}, [str(file)])["10de", "2941"].endswith("GB200")


def test_distributions_put_it_in_known_places() -> None:
    assert all(place.startswith("/usr/share/") for place in PLACES)
