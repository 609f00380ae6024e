# SPDX-License-Identifier: Apache-2.0
"""Take the names that a real QEMU knows, for ``vsmmu.qemu.device_tables``.

``ask`` starts a binary and asks it over QMP for every type and its properties, ``tried`` finds by trial what
QMP does not tell, ``table`` folds the answers into the compact form that is committed.
``PYTHONPATH=tools python -m device_tables --help``.
"""
