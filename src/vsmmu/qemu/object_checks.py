# SPDX-License-Identifier: Apache-2.0
"""Values that are of an object's type and that the object itself refuses: memory, threads, initiators.

Sources: backends/hostmem.c, backends/hostmem-shm.c, iothread.c, hw/acpi/pci.c of qemu/qemu; each text was
measured with 11.1.3. QEMU names no option in front of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from vsmmu.host.judgements import page_sizes
from vsmmu.machine.model import INITIATOR, Unread
from vsmmu.qemu.doubts import board_doubt
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.memory_pages import huge_page
from vsmmu.qemu.numa_options import MOST_NODES
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import quantity, signed, size, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import MachineObject

__all__ = ["object_refusals"]

_MEMORY: Final = "memory-backend-"
#: Memory backends that QEMU makes a file for, or takes one.
_IN_FILES: Final = frozenset({"memory-backend-file", "memory-backend-memfd", "memory-backend-shm"})
_CODE: Final = "qemu-object-value"
_MOST: Final = (1 << 63) - 1
_MOST_INT: Final = (1 << 31) - 1
_LOOPS: Final = frozenset({"iothread", "main-loop"})
_LOOP_NUMBERS: Final = {
    **dict.fromkeys(("poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch"), _MOST),
    **dict.fromkeys(("thread-pool-min", "thread-pool-max"), _MOST),
    "poll-weight": 63,
}
#: What a pool of threads may have without thread-pool-max.
_THREADS: Final = 64


def object_refusals(entry: MachineObject, host: Host) -> Iterator[Refusal | Diagnostic]:
    """Why an object refuses what is written for it, or may."""
    if entry.qom_type.startswith(_MEMORY):
        yield from _memory(entry, host)
    elif entry.qom_type in _LOOPS:
        yield from _loop(entry)
    elif (quantity(entry.properties.get("node"), unsigned) or 0) >= MOST_NODES:
        # A port says it of an initiator, too.
        yield Refusal("qemu-initiator", {"text": f"{INITIATOR}: Invalid NUMA node specified"})


def _loop(entry: MachineObject) -> Iterator[Refusal]:
    """Threads that serve events: each number by itself, then the sizes of the pool."""
    for name, most in _LOOP_NUMBERS.items():
        number = quantity(entry.properties.get(name), signed)
        if number is not None and not 0 <= number <= most:
            yield _refused(f"{name} value must be in range [0, {most}]")
            return
    least = quantity(entry.properties.get("thread-pool-min", 0), signed)
    most_threads = quantity(entry.properties.get("thread-pool-max", _THREADS), signed)
    if least is not None and most_threads is not None and not max(1, least) <= most_threads <= _MOST_INT:
        yield _refused("bad thread-pool-min/thread-pool-max values")


def _memory(entry: MachineObject, host: Host) -> Iterator[Refusal | Diagnostic]:
    for name, read in (("size", size), ("prealloc-threads", unsigned)):
        if quantity(entry.properties.get(name), read) == 0:
            yield _refused(f"property '{name}' of {entry.qom_type} doesn't take value '0'")
    for rule in (_pages, _huge_pages, _alignment):
        yield from rule(entry, page_sizes(host))
    if entry.qom_type == "memory-backend-shm" and read_bool(entry.properties.get("share")) is False:
        yield _refused("can't create shm backend with `share=off`")
    policy = entry.properties.get("policy", "default")
    nodes = entry.properties.get("host-nodes")
    if nodes is None and policy not in ("default", "local"):
        yield _refused(f"host-nodes must be set for policy {policy}")
    elif nodes is not None and policy == "default":
        yield _refused(
            "host-nodes must be empty for policy default, or you should explicitly specify a policy other "
            "than default"
        )
    elif isinstance(nodes, str) and not isinstance(nodes, Unread) and not _there(nodes, host):
        refusal = _refused("cannot bind memory to host NUMA nodes: Invalid argument")
        yield board_doubt(refusal, f"whether the host has memory on NUMA node {nodes}")


def _pages(entry: MachineObject, pages: Sequence[int]) -> Iterator[Refusal | Diagnostic]:
    """Memory with a file behind it is of whole pages of the host.

    :param pages: the sizes that those may have; QEMU's words are those of the first that does not fit.
    """
    own = quantity(entry.properties.get("size"))
    if entry.qom_type not in _IN_FILES or not own:
        return
    unfit = [page for page in pages if own % page]
    if unfit:
        refusal = _refused(_page_text(entry, own, unfit[0]))
        certain = len(unfit) == len(pages)
        yield refusal if certain else board_doubt(refusal, "the size of the host's pages")


def _huge_pages(entry: MachineObject, pages: Sequence[int]) -> Iterator[Refusal | Diagnostic]:
    """Huge pages of a memfd: those that are written, else what the host has by default."""
    if entry.qom_type != "memory-backend-memfd":
        return
    huge, own = quantity(entry.properties.get("hugetlbsize")), quantity(entry.properties.get("size"))
    if huge and huge.bit_count() > 1:
        yield _refused("Hugepage size must be a power of 2")
    elif read_bool(entry.properties.get("hugetlb")) is True and own:
        refusal = _refused(f"failed to resize memfd to {own}: Invalid argument")
        if huge and own % huge:
            yield refusal
        elif not huge and any(own % huge_page(page) for page in pages):
            yield board_doubt(refusal, "the size of the host's huge pages")


def _alignment(entry: MachineObject, pages: Sequence[int]) -> Iterator[Refusal | Diagnostic]:
    align = quantity(entry.properties.get("align")) if entry.qom_type == "memory-backend-file" else 0
    if not align:
        return
    unfit = [page for page in pages if align % page]
    if unfit:
        refusal = _refused(f"alignment {align:#x} must be multiples of page size {unfit[0]:#x}")
        certain = len(unfit) == len(pages)
        yield refusal if certain else board_doubt(refusal, "the size of the host's pages")
    elif align.bit_count() > 1:
        yield _refused(f"alignment {align:#x} must be a power of two")


def _page_text(entry: MachineObject, own: int, page: int) -> str:
    if entry.qom_type == "memory-backend-file":
        return f"backend '{entry.qom_type}' memory size must be multiple of {page >> 10} KiB"
    whole = -(-own // page) * page
    return (
        f"{entry.id} backing store size {own:#x} is too small for 'size' option {whole:#x} plus 'offset' "
        "option 0x0"
    )


def _there(nodes: str, host: Host) -> bool:
    """Whether nodes (``1``, ``0-1``) are certainly there: the first, and those that facts name."""
    listed = () if host.numa_nodes is UNSET else host.numa_nodes
    known = {0, *(node.id for node in listed if not node.generic_initiator)}
    known.update(function.numa_node for function in host.functions if function.numa_node is not None)
    start, dash, end = nodes.partition("-")
    first, last = unsigned(start), unsigned(end if dash else start)
    if first is None or last is None or last - first >= MOST_NODES:
        return False
    return known.issuperset(range(first, last + 1))


def _refused(text: str) -> Refusal:
    return Refusal(_CODE, {"text": text})
