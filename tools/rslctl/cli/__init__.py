# SPDX-License-Identifier: BSD-3-Clause
"""The command line: read the words, make one call, print the result."""

__all__ = [
    "application",
    "main",
    "quick",
]
