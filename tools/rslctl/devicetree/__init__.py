# SPDX-License-Identifier: BSD-3-Clause
"""Device trees and overlays, as data: made from a profile, fitted to a base, compared.

Nothing here changes the machine.
"""

__all__ = ["nodes", "overlay", "remote_dt", "tree"]
