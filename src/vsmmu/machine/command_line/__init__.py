# SPDX-License-Identifier: Apache-2.0
"""The VM as a QEMU command line: words, scripts, configuration files; read and written back byte for byte."""
