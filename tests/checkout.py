# SPDX-License-Identifier: BSD-3-Clause
"""The sources of this checkout, without what tools and users make beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

#: Names of what is made.
_MADE = shutil.ignore_patterns(
    *(".git", "build", "node_modules", "__pycache__", "*.egg-info", ".hypothesis", ".*_cache"),
    *("*.ko", "*.o"),
)


def not_sources(directory: str, names: list[str]) -> set[str]:
    """Those of the *names* in a directory that are no sources; for shutil.copytree.

    A virtual environment may have any name, and has a file pyvenv.cfg.
    """
    found = set(_MADE(directory, names))
    return found | {each for each in names if Path(directory, each, "pyvenv.cfg").exists()}


def sources(root: Path) -> Iterator[Path]:
    """The files of the checkout *root*."""
    for directory, folders, files in os.walk(root):
        made = not_sources(directory, [*folders, *files])
        folders[:] = sorted(set(folders) - made)
        for name in sorted(set(files) - made):
            yield Path(directory, name)


def copy(root: Path, target: Path) -> Path:
    """Copy the files of the checkout *root* to the new directory *target*."""
    return Path(shutil.copytree(root, target, ignore=not_sources, symlinks=True))
