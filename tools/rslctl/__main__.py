# SPDX-License-Identifier: BSD-3-Clause
"""``python -m rslctl``."""

try:
    from rslctl.cli.main import main

    main()
except KeyboardInterrupt:  # while it loads, or while it ends
    raise SystemExit(130) from None
