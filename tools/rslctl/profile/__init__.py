# SPDX-License-Identifier: BSD-3-Clause
"""What a board is: the model, and the TOML profiles that it is read from.

The profiles that come with rslctl are in ``boards/``.
"""

__all__ = ["model", "reader", "virtio", "zynqmp"]
