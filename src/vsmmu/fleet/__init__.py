# SPDX-License-Identifier: Apache-2.0
"""Many hosts: classes of what their SMMUs can do, comparison, baseline, report. No I/O."""
