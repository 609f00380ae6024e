# SPDX-License-Identifier: Apache-2.0
"""The readers of vsmmu as functions of bytes, and inputs to begin with: what ``make fuzz`` and its cases run.

A reader may refuse an input with an own error (:class:`vsmmu.errors.VsmmuError`), whatever the input is.
What it takes it must also be able to give back, where there is a form to give back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

import vsmmu
from vsmmu.cli.baseline_file import _decode as read_baseline
from vsmmu.doctor.observe import parse_config as parse_kernel_config
from vsmmu.doctor.observe import parse_version as parse_program_version
from vsmmu.emulate.faults import parse_fault
from vsmmu.errors import UsageError, VsmmuError
from vsmmu.fleet.classes import parse_selection
from vsmmu.fleet.lists import split_list
from vsmmu.fleet.records import RecordReader
from vsmmu.host.driver_line import parse_line
from vsmmu.host.files import builtin_files, decode_host, encode_host, unknown_members
from vsmmu.kubevirt.hook import mutate
from vsmmu.kubevirt.settings import HookSettings
from vsmmu.kubevirt.vmi import read_vmi
from vsmmu.libvirt.releases import parse_libvirt_version
from vsmmu.machine.command_line.keyval import parse_keyval, parse_opts
from vsmmu.machine.command_line.libvirt_log import read_log
from vsmmu.machine.command_line.process_list import read_processes
from vsmmu.machine.command_line.qjson import JsonError, parse_object
from vsmmu.machine.command_line.readconfig import parse_config
from vsmmu.machine.command_line.script import read_script
from vsmmu.machine.command_line.unit import read_unit
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.mend.mending import mend
from vsmmu.monitor.introspection import read_back
from vsmmu.monitor.qmp import EVENT, result
from vsmmu.pci import normal_address
from vsmmu.probe.iort import parse_iort
from vsmmu.probe.journal import Journal
from vsmmu.probe.log_text import host_of_log
from vsmmu.probe.lspci_text import read_lspci
from vsmmu.probe.pci_config import parse_capabilities
from vsmmu.qemu import values
from vsmmu.qemu.slot_address import read_address
from vsmmu.qemu.versions import LATEST, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parents[2]
_GOLDEN: Final = ROOT / "tests" / "golden"
#: What the VMs are held against.
_HOST: Final = decode_host(Path(builtin_files()["gb200"]).read_bytes(), "gb200")


class Reader(NamedTuple):
    """One reader.

    :param read: takes an input; an own error or a return are both good.
    :param seeds: inputs that it takes.
    :param refuses: the type, exactly, with which it refuses an input beside the own errors, as it documents.
    """

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    refuses: type[Exception] = VsmmuError

    @property
    def json(self) -> bool:
        """Whether it takes JSON, which is mutated as such."""
        return self.seeds[0][:1] in (b"{", b"[")

    @property
    def longest(self) -> int:
        """Bytes of an input: room for two of the longest seed; more is only slower."""
        return 2 * max(map(len, self.seeds))


def takes(reader: Reader, data: bytes) -> bool:
    """Whether the reader takes an input; False if it refuses it with an own error.

    :raise Exception: any other: a finding.
    """
    try:
        reader.read(data)
    except VsmmuError as error:
        str(error)
        return False
    except Exception as error:
        if type(error) is not reader.refuses:
            raise
        return False
    return True


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of text; bytes come to it as they do from a command line."""
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def _vm(data: bytes) -> None:
    """Whatever it is, it comes back as it was, byte for byte."""
    vm = vsmmu.read_vm(data)
    _same(vm.render(), data)


def _verdict(data: bytes) -> None:
    vm = vsmmu.read_vm(data)
    for qemu in (None, "nvidia-11.0"):
        vsmmu.check(vm, _HOST, qemu=qemu)
    answer = vsmmu.resolve(vm, _HOST)
    if answer.vm is not None:
        vsmmu.read_vm(answer.vm.render())


def _fix(data: bytes) -> None:
    """What is mended can be read, is judged the same, and is mended no further; else it is as it was."""
    vm = vsmmu.read_vm(data)
    once = mend(vm, _HOST, LATEST)
    written = once.vm.render()
    if not once.applied:
        _same(written, data)
    twice = mend(vsmmu.read_vm(written), _HOST, LATEST)
    _same(twice.vm.render(), written)
    _same(twice.verdict.answer.encode(), once.verdict.answer.encode())


def _same(given: bytes, wanted: bytes) -> None:
    if given != wanted:
        raise AssertionError(f"{given[:200]!r} is not {wanted[:200]!r}")


def _facts(data: bytes) -> None:
    host = decode_host(data, "facts")
    unknown_members(data)
    if decode_host(encode_host(host), "again") != host:
        raise AssertionError("written and read again it is another host")


