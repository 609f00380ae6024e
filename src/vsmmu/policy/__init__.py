# SPDX-License-Identifier: Apache-2.0
"""Policy: a host's facts, a VM and a QEMU become values with evidence. No I/O."""
