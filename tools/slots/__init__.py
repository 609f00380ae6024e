# SPDX-License-Identifier: Apache-2.0
"""Record where a real QEMU puts PCI devices, and what it refuses: no KVM, no VFIO, no lab."""
