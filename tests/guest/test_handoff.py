# SPDX-License-Identifier: BSD-3-Clause
"""The hand-over to daemons without rights: over "rslctl run" and over the broker."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl import client
from rslctl.errors import RslError
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import MAGIC, Remote
from tests.guest.support import BRIEF, device_name, unbind

NOBODY = 65534
COUNT = "20000" if BRIEF else "100000"
ROUNDTRIPS = "/guest/bin/roundtrips"
PROFILE = """\
extends = "qemu-virt"

[[link]]
name = "rpu0"

[link.access]
users = ["nobody"]
"""


@pytest.fixture
def served_link(tmp_path: Path, rslctl: Rslctl) -> Iterator[mbox.LinkDevice]:
    """A link that nobody may have, with a remote that answers."""
    profile = tmp_path / "board.toml"
    profile.write_text(PROFILE)
    status, _, err = rslctl("setup", "--board", str(profile))
    assert status == 0, err
    found = mbox.pick(Host(), "rpu0")
    remote = Remote(found)
    Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
    remote.answer(0xF)
    remote.close()
    yield found
    assert rslctl("teardown")[0] == 0


def serve(*options: str) -> subprocess.Popen[str]:
    broker = subprocess.Popen(["rslctl", "serve", *options], stderr=subprocess.PIPE, text=True)
    assert broker.stderr
    assert broker.stderr.readline() == "rslctl: serving link rpu0 at /run/rsl/rpu0.sock\n"
    return broker


@pytest.fixture
def broker(
    request: pytest.FixtureRequest, served_link: mbox.LinkDevice
) -> Iterator[subprocess.Popen[str]]:
    running = serve(*getattr(request, "param", ()))
    yield running
    running.terminate()
    assert running.wait(10) == 0
    assert not Path("/run/rsl/rpu0.sock").exists()


def succeeds(command: list[str], **options: int | list[int]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return str(done.stdout)


def check(out: str, entries: str) -> None:
    lines = out.splitlines()
    assert lines[:2] == [f"uid {NOBODY}, CapEff 0000000000000000, NoNewPrivs 1"] * 2
    assert lines[2] == f"root has {entries} entries"
    assert lines[3].startswith(f"{COUNT} round trips on 4 vectors")
    print(lines[3])


@pytest.mark.parametrize("options", [(), ("--eventfd",)], ids=["mbox", "eventfd"])
def test_a_daemon_without_rights_in_an_empty_namespace_works_under_run(
    link: mbox.LinkDevice, options: tuple[str, ...]
) -> None:
    run = ["rslctl", "run", "--user", "nobody", *options, "--"]
    check(succeeds([*run, ROUNDTRIPS, "--empty", COUNT]), "0")


@pytest.mark.parametrize("broker", [(), ("--eventfd",)], ids=["mbox", "eventfd"], indirect=True)
def test_a_daemon_without_rights_in_an_empty_namespace_works_with_the_broker(
    broker: subprocess.Popen[str],
) -> None:
    as_nobody: dict[str, int | list[int]] = {
        "user": NOBODY,
        "group": NOBODY,
        "extra_groups": [],
    }
    out = succeeds([ROUNDTRIPS, "--empty", COUNT, "/run/rsl/rpu0.sock"], **as_nobody)
    check(out, "0")


def test_eventfds_are_bound_in_the_kernel_and_the_manifest_says_so(link: mbox.LinkDevice) -> None:
    program = (
        "from rslctl import client\n"
        "with client.receive() as link:\n"
        "    print(link.manifest['descriptors'], link.manifest['transport'], link.vectors)\n"
        "    print(link.manifest['board'], link.manifest['memory'], link.memory[0:0])\n"
        "    link.kick(2)\n"
        "    print(link.wait(30))\n"
    )
    command = ["rslctl", "run", "--eventfd", "--user", "nobody", "--clean-env", "--"]
    out = succeeds([*command, "python3", "-c", program]).splitlines()
    rings = [f"{ring}{n}" for ring in ("notify", "kick") for n in range(4)]
    assert out[0] == f"{['shmem', *rings, 'manifest']} doorbell 4"
    memory = {"base": 0x70000000, "size": 0x1000000, "offset": 0, "remote_base": 0x70000000}
    assert out[1].startswith(f"qemu-virt {memory}")
    assert out[2] == "[2]"


def test_the_example_in_python_runs_on_the_board_as_it_is(link: mbox.LinkDevice) -> None:
    run = ["rslctl", "run", "--user", "nobody", "--", "python3", "/guest/examples/daemon.py"]
    # The board's remote answers and leaves the memory as it is.
    assert succeeds(run) == "the remote says: hello\n"


@pytest.mark.parametrize("options", [(), ("--eventfd",)], ids=["mbox", "eventfd"])
def test_the_example_in_c_answers_until_it_is_told_to_end(
    rslctl: Rslctl, link: mbox.LinkDevice, options: tuple[str, ...]
) -> None:
    daemon = subprocess.Popen(
        ["rslctl", "run", "--user", "nobody", *options, "--", "/guest/bin/daemon"],
        stdout=subprocess.PIPE,
        text=True,
    )
    Remote.until(lambda: mbox.pick(Host(), "rpu0").open_files > 0, "the daemon does not start")

    def count() -> int:
        return mbox.counters(Host(), link)[1].notifications

    before = count()
    # The remote answers a kick, the daemon the notification, the remote that kick ...
    assert rslctl("kick", "1")[0] == 0
    Remote.until(lambda: count() > before + 1000, "they do not answer each other")
    daemon.terminate()
    out, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0
    assert "notifications" in out


def test_a_daemon_with_eventfds_is_told_when_its_link_goes_away(
    rslctl: Rslctl, link: mbox.LinkDevice
) -> None:
    program = (
        "from rslctl import client\n"
        "with client.receive() as link:\n"
        "    print('up', flush=True)\n"
        "    try:\n"
        "        link.wait(60)\n"
        "    except client.GoneError as error:\n"
        "        print(error)\n"
    )
    for options in ((), ("--eventfd",)):
        daemon = subprocess.Popen(
            ["rslctl", "run", *options, "--", "python3", "-c", program],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert daemon.stdout and daemon.stdout.readline() == "up\n"
        name = device_name()
        unbind()
        assert daemon.communicate(timeout=60)[0] == "link 'rpu0' went away\n"
        Path("/sys/bus/platform/drivers/rsl_mbox_doorbell/bind").write_text(name)


@pytest.mark.parametrize("options", [(), ("--eventfd",)], ids=["mbox", "eventfd"])
def test_the_example_with_asyncio_ends_with_its_link(
    link: mbox.LinkDevice, options: tuple[str, ...]
) -> None:
    daemon = subprocess.Popen(
        ["rslctl", "run", *options, "--", "python3", "/guest/examples/asyncio_daemon.py"],
        stderr=subprocess.PIPE,
        text=True,
    )
    Remote.until(lambda: mbox.pick(Host(), "rpu0").open_files > 0, "the daemon does not start")
    before = mbox.counters(Host(), link)[2].notifications
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(1 << 2)
    Remote.until(
        lambda: mbox.counters(Host(), link)[2].notifications > before + 10,
        "they do not answer each other",
    )
    name = device_name()
    unbind()
    assert daemon.communicate(timeout=60)[1] == "link 'rpu0' went away\n"
    assert daemon.returncode == 1
    Path("/sys/bus/platform/drivers/rsl_mbox_doorbell/bind").write_text(name)


#: Says how many of its threads were late, or slept on after the last notification.
THREADS = """
import os, threading, time
from rslctl import client
late = []
def wait():
    while True:
        start = time.monotonic()
        found = link.wait(0.5)
        if time.monotonic() - start > 5:
            late.append(threading.get_ident())
        if not found:
            return
