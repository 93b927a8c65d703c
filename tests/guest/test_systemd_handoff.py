# SPDX-License-Identifier: BSD-3-Clause
"""The hand-over by the units of tools/systemd: sandboxed daemons, restarts, the broker."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from periphery import MMIO
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest import virtio
from tests.guest.remote import MAGIC, Remote
from tests.guest.support import BRIEF, VIRTIO_MAGIC
from tests.guest.test_systemd import (
    CONFIG,
    DAEMON,
    PROFILE,
    RPROC,
    SETUP,
    active,
    journal,
    shown,
    systemctl,
    until,
)

DROP_IN = Path("/run/systemd/system/rsl-daemon@rpu0.service.d/test.conf")
BROKER = "rsl-broker@rpu0"
RESTARTS = 20 if BRIEF else 100
TRIPS = 20_000 if BRIEF else 100_000
#: struct log of restarted.c, and where it is in the shared memory.
LOG = struct.Struct("=8I32Q")
LOG_AT = 0x100000


@pytest.fixture
def remote() -> Iterator[Remote]:
    """A link that is set up by its unit, with a remote that nobody but this test starts."""
    (CONFIG / "boards").mkdir(parents=True, exist_ok=True)
    (CONFIG / "boards/my-board.toml").write_text(PROFILE + '\n[link.access]\nusers = ["nobody"]\n')
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    systemctl("daemon-reload")
    assert systemctl("enable", SETUP).returncode == 0
    assert systemctl("start", SETUP).returncode == 0, journal()
    subprocess.run(["modprobe", "rsl_remoteproc_psci"], check=True)
    (RPROC / "state").write_text("start")
    control = Remote(mbox.pick(Host(), "rpu0"))
    Remote.until(lambda: control.magic() == MAGIC, "the remote did not start")
    control.answer(0xF)
    yield control
    control.close()
    systemctl("stop", DAEMON, f"{BROKER}.socket", f"{BROKER}.service")
    (RPROC / "state").write_text("stop")
    systemctl("stop", "rsl.target")
    systemctl("disable", SETUP)
    systemctl("reset-failed")
    DROP_IN.unlink(missing_ok=True)


def start(command: str, *lines: str) -> None:
    """Start the daemon's unit with a program, and with more lines in its section Service."""
    (CONFIG / "rpu0.env").write_text(f"RSL_DAEMON={command}\n")
    configure(lines)
    done = systemctl("start", DAEMON)
    assert done.returncode == 0, f"{done.stdout}{journal()}"


def configure(lines: tuple[str, ...]) -> None:
    """Have more lines in the section Service of the daemon's unit."""
    head = ["[Unit]", "StartLimitIntervalSec=0", "[Service]", "Type=notify", "Restart=no"]
    DROP_IN.write_text("\n".join([*head, *lines]) + "\n")
    systemctl("daemon-reload")


def ended() -> str:
    """What the daemon said until it ended, which has to be well."""
    Remote.until(lambda: active(DAEMON) in ("inactive", "failed"), "it does not end", timeout=300)
    assert (active(DAEMON), shown(DAEMON, "Result")) == ("inactive", "success"), journal()
    return journal()


def test_the_device_has_a_name_and_a_group_of_its_own(remote: Remote) -> None:
    node = Path("/dev/rsl/rpu0")
    assert node.resolve() == Path(mbox.pick(Host(), "rpu0").node)
    now = node.stat()
    rsl = next(line for line in Path("/etc/group").read_text().splitlines() if line[:4] == "rsl:")
    assert (now.st_uid, now.st_gid, now.st_mode & 0o7777) == (0, int(rsl.split(":")[2]), 0o660)
    assert Path("/dev/rsl/rpu0.uio").resolve().name.startswith("uio")


def test_a_sandboxed_daemon_does_many_round_trips(remote: Remote) -> None:
    start(f"/guest/bin/roundtrips {TRIPS}")
    said = ended()
    assert ", CapEff 0000000000000000, NoNewPrivs 1" in said
    assert "uid 0," not in said
    assert f"{TRIPS} round trips on 4 vectors" in said
    print(said.split(f"{TRIPS} round trips")[1].splitlines()[0])


