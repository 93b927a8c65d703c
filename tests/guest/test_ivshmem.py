# SPDX-License-Identifier: BSD-3-Clause
"""A link to a machine of its own, by QEMU's ivshmem: tests/amp/ivshmem_remote.py is there."""

from __future__ import annotations

import errno
import json
import mmap
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import ivshmem, mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import Remote
from tests.guest.support import BRIEF, forget_leaks, leaks, raises

TRIPS = 2_000 if BRIEF else 100_000
CYCLES = int(os.environ.get("IVSHMEM_CYCLES", "5" if BRIEF else "100"))
#: Those of other transports that have to hold on this one, too.
SHARED = ("test_chardev", "test_memory", *(() if BRIEF else ("test_eventfd", "test_mask")))


@pytest.fixture
def link(rslctl: Rslctl) -> Iterator[mbox.LinkDevice]:
    status, _, err = rslctl("setup", "--board", "ivshmem")
    assert status == 0, err
    yield mbox.pick(Host(), "vm0")
    status, _, err = rslctl("teardown")
    assert status == 0, err


@pytest.fixture
def device(link: mbox.LinkDevice) -> Path:
    """The directory of the PCI device."""
    return Path(mbox.CLASS, link.device, "device").resolve()


def notifications(link: mbox.LinkDevice) -> list[int]:
    return [each.notifications for each in mbox.counters(Host(), link)]


