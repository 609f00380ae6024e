# SPDX-License-Identifier: Apache-2.0
"""libvirt's part in a domain: what it drops, refuses or adds; QEMU's refusals in its words. No I/O."""
