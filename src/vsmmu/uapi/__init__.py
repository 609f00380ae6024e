# SPDX-License-Identifier: Apache-2.0
"""The kernel's own interface: iommufd and vfio structures, numbers and calls, under the kernel's names.

One module for each part of ``include/uapi/linux/{iommufd,vfio}.h`` (Linux 7.3). Structures are ctypes, with
the members in the kernel's spelling; ioctl numbers are built from their parts; each call is one small
function that either returns what the kernel answered or raises :class:`OSError` as the kernel said it. What
an errno means to a user is said in :mod:`vsmmu.probe.refusals`, not here.
"""
