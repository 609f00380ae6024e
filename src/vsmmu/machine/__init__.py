# SPDX-License-Identifier: Apache-2.0
"""The VM as configured: read from and written back to other people's formats. Knows no host."""
