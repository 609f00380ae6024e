# SPDX-License-Identifier: Apache-2.0
"""Pictures of nested and linked boxes: as SVG, and as trees for a terminal. No I/O."""
