# SPDX-License-Identifier: Apache-2.0
"""Buses as QEMU 11.1.3 was measured to find them, and host addresses."""

from __future__ import annotations

import pytest

from steps import steps
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.drivers import BRIDGES, is_bridge, is_pci, is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.machine.limits import MAX_DEVICES
from vsmmu.machine.model import Device, Machine, Origin
from vsmmu.machine.topology import Topology
from vsmmu.pci import normal_address


def build(*devices: str, options: tuple[str, ...] = ()) -> tuple[Machine, Topology]:
    machine = read_words(("qemu", *options, *[w for text in devices for w in ("-device", text)])).machine()
    return machine, Topology.of(machine)


def roots(*devices: str) -> list[str | None]:
    machine, topology = build(*devices)
    return [topology.root_of(device) for device in machine.devices]


def names(*devices: str) -> list[str]:
    return [bus.name for bus in build(*devices)[1].buses]


PXB = "pxb-pcie,id=p,bus_nr=8,bus=pcie.0"


def test_ports_and_switches_lead_to_their_root() -> None:
    assert roots(
        PXB,
        "pcie-root-port,id=r,bus=p",
        "x3130-upstream,id=u,bus=r",
        "xio3130-downstream,id=d,bus=u",
        "vfio-pci,host=1:0.0,bus=d",
        "pcie-root-port,id=q,bus=pcie.0",
        "vfio-pci,host=1:0.1,bus=q",
        "arm-smmuv3,primary-bus=p",
        "usb-kbd",
        "scsi-hd,bus=s.0",
    ) == ["pcie.0", "p", "p", "p", "p", "pcie.0", "pcie.0", None, None, None]


def test_behind() -> None:
    machine, topology = build(
        PXB,
        "pcie-root-port,id=r,bus=p",
        "arm-smmuv3,primary-bus=p",
        "vfio-pci,host=1:0.0,bus=r",
        "e1000,bus=pcie.0",
    )
    assert [device.number for device in topology.behind("p")] == [1, 3]
    assert [device.number for device in topology.endpoints_behind("p")] == [3]
    assert [device.number for device in topology.behind("pcie.0")] == [0, 4]
    assert topology.behind("nosuch") == ()
    assert topology.vsmmu_of("p") == 2
    assert topology.vsmmu_of("pcie.0") is None
    bus = topology.primary_bus_of(machine.devices[2])
    assert bus is not None
    assert bus.is_root
    assert topology.by_device[3].name == "r"
    bus = topology.bus_of(machine.devices[3])
    assert bus is not None
    assert not bus.is_root


def test_without_bus_a_device_goes_to_the_newest_expander() -> None:
    assert roots("e1000", PXB, "e1000", "pxb-pcie,id=q,bus=pcie.0", "pcie-root-port,id=r") == [
        "pcie.0", "pcie.0", "p", "pcie.0", "q",
    ]  # fmt: skip


def test_bridges_without_id_count_their_buses_by_type() -> None:
    assert names(
        "pcie-root-port", "pcie-root-port,id=a", "x3130-upstream,bus=a", "pcie-pci-bridge,id=b",
        "pcie-pci-bridge", "i82801b11-bridge", "pxb-pcie,bus=pcie.0",
    ) == ["pcie.0", "pcie.0", "a", "pcie.1", "b", "pci.0", "pci.1", "pxb-pcie-bus.0"]  # fmt: skip


def test_a_second_pcie_0_on_a_newer_root_complex_takes_over() -> None:
    machine, topology = build(
        PXB, "pcie-root-port,bus=p", "e1000,bus=pcie.0", "arm-smmuv3,primary-bus=pcie.0"
    )
    assert topology.root_of(machine.devices[2]) == "p"
    (missing,) = topology.missing
    assert (missing.device.number, missing.reason, missing.bus) == (3, "ambiguous", "pcie.0")


def test_a_second_pcie_0_below_the_first_does_not() -> None:
    machine, topology = build("pcie-root-port", "e1000,bus=pcie.0")
    bus = topology.bus_of(machine.devices[1])
    assert bus is not None
    assert bus.owner == -1


def test_a_second_root_called_pcie_0() -> None:
    machine, topology = build("e1000", "pxb-pcie,id=pcie.0,bus=pcie.0", "pcie-root-port,id=r,bus=pcie.0")
    assert topology.by_device[2].owner == 1
    assert [device.number for device in topology.behind("pcie.0")] == [0, 1, 2]
    assert machine.devices[1].driver == "pxb-pcie"


def test_bus_paths() -> None:
    assert roots("pcie-root-port,id=a", "e1000,bus=pcie.0/a/a", "e1000,bus=pcie.0/a") == ["pcie.0"] * 3


@pytest.mark.parametrize(
    ("devices", "later"), [(("e1000,bus=r",), False), (("e1000,bus=r", "pcie-root-port,id=r"), True)]
)
def test_missing_buses(devices: tuple[str, ...], later: bool) -> None:
    machine, topology = build(*devices)
    (missing,) = topology.missing
    assert (missing.device, missing.bus, missing.reason, missing.later) == (
        machine.devices[0],
        "r",
        "absent",
        later,
    )
    assert topology.root_of(machine.devices[0]) is None


