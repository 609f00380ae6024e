# SPDX-License-Identifier: Apache-2.0
"""Mends of a VM's faults: certain changes by diagnosis code, applied and judged again. No I/O."""
