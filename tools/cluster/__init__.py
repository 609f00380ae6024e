# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API server for custom resources, from Debian's packages, to hold manifests against.

etcd and kubectl are Debian's binaries; ``apiextensions-apiserver`` is built from Debian's Go packages. It has
no pods, nodes or DaemonSets: only what CustomResourceDefinitions define, with the real validation.
"""
