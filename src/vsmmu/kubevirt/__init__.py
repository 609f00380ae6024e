# SPDX-License-Identifier: Apache-2.0
"""KubeVirt: the hook that fits a domain to its node, and what a node tells about itself."""
