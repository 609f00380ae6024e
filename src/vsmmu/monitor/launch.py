# SPDX-License-Identifier: Apache-2.0
"""Launch QEMU in place of vsmmu: open its device files if asked, then exec."""

from __future__ import annotations

# Without signal's enumerations of the numbers, which take 2 % of a start to make.
import _signal as signal  # type: ignore[import-not-found]
import os
from typing import TYPE_CHECKING, Final, NoReturn

from vsmmu.diagnostic import Edit
from vsmmu.errors import HostLacks, Negative, PermissionRefused, VsmmuError
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.command_line.text_edits import set_in_json, set_in_opts
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.model import Machine

__all__ = ["Opening", "execute", "openings", "with_descriptors"]

_IOMMU: Final = "/dev/iommu"


class Opening(NamedTuple):
    """A file that is opened for QEMU, and what gets its descriptor: an object or a device, by id."""

    path: str
    kind: str
    name: str
    device: int = -1

    def describe(self) -> str:
        """For a dry run."""
        return f"open {self.path} for {self.kind} {self.name}"


def openings(machine: Machine, root: str = "/") -> tuple[Opening, ...]:
    """What a VM needs opened: ``/dev/iommu`` for each iommufd object, and each function's device.

    Objects and devices that have a descriptor already are left alone, and so are functions without an
    iommufd, which cannot take one.

    :param root: another directory for ``/sys``, ``/dev``.
    :raise HostLacks: ``not-bound``, if a function has no device file.
    """
    found = [
        Opening(f"{root}{_IOMMU[1:]}", "object", entry.id)
        for entry in machine.objects
        if entry.qom_type == "iommufd" and "fd" not in entry.properties
    ]
    names = {device.id for device in machine.devices}
    for device in machine.devices:
        address = host_address(device) if is_vfio(device.driver) else None
        if address is not None and device.text("iommufd"):
            name = device.id or _free(f"vfio-{address.replace(':', '-')}", names)
            found.append(Opening(_device_file(address, root), "device", name, device.number))
    return tuple(found)


def _free(name: str, names: set[str]) -> str:
    while name in names:
        name += "x"
    names.add(name)
    return name


def _device_file(address: str, root: str) -> str:
    """``/dev/vfio/devices/vfioN`` of a function, from sysfs (since Linux 6.6, CONFIG_VFIO_DEVICE_CDEV)."""
    directory = f"{root}sys/bus/pci/devices/{address}/vfio-dev"
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - no pathlib on the path of a VM's start
    except OSError:
        names = []
    if not names:
        raise HostLacks(
            "not-bound",
            f"{address} has no vfio device file",
            where=directory,
            why="it is not bound to vfio-pci, or the kernel has no CONFIG_VFIO_DEVICE_CDEV",
            next="vsmmu doctor says how to bind it",
        )
    return f"{root}dev/vfio/devices/{names[0]}"


def with_descriptors(line: CommandLine, wanted: Sequence[Opening]) -> tuple[CommandLine, tuple[int, ...]]:
    """Open the files, for inheritance, and write their numbers into the command line.

    A device gets an id if it has none: QEMU 11.1.3 crashes on ``fd=`` without one [measured].

    :raise PermissionRefused: ``open-permission``.
    :raise HostLacks: ``open-failed``.
    :raise Negative: ``not-editable``, for an iommufd object of a configuration file.
    """
    edits: list[Edit] = []
    objects: dict[str, int] = {}
    descriptors: list[int] = []
    for opening in wanted:
        descriptor = _open(opening)
        descriptors.append(descriptor)
        if opening.kind == "object":
            objects[opening.name] = descriptor
            continue
        if not line.machine().devices[opening.device].id:
            edits.append(Edit(opening.device, "id", opening.name))
        edits.append(Edit(opening.device, "fd", str(descriptor)))
    line = line.edit(edits)
    words = list(line.render_words())
    for name, descriptor in objects.items():
        _set_object(line, words, name, descriptor)
    return read_words(words), tuple(descriptors)


def _open(opening: Opening) -> int:
    try:
        descriptor = os.open(opening.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(opening, error) from None
    os.set_inheritable(descriptor, True)
    return descriptor


def _refused(opening: Opening, error: OSError) -> VsmmuError:
    why = error.strerror or ""
    if isinstance(error, PermissionError):
        return PermissionRefused(
            "open-permission", "no right to open it for QEMU", where=opening.path, why=why,
            next="run as root, or leave --fd out",
        )  # fmt: skip
    return HostLacks(
        "open-failed", "cannot open it for QEMU", where=opening.path, why=why,
        next="vsmmu doctor says what the host lacks",
    )  # fmt: skip


def _set_object(line: CommandLine, words: list[str], name: str, descriptor: int) -> None:
    for option in line.options():
        if option.name == "object" and option.settings("qom-type").get("id") == name:
            word = words[option.last]
            if word.startswith("{"):
                start, end, new = set_in_json(word, "fd", str(descriptor))
            else:
                start, end, new = set_in_opts(word, "fd", str(descriptor), "qom-type")
            words[option.last] = word[:start] + new + word[end:]
            return
    raise Negative("not-editable", f"the iommufd object {name} is not given with -object",
                   why="a descriptor's number is known only now", next="give it with -object")  # fmt: skip


def execute(words: Sequence[str]) -> NoReturn:
    """Become the command as a shell does, with ``NAME=value`` in front of it and ``exec`` heeded.

    :raise HostLacks: ``cannot-start``: there is no such program, or it cannot be run.
    """
    environment = dict(os.environ)
    rest = list(words)
    while rest and rest[0].partition("=")[0].isidentifier() and ("=" in rest[0] or rest[0] == "exec"):
        name, equals, value = rest.pop(0).partition("=")
        if equals:
            environment[name] = value
    # Python ignores these two, and exec would hand that on.
    ignored = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        os.execvpe(rest[0], rest, environment)  # noqa: S606 - a shell would read the words anew
    except (OSError, IndexError) as error:
        for number, handler in ignored.items():
            signal.signal(number, handler)
        why = (error.strerror if isinstance(error, OSError) else "") or "there is no command"
        raise HostLacks("cannot-start", "the command cannot be run", where=rest[0] if rest else "",
                        why=why, next="see whether it is installed and executable") from None  # fmt: skip
