# SPDX-License-Identifier: BSD-3-Clause
"""One module per command: parse, one call, print."""
