# SPDX-License-Identifier: BSD-3-Clause
"""The access to the running machine: one module for each part of Linux.

The rest of rslctl uses these modules for files, processes and ioctls of the machine. No module
here knows of boards or profiles.
"""

__all__ = [
    "atomic",
    "bus",
    "command",
    "devices",
    "fd_passing",
    "given_file",
    "host",
    "inotify",
    "iomem",
    "ivshmem",
    "kernel_log",
    "listening",
    "mbox",
    "modules",
    "remoteproc",
    "sd_notify",
    "signals",
    "syscalls",
    "trust",
    "uapi",
    "uio",
]
