# SPDX-License-Identifier: BSD-3-Clause
"""rslctl brings up shared memory and notifications between Linux and a remote.

What each package is for and may import: docs/explanation/architecture.md.
"""

__version__ = "0.1.0"
