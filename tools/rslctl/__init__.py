# SPDX-License-Identifier: BSD-3-Clause
"""rslctl brings up shared memory and notifications between Linux and a remote.

Modules import only from the levels below their own::

    cli
    application (typer's), quick
    commands
    setup, handoff
    overlay, mbox, journal
    board, devicetree, host
    errors, uapi
"""

__version__ = "0.1.0"
