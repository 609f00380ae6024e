# SPDX-License-Identifier: Apache-2.0
"""Pictures of nested things: boxes in boxes as SVG, the same as a tree for a terminal. No I/O."""
