# SPDX-License-Identifier: BSD-3-Clause
"""The running machine, one part in each module.

Every file, process and ioctl of the machine goes through here. Nothing here knows what a board is.
"""

__all__ = [
    "devices",
    "host",
    "inotify",
    "mbox",
    "modules",
    "platform_bus",
    "remoteproc",
    "sd_notify",
    "syscalls",
    "uapi",
    "uio",
]
