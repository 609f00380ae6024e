# SPDX-License-Identifier: Apache-2.0
"""vsmmu: fit an accelerated vSMMUv3 to the host that it runs on."""

__version__ = "0.1.0"
