# SPDX-License-Identifier: BSD-3-Clause
"""Overlays given to boot loaders and to the running kernel."""

__all__ = ["installed", "installer", "live", "loaders", "transaction", "trees", "view"]
