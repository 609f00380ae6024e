# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's forks as versions of QEMU: their names and words, and what is not known of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import vsmmu
from domains import domain, driver
from examples import function, host, smmu
from vsmmu.cli.group import cli
from vsmmu.doctor.observe import Program
from vsmmu.errors import UsageError, VsmmuError
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.kubevirt.hook import mutate
from vsmmu.kubevirt.settings import HookSettings
from vsmmu.policy.options import Ceiling, make_options
from vsmmu.policy.resolver import resolve
from vsmmu.qemu.derived_rows import derived_rows
from vsmmu.qemu.forks import FORKS
from vsmmu.qemu.installed import Installed
from vsmmu.qemu.versions import FORK_RELEASES, Qemu, is_version, packaged_fork, parse_version

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.qemu.outcome import Verdict

OLD, NEW = FORK_RELEASES
HEAD = (
    "qemu-system-aarch64 -M virt -accel kvm -bios f.fd -object iommufd,id=i0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 -device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
)
BEHIND = " -device vfio-pci,host={},bus=rp1,iommufd=i0,id=v1"


def vm(values: str, address: str = "0000:01:00.0", more: str = "") -> vsmmu.Vm:
    text = f"{HEAD}{more} -device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on{values}"
    return vsmmu.read_vm(shlex.split(text + (BEHIND.format(address) if address else "")))


def check(values: str, facts: Host | None = None, qemu: Qemu = OLD, more: str = "") -> Verdict:
    return vsmmu.check(vm(values, more=more), facts or host(), qemu=qemu)


def written(answer: vsmmu.Resolution) -> dict[str, str]:
    """What stands behind ``accel=on`` of the vSMMU after it was resolved."""
    assert answer.vm is not None, answer.problems
    (device,) = answer.vm.machine().vsmmus
    return {
        name: str(value)
        for name, value in device.properties.items()
        if name not in ("primary-bus", "accel", "id")
    }


# Names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nvidia-10.1", "nvidia-10.1"),
        ("NVIDIA-11.0", "nvidia-11.0"),
        ("nvidia 10.1.0", "nvidia-10.1"),
        ("10.1.0+nvidia", "nvidia-10.1"),
        ("11.0.0+nvidia4-1", "nvidia-11.0"),
        ("QEMU emulator version 10.1.0 (Debian 1:10.1.0+nvidia2-1)", "nvidia-10.1"),
        ("11.0+pve0", "11.0"),
        ("qemu-11.1", "11.1"),
        ("v11.0.1", "11.0"),
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)", "11.1"),
    ],
)
def test_a_fork_is_known_by_its_name_and_by_its_packages(text: str, name: str) -> None:
    assert str(parse_version(text)) == name


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        ("nvidia-10.2", "did you mean nvidia-10.1?"),
        ("nvdia-11.0", "did you mean nvidia-11.0?"),
        ("nvidia", "nvidia-10.1, nvidia-11.0"),
        ("ubuntu-8.2", "nvidia-10.1, nvidia-11.0"),
    ],
)
def test_a_fork_that_is_not_known_is_refused_with_those_that_are(text: str, next_step: str) -> None:
    assert is_version(text)
    with pytest.raises(UsageError) as caught:
        vsmmu.check(vm(""), host(), qemu=text)
    assert (caught.value.code, next_step in caught.value.next) == ("qemu-version", True)
    assert "nvidia-10.1" in caught.value.why


def test_every_row_has_its_release_and_its_sources() -> None:
    assert FORKS.keys() == {str(release) for release in FORK_RELEASES}
    for release in FORK_RELEASES:
        assert parse_version(str(release)) == release
        rows = derived_rows(release)
        text = "\n".join(row.row for row in rows)
        assert all(entry.option in text for entry in release.properties.values() if release.has(entry))
        assert all(row.source for row in rows)
        assert "arm-smmuv3 without" not in text
    assert derived_rows(OLD) != derived_rows(NEW)


def test_a_program_says_in_its_version_that_it_is_a_fork() -> None:
    assert packaged_fork("QEMU emulator version 10.1.0 (Debian 1:10.1.0+nvidia2-1)") == OLD
    assert packaged_fork("QEMU emulator version 10.1.0") is None