def test_what_hangs_from_a_missing_bus_is_missing_too() -> None:
    _, topology = build("pcie-root-port,id=r,bus=nosuch", "e1000,bus=r")
    assert [entry.bus for entry in topology.missing] == ["nosuch", "r"]


def test_primary_bus_must_be_there() -> None:
    _, topology = build("arm-smmuv3,primary-bus=p", PXB, "arm-smmuv3")
    (missing,) = topology.missing
    assert (missing.device.number, missing.reason, missing.later) == (0, "absent", True)


def test_primary_bus_by_global() -> None:
    _, topology = build(PXB, "arm-smmuv3", options=("-global", "arm-smmuv3.primary-bus=p"))
    assert topology.vsmmus_of("p") == (1,)


@pytest.mark.parametrize(
    ("devices", "shown"),
    [
        (("pcie-root-port,id=a,bus=a",), "a on a"),
        (("pcie-root-port,id=a,bus=b", "pcie-root-port,id=b,bus=a"), "a on b on a"),
        (("pcie-root-port,id=x,bus=a", "pcie-root-port,id=a,bus=b", "pci-bridge,id=b,bus=a"), "a on b on a"),
    ],
)
def test_cycles_are_refused(devices: tuple[str, ...], shown: str) -> None:
    with pytest.raises(InputRefused) as caught:
        build(*devices)
    assert caught.value.code == "bus-cycle"
    assert shown in caught.value.what


def test_a_long_cycle_is_shown_in_short() -> None:
    with pytest.raises(InputRefused) as caught:
        build(*[f"pcie-root-port,id=a{n},bus=a{(n + 1) % 5000}" for n in range(5000)])
    assert len(str(caught.value)) < 700


def test_duplicate_ids_are_refused() -> None:
    machine, _ = build("e1000,id=a")
    (device,) = machine.devices
    with pytest.raises(InputRefused) as caught:
        Topology.of(machine._replace(devices=(device, device._replace(number=1))))
    assert caught.value.code == "duplicate-id"


@pytest.mark.parametrize("shape", ["flat", "deep", "nameless"])
def test_growth_is_linear(shape: str) -> None:
    def devices(count: int) -> tuple[Device, ...]:
        return tuple(
            Device(
                n,
                "pcie-root-port",
                "" if shape == "nameless" else f"a{n}",
                {"bus": f"a{n - 1}" if shape == "deep" and n else "pcie.0"},
                "keyval",
                Origin("", ""),
            )
            for n in range(count)
        )

    empty = read_words(["qemu"]).machine()

    def work(count: int) -> int:
        machine = empty._replace(devices=devices(count))
        return steps(lambda: Topology.of(machine))

    assert work(MAX_DEVICES // 4) < 16 * 1.2 * work(MAX_DEVICES // 64)


def test_driver_kinds() -> None:
    assert all(is_pci(driver) and is_bridge(driver) for driver in BRIDGES)
    assert is_pci("virtio-net-pci")
    assert is_pci("pci-testdev")
    assert is_pci("nvme")
    assert not is_pci("arm-smmuv3")
    assert not is_pci("virtio-net-device")
    assert not is_bridge("vfio-pci")
    assert is_vfio("vfio-pci-nohotplug")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("01:00.0", "0000:01:00.0"),
        ("0009:01:00.0", "0009:01:00.0"),
        ("9:1:0.7", "0009:01:00.7"),
        ("000A:0B:1F.3", "000a:0b:1f.3"),
        ("00000:00:05.0", "0000:00:05.0"),
        ("10000:01:00.0", "10000:01:00.0"),
        ("0:20.0", None),
        ("100:0.0", None),
        ("1.0", None),
        ("0:5", None),
        ("0:5.8", None),
        ("0:5.0 ", None),
        ("", None),
        ("٣:0.0", None),
        ("ffff:ff:1f.7", "ffff:ff:1f.7"),
        ("0009:01:20.0", None),
        ("0009:01:00.8", None),
        ("0009:01:00.a", None),
        ("\u0660009:01:00.0", None),
    ],
)
def test_addresses(text: str, address: str | None) -> None:
    assert normal_address(text) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("vfio-pci,host=9:1:0.0", "0009:01:00.0"),
        ("vfio-pci,sysfsdev=/sys/bus/pci/devices/0009:01:00.0", "0009:01:00.0"),
        ("vfio-pci,sysfsdev=/sys/devices/pci0009:00/0009:01:00.0/", "0009:01:00.0"),
        ("vfio-pci,sysfsdev=/sys/bus/pci/devices/1:1:0.0,host=9:1:0.0", "0001:01:00.0"),
        ("vfio-pci,sysfsdev=/sys/bus/mdev/devices/5cc77a1a-6f3c-43ca-8ad0-8f0ccbd6b0d2", None),
        ("vfio-pci,fd=3,host=9:1:0.0", None),
        ("vfio-pci", None),
        ("e1000,host=9:1:0.0", None),
    ],
)
def test_host_address(text: str, address: str | None) -> None:
    assert host_address(build(text)[0].devices[0]) == address
