# SPDX-License-Identifier: Apache-2.0
"""libvirt's version: as written, or asked of a program of it or of the daemon at a connection URI."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Final

from vsmmu.errors import HostLacks
from vsmmu.monitor.program_output import output_of

__all__ = ["libvirt_version"]

_SECONDS: Final = 20.0
_LIMIT: Final = 1 << 16
#: ``virsh version --daemon``, ``virsh --version``, ``libvirtd --version``, the last number of the text.
_VERSION: Final = re.compile(r"(?:^|\s)(\d{1,3}\.\d{1,3}\.\d{1,3})\s*\Z")


def libvirt_version(text: str) -> str:
    """The version that ``--libvirt`` means.

    :param text: a version, which comes back as it is; the path of a program of libvirt (``virsh``,
        ``libvirtd``, ``virtqemud``), which prints its own; or a connection URI, whose daemon is asked.
    :raise HostLacks: ``libvirt-asked``: it cannot be run, does not answer in time, or says no version.
    """
    if ":" in text:
        words = ["virsh", "-c", text, "version", "--daemon"]
    elif "/" in text:
        words = [text, "--version"]
    else:
        return text
    try:
        said = output_of(words, _SECONDS, _LIMIT, {**os.environ, "LC_ALL": "C"})
    except subprocess.TimeoutExpired:
        raise _refused(text, f"no answer within {_SECONDS:g} s") from None
    except (OSError, ValueError) as error:
        raise _refused(text, getattr(error, "strerror", None) or str(error)) from None
    found = _VERSION.search(said.stdout.decode("utf-8", "replace"))
    if said.status or found is None:
        complaint = said.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise _refused(text, complaint.removeprefix("error: ") or "it prints no version")
    return found[1]


def _refused(text: str, why: str) -> HostLacks:
    return HostLacks(
        "libvirt-asked",
        "this is no libvirt that can be asked for its version",
        where=text[:200],
        why=why[:500],
        next="say the version: --libvirt 12.8",
    )