# What is written


@pytest.mark.parametrize("name", builtin_names())
@pytest.mark.parametrize("release", FORK_RELEASES, ids=str)
def test_on_every_host_the_words_of_the_fork_are_written_and_start(name: str, release: Qemu) -> None:
    facts = builtin_host(name)
    for entry in facts.functions:
        one = vm("", entry.address)
        answer = vsmmu.resolve(one, facts, qemu=release)
        if answer.problems:  # a host that cannot nest, or 40 address bits where there is no auto
            assert vsmmu.check(one, facts, qemu=release).answer != "starts"
            continue
        values = written(answer)
        own = {row.option: row for row in release.properties.values() if release.has(row)}
        assert values.keys() == own.keys()
        assert all(value in own[option].spellings for option, value in values.items())
        newest = vsmmu.resolve(one, facts, qemu="11.1")
        assert answer.vm is not None
        assert newest.vm is not None
        verdicts = (vsmmu.check(answer.vm, facts, qemu=release), vsmmu.check(newest.vm, facts, qemu="11.1"))
        assert verdicts[0].answer == verdicts[1].answer
        assert verdicts[0].machine_type == release.virt


@given(st.integers(0, 1), st.integers(0, 1), st.integers(0, 31), st.sampled_from([40, 42, 44, 48, 52]))
def test_nothing_that_the_old_fork_cannot_say_is_written(ats: int, ril: int, bits: int, oas: int) -> None:
    facts = host(smmu(ats=ats, ril=ril, ssidsize=bits, oas=oas))
    answer = vsmmu.resolve(vm(""), facts, qemu=OLD)
    if oas < 44:
        assert [problem.code for problem in answer.problems] == ["oas-inexpressible"]
        return
    assert written(answer) == {
        "ats": "on" if ats else "off",
        "ril": "on" if ril else "off",
        "pasid": "on" if bits >= 16 else "off",
        "oas": "48" if oas >= 48 else "44",
    }


def test_what_is_left_of_the_hosts_bits_is_told() -> None:
    answer = vsmmu.resolve(vm(""), host(smmu(ssidsize=10)), qemu=OLD)
    (pasid,) = [entry for entry in answer["s"] if entry.name == "pasid"]
    assert (pasid.value, pasid.rule) == ("off", "clamp")
    assert "offers 10" in pasid.why
    assert not any("QEMU's own auto" in note for note in answer.notes)


@pytest.mark.parametrize(("most", "value"), [(20, "on"), (16, "on"), (15, "off"), (0, "off")])
def test_a_baseline_counts_bits_and_the_fork_has_16_or_none(most: int, value: str) -> None:
    ceiling = Ceiling("b", 2, {"ssidsize": most})
    answer = resolve(vm(""), host(), OLD, make_options(ceiling=ceiling))
    assert written(answer)["pasid"] == value
    exceeded = [
        entry.code for entry in resolve(vm(",pasid=on"), host(), OLD, make_options(ceiling=ceiling)).problems
    ]
    assert exceeded == ([] if value == "on" else ["baseline-exceeded"])  # fmt: skip


def test_unpinning_needs_no_word_for_auto() -> None:
    answer = vsmmu.resolve(
        vm(",ats=auto,pasid=off,oas=44"), host(), qemu=OLD, unpin=["ats", "ssidsize", "oas"]
    )
    assert written(answer) == {"ats": "on", "pasid": "on", "oas": "48", "ril": "on"}


def test_the_new_fork_gets_every_value_because_its_defaults_are_not_known() -> None:
    values = written(vsmmu.resolve(vm(""), host(), qemu=NEW))
    assert values == {"ats": "on", "ril": "on", "ssidsize": "20", "oas": "48", "cmdqv": "auto"}
    assert check(",ats=on,ril=on,ssidsize=20,oas=48,cmdqv=auto", qemu=NEW).answer == "starts"
    doubt = check(",ats=on,ril=on,ssidsize=20,oas=48", qemu=NEW)
    assert (doubt.answer, doubt.diagnostics[0].code) == ("unknown", "qemu-default-unknown")
    assert "for cmdqv of s" in doubt.diagnostics[0].what
    assert check("", host(smmu(ril=0)), NEW).answer == "unknown"


