# SPDX-License-Identifier: BSD-3-Clause
"""The door to the machine's files: below another root nothing leads out of it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux.host import Host


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


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(host: Host) -> None:
    os.mkfifo(host.root / "boot/pipe")
    with pytest.raises(RslError, match="boot/pipe': it is a pipe"):
        host.read("/boot/pipe")
    with pytest.raises(RslError, match="No such device or address"):
        host.write_attribute("/boot/pipe", "x")
    assert host.names("/boot/pipe") == []


def test_no_link_and_no_device_of_this_machine_is_given_away(host: Host, tmp_path: Path) -> None:
    victim = tmp_path / "victim/file"
    victim.touch()
    victim.chmod(0o600)
    os.symlink(victim, host.root / "boot/uio0")
    os.symlink("/real/file", host.root / "boot/uio1")
    (host.root / "real/file").touch()
    (host.root / "real/file").chmod(0o600)
    os.mkfifo(host.root / "boot/uio2")
    for n in range(3):
        with pytest.raises(RslError, match=f"uio{n}' is a link, or a device of this machine"):
            host.own(f"/boot/uio{n}", -1, -1, 0o666)
    for path in (victim, host.root / "real/file"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_directory_is_named_where_one_has_to_be(host: Host) -> None:
    (host.root / "boot/file").touch()
    os.symlink("/boot/file", host.root / "boot/link")
    assert host.obstacle("/boot/link/a/b") == "/boot/link"
    assert host.obstacle("/boot/file") == host.obstacle("/boot/none/x") == ""
    with pytest.raises(RslError, match=r"/boot/link' is a file, and has to be a directory"):
        host.put("/boot/link/a/b", b"")
    # There is no file below it.
    host.remove("/boot/file/x")
    host.remove_temporary("/boot/link/a/b")


def test_a_directory_that_cannot_be_entered_is_told(host: Host) -> None:
    (host.root / "boot/file").touch()
    with pytest.raises(RslError, match=r"cannot look at .*Not a directory"):
        host.real("/boot/file/x")


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


def test_what_is_not_there_is_no_error_where_that_may_be(host: Host) -> None:
    assert not host.exists("/boot/none")
    assert not host.exists("/boot/none/below")
    assert host.names("/nowhere") == []
    assert host.link_target("/boot") is None
    host.remove("/boot/none")


def test_each_change_of_the_kernels_state_is_told_before_it_is_made(tmp_path: Path) -> None:
    told: list[str] = []
    host = Host(tmp_path, told.append)
    with pytest.raises(RslError, match="cannot write 'start' to "):
        host.write_attribute("/state", "start\n")
    host.put("/file", b"")
    host.own("/file", -1, -1, 0o600)
    assert [each.partition(" ")[0] for each in told] == ["write", "give"]
    assert told[1].endswith("owner -1, group -1 and mode 0600")


def test_a_command_is_only_run_on_this_machine(host: Host) -> None:
    with pytest.raises(RslError, match=r"'true' would act on this machine, not on '.*/root'"):
        host.run(["true"])
    assert Host().run([sys.executable, "-c", "print(1)"]) == "1\n"
