# SPDX-License-Identifier: Apache-2.0
"""Facts from a live kernel: sysfs, IORT, kernel log; functions bound, asked and put back under a journal."""
