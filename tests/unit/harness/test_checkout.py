# SPDX-License-Identifier: BSD-3-Clause
"""What of a checkout is its sources."""

from __future__ import annotations

from pathlib import Path

from tests import checkout


def test_what_tools_and_users_make_beside_the_sources_is_left_out(tmp_path: Path) -> None:
    made = ("mine/pyvenv.cfg", "mine/lib/x.md", "build/x.md", "a/__pycache__/x.pyc", "a/b.ko")
    ours = ("a/b.py", "x.md", ".github/x.md")
    for name in (*made, *ours, ".git/config", ".ruff_cache/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {str(path.relative_to(tmp_path)) for path in checkout.sources(tmp_path)} == set(ours)
    copy = checkout.copy(tmp_path, tmp_path / "build/copy")
    assert {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()} == set(ours)
