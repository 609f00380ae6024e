# SPDX-License-Identifier: Apache-2.0
"""The SMMUv3 itself: its identification registers and the properties that depend on them. No I/O."""
