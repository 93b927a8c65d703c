# SPDX-License-Identifier: BSD-3-Clause
"""The door to the machine's files: below another root nothing leads out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux import inotify
from rslctl.linux.host import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    root = tmp_path / "root"
    (root / "boot").mkdir(parents=True)
    (root / "real").mkdir()
    (tmp_path / "victim").mkdir()
    return Host(root)


@pytest.mark.parametrize("target", ["/real", "../real", "../../../../real", "/boot/../real"])
def test_a_link_means_what_it_would_mean_to_the_machine(host: Host, target: str) -> None:
    os.symlink(target, host.root / "boot/extlinux")
    host.put("/boot/extlinux/extlinux.conf", b"new")
    assert (host.root / "real/extlinux.conf").read_bytes() == b"new"
    assert host.names("/boot/extlinux") == ["extlinux.conf"]


def test_no_link_leads_out_of_the_root(host: Host, tmp_path: Path) -> None:
    os.symlink(tmp_path / "victim", host.root / "boot/extlinux")
    host.put("/boot/extlinux/extlinux.conf", b"new")
    assert list((tmp_path / "victim").iterdir()) == []
    with pytest.raises(RslError):
        host.read("/boot/extlinux/none")


def test_a_link_is_removed_and_not_what_it_leads_to(host: Host) -> None:
    (host.root / "real/file").write_text("x")
    os.symlink("/real/file", host.root / "link")
    assert host.link_target("/link") == "/real/file"
    host.remove("/link")
    assert (host.root / "real/file").exists()
    assert not (host.root / "link").is_symlink()


def test_links_in_a_circle_are_told(host: Host) -> None:
    os.symlink("/b", host.root / "a")
    os.symlink("/a", host.root / "b")
    with pytest.raises(RslError, match="is a link that leads to itself"):
        host.read("/a/x")


def test_a_write_is_told_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("running")
    with inotify.Writes(path) as writes:
        path.read_text()
        assert not writes.wait(0)
        path.write_text("stop")
        assert writes.wait(0)
    with pytest.raises(RslError, match=r"cannot watch .*none': No such file"):
        inotify.Writes(tmp_path / "none")
