# SPDX-License-Identifier: Apache-2.0
"""A made-up host as a file tree, with a kernel that reacts to what is written into its sysfs."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from pathlib import Path

from vsmmu.probe.steps import SysfsWriter
from vsmmu.probe.system_root import Tree

PAGE = 4096
BOOT = "11111111-2222-3333-4444-555555555555"
SMMU = "smmu3.0x0000000009050000"
MSI = "0x0000000008000000 0x00000000080fffff msi"
LOG = "arm-smmu-v3 9050000.smmuv3: oas 44-bit (features 0x01088705)"


def config_space(*capabilities: tuple[int, bytes], size: int = 4096) -> bytes:
    """A configuration space whose extended capabilities are (id, body after the header)."""
    data = bytearray(size)
    offset = 0x100
    for index, (number, body) in enumerate(capabilities):
        following = offset + 4 + (len(body) + 3 & ~3)
        last = index == len(capabilities) - 1
        struct.pack_into("<I", data, offset, number | 1 << 16 | (0 if last else following) << 20)
        data[offset + 4 : offset + 4 + len(body)] = body
        offset = following
    return bytes(data)


class FakeHost:
    """The tree, and how to put things into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Tree(str(root))
        self.write("/proc/sys/kernel/osrelease", "7.3.4\n")
        self.write("/proc/sys/kernel/random/boot_id", f"{BOOT}\n")
        self.write("/proc/sys/kernel/hostname", "fake\n")
        self.write("/proc/sys/kernel/arch", "aarch64\n")
        self.write("/proc/cmdline", "quiet\n")
        self.write("/dev/iommu", "")
        self.write("/dev/kmsg", f"6,1,1,-;{LOG}\n")
        (root / "run/vsmmu").mkdir(parents=True)
        for driver in ("vfio-pci", "e1000e"):
            self.driver(driver)

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, data: str | bytes) -> None:
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)

    def link(self, path: str, target: str) -> None:
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        # The last component stays in the link, as in sysfs, also where ".." would do.
        aim = self.path(target)
        place.symlink_to(f"{os.path.relpath(aim.parent, place.parent)}/{aim.name}")

    def driver(self, name: str) -> None:
        self.path(f"/sys/bus/pci/drivers/{name}").mkdir(parents=True, exist_ok=True)
        for attribute in ("bind", "unbind"):
            self.write(f"/sys/bus/pci/drivers/{name}/{attribute}", "")

    def smmu(self, name: str = SMMU, device: str = "9050000.smmuv3", node: int | None = None) -> None:
        base = f"/sys/devices/platform/{device}"
        self.write(f"{base}/iommu/{name}/uevent", "")
        self.link(f"{base}/iommu/{name}/device", base)
        self.link(f"/sys/class/iommu/{name}", f"{base}/iommu/{name}")
        if node is not None:
            self.write(f"{base}/numa_node", f"{node}\n")

    def function(
        self, address: str, *, smmu: str | None = SMMU, group: int | None = None, driver: str | None = None,
        ids: str = "8086:10D3", kind: str = "20000", config: bytes = b"", regions: str = MSI,
    ) -> None:  # fmt: skip
        bridge = f"/sys/devices/platform/40000000.pcie/pci{address[:7]}"
        base = f"{bridge}/{address}"
        self.path(base).mkdir(parents=True)
        self.link(f"/sys/bus/pci/devices/{address}", base)
        self.write(f"{base}/ids", f"PCI_CLASS={kind}\nPCI_ID={ids}\nPCI_SLOT_NAME={address}\n")
        self.write(f"{base}/config", config or config_space())
        self.write(f"{base}/driver_override", "(null)\n")
        if smmu is not None:
            self.path(f"/sys/class/iommu/{smmu}").resolve().mkdir(parents=True, exist_ok=True)
            self.link(f"{base}/iommu", str(Path("/sys/class/iommu") / smmu))
        if group is not None:
            self.link(f"/sys/kernel/iommu_groups/{group}/devices/{address}", base)
            self.link(f"{base}/iommu_group", f"/sys/kernel/iommu_groups/{group}")
            self.write(f"/sys/kernel/iommu_groups/{group}/reserved_regions", f"{regions}\n")
        self._uevent(address)
        if driver is not None:
            self.bind(address, driver)

    def _base(self, address: str) -> Path:
        return self.path(f"/sys/bus/pci/devices/{address}").resolve()

    def _uevent(self, address: str) -> None:
        base = self._base(address)
        driver = self.bound(address)
        first = f"DRIVER={driver}\n" if driver else ""
        (base / "uevent").write_bytes(os.fsencode(first) + (base / "ids").read_bytes())

    def bound(self, address: str) -> str | None:
        return self.tree.link(f"/sys/bus/pci/devices/{address}/driver")

    def bind(self, address: str, driver: str) -> None:
        """What the kernel does when a driver takes a function."""
        base = self._base(address)
        override = (base / "driver_override").read_bytes().removesuffix(b"\n")
        if self.bound(address) or override not in (b"(null)", b"", os.fsencode(driver)):
            raise OSError(errno.ENODEV, "No such device")
        self.driver(driver)
        self.link(f"{base}/driver".removeprefix(str(self.root)), f"/sys/bus/pci/drivers/{driver}")
        if "vfio" in driver:
            number = len(list(self.path("/").glob("dev/vfio/devices/*")))
            (base / f"vfio-dev/vfio{number}").mkdir(parents=True)
            (base / f"vfio-dev/vfio{number}/dev").write_text(f"253:{number}\n")
            self.write(f"/dev/vfio/devices/vfio{number}", "")
        self._uevent(address)

    def unbind(self, address: str, driver: str) -> None:
        """What the kernel does when a function is taken from its driver."""
        if self.bound(address) != driver:
            raise OSError(errno.ENODEV, "No such device")
        base = self._base(address)
        (base / "driver").unlink()
        for name in [entry.name for entry in base.glob("vfio-dev/*")]:
            self.path(f"/dev/vfio/devices/{name}").unlink()
        shutil.rmtree(base / "vfio-dev", ignore_errors=True)
        self._uevent(address)


class FakeWriter(SysfsWriter):
    """Writes into a fake host's sysfs, and does what the kernel would do then."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.tree)
        self.host = host
        self.writes: list[tuple[str, bytes]] = []

    def write(self, path: str, data: bytes) -> None:
        self.writes.append((path, data))
        attribute = self.host.path(path)
        before = attribute.read_bytes() if attribute.exists() else b""
        try:
            super().write(path, data)
        finally:
            if attribute.exists():  # an attribute holds what the kernel makes of it
                attribute.write_bytes(before)
        parts = path.split("/")
        text = data.decode("latin-1")
        if parts[-1] == "driver_override":  # driver_set_override() of drivers/base/driver.c
            if len(data) >= PAGE - 1:
                raise OSError(errno.EINVAL, "Invalid argument")
            self.host.path(path).write_bytes((data.partition(b"\n")[0] or b"(null)") + b"\n")
        elif parts[-1] == "bind":
            self.host.bind(text, parts[-2])
        elif parts[-1] == "unbind":
            driver = self.host.bound(text) if parts[-2] == "driver" else parts[-2]
            assert driver is not None
            self.host.unbind(text, driver)
