# SPDX-License-Identifier: Apache-2.0
"""Which user or group may open a file that we may not, by the mode of the file or of a folder above it."""

from __future__ import annotations

import os

__all__ = ["who_may"]


def who_may(path: str, want: int = os.R_OK) -> str:
    """What to do to be permitted; empty if the file is not there, or its mode is not what forbids it.

    :param path: absolute.
    :param want: what is to be done with it, as for :func:`os.access`.
    """
    if not path.startswith("/"):
        return ""
    while True:
        try:
            found = os.stat(path)  # noqa: PTH116 - no pathlib for an error of the hook
            break
        except PermissionError:  # it lies in a folder that may not be entered
            path, want = os.path.dirname(path), os.X_OK  # noqa: PTH120
        except FileNotFoundError:
            if not want & os.W_OK or path == "/":
                return ""
            path, want = os.path.dirname(path), os.W_OK | os.X_OK  # noqa: PTH120
        except OSError:
            return ""
    what = f"{path} is {_user(found.st_uid)}:{_group(found.st_gid)}, mode {found.st_mode & 0o7777:04o}"
    if found.st_gid and found.st_mode & (want << 3) == want << 3:
        return f"be in the group {_group(found.st_gid)} ({what}): usermod -aG {_group(found.st_gid)} USER"
    if found.st_mode & want == want:
        return ""  # a security module, or an access control list
    return f"run as {_user(found.st_uid)}, or have the file given to a group of yours ({what})"


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
