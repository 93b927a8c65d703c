# SPDX-License-Identifier: BSD-3-Clause
"""Paths below a directory in which another process changes directories into links."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from rslctl.errors import RslError
from rslctl.linux.host import Host

from tests.unit.racing import racing

#: Exchanges two names: renameat2(2), RENAME_EXCHANGE.
FLIP = "ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)"


def test_who_flips_a_directory_and_a_link_leads_nobody_out(host: Host, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "file").write_text("precious")
    (host.root / "real/file").write_text("x")
    os.symlink(victim, host.root / "boot/link")
    (host.root / "boot/dir").mkdir()
    (host.root / "boot/dir/file").write_text("x")
    actions: list[Callable[[], object]] = [
        lambda: host.open("/boot/dir/new", os.O_WRONLY | os.O_CREAT),
        lambda: host.read("/boot/dir/file"),
        lambda: host.remove("/boot/dir/file"),
        lambda: host.make_directory("/boot/dir/a/b"),
        lambda: host.put("/boot/dir/file", b"x"),
        lambda: host.own("/boot/dir/file", -1, -1, 0o600),
    ]
    seen = set()
    with racing(FLIP, host.root / "boot/dir", host.root / "boot/link"):
        for n in range(10_000):
            with contextlib.suppress(OSError, RslError):
                result = actions[n % 6 if n % 100 < 6 else n % 2]()
                if isinstance(result, int):
                    os.close(result)
                elif isinstance(result, bytes):
                    seen.add(result)
    assert seen <= {b"x"}
    assert [path.name for path in victim.iterdir()] == ["file"]
    assert (victim / "file").read_text() == "precious"


def test_who_flips_the_file_leads_nobody_out(host: Host, tmp_path: Path) -> None:
    victim = tmp_path / "victim/file"
    victim.write_text("precious")
    victim.chmod(0o640)
    os.symlink(victim, host.root / "boot/link")
    (host.root / "boot/file").write_text("x")
    with racing(FLIP, host.root / "boot/file", host.root / "boot/link"):
        for _ in range(10_000):
            with contextlib.suppress(OSError, RslError):
                os.close(host.open("/boot/file", os.O_WRONLY | os.O_TRUNC))
            with contextlib.suppress(RslError):
                assert host.read("/boot/file") in (b"", b"x")
            with contextlib.suppress(RslError):
                host.own("/boot/file", -1, -1, 0o666)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o640)


def test_the_real_path_is_the_machines(host: Host) -> None:
    os.symlink("../real", host.root / "boot/link")
    assert host.real("/boot/link/a/b") == "/real/a/b"
    assert host.real("/boot/../..") == "/"
    assert Host().real("/proc/self/") == f"/proc/{os.getpid()}"
