# SPDX-License-Identifier: Apache-2.0
"""The host: its SMMUs, the functions behind them, its kernel; each value with its evidence. Knows no VM."""
