# SPDX-License-Identifier: Apache-2.0
"""Memory of a VM that certainly lies in ordinary pages of the host, not in huge ones.

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

__all__ = ["is_small", "memory_in_small_pages"]

_BACKEND: Final = "memory-backend-"
_ANONYMOUS: Final = frozenset({f"{_BACKEND}ram", f"{_BACKEND}shm"})
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
