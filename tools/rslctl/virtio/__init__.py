# SPDX-License-Identifier: BSD-3-Clause
"""Serve virtio devices to a remote: headers in the shared memory, queues plugged into back-ends."""

__all__ = ["headers", "options", "service"]
