# SPDX-License-Identifier: BSD-3-Clause
"""The hand-over of a link to a daemon: the descriptors, and the ways to pass them."""

__all__ = [
    "broker",
    "descriptors",
    "execute",
    "fdstore",
    "legacy",
    "open_file",
    "sim",
]
