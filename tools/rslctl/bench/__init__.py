# SPDX-License-Identifier: BSD-3-Clause
"""How long kicks and notifications take, measured and shown."""

__all__ = [
    "measure",
    "paths",
    "report",
]
