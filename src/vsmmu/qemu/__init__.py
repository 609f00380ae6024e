# SPDX-License-Identifier: Apache-2.0
"""What a QEMU version and machine type does with a VM: defaults, checks, texts, the executable model."""