def test_a_daemon_that_is_nobody_works_where_there_is_nothing_but_itself(remote: Remote) -> None:
    root = Path("/run/empty")
    (root / "bin").mkdir(parents=True)
    # There is no loader, no libc, no /proc and no /dev.
    shutil.copy("/guest/bin/roundtrips", root / "bin")
    nothing = ("DynamicUser=no", "User=nobody", "MountAPIVFS=no", "PrivateTmp=no")
    only = (f"RootDirectory={root}", "RootDirectoryStartOnly=yes", "PrivateDevices=no")
    # Nor systemd's socket to say that it is ready.
    start("-", *nothing, *only, "Type=exec", "ExecStart=", f"ExecStart=/bin/roundtrips {TRIPS}")
    said = ended()
    # Beside the program there is only what systemd mounts over, which is empty.
    files = [path for path in root.rglob("*") if not path.is_dir()]
    assert files == [root / "bin/roundtrips"]
    assert "uid 65534, CapEff 0000000000000000, NoNewPrivs 1" in said
    assert f"{TRIPS} round trips on 4 vectors" in said


def test_a_program_that_knows_only_sd_listen_fds_works_as_the_daemon(remote: Remote) -> None:
    start("/guest/bin/sdlisten 1000")
    assert "sdlisten: 1000 round trips" in ended()


@pytest.mark.parametrize(
    ("drop_ins", "devices"),
    [
        (("virtio.conf",), ("vsock,cid=42", "rng")),
        (("virtio.conf", "virtio-tap.conf"), ("vsock,cid=42", f"net,tap={virtio.TAP}")),
    ],
    ids=["vsock", "vsock and net"],
)
def test_the_drop_ins_have_virtio_devices_served_from_the_sandbox(
    remote: Remote, drop_ins: tuple[str, ...], devices: tuple[str, ...]
) -> None:
    subprocess.run(["modprobe", "-a", "vhost_vsock", "vhost_net"], check=True)
    (group,) = (line for line in Path("/etc/group").read_text().splitlines() if line[:4] == "kvm:")
    virtio.make_tap(group=int(group.split(":")[2]))
    copies = [Path(shutil.copy(f"/etc/systemd/system/{each}", DROP_IN.parent)) for each in drop_ins]
    try:
        words = " ".join(f"--device {each}" for each in devices)
        start(f"rslctl virtio --version 2 {words}")
        pid = shown(DAEMON, "MainPID")
        status = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000\n" in status
        assert "Uid:\t0\t" not in status
        opened = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
        assert "/dev/vhost-vsock" in opened
        assert ("/dev/vhost-net" in opened) == (len(drop_ins) > 1)
        assert MMIO(0, 4, path=mbox.pick(Host(), "rpu0").node).read32(0) == VIRTIO_MAGIC
        systemctl("stop", DAEMON)
        ended()
    finally:
        for each in copies:
            each.unlink()
        virtio.remove_tap()


def test_the_daemon_is_killed_and_restarted_many_times_under_a_flood(remote: Remote) -> None:
    link = mbox.pick(Host(), "rpu0")
    memory = MMIO(LOG_AT, 4096, path=link.node)
    memory.write(0, bytes(4096))

    def log() -> list[int]:
        return list(LOG.unpack(memory.read(0, LOG.size)))

    remote.answer(0)
    # From here on nothing comes but the flood.
    before = [remote.counts(n)["notify_sent"] for n in range(link.vectors)]
    taken_before = [each.notifications for each in mbox.counters(Host(), link)]
    # What only costs time here: there is no remote that is known, to be watched or started.
    systemctl("mask", "--runtime", "rsl-watch@rpu0")
    lines = ("Restart=always", "RestartSec=1ms", "ExecStartPost=", "ExecStopPost=")
    start("/guest/bin/restarted", *lines)
    Remote.until(lambda: log()[0] == 1, "there is no first daemon")
    kills = 0
    while kills < RESTARTS:
        if kills == RESTARTS // 20:
            # What systemd keeps needs no looking at each time, which takes its time here.
            configure((*lines, "ExecStartPre="))
        pid = log()[1]
        if not remote.flood_left():
            remote.flood(0xF, 5_000, 20_000)
        os.kill(pid, signal.SIGKILL)
        kills += 1
        wanted = kills + 1
        Remote.until(lambda: log()[0] == wanted, f"no daemon after {kills} kills")  # noqa: B023
    assert shown(DAEMON, "NRestarts") == str(RESTARTS)
    assert shown(DAEMON, "NFileDescriptorStore") == "3"
    Remote.until(lambda: remote.flood_left() == 0, "the flood does not end", timeout=300)
    told = mbox.counters(Host(), link)
    Remote.until(
        lambda: log()[8 : 8 + link.vectors] == [each.notifications for each in told],
        f"the daemon has not seen all of {told}: {log()}",
    )
    generations, _, _, ambiguous, found, lost = log()[:6]
    sent = [remote.counts(n)["notify_sent"] - before[n] for n in range(link.vectors)]
    assert (generations, lost) == (RESTARTS + 1, 0)
    taken = [each.notifications - old for each, old in zip(told, taken_before, strict=True)]
    # Interrupts coalesce where they come faster than they are taken.
    assert all(0 < here <= there for here, there in zip(taken, sent, strict=True)), (taken, sent)
    print(f"{kills} kills: {sum(sent)} notifications sent, {sum(taken)} interrupts, {lost} lost")
    print(f"{found} found by the next daemon, {ambiguous} killed while they took one")
    assert found > 0
    memory.close()
    systemctl("unmask", "--runtime", "rsl-watch@rpu0")


