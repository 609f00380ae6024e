# SPDX-License-Identifier: Apache-2.0
"""The executable model of QEMU with accelerated SMMUv3: versions, settings, checks, texts. No I/O."""
