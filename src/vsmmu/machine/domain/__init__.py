# SPDX-License-Identifier: Apache-2.0
"""libvirt domain XML: the VM as configured, in libvirt's words."""
