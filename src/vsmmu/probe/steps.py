# SPDX-License-Identifier: Apache-2.0
"""Changes of a function's driver: each an object that describes, applies and undoes one change.

A dry run prints :meth:`DriverStep.describe` of the very objects that a real run applies. ``undo`` looks at
what is there first and touches only what this step has left, so it may be called at any time: before the
step, in the middle of it, twice, or after somebody else has taken the function.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import msgspec

from vsmmu.errors import HostLacks, Negative, PermissionRefused, VsmmuError
from vsmmu.host.text_forms import Bdf
from vsmmu.probe.sysfs import PCI_DEVICES
from vsmmu.probe.vfio_files import group_node, holders, vfio_device

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = [
    "VFIO_PCI",
    "BindDriver",
    "DriverStep",
    "OverrideDriver",
    "SysfsWriter",
    "UnbindDriver",
    "bound_driver",
    "current_override",
]

VFIO_PCI: Final = "vfio-pci"
_DRIVERS: Final = "/sys/bus/pci/drivers"
#: Steps come back from a file and become paths in sysfs: no slashes, no dots at the start. Blanks do occur.
Driver = Annotated[str, msgspec.Meta(pattern="^[^/.\\x00-\\x1f\\x7f][^/\\x00-\\x1f\\x7f]{0,254}$(?!\\n)")]
#: What the kernel shows for an empty driver_override.
_NO_OVERRIDE: Final = b"(null)"
#: The kernel keeps any bytes but newline and NUL, less than a page; pages of arm64 have up to 64 KiB.
_LONGEST_OVERRIDE: Final = 1 << 16
Override = Annotated[bytes, msgspec.Meta(max_length=_LONGEST_OVERRIDE)]


class SysfsWriter:
    """The one place that writes to sysfs."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def write(self, path: str, data: bytes) -> None:
        """Write an attribute in one call.

        :raise OSError: as the kernel says; EIO if it took a part only.
        """
        descriptor = os.open(self.tree.path(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.EIO, "the kernel took a part of it only", path)
        finally:
            os.close(descriptor)


class DriverStep(Protocol):
    """One change that can be taken back."""

    @property
    def address(self) -> str:
        """The function that it changes."""

    def describe(self) -> str:
        """What :meth:`apply` does, as a sentence without a subject."""

    def describe_undo(self) -> str:
        """What :meth:`undo` does."""

    def apply(self, writer: SysfsWriter) -> None:
        """Do it.

        :raise VsmmuError: what the kernel refused.
        """

    def undo(self, writer: SysfsWriter) -> None:
        """Take it back, as far as it is still there.

        :raise VsmmuError: what the kernel refused.
        :raise OSError: if it cannot be told whether it is still there; only ENOENT means that it is not.
        """


class UnbindDriver(
    msgspec.Struct, frozen=True, tag="unbind-driver", tag_field="step", forbid_unknown_fields=True
):
    """Take a function from its own driver."""

    address: Bdf
    driver: Driver

    def describe(self) -> str:
        """What :meth:`apply` does."""
        return f"unbind {self.address} from its driver {self.driver}"

    def describe_undo(self) -> str:
        """What :meth:`undo` does."""
        return f"bind {self.address} to {self.driver} again"

    def apply(self, writer: SysfsWriter) -> None:
        """Unbind."""
        _write(writer, f"{PCI_DEVICES}/{self.address}/driver/unbind", self.address.encode(), self.describe())

    def undo(self, writer: SysfsWriter) -> None:
        """Bind it again, unless it has a driver or is gone."""
        tree = writer.tree.strict()
        if bound_driver(tree, self.address) is None and tree.exists(f"{PCI_DEVICES}/{self.address}"):
            _write(writer, f"{_DRIVERS}/{self.driver}/bind", self.address.encode(), self.describe_undo())


class OverrideDriver(
    msgspec.Struct, frozen=True, tag="override-driver", tag_field="step", forbid_unknown_fields=True
):
    """Let only one driver match a function.

    :param previous: the bytes that were there, which need be no driver's name; empty for nothing.
    """

    address: Bdf
    driver: Driver
    previous: Override = msgspec.field(default=b"", name="previous_base64")

    def describe(self) -> str:
        """What :meth:`apply` does."""
        return f"set driver_override of {self.address} to {self.driver}"

    def describe_undo(self) -> str:
        """What :meth:`undo` does."""
        previous = repr(self.previous.decode("utf-8", "backslashreplace"))[1:-1]
        return f"set driver_override of {self.address} back to {previous or 'nothing'}"

    def apply(self, writer: SysfsWriter) -> None:
        """Set the override."""
        _write(writer, self._path, self.driver.encode(), self.describe())

    def undo(self, writer: SysfsWriter) -> None:
        """Set the previous override, unless somebody has set another one since."""
        ours = self.driver.encode()
        if current_override(writer.tree.strict(), self.address) == ours != self.previous:
            _write(writer, self._path, self.previous or b"\n", self.describe_undo())

    @property
    def _path(self) -> str:
        return f"{PCI_DEVICES}/{self.address}/driver_override"


class BindDriver(
    msgspec.Struct, frozen=True, tag="bind-driver", tag_field="step", forbid_unknown_fields=True
):
    """Give a function to a vfio driver."""

    address: Bdf
    driver: Driver
    group: int | None = None

    def describe(self) -> str:
        """What :meth:`apply` does."""
        return f"bind {self.address} to {self.driver}"

    def describe_undo(self) -> str:
        """What :meth:`undo` does."""
        return f"unbind {self.address} from {self.driver}"

    def apply(self, writer: SysfsWriter) -> None:
        """Bind."""
        if not writer.tree.exists(f"{_DRIVERS}/{self.driver}"):
            raise HostLacks(
                "no-vfio-driver",
                f"the driver {self.driver} is not loaded",
                where=self.address,
                next=f"modprobe {self.driver} (the kernel needs CONFIG_VFIO_PCI)",
            )
        _write(writer, f"{_DRIVERS}/{self.driver}/bind", self.address.encode(), self.describe())

    def undo(self, writer: SysfsWriter) -> None:
        """Unbind, unless another driver has it by now.

        Unbinding waits until nobody has the device open, and takes it from a VM: so a function that is open
        is left as it is.

        :raise Negative: ``function-in-use``.
        """
        tree = writer.tree.strict()
        if bound_driver(tree, self.address) != self.driver:
            return
        device = vfio_device(tree, self.address)
        nodes = [device.node] if device else []
        nodes += [group_node(self.group)] if self.group is not None else []
        found = holders(tree, nodes)
        if found:
            raise Negative(
                "function-in-use",
                f"cannot {self.describe_undo()}",
                where=self.address,
                why=f"held by {', '.join(map(str, found[:3]))}",
                next="when that is over, run: vsmmu probe",
            )
        _write(writer, f"{_DRIVERS}/{self.driver}/unbind", self.address.encode(), self.describe_undo())


def current_override(tree: Tree, address: str) -> bytes:
    """The function's driver_override; empty if there is none."""
    data = tree.data(f"{PCI_DEVICES}/{address}/driver_override", _LONGEST_OVERRIDE) or b""
    value = data.removesuffix(b"\n")
    return b"" if value == _NO_OVERRIDE else value


def bound_driver(tree: Tree, address: str) -> str | None:
    """The driver that has the function; None if none has, or the function is gone."""
    return tree.link(f"{PCI_DEVICES}/{address}/driver")


def _write(writer: SysfsWriter, path: str, data: bytes, what: str) -> None:
    try:
        writer.write(path, data)
    except PermissionError as error:
        raise PermissionRefused(
            "no-permission",
            f"may not {what}",
            where=path,
            why=os.strerror(error.errno or 0),
            next="run as root, who alone writes to sysfs",
        ) from None
    except OSError as error:
        raise _kernel_refused(error, path, what) from None


def _kernel_refused(error: OSError, path: str, what: str) -> VsmmuError:
    return HostLacks(
        "driver-refused",
        f"cannot {what}",
        where=path,
        why=os.strerror(error.errno or 0),
        next="see the kernel log; vfio refuses bridges, physical functions whose virtual ones are on, and "
        "all functions behind an incoherent SMMU",
    )
