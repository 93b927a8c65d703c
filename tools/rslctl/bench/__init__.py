# SPDX-License-Identifier: BSD-3-Clause
"""Measure how long kicks and notifications take, and show it."""

__all__ = [
    "measure",
    "page",
    "paths",
    "report",
]
