# SPDX-License-Identifier: Apache-2.0
"""The command line: one module a verb, loaded when it is used."""

from vsmmu.cli.main import main

__all__ = ["main"]
