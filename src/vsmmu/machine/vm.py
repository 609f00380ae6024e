# SPDX-License-Identifier: Apache-2.0
"""A VM in the form in which it came: what a QEMU command line and a libvirt domain have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from vsmmu.diagnostic import Change, Edit
    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.model import Machine

__all__ = ["Vm"]


class Vm(Protocol):
    """A VM as somebody wrote it; immutable. What is not edited comes back byte for byte.

    Its implementations are :class:`vsmmu.machine.command_line.argv.CommandLine` and
    :class:`vsmmu.machine.domain.document.DomainXml`.
    """

    @property
    def command_line(self) -> CommandLine | None:
        """The VM itself, if it is a QEMU command line."""
        ...

    @property
    def domain(self) -> DomainXml | None:
        """The VM itself, if it is a libvirt domain."""
        ...

    def machine(self) -> Machine:
        """The VM as configured.

        :raise InputRefused: for text that describes none.
        """
        ...

    def passed_on(self) -> Machine:
        """The VM as QEMU gets it: :meth:`machine`, without what libvirt drops of a domain.

        :raise InputRefused: as :meth:`machine`.
        """
        ...

    def apply(self, machine: Machine, edits: Iterable[Edit]) -> Machine:
        """What ``machine`` (of this VM) would be after :meth:`edit`, without writing anything."""
        ...

    def edit(self, edits: Iterable[Change]) -> Self:
        """The same with properties set or taken out, in this order, and devices added and moved.

        All numbers of devices are those of the VM before.

        :raise Negative: ``not-editable``, for a device that this form cannot reach.
        """
        ...

    def not_judged(self) -> tuple[str, ...]:
        """What of this VM nothing here looks at: names of options, or of elements, in order."""
        ...

    def text(self) -> str:
        """The VM in its own form, as text."""
        ...

    def render(self) -> bytes:
        """The VM in its own form, as it is to be written: UTF-8, or the bytes that came."""
        ...

    def lines(self) -> list[str]:
        """The VM as lines for a comparison, one word or one tag a line where its text is one long line."""
        ...
