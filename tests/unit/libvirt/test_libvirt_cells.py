# SPDX-License-Identifier: Apache-2.0
"""NUMA cells of a domain: what libvirt refuses of them, and when all of ``<cpu>`` was looked at."""

from __future__ import annotations

import pytest

import vsmmu
from domains import domain
from examples import host, smmu
from vsmmu.libvirt.lint import lint
from vsmmu.machine.domain.document import read_domain_xml

BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}
ONE = "<cell id='0' cpus='0-1' memory='2' unit='GiB'/>"


def codes(cells: str) -> list[str]:
    given = domain(**BARE, cpu=f"<cpu><numa>{cells}</numa></cpu>")
    return [entry.code for entry in lint(read_domain_xml(given, "x").reading)]


@pytest.mark.parametrize(
    "cells",
    [
        ONE,
        "<cell cpus='0-1' memory='2' unit='GiB'/>",
        f"{ONE}<cell id='1' memory='0'/>",
        "<cell id='1' memory='0' unit='KiB'/><cell id='0' cpus='0,1' memory='1' unit='tib'/>",
        f"{ONE}<cell memory='0'><distances><sibling id='0' value='20'/></distances></cell>",
        f"{ONE}<cell memory='0'><distances><sibling id='1' value='10'/></distances></cell>",
        ONE + "".join(f"<cell id='{n}' memory='0'/>" for n in range(1, 128)),
    ],
)
def test_cells_that_are_right(cells: str) -> None:
    assert codes(cells) == []


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (f"{ONE}<cell id='2' memory='0'/>", "cell-number"),
        (f"{ONE}<cell id='x' memory='0'/>", "cell-number"),
        (f"{ONE}<cell id='-1' memory='0'/>", "cell-number"),
        (f"{ONE}{ONE}", "cell-twice"),
        ("<cell id='0' cpus='0-1'/>", "cell-memory"),
        ("<cell id='0' memory='2.5' unit='GiB'/>", "cell-memory"),
        ("<cell id='0' memory='2' unit='pages'/>", "cell-memory"),
        ("<cell id='0' cpus='a' memory='2'/>", "cell-cpus"),
        ("<cell id='0' cpus='0-16384' memory='2'/>", "cell-cpus"),
        ("<cell id='0' cpus='0-16383' memory='2'/>", "cell-cpu-missing"),
        pytest.param(f"<cell id='0' cpus='{'1' * 5000}' memory='2'/>", "cell-cpus", id="long"),
        (f"{ONE}<cell id='1' cpus='1' memory='2'/>", "cell-cpu-twice"),
        ("<cell id='0' cpus='0-2' memory='2'/>", "cell-cpu-missing"),
        (ONE + "".join(f"<cell id='{n}' memory='0'/>" for n in range(1, 129)), "cells-many"),
        *(
            (f"{ONE}<cell memory='0'><distances><sibling {text}/></distances></cell>", "cell-distance")
            for text in (
                "id='0' value='9'", "id='0' value='256'", "id='0' value='10'", "id='1' value='11'",
                "id='7' value='20'", "value='20'", "id='0'",
            )
        ),
    ],
)  # fmt: skip
def test_cells_that_libvirt_refuses(cells: str, code: str) -> None:
    assert code in codes(cells)
    given = domain(**BARE, cpu=f"<cpu><numa>{cells}</numa></cpu>")
    assert vsmmu.check(vsmmu.read_vm(given), host(smmu())).answer == "refused"


@pytest.mark.parametrize(
    ("cpu", "plain"),
    [
        ("", True),
        ("<cpu/>", True),
        ("<cpu mode='host-passthrough' check='none'/>", True),
        (f"<cpu mode='maximum'><numa>{ONE}</numa></cpu>", True),
        (f"<cpu mode='host-model'><numa>{ONE}</numa></cpu>", False),
        ("<cpu mode='host-passthrough' migratable='on'/>", False),
        ("<cpu mode='custom'><model>cortex-a57</model></cpu>", False),
        ("<cpu mode='host-passthrough'><topology sockets='1' cores='2' threads='1'/></cpu>", False),
        ("<cpu><numa><cell id='0' memory='2' memAccess='shared'/></numa></cpu>", False),
        (f"<cpu><numa>{ONE}<interconnects/></numa></cpu>", False),
        ("<cpu><numa><cell id='0' memory='2'><cache level='1'/></cell></numa></cpu>", False),
    ],
)
def test_cpu_is_not_looked_at_where_it_has_more_than_a_mode_and_cells(cpu: str, plain: bool) -> None:
    given = read_domain_xml(domain(**BARE, cpu=cpu), "x")
    assert ("<cpu>" not in given.not_judged()) is plain
