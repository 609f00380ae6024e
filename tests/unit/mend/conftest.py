# SPDX-License-Identifier: Apache-2.0
"""VMs that are broken in one place, and their mends on a built-in host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

import examples
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.mend.mending import Mending, Wishes, mend
from vsmmu.policy.options import Options

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.qemu.versions import Qemu


class Run(Protocol):
    """Mends a script (text) or a domain (bytes)."""

    def __call__(
        self, vm: str | bytes, *, host: Host | None = None, qemu: Qemu = examples.Q11_1, **wishes: object
    ) -> Mending: ...


@pytest.fixture
def run() -> Run:
    def run(
        vm: str | bytes, *, host: Host | None = None, qemu: Qemu = examples.Q11_1, **wishes: object
    ) -> Mending:
        read: Vm = (
            read_domain_xml(vm, "vm.xml") if isinstance(vm, bytes) else read_source(vm.encode(), "vm.sh")
        )
        return mend(read, host or examples.host(), qemu, Options(), Wishes(**wishes))  # type: ignore[arg-type]

    return run
