# SPDX-License-Identifier: Apache-2.0
"""Runs under the emulator: small programs that use iommufd and vfio; each prints one JSON document."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from vsmmu.uapi import hw_info, iommufd, nesting, vfio

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
