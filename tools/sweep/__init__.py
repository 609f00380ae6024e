# SPDX-License-Identifier: Apache-2.0
"""Sweeps: every system call of a program fails in turn, or is its last one (``make sweep``)."""
