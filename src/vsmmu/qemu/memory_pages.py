# SPDX-License-Identifier: Apache-2.0
"""Ordinary and huge pages of the host: which memory certainly lies in the first, how large the others are.

Source: qemu_minrampagesize(), which the command queues go by since 295ca0e14c: the smallest page of the
memory backends in use counts. What a ``mem-path`` names is known to the host alone, save that shm is no
hugetlbfs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.settings import read_bool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine, MachineObject

__all__ = ["huge_page", "is_small", "memory_in_small_pages"]

_BACKEND: Final = "memory-backend-"
_ANONYMOUS: Final = frozenset({f"{_BACKEND}ram", f"{_BACKEND}shm"})
#: Bytes of an entry of a page table.
_ENTRY: Final = 8
_SHM: Final = "/dev/shm/"  # noqa: S108 - a path that a VM names; nothing is opened


def memory_in_small_pages(machine: Machine) -> Iterator[str]:
    """The memory backends in use that lie in ordinary pages, by id; ``its memory`` where that is none."""
    whole = machine.machine_options.get("memory-backend", "")
    nodes = {option.settings.get("memdev", "") for option in machine.numa} - {""}
    if machine.plain_memory and not whole and not nodes:
        yield "its memory"
    used = {whole, *nodes, *(device.text("memdev") for device in machine.devices)}
    for entry in machine.objects:
        if entry.id in used and is_small(entry):
            yield entry.id


def is_small(backend: MachineObject) -> bool:
    """Whether a memory backend certainly lies in ordinary pages."""
    if backend.qom_type == f"{_BACKEND}memfd":
        return not read_bool(backend.properties.get("hugetlb"))
    if backend.qom_type == f"{_BACKEND}file":
        return str(backend.properties.get("mem-path", "")).startswith(_SHM)
    return backend.qom_type in _ANONYMOUS


def huge_page(page: int) -> int:
    """The size of a huge page by that of an ordinary one on Arm: as many of those as entries fit into one.

    So has it virtio_mem_thp_size() in hw/virtio/virtio-mem.c.
    """
    return page * page // _ENTRY
