# SPDX-License-Identifier: BSD-3-Clause
"""Bring a link up, start and watch its remote, take it down, and find what is wrong with it."""

__all__ = [
    "bring_up",
    "checks",
    "doctor",
    "host_checks",
    "journal",
    "kickable",
    "lock",
    "order",
    "remote_checks",
    "remote_steps",
    "steps",
    "virtio_checks",
]
