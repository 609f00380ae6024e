# SPDX-License-Identifier: Apache-2.0
"""Requirements of a VM: each feature with each answer, by release, configuration and measured facts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.cli import doctor, report
from vsmmu.doctor.observe import parse_config
from vsmmu.doctor.requirements import InstalledHost, Judged, judge_feature
from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, HwInfoFact, Kernel, ReservedRegion
from vsmmu.host.files import encode_host
from vsmmu.machine.features import FEATURES

if TYPE_CHECKING:
    from pathlib import Path

GPU = "0009:01:00.0"
VM = f"""qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios fw -nodefaults \\
    -object iommufd,id=i -device pxb-pcie,id=p,bus_nr=8,bus=pcie.0 \\
    -device arm-smmuv3,primary-bus=p,id=s,accel=on -device pcie-root-port,id=r,bus=p,chassis=1 \\
    -device vfio-pci,id=gpu,host={GPU},bus=r,iommufd=i
"""
EVIDENCE = {"m": Evidence("measured", "here"), "p": Evidence("published", "a mail")}
ALL = {row.config: "y" for row in FEATURES.values() if row.config}
RANK = ("too-old", "missing", "unknown", "fits")


def host(release: str = "", *, iommufd: Fact = UNKNOWN, smmu: HostSmmu | None = None, **gpu: object) -> Host:
    function = HostFunction(GPU, **gpu)  # type: ignore[arg-type]
    smmus = () if smmu is None else (smmu,)
    kernel = Kernel(release=release)
    return Host(
        schema=SCHEMA, name="h", kernel=kernel, iommufd=iommufd, smmus=smmus, functions=(function,),
        evidence=EVIDENCE,
    )  # fmt: skip


def on(
    facts: Host,
    config: dict[str, str] | None = None,
    qemu: tuple[int, int] | None = (11, 1),
    libvirt: tuple[int, int] | None = None,
) -> InstalledHost:
    return InstalledHost(facts, config, qemu, libvirt, uses_libvirt=libvirt is not None)


def measured(kind: int, **members: object) -> HostSmmu:
    return HostSmmu("smmu3.0x1", hw_info_type=Fact(kind, "m"), **members)  # type: ignore[arg-type]


SET = parse_config("\n".join(f"{option}=y" for option in ALL))
QUEUES = {"cmdqv.type": HwInfoFact("0x0000000000000003", "m")}


@pytest.mark.parametrize(
    ("feature", "given_", "answer", "why"),
    [
        ("iommufd", on(host("6.1.0")), "too-old", "Linux 6.1.0"),
        ("iommufd", on(host("5.14.0-503.el9.aarch64")), "unknown", "distributor"),
        ("iommufd", on(host("5.14.0-503.el9.aarch64"), SET), "fits", ""),
        ("iommufd", on(host("6.8.0"), {}), "missing", "CONFIG_IOMMUFD"),
        ("iommufd", on(host("6.1.0"), {}), "too-old", "Linux 6.1.0"),
        ("iommufd", on(host("6.8.0")), "unknown", "configuration"),
        ("iommufd", on(host()), "unknown", "release"),
        ("iommufd", on(host("6.1.0", iommufd=Fact(1, "m"))), "fits", ""),
        ("iommufd", on(host("6.8.0", iommufd=Fact(0, "m")), SET), "missing", "/dev/iommu"),
        ("iommufd", on(host("6.1.0", iommufd=Fact(1, "p"))), "too-old", "6.1"),
        ("iommufd", on(host("6.8.0"), SET, (8, 2)), "too-old", "QEMU 8.2"),
        ("iommufd", on(host("6.8.0"), SET, libvirt=(12, 0)), "too-old", "libvirt 12.0"),
        ("cdev", on(host("6.1.0", smmu=measured(2))), "fits", ""),
        ("cdev", on(host("6.4.0"), SET | {"CONFIG_VFIO_DEVICE_CDEV": "n"}), "too-old", "6.4"),
        ("accel", on(host("6.1.0", smmu=measured(2))), "fits", ""),
        ("accel", on(host("6.14.0", smmu=measured(0))), "missing", "IOMMU_GET_HW_INFO"),
        ("accel", on(host("6.14.0"), SET, (10, 2)), "too-old", "QEMU 10.2"),
        ("accel", on(host("6.14.0"), SET, None), "unknown", "QEMU"),
        ("auto", on(host(), None, (11, 0)), "too-old", "QEMU 11.0"),
        ("cmdqv", on(host("6.14.0"), SET), "too-old", "6.14"),
        ("cmdqv", on(host("6.17.1"), SET), "fits", ""),
        ("cmdqv", on(host("6.17.1", smmu=measured(2, cmdqv=Fact(0, "m"))), SET), "missing", "queues"),
        ("cmdqv", on(host("6.14.0", smmu=measured(2, hw_info_data=QUEUES))), "fits", ""),
        ("mmio-window", on(host(), None, (9, 2)), "too-old", "QEMU 9.2"),
        ("mmio-window", on(host(), None, libvirt=(12, 7)), "unknown", "first"),
        ("mmio-window", on(host(), None, libvirt=(12, 8)), "fits", ""),
        ("generic-initiators", on(host(), None, libvirt=(11, 7)), "too-old", "libvirt 11.7"),
        ("not-direct-mapped", on(host()), "unknown", "not looked at"),
        ("not-direct-mapped", on(host(reserved_regions=())), "fits", ""),
        (
            "not-direct-mapped",
            on(host(reserved_regions=(ReservedRegion("0xa0000000", "0xbfffffff", "direct"),))),
            "missing",
            "0xa0000000",
        ),
    ],
)
def test_an_answer(feature: str, given_: InstalledHost, answer: str, why: str) -> None:
    judged = judge_feature(FEATURES[feature], given_, [GPU])
    assert (judged.answer, why in judged.why) == (answer, True), judged


def test_functions_that_are_not_named_or_not_known() -> None:
    row = FEATURES["not-direct-mapped"]
    assert judge_feature(row, on(host()), []).answer == "unknown"
    assert judge_feature(row, on(host(reserved_regions=())), [GPU, "0000:02:00.0"]).answer == "unknown"


VERSIONS = st.tuples(st.integers(5, 14), st.integers(0, 20))


@given(st.sampled_from(list(FEATURES.values())), VERSIONS, VERSIONS, st.sampled_from(range(3)))
def test_a_newer_release_is_never_worse(
    row: object, one: tuple[int, int], two: tuple[int, int], which: int
) -> None:
    older, newer = sorted((one, two))

    def judged(version: tuple[int, int]) -> Judged:
        latest = [(99, 0), (99, 0), (99, 0)]
        latest[which] = version
        kernel, qemu, libvirt = latest
        return judge_feature(row, on(host(f"{kernel[0]}.{kernel[1]}.0"), SET, qemu, libvirt), [GPU])  # type: ignore[arg-type]

    assert RANK.index(judged(older).answer) <= RANK.index(judged(newer).answer)


def run_report(tmp_path: Path, *words: str) -> tuple[int, str]:
    (tmp_path / "vm.sh").write_text(VM)
    for name, release in (("old", "6.1.0"), ("new", "6.14.0")):
        facts = host(release, reserved_regions=(), smmu=measured(2) if name == "new" else None)
        data = json.loads(encode_host(facts)) | {"name": name}
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    result = CliRunner().invoke(
        report.command, ["--for", str(tmp_path / "vm.sh"), *words], standalone_mode=False
    )
    return result.return_value if result.exception is None else -1, result.stdout


def test_a_pool_is_counted_with_each_reason_once(tmp_path: Path) -> None:
    status, text = run_report(tmp_path, str(tmp_path / "old.json"), str(tmp_path / "new.json"))
    assert status == 1
    assert (
        "accel=on                  6.13   CONFIG_ARM_SMMU_V3_IOMMUFD  11.0  12.7     1 too old, 1 fits"
        in text
    )
    assert text.endswith("too old: Linux 6.1.0\n  iommufd, vfio-pci,iommufd=, accel=on: old\n")


def test_a_host_that_has_all_is_a_yes(tmp_path: Path) -> None:
    status, text = run_report(tmp_path, str(tmp_path / "new.json"))
    assert (status, {line.split()[-1] for line in text.splitlines()[1:]}) == (0, {"fits"}), text
    status, text = run_report(tmp_path, "--qemu", "11.0", "-o", "json", str(tmp_path / "new.json"))
    document = json.loads(text)
    assert (status, document["fits"]) == (1, False)
    short = [row["id"] for row in document["features"] if row["answers"][0]["answer"] != "fits"]
    assert short == ["auto"]


@pytest.mark.parametrize("words", [["-o", "html"], ["-o", "csv"], ["--pool", "kernel"], ["--since", "x"]])
def test_what_has_no_meaning_for_a_vm_is_refused(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "vm.sh").write_text(VM)
    result = CliRunner().invoke(report.command, ["--for", str(tmp_path / "vm.sh"), *words, "builtin:gb200"])
    assert getattr(result.exception, "code", "") == "requirements-form"


def test_the_doctor_judges_this_machine(tmp_path: Path) -> None:
    (tmp_path / "vm.sh").write_text(VM)
    result = CliRunner().invoke(doctor.command, ["--for", str(tmp_path / "vm.sh"), "-o", "json"])
    document = json.loads(result.stdout)
    assert document["hosts"] == 1
    assert [row["id"] for row in document["features"]] == [
        "iommufd", "cdev", "vsmmu", "accel", "auto", "not-direct-mapped",
    ]  # fmt: skip
    assert result.exit_code == (0 if document["fits"] else 1)
    (tmp_path / "plain.sh").write_text("qemu-system-aarch64 -M virt -nodefaults\n")
    result = CliRunner().invoke(doctor.command, ["--for", str(tmp_path / "plain.sh")])
    assert (result.exit_code, "no iommufd" in result.stdout) == (0, True)
