# SPDX-License-Identifier: Apache-2.0
"""``python -m vsmmu``."""

from vsmmu.cli import main

main()
