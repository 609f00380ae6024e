# SPDX-License-Identifier: Apache-2.0
"""A QEMU process: its binary asked, its monitor found and read, its registers read back, its start."""
