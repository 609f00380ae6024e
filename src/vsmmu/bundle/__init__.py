# SPDX-License-Identifier: Apache-2.0
"""The bundle for a bug report: facts, VM, verdict and messages, with secrets and names taken out."""
