# SPDX-License-Identifier: Apache-2.0
"""Explanations of codes and of printed sentences: cause, register or rule, versions, remedy and its price."""
