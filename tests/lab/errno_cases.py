# SPDX-License-Identifier: Apache-2.0
"""Runs inside the lab: every answer of the kernel that a prober can meet, through the project's own calls.

Usage: errno_cases.py ALONE MATE OTHER-MATE. ALONE is on vfio-pci and alone in its group; the two mates share
a group and are on vfio-pci. Prints a JSON object: case -> errno's name, "ok", or what was answered.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsmmu.errors import VsmmuError
from vsmmu.probe.ask import ask
from vsmmu.probe.steps import BindDriver, OverrideDriver, SysfsWriter
from vsmmu.probe.system_root import Tree
from vsmmu.probe.vfio_files import group_node, vfio_device
from vsmmu.uapi import hw_info, iommufd, nesting, vfio
from vsmmu.uapi.ioctl import IOMMUFD_TYPE, ioctl, request

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Tree()
RESULTS: dict[str, object] = {}


class Bound:
    """A function bound to an iommufd of its own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> Bound:
        self.iommufd = os.open("/dev/iommu", os.O_RDWR)
        self.device = opened(self.address)
        self.dev_id = vfio.bind_iommufd(self.device, self.iommufd)
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self.device, self.iommufd):
            with suppress(OSError):
                os.close(descriptor)


def node(address: str) -> str:
    device = vfio_device(TREE, address)
    assert device is not None
    return device.node


def opened(address: str) -> int:
    return os.open(node(address), os.O_RDWR)


def group(address: str) -> int:
    return int(Path(f"/sys/bus/pci/devices/{address}/iommu_group").readlink().name)


def case(name: str, function: Callable[[], object]) -> None:
    try:
        answer = function()
    except OSError as error:
        RESULTS[name] = errno.errorcode[error.errno or 0]
    except VsmmuError as error:
        RESULTS[name] = [error.code, error.exit_status]
    else:
        RESULTS[name] = "ok" if answer is None else answer


class Longer(ctypes.Structure):
    """``struct iommu_hw_info`` of a kernel to come."""

    _fields_ = (("now", hw_info.iommu_hw_info), ("more", ctypes.c_uint64))


def raw(bound: Bound, length: int = 40, **members: int) -> list[int]:
    """One IOMMU_GET_HW_INFO with every member under control: length told, type, bytes beyond our buffer."""
    buffer = (ctypes.c_uint8 * 128)(*[0xAA] * 128)
    longer = Longer()
    info = longer.now
    info.size, info.dev_id, info.data_len = 40, bound.dev_id, length
    info.data_uptr = ctypes.addressof(buffer)
    for name, value in members.items():
        if name == "reserved":
            getattr(info, "__reserved")[1] = value
        elif name == "more":
            longer.more = value
        else:
            setattr(info, name, value)
    ioctl(bound.iommufd, hw_info.IOMMU_GET_HW_INFO, longer)
    untouched = next((place for place in range(128) if all(byte == 0xAA for byte in buffer[place:])), 128)
    return [info.data_len, info.out_data_type, untouched]


def hw_info_cases(alone: str) -> None:
    with Bound(alone) as bound:
        case("hw_info", lambda: list(hw_info.get_hw_info(bound.iommufd, bound.dev_id)[::2]))
        case("hw_info id 0", lambda: raw(bound, dev_id=0))
        case("hw_info unknown id", lambda: raw(bound, dev_id=999))
        case("hw_info flag 1", lambda: raw(bound, flags=2))
        case("hw_info reserved", lambda: raw(bound, reserved=1))
        for kind in (1, 3, 4, 99):
            case(f"hw_info input type {kind}", lambda kind=kind: raw(bound, flags=1, in_data_type=kind))
        case("hw_info type ignored", lambda: raw(bound, in_data_type=99))
        case("hw_info size 31", lambda: raw(bound, size=31))
        case("hw_info size 32", lambda: raw(bound, size=32))
        case("hw_info size 48 zero", lambda: raw(bound, size=48))
        case("hw_info size 48 nonzero", lambda: raw(bound, size=48, more=1))
        for length in (0, 4, 8, 32, 39, 48, 64):
            case(f"hw_info length {length}", lambda length=length: raw(bound, length))
        case("hw_info no buffer", lambda: raw(bound, data_uptr=0))
        case(
            "unknown ioctl",
            lambda: ioctl(bound.iommufd, request(IOMMUFD_TYPE, 0xF0), hw_info.iommu_hw_info(size=40)),
        )
        case("destroy", lambda: iommufd.destroy(bound.iommufd, bound.dev_id))
        os.close(bound.device)
        case("hw_info after close", lambda: raw(bound))
    with Bound(alone) as bound:
        os.close(bound.iommufd)
        case("iommufd closed first", lambda: vfio.device_get_info(bound.device).num_regions)


