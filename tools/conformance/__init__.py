# SPDX-License-Identifier: Apache-2.0
"""Hold the model of QEMU against the real one: generated hosts and VMs, run in the lab, compared.

A package and not a test file, because it is worth running against another QEMU: a packager's build, a
new release. ``PYTHONPATH=tools python -m conformance --help``. The test suite runs a short selection of the
same cases.

``hosts`` and ``generate`` make the cases, ``written`` whole VMs as operators write them, ``predict`` asks the
model, ``guest`` runs QEMU inside the lab under the emulator, ``compare`` judges, ``batches`` drives it all,
``table`` prints; ``here`` does without a lab, with any binary of this machine.
"""