@pytest.mark.parametrize("name", SHARED)
def test_what_holds_on_other_transports_holds_on_this_one(name: str) -> None:
    done = subprocess.run(
        ["python3", "-m", "pytest", "-p", "no:cacheprovider", f"/guest/tests/guest/{name}.py"],
        env={**os.environ, "RSL_TEST_BOARD": "ivshmem"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout


def test_round_trips_are_counted_on_both_sides(link: mbox.LinkDevice) -> None:
    remote = Remote(link)
    before, sent = notifications(link), remote.counts(1)
    with mbox.Mailbox(Host(), link) as mailbox:
        for _ in range(TRIPS):
            mailbox.kick(1 << 1)
            assert mailbox.wait(1 << 1, 60) == 1 << 1
    after = remote.counts(1)
    remote.close()
    assert notifications(link)[1] - before[1] == TRIPS
    assert after["kick_taken"] - sent["kick_taken"] == TRIPS
    assert after["notify_sent"] - sent["notify_sent"] == TRIPS


def test_setup_takes_the_role_and_teardown_leaves_it(rslctl: Rslctl) -> None:
    status, out, err = rslctl("setup", "--board", "ivshmem")
    assert status == 0, err
    assert "is link vm0 with role daemon: done" in out
    (device,) = Path("/sys/bus/pci/drivers/rsl_mbox_ivshmem").glob("0000:*")
    assert (device / "role").read_text() == "daemon\n"
    assert (device / "peer").read_text() != (device / "position").read_text()
    assert int((device / "peer").read_text()) in (0, 1)
    status, out, err = rslctl("setup", "--board", "ivshmem")
    assert (status, "done" in out) == (0, False), (out, err)
    status, out, err = rslctl("doctor", "--board", "ivshmem", "--json")
    assert [each for each in json.loads(out) if each["level"] == "error"] == [], out
    status, out, err = rslctl("status", "--json")
    (shown,) = [each for each in json.loads(out) if each["name"] == "vm0"]
    assert (shown["transport"], shown["board"]) == ("ivshmem", "ivshmem")
    status, out, err = rslctl("teardown")
    assert status == 0, err
    assert not list(Path("/sys/bus/pci/drivers").glob("rsl_mbox_ivshmem/0000:*"))


def test_a_kick_without_a_peer_is_lost_and_told(
    link: mbox.LinkDevice, device: Path, rslctl: Rslctl
) -> None:
    remote = Remote(link)
    before, taken = notifications(link), remote.counts(1)["kick_taken"]
    number = (device / "peer").read_text()
    (device / "role").write_text("none\n")
    assert (device / "peer").read_text() == "none\n"
    _, out, _ = rslctl("doctor", "--board", "ivshmem")
    assert "role: vm0: this machine has the role 'none', the profile says 'daemon'" in out
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(0b1111)
        time.sleep(0.5)
        assert notifications(link) == before
        assert remote.counts(1)["kick_taken"] == taken
        # The remote finds the daemon by its entry, and is found by a number here.
        (device / "peer").write_text(number)
        assert (device / "peer").read_text() == number
        mailbox.kick(0b0010)
        Remote.until(lambda: remote.counts(1)["kick_taken"] == taken + 1, "it takes no kick")
        time.sleep(0.5)
        assert notifications(link) == before
        (device / "role").write_text("daemon\n")
        mailbox.kick(0b0010)
        assert mailbox.wait(0b0010, 30) == 0b0010
    # A number that no machine has.
    before = notifications(link)
    (device / "peer").write_text("65535\n")
    assert (device / "peer").read_text() == "65535\n"
    (Path(mbox.CLASS) / link.device / "kick").write_text("1\n")
    time.sleep(0.5)
    assert notifications(link) == before
    remote.close()
    (device / "peer").write_text("auto\n")
    assert (device / "peer").read_text() == number


def test_a_role_that_another_machine_took_is_told_and_taken_again(
    link: mbox.LinkDevice, device: Path, rslctl: Rslctl
) -> None:
    """The remote writes into the table what a machine with number 119 would."""
    role, remote, other = device / "role", Remote(link), 0x52530077
    own = 0x52530000 | int((device / "position").read_text())

    def overwrite() -> None:
        assert remote.entry(other) == own
        assert role.read_text() == "lost\n"

    overwrite()
    _, out, _ = rslctl("doctor", "--board", "ivshmem")
    assert "role: vm0: another machine has taken the role 'daemon'" in out
    status, out, err = rslctl("setup", "--board", "ivshmem")
    assert (status, "with role daemon: done" in out) == (0, True), err
    assert role.read_text() == "daemon\n"
    # What is not its own it does not take out. By the number it still reaches the remote.
    overwrite()
    (device / "peer").write_text((device / "peer").read_text())
    role.write_text("none\n")
    assert remote.entry(0) == other
    (device / "peer").write_text("auto\n")
    role.write_text("daemon\n")
    # Resuming takes back what nobody has, as after hibernation; not what another machine has.
    overwrite()
    suspend()
    assert role.read_text() == "lost\n"
    assert remote.entry(1) == other
    assert role.read_text() == "lost\n"
    suspend()
    assert role.read_text() == "daemon\n"
    suspend()
    assert remote.entry(0) == own
    remote.close()
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(1 << 2)
        assert mailbox.wait(1 << 2, 30) == 1 << 2


def suspend() -> None:
    """A suspend that ends with the devices."""
    Path("/sys/power/pm_test").write_text("devices\n")
    Path("/sys/power/state").write_text("freeze\n")
    Path("/sys/power/pm_test").write_text("none\n")


def test_a_machine_is_not_its_own_peer_after_a_reboot(link: mbox.LinkDevice, device: Path) -> None:
    """A reboot leaves the entry and changes no number; here the remote writes it back."""
    role, peer, remote = device / "role", device / "peer", Remote(link)
    own = 0x52530000 | int((device / "position").read_text())
    number = peer.read_text()
    peer.write_text(number)
    role.write_text("none\n")
    assert remote.entry(own) == 0
    role.write_text("remote\n")
    peer.write_text("auto\n")
    assert peer.read_text() == "none\n"
    peer.write_text(number)
    assert remote.entry(0) == 0
    # The remote has taken its role again.
    assert role.read_text() == "lost\n"
    role.write_text("daemon\n")
    peer.write_text("auto\n")
    assert peer.read_text() == number
    remote.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [("role", "Daemon"), ("role", ""), ("peer", "65536"), ("peer", "-1"), ("peer", "x")],
)
def test_bad_values_are_refused(device: Path, name: str, text: str) -> None:
    before = (device / name).read_text()
    with pytest.raises(OSError, match=r"Invalid argument|Numerical result out of range"):
        (device / name).write_text(f"{text}\n")
    assert (device / name).read_text() == before


@pytest.mark.parametrize("text", ["", "a" * 32, "a/b", "../x", ".hidden", "a b", "\xe4b"])
def test_bad_names_are_refused(link: mbox.LinkDevice, text: str) -> None:
    label = Path(mbox.CLASS, link.device, "label")
    with raises(errno.EINVAL):
        # The kernel's isalnum() takes letters of Latin-1.
        label.write_text(f"{text}\n", "latin-1")
    assert label.read_text() == "vm0\n"


@pytest.mark.skipif(
    not list(Path("/proc/device-tree").glob("rsl-mbox@*")), reason="no link is in a device tree"
)
def test_a_link_of_a_device_tree_keeps_its_name(rslctl: Rslctl) -> None:
    assert rslctl("setup", "--board", "qemu-virt")[0] == 0
    label = Path(mbox.CLASS, mbox.pick(Host(), "rpu0").device, "label")
    assert label.stat().st_mode & 0o777 == 0o444
    with raises(errno.EACCES):
        label.write_text("other\n")
    assert rslctl("teardown")[0] == 0


def test_the_table_of_ids_is_no_memory_of_the_link(link: mbox.LinkDevice, device: Path) -> None:
    resources = (device / "resource").read_text().splitlines()
    start, end, _ = (int(word, 16) for word in resources[2].split())
    assert link.memory_base == start
    assert link.memory_size == end + 1 - start - ivshmem.TABLE_SIZE
    with open(link.node, "r+b", buffering=0) as node, raises(errno.EINVAL):
        mmap.mmap(node.fileno(), mmap.PAGESIZE, offset=link.memory_size)


def test_who_learns_that_the_device_went_sees_no_memory_of_it(
    link: mbox.LinkDevice, device: Path
) -> None:
    with mbox.Mailbox(Host(), link) as mailbox:
        memory = mmap.mmap(mailbox.fileno(), link.memory_size)
        memory[:4] = b"mine"
        poll = select.poll()
        poll.register(mailbox.fileno(), select.POLLIN)
        child = os.fork()
        if not child:
            # It runs as soon as it is told, before who removes the device goes on.
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
            told = poll.poll(60_000)
            os._exit(0 if told and memory[:4] == bytes(4) else 1)
        time.sleep(1)
        (device / "remove").write_text("1\n")
        _, status = os.waitpid(child, 0)
        memory.close()
    Path("/sys/bus/pci/rescan").write_text("1\n")
    assert status == 0


def test_the_device_goes_and_comes_under_its_users(rslctl: Rslctl) -> None:
    """As by hot unplug: what a process has mapped is another page then."""
    status, _, err = rslctl("setup", "--board", "ivshmem")
    assert status == 0, err
    forget_leaks()
    for _ in range(CYCLES):
        (link,) = (each for each in mbox.find(Host()) if each.transport == "ivshmem")
        device = Path(mbox.CLASS, link.device, "device").resolve()
        (device / "role").write_text("daemon\n")
        with mbox.Mailbox(Host(), link) as mailbox:
            window = mailbox.memory()
            poll = select.poll()
            for fd in (mailbox.fileno(), window):
                poll.register(fd, select.POLLIN)
            with (
                mmap.mmap(mailbox.fileno(), link.memory_size) as memory,
                mmap.mmap(window, link.memory_size) as other,
            ):
                memory[:4] = b"mine"
                assert other[:4] == b"mine"
                (device / "remove").write_text("1\n")
                gone = select.POLLHUP | select.POLLERR
                assert sorted(poll.poll(20_000)) == sorted(
                    [(mailbox.fileno(), gone), (window, gone)]
                )
                assert memory[:4] == other[:4] == bytes(4)
                memory[link.memory_size - 4 :] = b"last"
                assert other[-4:] == b"last"
            with pytest.raises(mbox.GoneError):
                mailbox.kick(1)
        os.close(window)
        assert not [each for each in mbox.find(Host()) if each.transport == "ivshmem"]
        Path("/sys/bus/pci/rescan").write_text("1\n")
    assert not leaks()
    status, _, err = rslctl("setup", "--board", "ivshmem")
    assert status == 0, err
    with mbox.Mailbox(Host(), mbox.pick(Host(), "vm0")) as mailbox:
        mailbox.kick(1 << 3)
        assert mailbox.wait(1 << 3, 30) == 1 << 3
    assert rslctl("teardown")[0] == 0
