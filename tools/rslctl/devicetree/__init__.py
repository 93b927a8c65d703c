# SPDX-License-Identifier: BSD-3-Clause
"""Device trees and overlays as data: make them from a profile, fit them to a base, compare them.

No module here changes the machine.
"""

__all__ = ["holes", "nodes", "overlay", "propose", "remote_dt", "remoteproc", "tree"]
