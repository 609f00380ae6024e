# SPDX-License-Identifier: Apache-2.0
"""libvirt domain XML: the same VM as configured, in the words of libvirt 12.8."""
