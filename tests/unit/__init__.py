# SPDX-License-Identifier: BSD-3-Clause
"""Tests that need neither a board nor root: a folder for each package of rslctl, a file for each
module, and a folder for each other thing.
"""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
