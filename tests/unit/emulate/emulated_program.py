# SPDX-License-Identifier: Apache-2.0
"""Runs under the emulator: small programs that use iommufd and vfio; each prints one JSON document."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vsmmu.uapi import hw_info, ioctl, iommufd, nesting, vfio

if TYPE_CHECKING:
    from collections.abc import Callable

A = "0001:01:00.0"


def names(directory: str) -> list[str]:
    return sorted(entry.name for entry in Path(directory).iterdir())


def node(address: str = A) -> str:
    return f"/dev/vfio/devices/{names(f'/sys/bus/pci/devices/{address}/vfio-dev')[0]}"


def opened(address: str = A) -> tuple[int, int]:
    return os.open("/dev/iommu", os.O_RDWR), os.open(node(address), os.O_RDWR)


def answer(function: object, *arguments: object) -> object:
    try:
        value = function(*arguments)  # type: ignore[operator]
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok" if value is None else value


def simple() -> object:
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    return [number, hw_info.get_hw_info(context, number).data.hex()]


def bind() -> object:
    context, device = opened()
    return answer(vfio.bind_iommufd, device, context)


def family() -> object:
    """A thread, a child that inherits, a duplicate, and the end of all of them."""
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(hw_info.get_hw_info(context, number).type))
    thread.start()
    thread.join()
    child = os.fork()
    if not child:
        os._exit(hw_info.get_hw_info(context, number).type)
    results.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    copy = os.dup(device)
    os.close(device)
    results.append(answer(lambda: hw_info.get_hw_info(context, number).type))
    os.close(copy)
    results.append(answer(hw_info.get_hw_info, context, number))
    fresh = os.open(node(), os.O_RDWR)
    results.append(vfio.bind_iommufd(fresh, context))
    return results


def kinds() -> object:
    """What the iommufd and a device are for stat(2), and whether the iommufd can be mapped."""
    descriptors = opened()
    context, device = map(os.fstat, descriptors)
    try:
        mapped = "mapped" if mmap.mmap(descriptors[0], 0x10000)[:4] == bytes(4) else "garbage"
    except OSError:
        mapped = "not mapped"
    number = f"{os.major(device.st_rdev)}:{os.minor(device.st_rdev)}"
    told = Path(f"/sys/bus/pci/devices/{A}/vfio-dev/{Path(node()).name}/dev").read_text().strip()
    names = ["character" if stat.S_ISCHR(file.st_mode) else "file" for file in (context, device)]
    return [names[0], mapped, names[1], "as told" if told == number else told]


def held_by_a_child() -> object:
    """A child keeps the device open: it stays bound until the child ends."""
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    child = os.fork()
    if not child:
        signal.pause()
    os.close(device)
    before = answer(lambda: hw_info.get_hw_info(context, number).type)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return [before, answer(hw_info.get_hw_info, context, number)]


def config() -> object:
    context, device = opened()
    vfio.bind_iommufd(device, context)
    region = vfio.vfio_region_info(argsz=32, index=vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    from vsmmu.uapi.ioctl import ioctl

    ioctl(device, vfio.VFIO_DEVICE_GET_REGION_INFO, region)
    os.pwrite(device, b"\xff\xff\xff\xff", region.offset + 0x10)
    whole = os.pread(device, 8192, region.offset)
    irq = vfio.vfio_irq_info(argsz=16, index=1)
    ioctl(device, vfio.VFIO_DEVICE_GET_IRQ_INFO, irq)
    return [len(whole), whole[:4].hex(), whole[0x10:0x14].hex(), whole[0x100:0x102].hex(), irq.count,
            answer(os.pread, device, 4, region.offset + 4096)]  # fmt: skip


def events() -> object:
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    parent = iommufd.hwpt_alloc(
        context, number, iommufd.ioas_alloc(context), iommufd.IOMMU_HWPT_ALLOC_NEST_PARENT
    )
    virtual = nesting.viommu_alloc(context, number, parent)
    queue, descriptor = nesting.veventq_alloc(context, virtual, 1, 8)
    os.set_blocking(descriptor, False)
    nothing = answer(os.read, descriptor, 40)
    iommufd.destroy(context, queue)
    return [nothing, len(os.read(descriptor, 40))]


def orphan() -> object:
    """The supervisor is killed in the middle: errors, no waiting."""
    context, device = opened()
    vfio.bind_iommufd(device, context)
    os.kill(os.getppid(), signal.SIGKILL)
    for _ in range(100):
        found = answer(vfio.device_get_info, device)
        if found == "ENOSYS":
            break
        time.sleep(0.02)
    print(json.dumps(found), flush=True)
    return found


def wait_for_function() -> object:
    """Tell that it is ready, wait until a function appears and another one disappears."""
    print(json.dumps(names("/sys/bus/pci/devices")), flush=True)
    sys.stdin.readline()
    context, device = opened("0003:01:00.0")
    number = vfio.bind_iommufd(device, context)
    return [names("/sys/bus/pci/devices"), names("/dev/vfio/devices"),
            hw_info.get_hw_info(context, number).type]  # fmt: skip


def large_buffer(length: str) -> object:
    """A buffer much longer than the answer: what is behind it is cleared, or the call refused."""
    import ctypes

    from vsmmu.uapi.ioctl import ioctl

    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    room = ctypes.create_string_buffer(b"x" * (1 << 20), 1 << 20)
    argument = hw_info.iommu_hw_info(dev_id=number, data_len=int(length), data_uptr=ctypes.addressof(room))
    argument.size = ctypes.sizeof(argument)
    found = answer(ioctl, context, hw_info.IOMMU_GET_HW_INFO, argument)
    return [found, room.raw.count(b"x"), room.raw[8:12].hex()]


def beside_hostile_ones() -> object:
    """Children that are killed in the middle of calls, close what they use, and pass nonsense."""
    import fcntl

    children = []
    for kind in range(3):
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            _be_hostile(kind, fcntl.ioctl)
        children.append(child)
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    good = 0
    for _ in range(300):
        good += len(hw_info.get_hw_info(context, number).data) > 0
    for child in children:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return good


def _be_hostile(kind: int, ioctl: object) -> None:
    context, device = opened("0002:01:00.0")
    while True:
        if kind == 0:
            grandchild = os.fork()
            if not grandchild:
                while True:
                    answer(hw_info.get_hw_info, context, 1)
            time.sleep(0.02)
            os.kill(grandchild, signal.SIGKILL)
            os.waitpid(grandchild, 0)
        elif kind == 1:
            for number in range(0x3B00, 0x3C00):
                answer(ioctl, context, number, b"\xff" * 64)
                answer(ioctl, device, number, b"\xff" * 64)
                answer(ioctl, device, number, b"")
        else:
            thread = threading.Thread(target=answer, args=(vfio.bind_iommufd, device, context))
            thread.start()
            answer(os.close, context)
            thread.join()
            context = os.open("/dev/iommu", os.O_RDWR)


def hoard() -> object:
    """Structures without end, and as many queues, mappings and objects as there are; how each is refused."""
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    map_noreserve = 0x4000
    endless = mmap.mmap(-1, 4 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | map_noreserve)
    structure = iommufd.iommu_ioas_alloc.from_buffer(endless)
    structure.size = 0xFFFFFFF0
    told = [answer(ioctl.ioctl, context, iommufd.IOMMU_IOAS_ALLOC, structure)]

    def queue() -> None:
        fault = nesting.iommu_fault_alloc()
        fault.size = ctypes.sizeof(fault)
        ioctl.ioctl(context, nesting.IOMMU_FAULT_QUEUE_ALLOC, fault)
        os.close(fault.out_fault_fd)

    told.append(until_refused(queue))
    told.append(until_refused(lambda: iommufd.ioas_alloc(context)))
    hw_info.get_hw_info(context, number)
    return told


def until_refused(make: Callable[[], object]) -> object:
    """The error that making one more thing ends with."""
    for _ in range(1 << 17):
        refused = answer(make)
        if isinstance(refused, str) and refused.isupper():
            return refused
    return "never"


def hw_info_then_info() -> object:
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    first = answer(hw_info.get_hw_info, context, number)
    return [first, "ok" if vfio.device_get_info(device) else ""]


def wait_for_line() -> object:
    """Calls after each of two lines."""
    print(json.dumps("ready"), flush=True)
    context, device = opened()
    number = vfio.bind_iommufd(device, context)
    sys.stdin.readline()
    hw_info.get_hw_info(context, number)
    print(json.dumps(["ok"]), flush=True)
    sys.stdin.readline()
    return hw_info.get_hw_info(context, number).type


def mounts() -> object:
    return Path("/proc/self/mounts").read_text(encoding="utf-8").count("vsmmu-emulate")


def errno_cases() -> object:
    """The case table of the real kernel's test (tests/lab/errno_cases.py), without what is not emulated."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "lab"))
    import errno_cases as cases

    cases.hw_info_cases(A)
    cases.bind_cases(A)
    cases.group_cases("0001:02:00.0", "0001:02:00.1")
    cases.nesting_cases(A)
    return cases.RESULTS


def busy(count: str = "2000", others: str = "0") -> object:
    """How long a trapped call takes, in microseconds: the best of some rounds.

    :param others: how many more files are open.
    """
    context, device = opened()
    for _ in range(int(others)):
        iommufd.ioas_alloc(os.open("/dev/iommu", os.O_RDWR))
    number = vfio.bind_iommufd(device, context)
    best = min(_round(context, number, int(count)) for _ in range(3))
    return best * 1e6


def _round(context: int, number: int, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        hw_info.get_hw_info(context, number)
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
