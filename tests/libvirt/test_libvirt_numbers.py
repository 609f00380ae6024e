# SPDX-License-Identifier: Apache-2.0
"""The forms of numbers that a real libvirt takes in each attribute, and what it makes of them."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from machines import shape
from number_domains import FORMS, PLACES, RECORDED, number_domain
from vsmmu.errors import InputRefused
from vsmmu.libvirt.lint import lint
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml

if TYPE_CHECKING:
    from conftest import Libvirt

pytestmark = [pytest.mark.lab]
_NO_NUMBER = re.compile(r"Invalid value for attribute|invalid NUMA node in target")


@pytest.mark.parametrize("place", PLACES)
def test_libvirt_takes_the_forms_that_we_take(place: str, libvirt: Libvirt) -> None:
    files = {f"{number}.xml": number_domain(place, form) for number, form in enumerate(FORMS)}
    run = "virsh domxml-to-native qemu-argv {0}.xml > {0}.args 2> {0}.err\n"
    done = libvirt.run("".join(run.format(number) for number in range(len(FORMS))) + "true\n", files)
    taken = {}
    for number, form in enumerate(FORMS):
        said = done.files[f"{number}.err"].decode()
        taken[form] = _NO_NUMBER.search(said) is None
        try:
            document = read_domain_xml(files[f"{number}.xml"], f"{place}={form!r}")
            machine = shape(document.machine())
        except InputRefused:
            assert said, f"{place}={form!r} is refused by us alone"
            continue
        found = {finding.code for finding in lint(document.reading)}
        assert taken[form] == ("value-refused" not in found), f"{place}={form!r}: {said}"
        if not said:
            theirs = read_source(done.files[f"{number}.args"], place).machine()
            assert machine == shape(theirs), f"{place}={form!r}"
    if os.environ.get("VSMMU_REGENERATE"):
        known = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
        known[place] = [form for form in FORMS if taken[form]]
        rows = [f"  {json.dumps(key)}: {json.dumps(known[key])}" for key in PLACES if key in known]
        RECORDED.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    assert json.loads(RECORDED.read_text(encoding="utf-8"))[place] == [form for form in FORMS if taken[form]]
