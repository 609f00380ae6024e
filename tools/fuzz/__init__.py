# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing of the readers with atheris (``make fuzz``): own errors, bounded time and room."""
