# SPDX-License-Identifier: BSD-3-Clause
"""The hand-over of a link to a daemon: its descriptors, and the ways in which it gets them."""

__all__ = [
    "broker",
    "descriptors",
    "execute",
    "fdstore",
    "legacy",
    "sim",
]