def _fleet(data: bytes) -> None:
    """The quick reader of records, which has met others before, and the strict one agree."""
    quick = RecordReader()
    for known in _LINES:
        quick.read(known, "known")
    first, second = _outcome(quick, data), _outcome(RecordReader(), data)
    if first != second:
        raise AssertionError(f"quick {first}, strict {second}")


def _outcome(reader: RecordReader, data: bytes) -> tuple[object, ...]:
    try:
        record = reader.read(data, "record")
    except VsmmuError as error:
        return (error.code, str(error))
    fingerprint = reader.classes[record.kind].fingerprint
    return (record.name, record.taken_at, record.kernel, record.title, fingerprint, record.labels)


def _iort(data: bytes) -> None:
    parse_iort(data)
    table = bytearray(data)
    table[4:8] = len(table).to_bytes(4, "little")
    table[9] = 0
    table[9] = -sum(table) & 0xFF
    parse_iort(bytes(table))


def _capabilities(data: bytes) -> None:
    def word(offset: int) -> int | None:
        piece = data[offset - 0x100 : offset - 0x100 + 4]
        return int.from_bytes(piece, "little") if len(piece) == 4 else None

    parse_capabilities(word)


class _Liar:
    """A monitor that answers with the lines of an input, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._lines = data.split(b"\n")

    def execute(self, command: str, **_arguments: Any) -> Any:
        """The next line that is no event."""
        while True:
            found = result(self._lines.pop(0) if self._lines else b"{}", command, "fuzz")
            if found is not EVENT:
                return found


def _hook(data: bytes) -> None:
    """The VirtualMachineInstance before a NUL, the domain after it."""
    vmi, _, domain = data.partition(b"\0")
    settings = HookSettings(facts="facts")
    outcome = mutate(domain, vmi, settings, lambda _: _HOST)
    if not outcome.changed:
        _same(outcome.domain, domain)


def _annotations(data: bytes) -> None:
    instance = read_vmi(data)
    HookSettings().annotated(instance.annotations)
    str(instance.node)


def _journal(data: bytes) -> None:
    path = Path("journal")
    path.write_bytes(data)
    for step in Journal(str(path)).pending():
        step.describe()
        step.describe_undo()


def _values(text: str) -> None:
    for read in (values.boolean, values.unsigned, values.signed, values.size):
        read(text)
    for driver in ("vfio-pci", "pcie-root-port", "arm-smmuv3"):
        read_address(driver, text)


def _tries(*readers: Callable[[str], object]) -> Callable[[str], object]:
    """Short texts that several readers take: each of them is given the input."""

    def read(text: str) -> None:
        refusals = list[UsageError]()
        for one in readers:
            try:
                one(text)
            except UsageError as error:
                refusals.append(error)
        for refusal in refusals:
            str(refusal)

    return read


def _files(*patterns: str) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for pattern in patterns for path in sorted(_GOLDEN.glob(pattern)))


def _seeds(*names: str) -> tuple[bytes, ...]:
    return tuple(Path(__file__).with_name("seeds").joinpath(name).read_bytes() for name in names)


_COMMAND: Final = (
    b"qemu-system-aarch64 -M virt,accel=kvm -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
    b"-device arm-smmuv3,primary-bus=a,id=s,accel=on -device pcie-root-port,id=p,bus=a,chassis=1 "
    b'-device \'{"driver":"vfio-pci","host":"0009:01:00.0","bus":"p"}\'\n'
)
#: With memory, NUMA nodes and what lies on them, and with disks, networks and consoles of every form.
_EQUIPPED: Final = _seeds("numa", "disks")
_UNIT: Final = b"[Unit]\nDescription=VM\n[Service]\nEnvironment=A=b\nExecStart=/usr/bin/" + _COMMAND
_LIBVIRT_LOG: Final = (
    b"2026-01-02 03:04:05.678+0000: starting up libvirt version: 11.0.0, qemu version: 11.1.0\n"
    b"LC_ALL=C \\\nPATH=/usr/bin \\\n/usr/bin/qemu-system-aarch64 \\\n-name guest=a \\\n-machine virt \\\n"
    b'-device \'{"driver":"arm-smmuv3","primary-bus":"a","id":"s","accel":true}\'\n'
    b"2026-01-02 03:04:06.000+0000: shutting down, reason=failed\n"
)
_KERNEL_LOG: Final = (
    b"[    0.000000] Linux version 6.14.0 (x@y) (gcc) #1\n"
    b"[    0.000000] DMI: NVIDIA GB200/P1, BIOS 1 01/01/2026\n"
    b"[    1.000000] arm-smmu-v3 arm-smmu-v3.0.auto: option mask 0x0\n"
    b"[    1.000000] arm-smmu-v3 arm-smmu-v3.0.auto: ias 48-bit, oas 48-bit (features 0x001e1fbf)\n"
    b"Jan 02 03:04:05 node kernel: arm-smmu-v3 arm-smmu-v3.1.auto: oas 44-bit (features 0x01088705)\n"
)
_LSPCI: Final = (
    b"0009:01:00.0 3D controller: NVIDIA Corporation Device 2941\n"
    b"\tCapabilities: [100 v1] Address Translation Service (ATS)\n\t\tATSCap:\tInvalidate Queue Depth: 00\n"
    b"\tCapabilities: [110 v1] Process Address Space ID (PASID)\n"
    b"\t\tPASIDCap: Exec+ Priv+, Max PASID Width: 14\n"
)
_VMI: Final = (
    b'{"metadata": {"name": "vm", "annotations": {"vsmmu.io/hook": "on", "vsmmu.io/also": "0009:01:00.0"}}, '
    b'"status": {"nodeName": "node-1"}}'
)
_HOSTS: Final = tuple(
    Path(builtin_files()[name]).read_bytes() for name in ("kunpeng-no-ril", "gb10", "gh200")
)
_LINES: Final = tuple(msgspec.json.format(data, indent=-1) for data in _HOSTS)
_DOMAINS: Final = _files("domain/*.in.xml")
_WORDS: Final = _files("argv/[!r]*.in")

#: Every reader of what users, machines and peers give, by name.
READERS: Final[dict[str, Reader]] = {
    "vm": Reader(_vm, (_COMMAND, _UNIT, _LIBVIRT_LOG, *_WORDS, *_DOMAINS)),
    "verdict": Reader(_verdict, (_COMMAND, *_EQUIPPED, *_WORDS, *_DOMAINS)),
    "fix": Reader(_fix, (_COMMAND, *_EQUIPPED, *_WORDS, *_DOMAINS)),
    "domain": Reader(lambda data: read_domain_xml(data, "domain").machine, _DOMAINS),
    "script": Reader(_text(lambda text: read_script(text, "script")), (_COMMAND, *_files("argv/script.in"))),
    "unit": Reader(_text(lambda text: read_unit(text, "unit")), (_UNIT,)),
    "libvirt-log": Reader(_text(lambda text: read_log(text, "log")), (_LIBVIRT_LOG,)),
    "process-list": Reader(_text(lambda text: read_processes(text, "ps")), (b"  1 ?  S 0:00 " + _COMMAND,)),
    "options": Reader(_text(parse_opts), (b"vfio-pci,host=0009:01:00.0,,x,id=a,rombar=0", b"virt,accel=kvm")),
    "keyval": Reader(
        _text(lambda text: parse_keyval(text, "type")), (b"virt,accel=kvm,a.b.0=1,x=,,",), ValueError
    ),
    "json-options": Reader(
        _text(parse_object), (b'{"driver":"vfio-pci","host":"0009:01:00.0","a":[1,true,null]}',), JsonError
    ),
    "readconfig": Reader(lambda data: parse_config(data, "vm.cfg"), _files("argv/vm.cfg")),
    "values": Reader(
        _text(_values), (b"0x10", b"1.5G", b"on", b"4.2", b"-1", b"18446744073709551616" + b" " * 32)
    ),
    "facts": Reader(_facts, _HOSTS),
    "fleet": Reader(_fleet, _LINES),
    "kubernetes-list": Reader(
        lambda data: list(split_list(data) or ()),
        (b'{"kind":"List","items":[' + _LINES[0] + b"]}", b"[{},{}]"),
    ),
    "baseline": Reader(lambda data: read_baseline(data, "baseline"), _seeds("baseline")),
    "kernel-log": Reader(lambda data: host_of_log(data, "log"), (_KERNEL_LOG,)),
    "driver-line": Reader(_text(parse_line), tuple(_KERNEL_LOG.splitlines())),
    "lspci": Reader(lambda data: read_lspci(data, "lspci"), (_LSPCI,)),
    "iort": Reader(_iort, _seeds("iort")),
    "pci-config": Reader(
        _capabilities, (bytes.fromhex("0f00011000000000 1b0001 0000140000".replace(" ", "")),)
    ),
    "kernel-config": Reader(_text(parse_kernel_config), (b"CONFIG_IOMMUFD=m\n# CONFIG_VFIO is not set\n",)),
    "vmi": Reader(_annotations, (_VMI,)),
    "hook": Reader(_hook, tuple(_VMI + b"\0" + domain for domain in _files("domain/[!c]*.in.xml"))),
    "monitor": Reader(lambda data: read_back(_Liar(data)), _seeds("monitor")),
    "journal": Reader(_journal, _seeds("journal")),
    "small": Reader(
        _text(
            _tries(
                parse_version,
                parse_libvirt_version,
                parse_program_version,
                parse_selection,
                parse_fault,
                normal_address,
            )
        ),
        (b"11.1", b"11.1.3", b"VIOMMU_ALLOC:2:EOPNOTSUPP", b"0009:01:00.0", b"10de:2941", b"nvidia-10.1"),
    ),
}
