# SPDX-License-Identifier: Apache-2.0
"""Policy: facts, VM and QEMU become values with evidence. No I/O."""
