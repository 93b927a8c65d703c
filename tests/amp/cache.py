# SPDX-License-Identifier: BSD-3-Clause
"""What is kept outside the checkout: directories named by what they were made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def root() -> Path:
    """The directory of the cache: RSL_CACHE, or rsl in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RSL_CACHE") or Path(base) / "rsl").absolute()


def digest(*parts: str | bytes | Path) -> str:
    """A name for what depends on *parts*: texts, and files or directories by their content."""
    total = hashlib.sha256()
    for part in parts:
        for name, data in _content(part):
            total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:16]


def _content(part: str | bytes | Path) -> Iterable[tuple[str, bytes]]:
    if isinstance(part, str):
        yield "", part.encode()
    elif isinstance(part, bytes):
        yield "", part
    elif part.is_dir():
        for path in sorted(part.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(part)), path.read_bytes()
    else:
        yield part.name, part.read_bytes()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kept(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory *kind*-*key*, filled by *make* where it is not there yet.

    It appears whole or not at all; two that want it at once make it once.
    """
    root().mkdir(parents=True, exist_ok=True)
    target = root() / f"{kind}-{key}"
    with _lock(root() / f"{kind}.lock"):
        if not target.exists():
            partial = root() / f"{kind}-{key}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(target)
    return target
