# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line options: names, and which take an argument.

The table is the ``qemu_options`` array of ``qemu-system-aarch64`` 11.1.3, read from the binary; 10.2 has the
same. An option that this table does not know cannot be skipped, because nothing says whether the
next word belongs to it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.machine.command_line.keyval import merged, opts_id, parse_opts
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.machine.model import JsonValue

__all__ = ["CONFIG_GROUPS", "MACHINE_SUGAR", "NAMED", "OPTIONS", "PATCHED", "WrittenOption", "options"]

_FLAGS = (
    "h help version mem-prealloc snapshot usb nographic full-screen win2k-hack no-fd-bootchk preconfig S s "
    "enable-kvm xen-attach xen-domid-restrict no-reboot no-shutdown daemonize only-migratable nodefaults "
    "semihosting no-user-config enable-sync-profile perfmap jitdump"
)
_WITH_ARGUMENT = (
    "machine M cpu accel smp numa add-fd set global boot m mem-path k audio audiodev device name uuid "
    "fda fdb hda hdb hdc hdd cdrom blockdev drive mtdblock sd fsdev virtfs iscsi usbdevice display spice "
    "vga g vnc acpitable smbios netdev nic net chardev tpmdev bios pflash kernel shim append initrd dtb "
    "compat fw_cfg serial parallel monitor qmp qmp-pretty mon debugcon pidfile overcommit gdb d D dfilter "
    "seed L xen-domid action loadvm option-rom rtc icount watchdog-action echr incoming prom-env "
    "semihosting-config sandbox readconfig trace plugin qtest qtest-log run-with msg dump-vmstate object"
)

#: WrittenOption name (no dash) -> whether it takes an argument.
OPTIONS: Final[Mapping[str, bool]] = MappingProxyType(
    dict.fromkeys(_FLAGS.split(), False) | dict.fromkeys(_WITH_ARGUMENT.split(), True)
)

#: Options with an argument that a distribution's QEMU has besides -> its program: Proxmox's number of the VM.
PATCHED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"id": ("kvm", "/usr/bin/kvm")})

#: Options that are another spelling of a ``-machine`` option -> (its name, its value; empty: the argument).
MACHINE_SUGAR: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "bios": ("firmware", ""),
        "kernel": ("kernel", ""),
        "shim": ("shim", ""),
        "initrd": ("initrd", ""),
        "append": ("append", ""),
        "dtb": ("dtb", ""),
        "enable-kvm": ("accel", "kvm"),
        "usb": ("usb", "on"),
        "usbdevice": ("usb", "on"),
        "nographic": ("graphics", "off"),
    }
)

#: Options of which only the names and forms of their parameters are looked at -> the key of a first one
#: without ``=``.
NAMED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "action": "", "add-fd": "", "boot": "order", "chardev": "backend", "fsdev": "fsdriver",
        "fw_cfg": "name", "icount": "shift", "mon": "chardev", "msg": "", "name": "guest", "netdev": "type",
        "option-rom": "romfile", "overcommit": "", "rtc": "base", "run-with": "", "sandbox": "enable",
        "semihosting-config": "enable", "trace": "enable", "vnc": "vnc",
    }
)  # fmt: skip

#: The section names that ``-readconfig`` takes in 11.1.3 [measured].
CONFIG_GROUPS: Final = frozenset(
    "device drive chardev netdev nic net rtc global mon trace plugin option-rom accel memory smp-opts "
    "boot-opts add-fd object tpmdev overcommit msg name numa icount semihosting-config fw_cfg action "
    "run-with machine audiodev iscsi spice sandbox fsdev virtfs vnc acpi smbios".split()
)


class WrittenOption(NamedTuple):
    """One option of a command line.

    :param name: without dashes; empty for a word that is no option, which QEMU takes for a disk.
    :param text: its argument, or that word; empty if there is none.
    :param first: number of the option's word.
    :param last: number of its last word; there may be no such word, if the argument is missing.
    """

    name: str
    text: str
    first: int
    last: int

    def settings(self, implied: str) -> dict[str, JsonValue]:
        """The argument's parameters, ``id`` included, from JSON or ``key=value``; empty from broken JSON.

        :param implied: the key of a first parameter without ``=``.
        """
        if not self.text.startswith("{"):
            pairs = parse_opts(self.text, implied)
            name = opts_id(pairs)
            return {**merged(pairs), **({} if name is None else {"id": name})}
        from vsmmu.machine.command_line.qjson import JsonError, parse_object  # only where JSON is met

        try:
            return {member.key: member.value for member in parse_object(self.text)}
        except JsonError:
            return {}


def options(words: Sequence[str], start: int) -> Iterator[WrittenOption]:
    """Every option from the word ``start`` on; QEMU takes ``--name`` for ``-name``.

    One that is not in :data:`OPTIONS` stands alone: whether the next word is its argument is not known.
    """
    at = start
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            yield WrittenOption("", word, at, at)
        else:
            name = word[2:] if word.startswith("--") else word[1:]
            last = at + OPTIONS.get(name, name in PATCHED)
            yield WrittenOption(name, words[last] if at < last < len(words) else "", at, last)
            at = last
        at += 1