def as_user(uid: int, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user=uid,
        group=uid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_broker_is_started_by_who_asks_for_the_link(remote: Remote) -> None:
    assert systemctl("start", f"{BROKER}.socket").returncode == 0
    assert active(f"{BROKER}.service") == "inactive"
    command = ["/guest/bin/roundtrips", "1000", "/run/rsl/rpu0.sock"]
    done = subprocess.run(
        command,
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + journal()
    assert "1000 round trips on 4 vectors" in done.stdout
    assert active(f"{BROKER}.service") == "active"
    pid = shown(f"{BROKER}.service", "MainPID")
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t0" not in status
    done = as_user(77, command)
    assert (done.returncode, done.stderr) == (1, "roundtrips: user 77 may not have link 'rpu0'\n")


def test_a_link_that_comes_back_is_given_to_the_next_daemon(remote: Remote) -> None:
    start("/guest/bin/restarted", "Restart=always", "RestartSec=1ms")
    pid = shown(DAEMON, "MainPID")
    (name,) = [x.name for x in Path("/sys/bus/platform/devices").glob("*.rsl-mbox")]
    driver = Path("/sys/bus/platform/drivers/rsl_mbox_doorbell")
    (driver / "unbind").write_text(name)
    (driver / "bind").write_text(name)
    Remote.until(lambda: shown(DAEMON, "MainPID") not in ("0", pid), "the daemon stays")
    until(DAEMON, "active")
    assert mbox.pick(Host(), "rpu0").open_files > 0
    assert systemctl("stop", DAEMON).returncode == 0


#: A daemon that opens the one device that its sandbox has.
WITH_VHOST = """
import fcntl, os
from rslctl import client
link = client.receive()
vhost = os.open("/dev/vhost-vsock", os.O_RDWR)
fcntl.ioctl(vhost, 0xAF01)  # VHOST_SET_OWNER
print("uid is 0:", os.geteuid() == 0, "link:", [n for n in os.listdir("/dev") if "rsl" in n])
link.ready()
"""


def test_a_sandboxed_daemon_gets_one_more_device(remote: Remote) -> None:
    """As docs/reference/daemon.md says for a systemd without OpenFile=."""
    subprocess.run(["modprobe", "vhost_vsock"], check=True)
    groups = Path("/etc/group")
    if "\nkvm:" not in groups.read_text():
        groups.write_text(groups.read_text() + "kvm:x:994:\n")
    shutil.chown("/dev/vhost-vsock", "root", "kvm")
    os.chmod("/dev/vhost-vsock", 0o660)
    program = Path("/run/with_vhost.py")
    program.write_text(WITH_VHOST)
    device = ("BindPaths=/dev/vhost-vsock", "DeviceAllow=/dev/vhost-vsock rw")
    start(f"python3 {program}", *device, "SupplementaryGroups=kvm")
    assert "uid is 0: False link: []" in ended()
    program.unlink()
