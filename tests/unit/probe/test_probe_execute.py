# SPDX-License-Identifier: Apache-2.0
"""Choosing functions, planning and probing; the kernel's answers are made up here."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from fake_host import SMMU, FakeHost, FakeWriter
from vsmmu.cli.probe import command
from vsmmu.cli.schemas import schema_of
from vsmmu.document import encode_document
from vsmmu.errors import HostLacks, InputRefused, Negative, PermissionRefused, VsmmuError
from vsmmu.host.files import load_host
from vsmmu.probe.ask import Answer
from vsmmu.probe.documents import PLAN_SCHEMA, plan_document
from vsmmu.probe.execute import make_plan, probe
from vsmmu.probe.refusals import refused
from vsmmu.uapi.hw_info import HwInfo

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

NIC, NVME, GPU = "0000:00:05.0", "0000:00:06.0", "0000:00:07.0"


class Kernel:
    """Stands for :func:`vsmmu.probe.ask.ask`."""

    def __init__(self, busy: set[str]) -> None:
        self.busy = busy
        self.asked: list[str] = []

    def __call__(self, _tree: Tree, address: str, node: str, _group: int | None) -> Answer:
        assert node.startswith("/dev/vfio/devices/")
        self.asked.append(address)
        if address in self.busy:
            raise refused("bind", OSError(errno.EINVAL, "x"), address)
        return Answer(address, HwInfo(2, bytes(40), 40, 0, 8), None, 0)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake_kernel = Kernel(set())
    monkeypatch.setattr("vsmmu.probe.execute.ask", fake_kernel)
    return fake_kernel


def test_one_function_for_each_smmu(fake: FakeHost, kernel: Kernel) -> None:
    fake.smmu("smmu3.0x0000000000001000", "other")
    fake.smmu("smmu3.0x0000000000002000", "empty")
    fake.function("0002:00:00.0", smmu="smmu3.0x0000000000001000", group=9, driver="nvgrace-gpu-vfio-pci")
    report = probe(fake.tree)
    assert kernel.asked == ["0002:00:00.0", NVME]
    assert load_host(report.facts_path) == report.host
    assert [outcome.error for outcome in report.outcomes] == [None, None]
    assert all(report.host.read(smmu.nesting, "nesting").exact for smmu in report.host.smmus[:1])


def test_functions_in_use_are_passed_over(fake: FakeHost, kernel: Kernel) -> None:
    kernel.busy = {NVME}
    report = probe(fake.tree)
    assert kernel.asked == [NVME, GPU]
    assert report.outcomes[0].answer is not None


def test_all_in_use(fake: FakeHost, kernel: Kernel) -> None:
    kernel.busy = {NVME, GPU}
    report = probe(fake.tree)
    assert report.outcomes[0].error is not None
    assert report.outcomes[0].error.code == "function-in-use"
    assert Path(report.facts_path).exists()


def test_alone_in_the_group_before_shared_and_physical_before_virtual(fake: FakeHost) -> None:
    fake.function("0000:00:04.0", group=7, driver="vfio-pci")
    fake.function("0000:00:04.1", group=7, driver="vfio-pci")
    fake.function("0000:00:03.0", group=8, driver="vfio-pci")
    fake.link("/sys/bus/pci/devices/0000:00:03.0/physfn", "/sys/bus/pci/devices/0000:00:05.0")
    assert make_plan(fake.tree).targets[0].choices == (
        NVME,
        GPU,
        "0000:00:04.0",
        "0000:00:04.1",
        "0000:00:03.0",
    )


def objection_of(fake: FakeHost, address: str) -> VsmmuError:
    refusal = make_plan(fake.tree, [address]).targets[0].refusal
    assert refusal is not None
    return refusal


def test_a_function_on_its_own_driver(fake: FakeHost) -> None:
    error = objection_of(fake, NIC)
    assert (error.code, error.exit_status, error.why) == ("not-on-vfio", 1, "it is bound to e1000e")
    assert "vsmmu probe --bind 0000:00:05.0" in error.next


def test_a_function_that_nothing_translates(fake: FakeHost) -> None:
    assert objection_of(fake, "0001:00:01.0").code == "no-smmu"
    refusal = make_plan(fake.tree, bind=["0001:00:01.0"]).targets[0].refusal
    assert refusal is not None
    assert (refusal.code, refusal.exit_status) == ("no-smmu", 5)


def test_noiommu_mode_is_no_translation(fake: FakeHost) -> None:
    base = fake.path(f"/sys/bus/pci/devices/{GPU}/vfio-dev")
    next(base.iterdir()).rename(base / "noiommu-vfio0")
    assert objection_of(fake, GPU).code == "no-smmu"


def test_a_kernel_without_device_files(fake: FakeHost) -> None:
    for address in (NVME, GPU):
        next(fake.path(f"/sys/bus/pci/devices/{address}/vfio-dev").iterdir()).joinpath("dev").unlink()
    error = objection_of(fake, GPU)
    assert (error.code, error.exit_status) == ("no-vfio-cdev", 5)
    refusal = make_plan(fake.tree).targets[0].refusal
    assert refusal is not None
    assert refusal.code == "no-vfio-cdev"


def test_a_group_mate_on_its_own_driver(fake: FakeHost) -> None:
    fake.function("0000:00:07.1", group=3, driver="snd_hda_intel")
    fake.function("0000:00:07.2", group=3, driver="pcieport", kind="60400")
    fake.function("0000:00:07.3", group=3, driver="vfio-pci")
    fake.function("0000:00:07.4", group=3)
    error = objection_of(fake, GPU)
    assert (error.code, error.why) == ("group-in-use", "0000:00:07.1 (snd_hda_intel)")


def test_nothing_on_vfio(fake: FakeHost) -> None:
    for address in (NVME, GPU):
        fake.unbind(address, "vfio-pci")
    refusal = make_plan(fake.tree).targets[0].refusal
    assert refusal is not None
    assert (refusal.code, refusal.why) == ("no-idle-function", "3 functions are behind it")
    assert refusal.exit_status == 1


def test_addresses(fake: FakeHost) -> None:
    assert make_plan(fake.tree, ["00:06.0"]).targets[0].choices == (NVME,)
    for name, code in (("nonsense", "not-an-address"), ("0000:ff:00.0", "no-such-function")):
        with pytest.raises(InputRefused, match=code):
            make_plan(fake.tree, [name])


def test_no_iommufd_no_smmu_no_permission(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(PermissionRefused, match="no-permission"):
            probe(fake.tree)
        make_plan(fake.tree)  # anyone may look
    for name in fake.tree.names("/sys/class/iommu"):
        fake.path(f"/sys/class/iommu/{name}").unlink()
    with pytest.raises(HostLacks, match="no-smmu"):
        probe(fake.tree)
    fake.path("/dev/iommu").unlink()
    with pytest.raises(HostLacks, match="no-iommufd"):
        probe(fake.tree)


def test_the_plan_is_what_is_done(fake: FakeHost, kernel: Kernel, writer: FakeWriter) -> None:
    plan = make_plan(fake.tree, [NVME], [NIC])
    assert plan.describe() == [
        (
            f"ask the kernel about the IOMMU before {NVME}: bind it to an iommufd for some milliseconds, "
            "which resets the function before and after"
        ),
        f"unbind {NIC} from its driver e1000e",
        f"set driver_override of {NIC} to vfio-pci",
        f"bind {NIC} to vfio-pci",
        (
            f"ask the kernel about the IOMMU before {NIC}: bind it to an iommufd for some milliseconds, "
            "which resets the function before and after"
        ),
        f"unbind {NIC} from vfio-pci",
        f"set driver_override of {NIC} back to nothing",
        f"bind {NIC} to e1000e again",
        f"write {fake.root}/run/vsmmu/host.json",
    ]
    assert writer.writes == []
    probe(fake.tree, [NVME], [NIC], writer)
    assert kernel.asked == [NVME, NIC]
    assert len(writer.writes) == 6
    assert fake.bound(NIC) == "e1000e"


def test_bind_of_what_is_on_vfio_changes_nothing(fake: FakeHost, kernel: Kernel, writer: FakeWriter) -> None:
    probe(fake.tree, bind=[NVME], writer=writer)
    assert (kernel.asked, writer.writes) == ([NVME], [])


def test_bind_of_a_function_without_a_driver(fake: FakeHost, kernel: Kernel, writer: FakeWriter) -> None:
    fake.unbind(NIC, "e1000e")
    probe(fake.tree, bind=[NIC], writer=writer)
    assert len(writer.writes) == 4
    assert fake.bound(NIC) is None


def test_an_error_while_bound_still_gives_the_driver_back(
    fake: FakeHost, kernel: Kernel, writer: FakeWriter
) -> None:
    kernel.busy = {NIC}
    report = probe(fake.tree, bind=[NIC], writer=writer)
    assert report.outcomes[0].error is not None
    assert fake.bound(NIC) == "e1000e"


def prepare(fake: FakeHost, what: str) -> None:
    device = f"/sys/devices/platform/40000000.pcie/pci0000:00/{NIC}"
    if what == "bridge":
        fake.path(f"/sys/bus/pci/devices/{NIC}/uevent").write_text("PCI_CLASS=60400\nPCI_ID=1:2\n")
    elif what == "virtual functions":
        fake.write(f"{device}/sriov_numvfs", "4\n")
    elif what == "interface":
        fake.write(f"{device}/net/eth0/flags", "0x1003\n")
        fake.link("/sys/class/net/eth0", f"{device}/net/eth0")
    elif what == "group":
        fake.function("0000:00:05.1", group=1, driver="e1000e")
    else:
        fake.write(f"{device}/block/sda/dev", "8:0\n")
        fake.link("/sys/class/block/sda", f"{device}/block/sda")
        fake.write("/proc/self/mountinfo", "1 2 8:0 / / rw - ext4 /dev/sda rw\n" if what == "mount" else "")
        fake.write("/proc/swaps", "Filename Type\n/dev/sda partition 1\n" if what == "swap" else "")
        if what == "holder":
            fake.write(f"{device}/block/sda/holders/dm-0", "")


@pytest.mark.parametrize(
    ("what", "code", "why"),
    [("bridge", "not-a-function", ""), ("virtual functions", "has-virtual-functions", ""),
     ("interface", "function-in-use", "eth0 is up"), ("mount", "function-in-use", "sda is mounted"),
     ("swap", "function-in-use", "sda is swap space"), ("holder", "function-in-use", "another block device"),
     ("group", "group-in-use", "0000:00:05.1 (e1000e)")],
)  # fmt: skip
def test_what_is_not_taken_from_its_driver(
    fake: FakeHost, kernel: Kernel, writer: FakeWriter, what: str, code: str, why: str
) -> None:
    prepare(fake, what)
    report = probe(fake.tree, bind=[NIC], writer=writer)
    error = report.outcomes[0].error
    assert error is not None
    assert error.code == code
    assert why in error.why
    assert (kernel.asked, writer.writes) == ([], [])


def test_an_interface_that_is_down_and_a_disk_that_is_idle(
    fake: FakeHost, kernel: Kernel, writer: FakeWriter
) -> None:
    prepare(fake, "idle disk")
    prepare(fake, "interface")
    fake.write(f"/sys/bus/pci/devices/{NIC}/net/eth0/flags", "0x1002\n")
    fake.write("/sys/class/net/lo/flags", "0x9\n")
    assert probe(fake.tree, bind=[NIC], writer=writer).outcomes[0].error is None


def test_what_cannot_be_mended_does_not_keep_others_from_being_asked(
    fake: FakeHost, kernel: Kernel, writer: FakeWriter
) -> None:
    fake.write("/run/vsmmu/journal", "nonsense\n")
    report = probe(fake.tree, writer=writer)
    assert report.stuck is not None
    assert report.stuck.code == "journal-malformed"
    assert report.outcomes[0].answer is not None
    with pytest.raises(HostLacks, match="journal-malformed"):
        probe(fake.tree, bind=[NIC], writer=writer)


def test_a_function_named_twice_is_asked_once(fake: FakeHost, kernel: Kernel, writer: FakeWriter) -> None:
    probe(fake.tree, [NVME, "00:06.0", NIC], [NIC], writer)
    assert kernel.asked == [NVME, NIC]


def test_a_kernel_that_tells_nothing(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "vsmmu.probe.execute.ask", lambda _t, address, *_: Answer(address, HwInfo(0, b"", 0, 0, 0))
    )
    report = probe(fake.tree)
    error = report.outcomes[0].error
    assert error is not None
    assert (error.code, error.exit_status) == ("no-hw-info", 5)
    assert load_host(report.facts_path).smmus[0].hw_info_type.value == 0


def test_facts_of_this_boot_are_kept(fake: FakeHost, kernel: Kernel) -> None:
    probe(fake.tree, [NVME])
    host = probe(fake.tree, [GPU]).host
    first = host.function(NVME)
    assert first is not None
    assert host.read(first.ats_not_supported, "ATS").evidence.source.startswith(
        f"IOMMU_GET_HW_INFO on {NVME}"
    )


# The command.


@pytest.fixture
def run(fake: FakeHost, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vsmmu.probe.system_root.Tree", lambda: fake.tree)

    def invoke(*arguments: str):
        return CliRunner().invoke(command, arguments, standalone_mode=False)

    return invoke


def test_the_command(run, kernel: Kernel, fake: FakeHost) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"{SMMU}: an SMMUv3"
    assert f"through {NVME}" in result.stdout
    assert result.stderr == f"vsmmu: wrote {fake.root}/run/vsmmu/host.json\n"


def test_the_command_as_json(run, kernel: Kernel, fake: FakeHost) -> None:
    result = run("-o", "json")
    assert json.loads(result.stdout) == json.loads(fake.path("/run/vsmmu/host.json").read_text())


def test_the_command_dry(run, kernel: Kernel, fake: FakeHost) -> None:
    assert run("--dry-run").stdout.startswith(" 1. ask the kernel about the IOMMU before 0000:00:06.0")
    document = json.loads(run("--dry-run", "-o", "json", NIC).stdout)
    assert document["schema"] == PLAN_SCHEMA
    assert document["targets"][0]["diagnostics"][0]["code"] == "not-on-vfio"
    assert kernel.asked == []
    assert not fake.path("/run/vsmmu/host.json").exists()


def test_the_commands_errors(run, kernel: Kernel) -> None:
    result = run(NIC, "0001:00:01.0")
    assert result.return_value == Negative.exit_status
    assert result.stderr.index("[not-on-vfio]") < result.stderr.index("[no-smmu]")
    assert json.loads(run("-o", "json", NIC).stdout)["schema"] == "vsmmu.host/1"


def test_the_command_says_what_it_has_mended(run, kernel: Kernel, fake: FakeHost) -> None:
    fake.write("/run/vsmmu/journal", '{"step":"unbind-driver","address":"0000:00:1f.0","driver":"x"}\n')
    assert "an interrupted probe was undone: bind 0000:00:1f.0 to x again" in run().stderr


def test_the_plans_document_fits_its_schema(fake: FakeHost) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(
        json.loads(encode_document(plan_document(make_plan(fake.tree, [NIC, NVME])))), schema_of("probe-plan")
    )
