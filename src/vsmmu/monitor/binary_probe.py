# SPDX-License-Identifier: Apache-2.0
"""Binary probe: ask a QEMU binary over QMP for its version and features (``-machine none``)."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final

from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.host.whole_file import write_whole
from vsmmu.monitor.qmp import CommandFailed, Monitor
from vsmmu.qemu.installed import Installed

if TYPE_CHECKING:
    from vsmmu.monitor.qmp import Commands

__all__ = ["ask", "keep"]

#: For a QEMU that starts for the first time; under emulation that takes seconds.
_SECONDS: Final = 30.0
_OPTIONS: Final = "-machine none -S -display none -nodefaults -no-user-config -qmp stdio".split()


def ask(path: str) -> Installed:
    """Start a binary and ask it.

    :raise HostLacks: ``qemu-binary``.
    """
    try:
        process = subprocess.Popen(
            [path, *_OPTIONS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        raise _refused(path, getattr(error, "strerror", None) or str(error)) from None
    with process:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            with Monitor(process.stdout.fileno(), process.stdin.fileno(), path, _SECONDS) as monitor:
                return _read(monitor, path)
        except VsmmuError as error:
            raise _refused(path, error.why or error.what) from None
        finally:
            process.kill()


def _read(monitor: Commands, path: str) -> Installed:
    try:
        version = monitor.execute("query-version")["qemu"]
        machines = [entry for entry in monitor.execute("query-machines") if entry["name"].startswith("virt")]
        return Installed(
            version=f"{version['major']}.{version['minor']}.{version['micro']}",
            machines=tuple(sorted((entry["name"] for entry in machines), key=_by_version)),
            virt=next((entry["name"] for entry in machines if entry.get("alias") == "virt"), ""),
            smmu=_properties(monitor, "arm-smmuv3"),
            vfio_ats="ats" in _properties(monitor, "vfio-pci"),
            kvm=_has_kvm(monitor),
            iommufd=_has_iommufd(monitor),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise _refused(path, f"its answers have another form: {str(error)[:200]}") from None


def _has_kvm(monitor: Commands) -> bool | None:
    try:
        return bool(monitor.execute("query-kvm")["present"])
    except CommandFailed:
        return None


def _has_iommufd(monitor: Commands) -> bool | None:
    try:
        listed = monitor.execute("qom-list-types", implements="iommufd")
    except CommandFailed:
        return None
    return any(entry["name"] == "iommufd" for entry in listed)


def _by_version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.replace("-", ".").split(".") if part.isdecimal())


def _properties(monitor: Commands, driver: str) -> dict[str, str]:
    try:
        listed: list[dict[str, Any]] = monitor.execute("device-list-properties", typename=driver)
    except CommandFailed:
        return {}
    return {entry["name"]: str(entry.get("default-value", "")) for entry in listed}


def _refused(path: str, why: str) -> HostLacks:
    return HostLacks(
        "qemu-binary",
        "this is no QEMU that can be asked what it is",
        where=path,
        why=why,
        next="say the version: --qemu 11.1",
    )


def keep(file: str, data: bytes) -> None:
    """Write a cache file; without a place to write to, the binary is asked again next time."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120 - beside write_whole
        write_whole(file, data)
