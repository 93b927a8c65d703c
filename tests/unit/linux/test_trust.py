# SPDX-License-Identifier: BSD-3-Clause
"""Files that others can have made are not believed."""

from __future__ import annotations

import os

import pytest
from rslctl.errors import RslError
from rslctl.linux import trust
from rslctl.linux.host import Host


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
@pytest.mark.parametrize("name", ["state", "state/file"])
def test_what_others_can_write_is_not_believed(host: Host, name: str, mode: int) -> None:
    trust.check_own(host, "/none", "file")
    (host.root / "state").mkdir()
    trust.check_own(host, "/state", "file")
    (host.root / "state/file").touch()
    trust.check_own(host, "/state", "file")
    (host.root / name).chmod(mode)
    with pytest.raises(RslError, match=f"/{name}' belongs to user .* and has mode {mode:04o}"):
        trust.check_own(host, "/state", "file")


def test_only_a_sticky_directory_above_may_be_everybodys(host: Host) -> None:
    (host.root / "boot").chmod(0o1777)
    (host.root / "boot/state").mkdir()
    trust.check_own(host, "/boot/state")
    (host.root / "boot").chmod(0o777)
    with pytest.raises(RslError, match=r"/boot' belongs to user .* and has mode 0777"):
        trust.check_own(host, "/boot/state")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("name", ["state", "state/file"])
def test_what_belongs_to_another_user_is_not_believed(host: Host, name: str) -> None:
    (host.root / "state").mkdir()
    (host.root / "state/file").touch()
    os.chown(host.root / name, 12345, -1)
    with pytest.raises(RslError, match=f"/{name}' belongs to user 12345"):
        trust.check_own(host, "/state", "file")
    os.chown(host.root, 12345, -1)  # whose image it is
    trust.check_own(host, "/state", "file")


def test_a_link_in_a_directory_of_everybodys_is_not_followed(host: Host) -> None:
    (host.root / "precious").mkdir()
    (host.root / "boot/state").symlink_to("/precious")
    trust.check_own(host, "/boot/state")
    (host.root / "boot").chmod(0o1777)
    with pytest.raises(RslError, match="/boot/state' belongs to user"):
        trust.check_own(host, "/boot/state")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_the_owner_of_an_image_does_not_choose_files_of_this_machine(host: Host) -> None:
    trust.check_ours(host, "/boot/none")
    (host.root / "boot/record").touch()
    trust.check_ours(host, "/boot/record")
    os.chown(host.root / "boot/record", 12345, -1)
    with pytest.raises(RslError, match="belongs to user 12345, and names a file of this machine"):
        trust.check_ours(host, "/boot/record")
