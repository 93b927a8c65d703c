# SPDX-License-Identifier: BSD-3-Clause
"""``python -m rslctl``."""

from rslctl.cli.main import main

main()
