# SPDX-License-Identifier: Apache-2.0
"""NUMA cells that a real libvirt takes and refuses are those of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from as_libvirt import as_tcg

from domains import domain
from vsmmu.libvirt.lint import lint
from vsmmu.machine.domain.document import read_domain_xml

if TYPE_CHECKING:
    from conftest import Libvirt

pytestmark = [pytest.mark.lab]
BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}
ONE = "<cell id='0' cpus='0-1' memory='2' unit='GiB'/>"
FAR = "<cell id='1' memory='0'><distances><sibling {}/></distances></cell>"
#: Cells -> what libvirt 12.8 says, in part; empty where it takes them.
CELLS = {
    ONE: "",
    "<cell cpus='0-1' memory='2' unit='GiB'/>": "",
    f"{ONE}<cell id='1' memory='0'/>": "",
    "<cell id='1' memory='0' unit='KiB'/><cell id='0' cpus='0,1' memory='1' unit='gib'/>": "",
    f"{ONE}<cell id='2' memory='0'/>": "Exactly one 'cell' element per guest NUMA cell",
    f"{ONE}<cell id='x' memory='0'/>": "Invalid value for attribute 'id'",
    f"{ONE}{ONE}": "Duplicate NUMA cell info for cell id '0'",
    "<cell id='0' cpus='0-1'/>": "memory",
    "<cell id='0' memory='2.5' unit='GiB'/>": "memory",
    "<cell id='0' memory='2' unit='pages'/>": "unknown suffix",
    "<cell id='0' cpus='a' memory='2'/>": "Failed to parse bitmap",
    f"{ONE}<cell id='1' cpus='1' memory='2048'/>": "overlapping vCPU ids",
    "<cell id='0' cpus='0-2' memory='2048'/>": "exceed",
    "<cell id='0' cpus='0-16383' memory='2048'/>": "exceed",
    "<cell id='0' cpus='0-16384' memory='2048'/>": "Failed to parse bitmap",
    "<cell id='0' cpus='16384' memory='2048'/>": "Failed to parse bitmap",
    ONE + FAR.format("id='0' value='20'"): "",
    ONE + FAR.format("id='1' value='10'"): "",
    ONE + FAR.format("id='0' value='9'"): "value",
    ONE + FAR.format("id='0' value='256'"): "value",
    ONE + FAR.format("id='0' value='10'"): "value",
    ONE + FAR.format("id='1' value='11'"): "value",
    ONE + FAR.format("id='7' value='20'"): "id",
    ONE + FAR.format("value='20'"): "id",
    ONE + FAR.format("id='0'"): "value",
}


def test_libvirt_refuses_the_cells_that_the_rules_refuse(libvirt: Libvirt) -> None:
    files = {
        f"{number}.xml": as_tcg(
            domain(**BARE, cpu=f"<cpu mode='host-passthrough'><numa>{cells}</numa></cpu>")
        )
        for number, cells in enumerate(CELLS)
    }
    run = "virsh domxml-to-native qemu-argv {0}.xml > {0}.args 2> {0}.err\n"
    done = libvirt.run("".join(run.format(number) for number in range(len(CELLS))) + "true\n", files)
    wrong = []
    for number, (cells, part) in enumerate(CELLS.items()):
        said = done.files[f"{number}.err"].decode().strip()
        ours = [entry.code for entry in lint(read_domain_xml(files[f"{number}.xml"], "x").reading)]
        if bool(said) != bool(part) or part not in said or bool(ours) != bool(part):
            wrong.append((cells, said, ours))
    assert wrong == []
