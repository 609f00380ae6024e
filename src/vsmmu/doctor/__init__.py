# SPDX-License-Identifier: Apache-2.0
"""Checks of a host's readiness for accelerated vSMMUs, each with a remedy.

:mod:`~vsmmu.doctor.observe` looks at the machine, :mod:`~vsmmu.doctor.installation` at this program's files,
:mod:`~vsmmu.doctor.checks` judges what was seen and knows no machine, :mod:`~vsmmu.doctor.model` is the
answer (``vsmmu.doctor/1``).
"""
