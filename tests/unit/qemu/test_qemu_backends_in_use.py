# SPDX-License-Identifier: Apache-2.0
"""Backends that only one device may have, and files that objects open; the texts are QEMU 11.1.3's."""

from __future__ import annotations

import pytest

import vsmmu
from predicted import predicted
from vsmmu.machine.command_line.argv import read_words

DRIVE = "-drive if=none,id=d,file=disk.img,format=raw,file.locking=off"
NODE = "-blockdev driver=raw,node-name=d,file.driver=file,file.filename=disk.img"
CHARDEV = "-chardev null,id=c -device virtio-serial-pci"
PORT = "-device virtserialport,chardev=c"
TWICE = "-device virtio-blk-pci,drive=d -device virtio-blk-pci,drive=d"
TAKEN = "Property 'virtserialport.chardev' can't take value 'c': chardev 'c' is already in use"


def said(words: str, files: dict[str, str] | None = None) -> tuple[str, str]:
    expected = predicted(words, files=files)
    return expected.answer, expected.text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (f"{DRIVE} {TWICE}", "Drive 'd' is already in use by another device"),
        (f"{DRIVE} -device virtio-scsi-pci -device scsi-hd,drive=d -device virtio-blk-pci,drive=d",
         "Drive 'd' is already in use by another device"),
        (f"{CHARDEV} {PORT} {PORT}", TAKEN),
        (f"{CHARDEV} -serial chardev:c {PORT}", TAKEN),
        (f"{CHARDEV} -mon chardev=c {PORT}", TAKEN),
        ("-drive if=virtio,file=disk.img,format=raw,file.locking=off,id=e -device virtio-blk-pci,drive=e",
         ("Drive 'e' is already in use because it has been automatically connected to another device "
         "(did you need 'if=none' in the drive options?)")),
        ("-hda disk.img -drive file=disk.img,index=0", "drive with bus=0, unit=0 (index=0) exists"),
        ("-object rng-random,id=r,filename=yes", "Could not open 'yes': No such file or directory"),
    ],
)  # fmt: skip
def test_what_is_taken_or_not_there_is_refused(words: str, text: str) -> None:
    answer, printed = said(words)
    assert answer == "refused"
    assert printed.endswith(text)


@pytest.mark.parametrize(
    ("disk", "name"),
    [
        ("-hda disk.img", "virtio0"),
        ("-hdb disk.img", "virtio1"),
        ("-cdrom disk.img", "virtio2"),
        ("disk.img", "virtio0"),
    ],
)
def test_a_disk_that_qemu_makes_itself_has_its_drive(disk: str, name: str) -> None:
    assert said(f"{disk} -device virtio-blk-pci,drive={name}") == (
        "refused",
        (
            f"qemu-system-aarch64: {disk}: Drive '{name}' is already in use because it has been "
            "automatically connected to another device (did you need 'if=none' in the drive options?)"
        ),
    )


@pytest.mark.parametrize(
    "words",
    [
        f"{DRIVE} -device virtio-blk-pci,drive=d",
        f"-chardev null,id=c,mux=on -device virtio-serial-pci {PORT} {PORT}",
        "-object rng-builtin,id=r -device virtio-rng-pci,rng=r -device virtio-rng-pci,rng=r",
        (
            "-fsdev local,id=f,path=/tmp,security_model=none -device virtio-9p-pci,fsdev=f,mount_tag=x "
            "-device virtio-9p-pci,fsdev=f,mount_tag=y"
        ),
        "-object rng-random,id=r,filename=/dev/urandom",
    ],
)
def test_what_may_be_shared_starts(words: str) -> None:
    assert said(words)[0] == "starts"


def test_a_node_twice_hangs_on_what_each_device_does_with_it() -> None:
    assert said(f"{NODE} {TWICE}")[0] == "unknown"


def test_a_configuration_files_backends_are_known() -> None:
    section = '[drive "d"]\n  file = "disk.img"\n  format = "raw"\n  if = "none"\n'
    read = "-readconfig vm.cfg -device virtio-blk-pci,drive="
    assert said(f"{read}d", {"vm.cfg": section})[0] == "starts"
    assert said(f"{read}e", {"vm.cfg": section}) == (
        "refused",
        (
            "qemu-system-aarch64: -device virtio-blk-pci,drive=e: "
            "Property 'virtio-blk-device.drive' can't find value 'e'"
        ),
    )


@pytest.mark.parametrize(
    "words",
    [
        "-netdev user,id=n -netdev user,id=n",
        "-nic user,id=n -netdev user,id=n",
        "-chardev null,id=c -chardev null,id=c",
        f"{DRIVE} {DRIVE}",
        f"{DRIVE} -blockdev driver=null-co,node-name=d",
        "-blockdev driver=null-co,node-name=d -blockdev driver=null-co,node-name=d",
        "-fsdev local,id=f,path=/tmp,security_model=none -fsdev local,id=f,path=/tmp,security_model=none",
        "-audiodev none,id=a -audiodev none,id=a",
        "-readconfig vm.cfg -netdev user,id=n",
    ],
)
def test_an_id_twice_is_refused(words: str) -> None:
    assert said(words, {"vm.cfg": '[netdev "n"]\n  type = "user"\n'})[0] == "refused"


@pytest.mark.parametrize(
    "words",
    [
        "-netdev user,id=n -chardev null,id=n",
        "-netdev user,id=n -netdev user,id=m",
        "-object iothread,id=i -device e1000e,id=i",
    ],
)
def test_ids_of_two_kinds_may_be_equal(words: str) -> None:
    assert said(words)[0] == "starts"


@pytest.mark.parametrize(
    ("words", "remedies"),
    [
        ("-drive file=a,index=0 -drive file=b,index=0", ["give each drive an index="]),
        ("-hda a -drive file=b,index=0", ["give each drive an index="]),
        ("-drive if=ide,file=a", ["write if=none and an id="]),
        (" ".join(f"-drive if=pflash,file=a,unit={unit}" for unit in range(3)), ["the board has two"]),
        (f"{DRIVE} {TWICE}", ["give each device a drive of its own"]),
        ("-drive if=virtio,file=a,id=e -device virtio-blk-pci,drive=e", ["write -drive with if=none"]),
        ("-drive if=none,file=a,media=x", ["correct the value"]),
    ],
)
def test_what_to_do_about_a_drive_is_about_drives(words: str, remedies: list[str]) -> None:
    vm = read_words(["qemu-system-aarch64", "-M", "virt", "-nodefaults", *words.split()])
    found = vsmmu.check(vm, vsmmu.load_host("builtin:gb200")).diagnostics
    told = [entry.next for entry in found if entry.code == "qemu-property-value"]
    assert [text.startswith(remedy) for text, remedy in zip(told, remedies, strict=True)] == [True]
