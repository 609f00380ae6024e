# SPDX-License-Identifier: Apache-2.0
"""What other decoders got wrong, each on facts where wrong and right differ.

One fork of KubeVirt and a stand-alone tool read IOMMU_GET_HW_INFO like this: OAS as 32 + 4 * field, SSIDSIZE
from the device's PASID width, the maximum over devices, ril always off.
"""

from __future__ import annotations

import pytest

from domains import domain
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.files import load_host
from vsmmu.kubevirt.capabilities import PciCapabilities, capabilities_document
from vsmmu.kubevirt.hook import mutate
from vsmmu.kubevirt.settings import HookSettings
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve
from vsmmu.qemu.versions import LATEST

Facts = "Callable[..., str]"


def written(path: str) -> dict[str, str]:
    """What the hook writes."""
    data = mutate(domain(), b"{}", HookSettings(facts=path)).domain
    return dict(read_domain_xml(data, "vm.xml").reading.iommus[0].settings)


def told(path: str) -> PciCapabilities:
    """What the capabilities document says of the same function."""
    return capabilities_document(load_host(path)).devices["0009:01:00.0"]


@pytest.mark.parametrize(("code", "bits", "wrong"), [(4, "44", "48"), (5, "48", "52")])
def test_oas_is_a_code_and_not_a_multiple_of_four(facts: Facts, code: int, bits: str, wrong: str) -> None:
    path = facts(oas=code)
    assert written(path)["oas"] == told(path).oas == bits
    assert str(32 + 4 * code) == wrong != bits


@pytest.mark.parametrize(("smmu", "device"), [(20, 8), (10, 20), (16, 0)])
def test_ssidsize_is_the_smmus_and_not_the_devices_pasid_width(facts: Facts, smmu: int, device: int) -> None:
    path = facts(ssidsize=smmu, pasid_width=device)
    assert written(path)["ssidsize"] == told(path).ssidsize == str(smmu)


@pytest.mark.parametrize(("ril", "value"), [(1, "on"), (0, "off")])
def test_ril_is_the_hosts_and_not_always_off(facts: Facts, ril: int, value: str) -> None:
    path = facts(ril=ril)
    assert written(path)["ril"] == told(path).ril == value


def test_several_functions_get_the_minimum_and_not_the_maximum(facts: Facts) -> None:
    """Of host SMMUs that differ; one vSMMU for two is refused elsewhere, so that is allowed here."""
    path = facts(
        oas=5, ssidsize=20, ats=1, ril=1, second_oas=4, second_ssidsize=8, second_ats=0, second_ril=0
    )
    read = read_domain_xml(domain(), "vm.xml")
    options = Options(also={"": ("0019:01:00.0",)}, allow_mixed=True)
    answer = resolve(read, load_host(path), LATEST, options)
    assert answer.vm is not None, answer.problems
    assert b"ats='off' ril='off' ssidsize='8' oas='44'" in answer.vm.render()


def test_capabilities_of_gb200() -> None:
    document = capabilities_document(builtin_host("gb200"))
    assert document.missing == {}
    assert {(one.accel, one.ats, one.ril, one.ssidsize, one.oas) for one in document.devices.values()} == {
        ("on", "on", "off", "20", "48")
    }
    assert document.devices["0009:01:00.0"].smmu != document.devices["0019:01:00.0"].smmu


@pytest.mark.parametrize("name", builtin_names())
def test_capabilities_leave_nobody_out_silently(name: str) -> None:
    host = builtin_host(name)
    document = capabilities_document(host)
    assert {*document.devices, *document.missing} == {function.address for function in host.functions}
    assert all(document.missing.values())


def test_unknown_or_inexpressible_value_leaves_the_function_out(facts: Facts) -> None:
    document = capabilities_document(load_host(facts(oas=2)))
    assert "auto" in document.missing["0009:01:00.0"]
    missing = capabilities_document(builtin_host("gb10")).missing
    assert "not known" in missing["0000:01:00.0"]
    assert "no VM can have it" in missing["000f:01:00.0"]