def test_of_an_empty_vsmmu_with_unknown_defaults_nothing_is_certain() -> None:
    assert vsmmu.check(vm("", ""), host(), qemu=NEW).answer == "unknown"
    assert vsmmu.check(vm(",ats=auto", ""), host(), qemu=NEW).answer != "starts"


# What is judged


@pytest.mark.parametrize(
    ("values", "printed"),
    [
        (",ssidsize=16", "Property 'arm-smmuv3.ssidsize' not found"),
        (",ats=auto", "Parameter 'ats' expects 'on' or 'off'"),
        (",pasid=16", "Parameter 'pasid' expects 'on' or 'off'"),
        (",oas=auto", "Parameter 'oas' expects integer"),
        (",oas=256", "Parameter 'oas' expects uint8_t"),
        (",oas=52", "only implements 44 and 48"),
        (",accel=off,pasid=on", "pasid can only be enabled if accel=on"),
    ],
)
def test_words_of_releases_are_refused(values: str, printed: str) -> None:
    verdict = check(values)
    assert verdict.answer == "refused"
    assert any(printed in found.why for found in verdict.diagnostics)


@pytest.mark.parametrize("values", [",pasid=y,oas=0x30", ",pasid=true,ats=yes", ",pasid=off,oas=44", ""])
def test_words_are_read_by_their_type(values: str) -> None:
    assert check(values).answer == "starts"
    assert vsmmu.check(vm(values), host(), qemu="11.1").answer != "starts" or not values


@pytest.mark.parametrize("values", [",cmdqv=on", ",tegra241-cmdqv=off", ",msi-doorbell=1", ",pasd=on"])
def test_a_name_that_nobody_looked_at_is_unknown(values: str) -> None:
    verdict = check(values)
    assert verdict.answer == "unknown"
    assert "--qemu BINARY" in verdict.diagnostics[0].next


@pytest.mark.parametrize(("bits", "mended"), [(0, "off"), (16, "on"), (20, ""), (5, "")])
def test_a_releases_word_is_mended_where_the_fork_can_say_the_same(bits: int, mended: str) -> None:
    fixed = vsmmu.fix(vm(f",ssidsize={bits}"), host(), qemu=OLD)
    (device,) = fixed.vm.machine().vsmmus
    assert device.text("pasid") == mended
    assert ("ssidsize" in device.properties) == (not mended)


def test_more_range_invalidation_than_the_vsmmu_has_is_a_doubt() -> None:
    assert check(",ril=off").answer == "unknown"
    assert check(",ril=off", host(smmu(ril=0))).answer == "starts"
    assert check(",ril=on", host(smmu(ril=0))).answer == "refused"


@pytest.mark.parametrize("release", FORK_RELEASES, ids=str)
def test_what_only_forks_have_is_taken_of_them_alone(release: Qemu) -> None:
    values = ",ats=on,ril=on,oas=48" + (",ssidsize=20,cmdqv=auto" if release == NEW else ",pasid=on")
    egm = (
        "-m 1G -object memory-backend-ram,id=m0,size=1G -numa node,nodeid=0,memdev=m0 "
        "-object acpi-egm-memory,id=e0,pci-dev=v1,node=0"
    )
    assert check(values, qemu=release, more=egm).answer == "starts"
    assert check(values, qemu=release, more="-object acpi-egm-memory,id=e0").answer == "unknown"
    assert check(values, qemu=release, more="-object acpi-egg-memory,id=e0").answer == "unknown"
    cxl = f"{HEAD}-device pxb-cxl,id=c,bus_nr=40 -device arm-smmuv3,primary-bus=c,id=s,accel=on{values}"
    refused = "qemu-not-root-complex"
    found = vsmmu.check(vsmmu.read_vm(shlex.split(cxl)), host(), qemu=release).diagnostics
    assert refused not in {entry.code for entry in found}
    found = vsmmu.check(vsmmu.read_vm(shlex.split(cxl)), host(), qemu="11.1").diagnostics
    assert refused in {entry.code for entry in found}


