# SPDX-License-Identifier: Apache-2.0
"""From functions of a host to a VM's PCI topology: expanders, vSMMUs, ports and endpoints. No I/O."""
