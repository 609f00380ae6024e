# SPDX-License-Identifier: Apache-2.0
"""Record reader that decodes the whole facts of every host, for questions that its class cannot answer."""

from __future__ import annotations

from vsmmu.fleet.records import Record, RecordReader
from vsmmu.host.files import decode_host

__all__ = ["WholeHostReader"]


class WholeHostReader(RecordReader):
    """As :class:`RecordReader`, with :attr:`Record.host` set in every record."""

    def read(self, data: bytes, where: str) -> Record:
        """Read one record.

        :raise InputRefused: as :meth:`RecordReader.read`.
        """
        record = super().read(data, where)
        return record if record.host is not None else record._replace(host=decode_host(data, where))
