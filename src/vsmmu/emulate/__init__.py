# SPDX-License-Identifier: Apache-2.0
"""Run an unmodified program against the iommufd and vfio-cdev interface of another host.

A test tool: nothing behind it translates or transfers anything. The parts, lowest first:

=====================  ==================================================================================
``fill``, ``hardware``  the host that is shown: facts, with their gaps filled by stated rules
``config_space``        a function's configuration space
``objects``, ``ioas``   iommufd's objects and their lifetimes, without any system call
``iommufd``, ``vfio``   the calls on iommufd and on vfio device files
``memory``, ``files``   a program's memory, and which of its open files are ours
``seccomp``             the filter and its notifications
``nodes``, ``mounts``   what the program sees in /dev and /sys, and how it comes to see that
``supervisor``          answers the calls; ``launch`` starts it and the program
=====================  ==================================================================================

It shares with the prober the facts, the judgements on them, the registers and the kernel's structures,
nothing else, so that each can be a check of the other.
"""
