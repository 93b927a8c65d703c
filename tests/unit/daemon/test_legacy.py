# SPDX-License-Identifier: BSD-3-Clause
"""`rslctl run --legacy`: its command line, and what it refuses before anything is changed."""

from __future__ import annotations

import os

import pytest
from rslctl.daemon import legacy
from rslctl.errors import RslError, UsageError
from rslctl.linux import mbox, syscalls

from tests.command_line import Rslctl
from tests.unit.machine import Machine

CLASS = "/sys/class/rsl_mbox/rsl_mbox0"


def link(machine: Machine) -> mbox.LinkDevice:
    machine.with_link()
    return mbox.pick(machine.host, "rpu0")


def test_the_place_of_the_memory_is_filled_in(machine: Machine) -> None:
    command = ["lkvm", "--shmem-addr", "{shmem_addr}", "--at={shmem_addr},{shmem_size}", "${HOME}"]
    assert legacy.fill_in(machine.host, command, link(machine)) == [
        "lkvm",
        "--shmem-addr",
        "0x70000000",
        "--at=0x70000000,0x1000000",
        "${HOME}",
    ]


@pytest.mark.parametrize("argument", ["{}", "{1}", '{"a": 1}', "{a b}", "}{", "{shmem_addr"])
def test_what_is_no_placeholder_stays(machine: Machine, argument: str) -> None:
    assert legacy.fill_in(machine.host, [argument], link(machine)) == [argument]


@pytest.mark.parametrize("name", ["shmem_adr", "SHMEM_ADDR", "shmem-size", "link"])
def test_an_unknown_placeholder_is_named(machine: Machine, name: str) -> None:
    with pytest.raises(UsageError) as raised:
        legacy.fill_in(machine.host, ["lkvm", f"--at={{{name}}}"], link(machine))
    assert str(raised.value) == f"unknown placeholder {{{name}}} in '--at={{{name}}}'"
    assert raised.value.hint == "there are {shmem_addr} and {shmem_size}"


def test_the_command_line_ends_with_2_then(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    status, _, err = rslctl("run", "--root", machine.root, "--legacy", "--", "true", "{shmem_adr}")
    assert status == 2
    assert err == (
        "rslctl: unknown placeholder {shmem_adr} in '{shmem_adr}'\n"
        "hint: there are {shmem_addr} and {shmem_size}\n"
    )


@pytest.mark.parametrize("name", ["rsl_umb0", "umb"])
def test_the_device_is_found_below_its_link(machine: Machine, name: str) -> None:
    device = link(machine)
    machine.write(f"{CLASS}/{name}/dev", "10:125\n")
    assert legacy.umb_device(machine.host, device) == legacy.UmbDevice(name, os.makedev(10, 125))


def test_a_module_that_is_too_old_is_noticed(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    status, _, err = rslctl("run", "--root", machine.root, "--legacy", "--dry-run", "--", "true")
    assert status == 1
    assert "link 'rpu0' has no /dev/rsl_umbN: the module is older than this rslctl" in err
    assert "hint: build and install rsl_mbox anew" in err


def test_a_link_without_memory_is_refused(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    machine.write(f"{CLASS}/memory_size", "0x0000000000000000\n")
    status, _, err = rslctl("run", "--root", machine.root, "--legacy", "--dry-run", "--", "true")
    assert status == 1
    assert "link 'rpu0' has no shared memory" in err


@pytest.mark.parametrize(
    ("options", "variable", "home"),
    [
        ([], "/root", "/root"),
        ([], None, "/dev/rsl-home"),
        (["--user", "nobody"], "/root", "/dev/rsl-home"),
        (["--user", "nobody", "--clean-env"], "/root", "/dev/rsl-home"),
        (["--user", "nobody", "--setenv", "HOME=/var/lib/x"], "/root", "/var/lib/x"),
        (["--user", "nobody", "--setenv", "HOME"], "/root", "/root"),
    ],
)
def test_a_dry_run_tells_what_would_be_there(
    rslctl: Rslctl,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    variable: str | None,
    home: str,
) -> None:
    machine.with_link()
    machine.write(f"{CLASS}/rsl_umb0/dev", "10:125\n")
    if variable is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", variable)
    command = ("run", "--root", machine.root, "--legacy", "--dry-run", *options, "--")
    status, out, _ = rslctl(*command, "true", "{shmem_size}")
    assert status == 0
    assert out.splitlines()[1:] == [
        "rpu0: its arguments: 0x1000000",
        "rpu0: /dev/uio0 and /dev/umb: /dev/rsl_umb0",
        "rpu0: /sys/class/uio/uio0: 0x1000000 bytes at 0x70000000",
        "rpu0: /sys/devices/platform/umb/notify: kicks by /dev/umb",
        f"rpu0: its HOME: {home}",
    ]


def test_it_is_not_for_an_image(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    machine.write(f"{CLASS}/rsl_umb0/dev", "10:125\n")
    status, _, err = rslctl("run", "--root", machine.root, "--legacy", "--", "true")
    assert status == 1
    assert f"the daemon would run on this machine, not on '{machine.root}'" in err


def test_without_the_right_to_it_nothing_is_mounted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = link(machine)
    machine.write(f"{CLASS}/rsl_umb0/dev", "10:125\n")

    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    mask = os.umask(0o027)
    monkeypatch.setattr(syscalls, "unshare_mounts", refused)
    monkeypatch.setattr(syscalls, "mount", lambda *_: pytest.fail("mounted"))
    with pytest.raises(RslError) as raised:
        legacy.enter(machine.host, device, None, {})
    assert str(raised.value).startswith("cannot have private mounts for the daemon: Operation")
    assert raised.value.hint == "run it as root"
    assert os.umask(mask) == 0o027
