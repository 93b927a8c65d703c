# SPDX-License-Identifier: BSD-3-Clause
"""Board profiles: the data model of a board, and the reader of the TOML files.

The profiles of rslctl itself are in ``boards/``.
"""

__all__ = ["cores", "model", "reader", "socs", "virtio", "writer", "zynqmp"]
