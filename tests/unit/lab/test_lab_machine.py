# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for the lab host."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsmmu.lab.build import Artifacts
from vsmmu.lab.machine import DEFAULT_DEVICES, Console, LabConfig, Start, arguments, iort_name
from vsmmu.lab.tools import OuterMachine, Tools, qemu_version

MACHINE = OuterMachine("amd64", "usr/lib64/ld.so", "usr/lib/x86_64-linux-gnu")


def artifacts(tree: Path = Path("/tree"), system_qemu: str | None = None) -> Artifacts:
    return Artifacts(Tools(tree, MACHINE, system_qemu), Path("/cache/rootfs.img"), Path("/cache/Image"))


def command(config: LabConfig | None = None, **changes: object) -> list[str]:
    options: dict[str, object] = {
        "console": Console(Path("/tmp/console.log")),
        "port": 7,
        "clock": 1,
    } | changes
    start = Start(artifacts(), Path("/tmp/bring.tar"), **options)  # type: ignore[arg-type]
    return arguments(config or LabConfig(), start)


def values(argv: list[str], option: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv) if word == option]


def test_the_tree_s_qemu_runs_with_the_tree_s_loader_and_libraries() -> None:
    assert command()[:7] == [
        "/tree/usr/lib64/ld.so",
        "--inhibit-cache",
        "--library-path",
        "/tree/usr/lib/x86_64-linux-gnu",
        "/tree/usr/bin/qemu-system-aarch64",
        "-L",
        "/tree/usr/share/qemu",
    ]


def test_a_system_qemu_runs_as_it_is() -> None:
    assert artifacts(system_qemu="/usr/bin/qemu").tools.qemu() == ["/usr/bin/qemu"]


def test_the_machine_nests_and_has_an_smmu() -> None:
    (machine,) = values(command(), "-M")
    assert set(machine.split(",")) == {"virt", "virtualization=on", "gic-version=3", "iommu=smmuv3"}
    assert values(command(), "-accel") == ["tcg,thread=multi"]


def test_default_devices_are_where_the_documentation_says() -> None:
    devices = values(command(), "-device")
    assert [device.split(",")[0] for device in devices[:3]] == ["e1000e", "nvme", "virtio-rng-pci"]
    assert [f"addr=0{slot}.0" in device for slot, device in zip((5, 6, 7), devices, strict=False)] == [
        True
    ] * 3


def test_more_devices_come_after_the_default_ones() -> None:
    config = LabConfig().with_devices("pci-testdev", "nvme,drive=null1,serial=x")
    assert config.devices == (*DEFAULT_DEVICES, "pci-testdev", "nvme,drive=null1,serial=x")
    assert values(command(config), "-device")[3:5] == ["pci-testdev", "nvme,drive=null1,serial=x"]


def test_a_device_tree_boot_has_no_firmware() -> None:
    argv = command()
    assert "-bios" not in argv
    assert "acpi=force" not in values(argv, "-append")[0]


def test_acpi_boots_through_uefi_with_the_tables() -> None:
    argv = command(LabConfig(acpi=True), initrd=Path("/tmp/tables.cpio"))
    assert values(argv, "-bios") == ["/tree/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd"]
    assert values(argv, "-initrd") == ["/tmp/tables.cpio"]
    assert "acpi=force" in values(argv, "-append")[0].split()


def test_a_session_talks_over_the_inherited_socket() -> None:
    argv = command(port=9)
    assert "socket,id=agent,fd=9" in values(argv, "-chardev")
    assert "file,id=console,path=/tmp/console.log" in values(argv, "-chardev")
    assert "lab.shell" not in values(argv, "-append")[0]


def test_a_prompt_has_the_terminal_and_no_agent() -> None:
    argv = command(port=None, console=Console(None))
    assert values(argv, "-chardev") == ["stdio,id=console,mux=on,signal=off"]
    assert "lab.shell" in values(argv, "-append")[0].split()


def test_disks_are_read_only_and_commas_in_paths_survive() -> None:
    start = Start(artifacts(), Path("/tmp/a,b.tar"), Console(Path("/tmp/x,y.log")), 3)
    argv = arguments(LabConfig(), start)
    disks = [value for value in values(argv, "-blockdev") if value.startswith("raw,")]
    assert all("read-only=on" in disk for disk in disks)
    assert disks[1].endswith("file.filename=/tmp/a,,b.tar")
    assert "file,id=console,path=/tmp/x,,y.log" in argv


def test_it_never_outlives_its_starter_and_never_reboots() -> None:
    argv = command()
    assert values(argv, "-run-with") == ["exit-with-parent=on"]
    assert "-no-reboot" in argv
    assert "panic=-1" in values(argv, "-append")[0].split()


def test_the_iort_is_cached_for_each_hardware(tmp_path: Path) -> None:
    made = artifacts(tmp_path)
    plain = iort_name(LabConfig(acpi=True), made)
    assert iort_name(LabConfig(acpi=True, kernel=Path("/other")), made) == plain
    assert iort_name(LabConfig(acpi=True).with_devices("pci-testdev"), made) != plain


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright", (11, 1, 3)),
        ("QEMU emulator version 12.0", (12, 0, 0)),
        ("", ()),
    ],
)
def test_qemu_version(text: str, version: tuple[int, ...]) -> None:
    assert qemu_version(text) == version
