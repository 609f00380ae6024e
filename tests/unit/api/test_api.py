# SPDX-License-Identifier: Apache-2.0
"""The public API: its names, and its lines on a command line, a script and a domain."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vsmmu
from domains import domain

COMMAND = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)
FORMS = {
    "words": (COMMAND.split(), "smmuv3.0"),
    "text": (COMMAND, "smmuv3.0"),
    "script": (
        b"#!/bin/sh\nexec " + COMMAND.replace(" -device", " \\\n  -device").encode() + b"\n",
        "smmuv3.0",
    ),
    "domain": (domain(), "iommu0"),
}
VALUES = {"ats": "on", "ril": "off", "ssidsize": "20", "oas": "48"}


@pytest.mark.parametrize("form", FORMS)
def test_the_lines_of_the_manual_work_on_every_form(form: str) -> None:
    source, vsmmu_name = FORMS[form]
    host = vsmmu.load_host("builtin:gb200")
    vm = vsmmu.read_vm(source)
    answer = vsmmu.resolve(vm, host, qemu="11.1")
    found = {value.name: value.value for value in answer[vsmmu_name]}
    assert {name: found[name] for name in VALUES} == VALUES
    assert all(value.rule and value.why for value in answer[vsmmu_name])
    assert answer.vm is not None
    verdict = vsmmu.check(answer.vm, host, qemu="11.1")
    assert verdict.answer == "starts"
    # Only the one device changes, and a second time nothing.
    again = vsmmu.resolve(vsmmu.read_vm(answer.vm.render()), host)
    assert again.vm is not None
    if form != "words":  # words come back as one line for a shell
        assert again.vm.render() == answer.vm.render()


def test_what_cannot_be_resolved_says_why_and_gives_no_vm() -> None:
    answer = vsmmu.resolve(vsmmu.read_vm(COMMAND), vsmmu.load_host("builtin:gb10"))
    assert answer.vm is None
    problem = answer.problems[0]
    assert isinstance(problem, vsmmu.Diagnostic)
    assert problem.code
    assert problem.next


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"also": ["nonsense"]}, "address"),
        ({"libvirt": "new"}, "libvirt-version"),
        ({"qemu": "9.0"}, "qemu-version"),
    ],
)
def test_options_are_refused_with_their_code(wanted: dict[str, object], code: str) -> None:
    host, vm = vsmmu.load_host("builtin:gb200"), vsmmu.read_vm(COMMAND)
    with pytest.raises(vsmmu.UsageError) as refused:
        vsmmu.resolve(vm, host, **wanted)  # type: ignore[arg-type]
    assert refused.value.code == code


def test_every_name_is_there_and_no_other() -> None:
    for name in vsmmu.__all__:
        assert getattr(vsmmu, name) is not None
    assert sorted(vsmmu.__all__) == dir(vsmmu)
    with pytest.raises(AttributeError):
        vsmmu.nothing  # noqa: B018


def test_functions_stay_functions_whatever_is_imported() -> None:
    """A subpackage called like one of the names would take its place when it is imported."""
    code = "import pkgutil, vsmmu; print(*(m.name for m in pkgutil.iter_modules(vsmmu.__path__)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(shown.split()) & set(vsmmu.__all__)


def test_naming_the_package_loads_nothing() -> None:
    code = "import sys, vsmmu; print(*(n for n in sys.modules if n.startswith('vsmmu.') or n == 'msgspec'))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == []
