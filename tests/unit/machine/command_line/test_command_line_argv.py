# SPDX-License-Identifier: Apache-2.0
"""Command lines: the emulator in them, what they describe, what is refused, edits, the three forms."""

from __future__ import annotations

import pytest
from qemu_lines import machine

from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.machine.command_line.argv import read_source, read_words

# --- which word is the emulator -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["qemu-system-aarch64", "-S"], "qemu-system-aarch64"),
        (["/usr/libexec/qemu-kvm", "-S"], "/usr/libexec/qemu-kvm"),
        (["sudo", "-E", "A=b", "qemu-system-arm", "-S"], "qemu-system-arm"),
        (["Q=/x/qemu-system-arm", "exec", "qemu-system-aarch64", "-S"], "qemu-system-aarch64"),
        (["A=b", "./my-qemu", "-S"], "./my-qemu"),
        (["A=b"], ""),
        (["A=/x/qemu-kvm"], ""),
        (["-S"], ""),
    ],
)
def test_emulator(words: list[str], program: str) -> None:
    assert read_words(words).machine().program == program


def test_a_command_inside_a_word_is_not_read() -> None:
    with pytest.raises(InputRefused, match="no option '-c'"):
        read_words(["sh", "-c", "qemu-system-arm -device a"]).machine()


def test_options_only() -> None:
    text = b"-M virt\n-device pci-testdev,id=a\n"
    assert [device.id for device in read_source(text).machine().devices] == ["a"]


# --- what the options mean ------------------------------------------------------------------------


def test_values_that_look_like_options() -> None:
    assert machine("-name", "-device", "-append", "-nodefaults").default_nic


def test_only_migratable() -> None:
    assert machine("--only-migratable").only_migratable
    assert not machine().only_migratable


def test_double_dash() -> None:
    assert machine("--device", "pci-testdev", "--nodefaults").default_nic is False


def test_machine_options_are_merged_and_dashed() -> None:
    described = machine("-M", "virt,acpi=on", "-machine", "kernel_irqchip=split,acpi=off", "-M", "virt-11.0")
    assert described.machine_type == "virt-11.0"
    assert described.machine_options == {"acpi": "off", "kernel-irqchip": "split"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (
            ["-accel", "kvm,kernel_irqchip=on", "-accel", "tcg,thread=multi,kernel-irqchip=off"],
            ("kvm", "tcg"),
        ),
        (["-M", "virt,accel=kvm:tcg"], ("kvm", "tcg")),
        (["-M", "accel=tcg", "-enable-kvm"], ("kvm",)),
        (["-enable-kvm", "-M", "accel=tcg"], ("tcg",)),
        ([], ()),
    ],
)
def test_accelerators(options: list[str], names: tuple[str, ...]) -> None:
    assert machine(*options).accelerators == names


def test_options_of_the_first_accelerator_come_first() -> None:
    described = machine("-accel", "kvm,kernel_irqchip=on", "-accel", "tcg,thread=multi,kernel-irqchip=off")
    assert described.accelerator_options == {"kernel-irqchip": "on", "thread": "multi"}


@pytest.mark.parametrize(
    ("options", "firmware"),
    [
        ([], ""),
        (["-bios", "a.fd", "-bios", "b.fd"], "b.fd"),
        (["-M", "virt,firmware=a.fd"], "a.fd"),
        (["-M", "virt,pflash0=node"], "node"),
        (["-pflash", "a.fd", "-pflash", "b.fd"], "a.fd"),
        (["-drive", "if=pflash,unit=1,file=v.fd", "-drive", "if=pflash,file=c.fd"], "c.fd"),
        (["-drive", "if=pflash,unit=1,file=v.fd"], ""),
        (["-drive", "if=pflash,id=x", "-drive", "if=none,id=y", "-set", "drive.x.file=c.fd"], "c.fd"),
        (["-drive", "if=pflash,index=0"], "pflash"),
        (["-drive", "if=pflash,unit=99999999999999999999,file=c.fd"], "c.fd"),
    ],
)
def test_firmware(options: list[str], firmware: str) -> None:
    assert machine(*options).firmware == firmware


@pytest.mark.parametrize(
    ("options", "default", "cards"),
    [
        ([], True, ()),
        (["-nodefaults"], False, ()),
        (["-nic", "none"], False, ()),
        (["-net", "none"], False, ()),
        (["-netdev", "user,id=n"], False, ()),
        (["-net", "nic,model=e1000", "-net", "user"], False, ("e1000",)),
        (["-nodefaults", "-nic", "user,model=e1000e", "-nic", "user"], False, ("e1000e", "")),
        (["-device", "virtio-net-pci"], True, ()),
    ],
)
def test_network_cards(options: list[str], default: bool, cards: tuple[str, ...]) -> None:
    described = machine(*options)
    assert (described.default_nic, described.network_cards) == (default, cards)


def test_order_of_creation() -> None:
    described = machine(
        "-M", "virt",
        "-device", '{"driver":"pci-testdev","id":"j1"}',
        "-drive", "file=x.img,id=d",
        "-device", "pci-testdev,id=k1",
        "-virtfs", "local,path=/tmp,mount_tag=t,security_model=none",
        "-readconfig", "a.cfg",
        "y.img",
        "-audio", "driver=none,model=hda",
        "-audio", "driver=none,model=nosuch",
        "-device", "pci-testdev,id=k2",
        "-device", '{"driver":"pci-testdev","id":"j2"}',
        files={"a.cfg": b'[device "c1"]\n  driver = "pci-testdev"\n'},
    )  # fmt: skip
    assert [device.id or device.driver for device in described.devices] == [
        "intel-hda", "k1", "virtio-9p-pci", "c1", "k2", "virtio-blk-pci", "virtio-blk-pci", "j1", "j2",
    ]  # fmt: skip
    assert [device.number for device in described.devices] == list(range(9))


def test_drives_on_other_boards_make_no_device() -> None:
    assert machine("-M", "sbsa-ref", "-hda", "x.img").devices == ()
    assert machine("-M", "virt", "-sd", "x.img", "-drive", "if=none,id=d").devices == ()


def test_globals() -> None:
    described = machine(
        "-global", "a.b=c,d=e", "-global", "property=p,driver=d,value=v", "-global", "a.b.c=d"
    )
    assert [entry[:3] for entry in described.globals] == [
        ("a", "b", "c,d=e"),
        ("d", "p", "v"),
        ("a", "b.c", "d"),
    ]


def test_objects() -> None:
    described = machine("-object", "iommufd,id=i0,fd=3", "-object", '{"qom-type":"x","id":"y","n":[1]}')
    assert [entry[:3] for entry in described.objects] == [
        ("iommufd", "i0", {"fd": "3"}),
        ("x", "y", {"n": [1]}),
    ]


def test_json_device_without_a_text_id() -> None:
    (device,) = machine("-device", '{"driver":"pci-testdev","id":7,"x":true}').devices
    assert (device.id, device.name, device.text("x")) == ("", "pci-testdev#0", "on")


def test_set() -> None:
    (device,) = machine(
        "-device", "a,id=S,ats=on", "-set", "device.S.ats=a=b,c", "-set", "device.S.new=1"
    ).devices
    assert device.properties == {"ats": "a=b,c", "new": "1"}
    (device,) = machine("-device", "a,id=S", "-set", "device.S.id=T", "-set", "device.S.driver=b").devices
    assert (device.driver, device.id) == ("b", "T")
    machine("-chardev", "null,id=x", "-set", "chardev.x.logfile=a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("chardev.x.y=1", 'there is no chardev "x" defined'),
        ("global.x.y=off", 'there is no global "x" defined'),
        ("drive.x.y=1", 'there is no drive "x" defined'),
        ("nosuch.x.y=1", "There is no option group 'nosuch'"),
        ("object.x.y=1", "-set is not supported with object"),
        ("abc", 'can\'t parse: "abc"'),
    ],
)
def test_set_of_what_is_not_there(text: str, why: str) -> None:
    with pytest.raises(InputRefused) as caught:
        machine("-set", text)
    assert caught.value.why == why


def test_backends() -> None:
    described = machine(
        *("-netdev", "user,id=n", "-nic", "user,id=c", "-chardev", "null,id=s", "-drive", "id=d,if=none"),
        *("-blockdev", '{"driver":"raw","node-name":"o","file":{"driver":"file","node-name":"i"}}'),
    ).backends
    assert described is not None
    assert {name: set(given) for name, given in described.items() if given} == {
        "netdev": {"n"},
        "chardev": {"s"},
        "drive": {"d", "o", "i"},
        "shared": {"o", "i"},
    }


def test_origin() -> None:
    described = machine(
        "--device", "a,b=1", "-readconfig", "d/a.cfg", files={"d/a.cfg": b'[device]\n\n driver = "x"\n'}
    )
    assert described.devices[0].origin == ("--device a,b=1", "argument 1")
    assert described.devices[1].origin == ("d/a.cfg:3", "d/a.cfg:3")


def test_configuration_file_groups() -> None:
    text = b"""# comment
[machine]
  type = "virt"
[accel]
  accel = "kvm"
[device]
  driver = "a"
  driver = "b"
  id = "S"
[drive "x"]
  if = "pflash"
  file = "f"
[chardev "c"]
  backend = "null"
[netdev "n"]
  type = "user"
[object]
  qom-type = "iommufd"
"""
    described = machine("-readconfig", "a.cfg", files={"a.cfg": text})
    assert (described.machine_type, described.accelerators, described.firmware) == ("virt", ("kvm",), "f")
    assert [(device.id, device.driver) for device in described.devices] == [("S", "b")]
    assert described.default_nic, "only the option -netdev switches it off [measured]"


# --- what is refused ------------------------------------------------------------------------------


def test_expansions_before_the_emulator_are_left_alone() -> None:
    source = read_source(b'"$WRAPPER" qemu-system-arm -device a')
    assert source.machine().devices
    with pytest.raises(InputRefused, match="would expand"):
        source.render_words()
    with pytest.raises(InputRefused, match="would expand"):
        source.render_nul()


# --- edits ----------------------------------------------------------------------------------------


# --- the three forms ------------------------------------------------------------------------------


def test_scripts_with_several_commands() -> None:
    text = b"set -e\nwhich qemu-system-arm && qemu-system-arm -S\nexec qemu-kvm -device a &\nwait\n"
    with pytest.raises(InputRefused, match="more than one command"):
        read_source(text)
    text = text.replace(b"qemu-system-arm -S", b"qemu-system-arm --version")
    assert read_source(text).machine().program == "qemu-kvm"
    assert read_source(b"echo hello\n./emulator -M virt\necho bye\n").machine().program == "./emulator"
    assert read_source(b"echo hello\n./emulator -S\n").machine().program == "./emulator"


def test_every_error_is_ours() -> None:
    with pytest.raises(VsmmuError):
        read_source(b"'")


# --- what nobody looks at -------------------------------------------------------------------------


def test_what_is_not_looked_at() -> None:
    """Each option once; an object that needs a file, a peer or a secret, with its type, in either form."""
    line = read_words(
        "-object iommufd,id=a -object memory-backend-ram,id=b,size=1G -object secret,id=c -cpu max "
        '-object rng-random,id=d -object {"qom-type":"tls-creds-psk","id":"e"} -object secret,id=f'.split()
    )
    expected = ("-object secret", "-cpu", "-object rng-random", "-object tls-creds-psk")
    assert line.not_judged() == expected