def bind_cases(alone: str) -> None:
    with ExitStack() as stack:
        device, second = opened(alone), opened(alone)
        context, other = os.open("/dev/iommu", os.O_RDWR), os.open("/dev/iommu", os.O_RDWR)
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (device, second, context, other, null):
            stack.callback(os.close, descriptor)

        def bind(**members: int) -> None:
            class Long(ctypes.Structure):
                _fields_ = (("now", vfio.vfio_device_bind_iommufd), ("more", ctypes.c_uint64))

            argument = Long()
            argument.now.argsz, argument.now.iommufd = 24, context
            argument.more = members.pop("more", 0)
            for name, value in members.items():
                setattr(argument.now, name, value)
            ioctl(device, vfio.VFIO_DEVICE_BIND_IOMMUFD, argument)

        case("info before bind", lambda: vfio.device_get_info(device).flags)
        case("read before bind", lambda: os.pread(device, 4, 0).hex())
        case("bind argsz 8", lambda: bind(argsz=8))
        case("bind unknown flag", lambda: bind(flags=1 << 5))
        case("bind iommufd -1", lambda: bind(iommufd=-1))
        case("bind bad descriptor", lambda: bind(iommufd=999))
        case("bind no iommufd", lambda: bind(iommufd=null))
        case("bind argsz 32 nonzero", lambda: bind(argsz=32, more=1))
        case("bind token null", lambda: bind(flags=1))
        case("bind token not due", lambda: vfio.bind_iommufd(device, context, bytes(16)))
        case("bind", lambda: vfio.bind_iommufd(device, context))
        case("bind again", lambda: vfio.bind_iommufd(device, context))
        case("bind second open", lambda: vfio.bind_iommufd(second, context))
        case("bind second open elsewhere", lambda: vfio.bind_iommufd(second, other))
        case("ask while bound", lambda: ask(TREE, alone, node(alone), group(alone)).address)


def group_file_cases(alone: str) -> None:
    """vfio's older interface, which the emulator does not have."""
    with ExitStack() as stack:
        legacy = os.open(group_node(group(alone)), os.O_RDWR)
        device, context = opened(alone), os.open("/dev/iommu", os.O_RDWR)
        stack.callback(os.close, device)
        stack.callback(os.close, context)
        case("bind while the group is open", lambda: vfio.bind_iommufd(device, context))
        case("ask while the group is open", lambda: ask(TREE, alone, node(alone), group(alone)).address)
        os.close(legacy)
        vfio.bind_iommufd(device, context)
        case("open the group while bound", lambda: os.close(os.open(group_node(group(alone)), os.O_RDWR)))


def group_cases(mate: str, other: str) -> None:
    with Bound(mate) as bound:
        device, context = opened(other), os.open("/dev/iommu", os.O_RDWR)
        case("bind mate elsewhere", lambda: vfio.bind_iommufd(device, context))
        case("ask mate elsewhere", lambda: ask(TREE, other, node(other), group(other)).address)
        case("bind mate here", lambda: vfio.bind_iommufd(device, bound.iommufd))
        os.close(device)
        os.close(context)


def native_mate_cases(mate: str, other: str) -> None:
    """The mate is on virtio-pci meanwhile."""
    writer = SysfsWriter(TREE)
    override = OverrideDriver(mate, "virtio-pci", b"vfio-pci")
    BindDriver(mate, "vfio-pci").undo(writer)
    override.apply(writer)
    BindDriver(mate, "virtio-pci").apply(writer)
    device, context = opened(other), os.open("/dev/iommu", os.O_RDWR)
    case("bind with a mate on its driver", lambda: vfio.bind_iommufd(device, context))
    case("ask with a mate on its driver", lambda: ask(TREE, other, node(other), group(other)).address)
    os.close(device)
    os.close(context)
    BindDriver(mate, "virtio-pci").undo(writer)
    override.undo(writer)
    BindDriver(mate, "vfio-pci").apply(writer)


def nesting_cases(alone: str) -> None:
    with Bound(alone) as bound:
        space = iommufd.ioas_alloc(bound.iommufd)
        flag = iommufd.IOMMU_HWPT_ALLOC_NEST_PARENT
        case("attach", lambda: vfio.attach_iommufd_pt(bound.device, space) > space)
        case("detach", lambda: vfio.detach_iommufd_pt(bound.device))
        parents: list[int] = []
        case(
            "nest parent",
            lambda: parents.append(iommufd.hwpt_alloc(bound.iommufd, bound.dev_id, space, flag)),
        )
        made: list[int] = []
        case("viommu", lambda: made.append(nesting.viommu_alloc(bound.iommufd, bound.dev_id, parents[0])))
        case("viommu of no type", lambda: nesting.viommu_alloc(bound.iommufd, bound.dev_id, parents[0], 99))
        if not made:
            return
        for name, ste in (("abort", (1, 0)), ("bypass", (9, 0)), ("other bits", (1, 1 << 40))):
            case(
                f"nested {name}",
                lambda ste=ste: bool(iommufd.hwpt_alloc(bound.iommufd, bound.dev_id, made[0], 0, ste)),
            )
        case("vdevice", lambda: bool(nesting.vdevice_alloc(bound.iommufd, made[0], bound.dev_id, 8)))
        case("veventq", lambda: os.close(nesting.veventq_alloc(bound.iommufd, made[0], 1, 8)[1]))


def main() -> None:
    alone, mate, other = sys.argv[1:]
    case("ask", lambda: ask(TREE, alone, node(alone), group(alone)).info.type)
    hw_info_cases(alone)
    bind_cases(alone)
    group_file_cases(alone)
    group_cases(mate, other)
    native_mate_cases(mate, other)
    nesting_cases(alone)
    RESULTS["left open"] = len(list(Path("/proc/self/fd").iterdir())) - 4
    print(json.dumps(RESULTS))


if __name__ == "__main__":
    main()
