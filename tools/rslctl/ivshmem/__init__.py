# SPDX-License-Identifier: BSD-3-Clause
"""Links between virtual machines, by QEMU's device ivshmem-doorbell: their server, and a peer."""

__all__ = ["messages", "peer", "server"]