def test_its_machine_types_are_those_of_its_version() -> None:
    old = [word.replace("virt", "virt-{}") if word == "virt" else word for word in vm("").command_line.words]
    for name, answer in (("10.1", "starts"), ("9.2", "starts"), ("10.2", "refused"), ("11.0", "refused")):
        words = [word.format(name) for word in old]
        assert vsmmu.check(vsmmu.read_vm(words), host(), qemu=OLD).answer == answer, name


# Domains


def test_a_domain_for_words_that_libvirt_does_not_write_is_not_judged_and_not_written() -> None:
    for values in ("", " ats='on' ssidsize='20'"):
        one = vsmmu.read_vm(driver(f"pciBus='1' accel='on'{values}"))
        verdict = vsmmu.check(one, host(), qemu=OLD)
        assert (verdict.answer, verdict.failure) == ("unknown", None)
        assert [found.code for found in verdict.of("unknown")] == ["qemu-fork-domain"]
    answer = vsmmu.resolve(vsmmu.read_vm(domain()), host(), qemu=OLD)
    assert [problem.code for problem in answer.problems] == ["qemu-fork-domain"]
    assert answer.vm is None


def test_a_domain_for_the_new_fork_is_as_for_a_release() -> None:
    facts = host(smmu(), function())
    right = driver("pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48' cmdqv='off'")
    codes = {found.code for found in vsmmu.check(vsmmu.read_vm(right), facts, qemu=NEW).diagnostics}
    assert not codes & {"qemu-too-old", "qemu-fork-domain", "qemu-default-unknown"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ("plan 0009:01:00.0", 0, "accel=on,ats=on,ril=off,pasid=on,oas=48"),
        ("plan -o xml 0009:01:00.0", 1, "what a libvirt would write"),
        ("explain 0009", 0, "pasid=on"),
        ("run --dry-run", 0, "accel=on,ats=on,ril=off,pasid=on,oas=48"),
    ],
)
def test_every_verb_takes_the_name(arguments: str, status: int, says: str) -> None:
    verb, *rest = arguments.split()
    words = vm("", "0009:01:00.0").command_line.words if verb != "plan" else []
    given = [verb, *([] if rest == ["0009"] else rest), *(["--", *words] if words else [])]
    given[1:1] = ["--host", "builtin:gb200", "--qemu", "nvidia-10.1"]
    outcome = CliRunner().invoke(cli, given)
    assert outcome.exit_code == status, outcome.output
    assert says in f"{outcome.output}{outcome.exception}"


def test_the_hook_takes_the_name_and_refuses_the_domain() -> None:
    facts = str(Path(vsmmu.__file__).with_name("host") / "builtin" / "gb200.json")
    settings = HookSettings(facts=facts, qemu="nvidia-10.1", on_failure="fail")
    with pytest.raises(VsmmuError) as caught:
        mutate(domain(), b"{}", settings)
    assert caught.value.code == "qemu-fork-domain"


def test_the_doctor_judges_a_fork_by_its_features() -> None:
    forks = {"nvidia-10.1": (11, 0), "nvidia-11.0": (11, 1), "": (10, 1)}
    found = [Program("q", (10, 1, 0), name) for name in forks]
    assert [program.features for program in found] == list(forks.values())
    assert str(found[0]) == "q 10.1.0 (nvidia-10.1)"


# Binaries


def test_a_binary_tells_what_builds_differ_in() -> None:
    smmu_has = dict.fromkeys(("accel", "ats", "ril", "oas", "pasid", "cmdqv"), "")
    asked = Installed("10.1.0", ("virt-10.1",), "virt-10.1", smmu_has, vfio_ats=False)
    assert (asked.qemu.vendor, asked.qemu.has_cmdqv) == ("nvidia", True)
    values = written(vsmmu.resolve(vm(""), host(), qemu=asked.qemu))
    assert values == {"ats": "on", "ril": "on", "pasid": "on", "oas": "48"}
    defaults = dict.fromkeys(("accel", "ril", "oas", "ssidsize", "cmdqv"), "") | {"ats": "auto"}
    new = Installed("11.0.0", ("virt-11.0",), "virt-11.0", defaults, vfio_ats=False)
    assert (new.qemu.has_auto, new.qemu.vendor) == (True, "")