with client.receive() as link:
    threads = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        time.sleep(0.01)
        link.kick(0)
    for thread in threads:
        thread.join(10)
    print(len(late), sum(thread.is_alive() for thread in threads), flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("options", [(), ("--eventfd",)], ids=["mbox", "eventfd"])
def test_threads_that_share_a_link_keep_their_timeouts(
    link: mbox.LinkDevice, options: tuple[str, ...]
) -> None:
    """The remote answers each kick; all threads wake, and one is told."""
    assert succeeds(["rslctl", "run", *options, "--", "python3", "-c", THREADS]) == "0 0\n"


def test_the_broker_serves_a_link_that_went_away_and_came_back(
    broker: subprocess.Popen[str],
) -> None:
    client.receive("/run/rsl/rpu0.sock").close()
    name = device_name()
    unbind()
    with pytest.raises(client.RefusedError, match="no link is up"):
        client.receive("/run/rsl/rpu0.sock")
    Path("/sys/bus/platform/drivers/rsl_mbox_doorbell/bind").write_text(name)
    with client.receive("/run/rsl/rpu0.sock") as link:
        link.kick(3)
        assert link.wait(30) == [3]


def test_the_broker_gives_nothing_to_whom_the_profile_does_not_name(
    broker: subprocess.Popen[str],
) -> None:
    program = (
        "import sys\n"
        "from rslctl import client\n"
        "try:\n"
        "    client.receive('/run/rsl/rpu0.sock')\n"
        "except client.RefusedError as error:\n"
        "    print(error)\n"
    )
    as_other: dict[str, int | list[int]] = {"user": 77, "group": 77, "extra_groups": []}
    out = succeeds([sys.executable, "-c", program], **as_other)
    assert out == "user 77 may not have link 'rpu0'\n"


def test_two_hundred_clients_at_once_leave_nothing_behind(
    broker: subprocess.Popen[str],
) -> None:
    def held() -> tuple[int, int]:
        status = Path(f"/proc/{broker.pid}/status").read_text()
        rss = int(status.split("VmRSS:")[1].split()[0])
        return len(os.listdir(f"/proc/{broker.pid}/fd")), rss

    def open_files() -> int:
        return mbox.pick(Host(), "rpu0").open_files

    client.receive("/run/rsl/rpu0.sock").close()
    before, rss = held()
    for _ in range(5):
        silent = []
        for at in range(100):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect("/run/rsl/rpu0.sock")
            if at % 5 == 0:
                connection.setblocking(False)
                with contextlib.suppress(OSError):
                    connection.send(os.urandom(100_000))
            silent.append(connection)
        slowest = 0.0
        for _ in range(100):
            began = time.monotonic()
            with client.receive("/run/rsl/rpu0.sock") as link:
                assert json.loads(json.dumps(link.manifest))["link"] == "rpu0"
            slowest = max(slowest, time.monotonic() - began)
        print(f"100 clients beside 100 that never read: {slowest:.3f} s for the slowest")
        for connection in silent:
            connection.close()
    Remote.until(lambda: open_files() == 0, "files of the link stay open")
    Remote.until(lambda: held()[0] <= before, "descriptors of the broker leak")
    assert held()[1] - rss < 4096  # KiB, after 1000 clients


def test_a_link_that_is_not_set_up_cannot_be_served(rslctl: Rslctl) -> None:
    status, _, err = rslctl("serve")
    assert (status, "no link is up" in err) == (1, True)
    with pytest.raises(RslError, match="cannot ask the broker"):
        client.receive("/run/rsl/rpu0.sock")
