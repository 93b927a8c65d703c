# SPDX-License-Identifier: BSD-3-Clause
"""A link brought up, watched and taken down, and what can be wrong with it."""

__all__ = [
    "bring_up",
    "checks",
    "doctor",
    "journal",
    "kickable",
    "lock",
    "order",
    "remote_steps",
    "steps",
]
