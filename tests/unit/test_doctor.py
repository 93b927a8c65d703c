# SPDX-License-Identifier: BSD-3-Clause
"""Every finding of the doctor, provoked; docs/reference/doctor.md lists them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rslctl.devicetree import tree
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile import model
from rslctl.profile.model import NodeRef
from rslctl.setup import checks, doctor
from rslctl.setup.checks import Finding

from tests.command_line import Rslctl
from tests.unit.machine import Machine

LINK = "/sys/class/rsl_mbox/rsl_mbox0"
TREE = DEVICE_TREE
DOCUMENT = Path(__file__).parents[2] / "docs/reference/doctor.md"
IOMEM = "60000000-6fffffff : System RAM\n70000000-70ffffff : reserved\n"


def whole(machine: Machine) -> Machine:
    """A machine with its link up and nothing wrong with it."""
    machine.with_device_tree().with_driver().with_link()
    machine.write("/proc/iomem", IOMEM)
    machine.write("/lib/modules/6.1/modules.dep", "updates/rsl_mbox.ko:\n")
    for vector in range(4):
        machine.write(f"{LINK}/vector{vector}/notifications", "0\n")
    return machine


def set_up(machine: Machine, *, complete: bool = True, **more: str) -> None:
    facts = {"board": "qemu-virt", "transport": "doorbell", "style": "rsl", **more}
    document = {
        "facts": {"node": "/rsl-mbox@8020040", **facts},
        "complete": complete,
        "entries": [],
    }
    machine.write("/run/rslctl/rpu0.json", json.dumps(document))


def look(machine: Machine, profile: model.Board | None = None) -> list[Finding]:
    profile = profile or machine.board
    now = tree.from_machine(machine.host)
    return doctor.look(doctor.Patient(machine.host, profile, profile.links, now))


def with_uio(machine: Machine, driver: str | None, number: int = 0, base: int = 0x70000000) -> None:
    device = machine.host.path("/sys/bus/platform/devices/70000000.shmem")
    device.mkdir(parents=True)
    (device / "of_node").symlink_to(machine.host.path(f"{TREE}/shmem@70000000"))
    machine.write("/sys/bus/platform/drivers/uio_pdrv_genirq/bind", "")
    if driver is None:
        return
    (device / "driver").symlink_to(machine.host.path(f"/sys/bus/platform/drivers/{driver}"))
    if driver != "uio_pdrv_genirq":
        return
    directory = f"/sys/class/uio/uio{number}"
    machine.write(f"{directory}/name", "rpu0\n")
    machine.write(f"{directory}/maps/map0/addr", f"{base:#x}\n")
    machine.write(f"{directory}/maps/map0/size", "0x1000000\n")
    machine.host.path(f"{directory}/device").symlink_to(device)


def with_mailbox(machine: Machine, *, driver: bool, other: bool) -> model.Board:
    """The board with a mailbox link, a controller and somebody else who has its channel."""
    machine.write(f"{TREE}/mailbox/phandle", (77).to_bytes(4, "big"))
    machine.write(f"{TREE}/mailbox/#mbox-cells", (1).to_bytes(4, "big"))
    places = {"mailbox": driver, "rpmsg": other}
    for name, bound in places.items():
        device = machine.host.path(f"/sys/bus/platform/devices/{name}")
        device.mkdir(parents=True)
        (device / "of_node").symlink_to(machine.host.path(f"{TREE}/{name}"))
        if bound:
            (device / "driver").symlink_to(f"/drivers/{name}-driver")
    machine.write(f"{TREE}/rpmsg/mboxes", bytes([0, 0, 0, 77, 0, 0, 0, 2]))
    machine.write(f"{TREE}/rsl-mbox-rpu0/mboxes", bytes([0, 0, 0, 77, 0, 0, 0, 2]))
    channels = model.Channels(NodeRef("", ("/mailbox",)), ((2,),), ((3,),))
    link = machine.board.links[0]
    link = dataclasses.replace(link, offers={"mailbox": channels}, transport="mailbox")
    return dataclasses.replace(machine.board, links=(link,))


def wrong_tree(machine: Machine) -> None:
    machine.write(f"{TREE}/rsl-mbox@8020040/label", b"rpu1\0")


def in_ram(machine: Machine) -> None:
    machine.write("/proc/iomem", "40000000-7fffffff : System RAM\n")


def hidden(machine: Machine) -> None:
    machine.write("/proc/iomem", "00000000-00000000 : System RAM\n")


def no_driver(machine: Machine) -> model.Board:
    return with_mailbox(machine, driver=False, other=False)


def busy_channel(machine: Machine) -> model.Board:
    return with_mailbox(machine, driver=True, other=True)


def other_kernel(machine: Machine) -> None:
    machine.write("/lib/modules/6.9/modules.dep", "")


def unbound(machine: Machine) -> None:
    (machine.host.path(LINK) / "device").unlink()
    machine.write("/sys/kernel/debug/devices_deferred", "8020040.rsl-mbox\n")


def other_uio_number(machine: Machine) -> None:
    with_uio(machine, "uio_pdrv_genirq", number=1)


def other_uio_map(machine: Machine) -> None:
    with_uio(machine, "uio_pdrv_genirq", base=0x71000000)


def uio(machine: Machine) -> None:
    with_uio(machine, "uio_pdrv_genirq")


def uio_unbound(machine: Machine) -> None:
    with_uio(machine, None)


def uio_held(machine: Machine) -> None:
    with_uio(machine, "dma-heap")


def uio_driver_absent(machine: Machine) -> None:
    with_uio(machine, None)
    machine.host.path("/sys/bus/platform/drivers/uio_pdrv_genirq/bind").unlink()
    machine.host.path("/sys/bus/platform/drivers/uio_pdrv_genirq").rmdir()


def no_node(machine: Machine) -> None:
    machine.host.path("/dev/rsl_mbox0").unlink()


def stalled(machine: Machine) -> None:
    machine.write(f"{LINK}/stalled_ms", "1500\n")


def unread(machine: Machine) -> None:
    machine.write(f"{LINK}/vector1/notifications", "7\n")


def no_remote(machine: Machine) -> None:
    set_up(machine, remoteproc="/nowhere")


def crashed(machine: Machine) -> None:
    set_up(machine, remoteproc="/remote")
    machine.with_remote("crashed")


def alone(machine: Machine) -> None:
    set_up(machine, remoteproc="/remote")
    machine.with_remote("running")


def down(machine: Machine) -> None:
    set_up(machine, remoteproc="/remote")
    machine.with_remote("offline").write(f"{LINK}/open_files", "1\n")


def recovers(machine: Machine) -> None:
    set_up(machine, remoteproc="/remote")
    machine.with_remote("running").write(f"{LINK}/open_files", "1\n")


def no_firmware(machine: Machine) -> None:
    set_up(machine, remoteproc="/remote", firmware="missing.elf")
    machine.with_remote("offline")


def damaged(machine: Machine) -> None:
    machine.write("/run/rslctl/rpu0.json", "{")


def unfinished(machine: Machine) -> None:
    set_up(machine, complete=False)


def gone(machine: Machine) -> None:
    set_up(machine)
    (machine.host.path(LINK) / "device").unlink()


def tap_down(machine: Machine) -> None:
    machine.write("/sys/class/net/tap0/flags", "0x1002\n")


Provoke = Callable[[Machine], model.Board | None]

PROVOKED: list[tuple[str, str, Provoke, str]] = [
    ("machine", "error", wrong_tree, 'label is "rpu1", the profile says "rpu0"'),
    ("symbols", "warning", wrong_tree, "has no __symbols__"),
    ("runtime-overlay", "warning", wrong_tree, "takes no overlay while it runs"),
    ("memory", "error", in_ram, "memory 0x70000000-0x70ffffff is System RAM"),
    ("memory", "unknown", hidden, "proc/iomem' shows no addresses"),
    ("probe", "error", no_driver, "mailbox controller /mailbox has no driver"),
    ("channel", "error", busy_channel, "channel <2> of /mailbox is in use by /rpmsg, driver rpmsg"),
    ("module", "error", other_kernel, "no module rsl_mbox for kernel 6.9"),
    ("link", "error", unbound, "/rsl-mbox@8020040 has no driver: it waits for something"),
    ("uio", "warning", uio_unbound, "parameter of_id is 'not set'"),
    ("uio", "warning", uio_driver_absent, "this kernel has no uio_pdrv_genirq"),
    ("uio", "error", uio_held, "/shmem@70000000 is held by driver 'dma-heap'"),
    ("uio-number", "warning", other_uio_number, "/dev/uio1, and the RSL daemon opens /dev/uio0"),
    ("uio-map", "error", other_uio_map, "/dev/uio0 maps 0x71000000, 0x1000000 bytes"),
    ("uio-device-memory", "warning", uio, "/dev/uio0 maps Device memory"),
    ("node", "error", no_node, "/dev/rsl_mbox0 is not there"),
    ("stalled", "error", stalled, "has not taken a kick for 1500 ms"),
    ("unread", "warning", unread, "has notified 7 times and nobody has /dev/rsl_mbox0 open"),
    ("remote", "error", no_remote, "the kernel has no remote processor of /nowhere"),
    ("remote-crashed", "error", crashed, "remoteproc0 has crashed"),
    ("remote-alone", "warning", alone, "remoteproc0 runs and no daemon has the link open"),
    ("remote-down", "warning", down, "has the link open and remoteproc0 is offline"),
    ("recovery", "warning", recovers, "the kernel restarts remoteproc0 by itself"),
    ("firmware", "error", no_firmware, "no firmware /lib/firmware/missing.elf"),
    ("journal", "error", damaged, "rpu0.json' is damaged"),
    ("unfinished", "error", unfinished, "rpu0: its setup or teardown did not come to an end"),
    ("link-gone", "error", gone, "rpu0: it was set up and is gone"),
    ("tap", "warning", tap_down, "tap0 is down"),
]


@pytest.mark.parametrize(("check", "level", "provoke", "text"), PROVOKED)
def test_what_is_wrong_is_found(
    machine: Machine, check: str, level: str, provoke: Provoke, text: str
) -> None:
    assert look(whole(machine)) == []
    profile = provoke(machine)
    found = [each for each in look(machine, profile) if each.check == check]
    assert [each.level for each in found[:1]] == [level]
    assert any(text in each.text for each in found), found
    assert all(each.remedy for each in found)


def test_random_numbers_that_are_not_ready_are_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_ready(size: int, flags: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(os, "getrandom", not_ready)
    patient = doctor.Patient(Host(), None, (), tree.Tree("", {}))
    assert "entropy" in {each.check for each in doctor.look(patient)}


def test_a_link_that_one_may_not_open_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(machine)
    monkeypatch.setattr(os, "access", lambda *_: False)
    (found,) = look(machine)
    assert (found.check, found.level) == ("permission", "error")


def test_a_healthy_board_with_a_remote_has_no_finding(machine: Machine) -> None:
    set_up(whole(machine), remoteproc="/remote", start="setup")
    machine.with_remote("attached", "unknown")
    machine.write("/sys/class/remoteproc/remoteproc0/recovery", "disabled\n")
    machine.host.path("/lib/firmware/unknown").unlink()
    assert look(machine) == []


def test_a_remote_that_ran_before_its_daemon_is_told(machine: Machine) -> None:
    set_up(whole(machine), remoteproc="/remote")
    machine.with_remote("running").write(f"{LINK}/open_files", "1\n")
    assert "remote-alone" in {each.check for each in look(machine)}


def test_one_link_is_looked_at_alone(machine: Machine, rslctl: Rslctl) -> None:
    set_up(whole(machine))
    gone(machine)
    board = machine.board
    now = tree.from_machine(machine.host)
    patient = doctor.Patient(machine.host, board, board.links, now, only="rpu1")
    assert "link-gone" not in {each.check for each in doctor.look(patient)}
    machine.host.path("/run/rslctl/rpu0.json").unlink()
    status, _, err = rslctl("doctor", "--link", "rpu1", "--root", machine.root)
    assert (status, "without a board, no link is known" in err) == (2, True)


def test_findings_are_told_even_where_the_report_cannot_be_written(
    machine: Machine, rslctl: Rslctl
) -> None:
    stalled(whole(machine))
    arguments = ("doctor", "--board", "qemu-virt", "--root", machine.root)
    status, out, err = rslctl(*arguments, "--report", "/nonexistent/x")
    assert status == 1
    assert "error: stalled:" in out
    assert "cannot write '/nonexistent/x'" in err


def test_the_document_lists_what_is_found_and_every_finding_is_provoked() -> None:
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    provoked = {check for check, _, _, _ in PROVOKED} | {"entropy", "permission"}
    source = "".join(Path(str(each.__file__)).read_text() for each in (doctor, checks))
    named = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))
    assert listed == provoked == named


def test_the_doctor_tells_and_ends_with_what_it_found(machine: Machine, rslctl: Rslctl) -> None:
    whole(machine)
    arguments = ("doctor", "--board", "qemu-virt", "--root", machine.root)
    assert rslctl(*arguments) == (0, "nothing is wrong that can be seen\n", "")
    stalled(machine)
    status, out, _ = rslctl(*arguments)
    assert status == 1
    assert out.startswith("error: stalled: rpu0: the remote has not taken a kick for 1500 ms\n    ")
    assert out.endswith("\n1 error\n")
    assert [each["check"] for each in json.loads(rslctl(*arguments, "--json")[1])] == ["stalled"]


def test_the_doctor_knows_the_board_that_was_set_up(machine: Machine, rslctl: Rslctl) -> None:
    whole(machine)
    in_ram(machine)
    assert "System RAM" not in rslctl("doctor", "--root", machine.root)[1]
    set_up(machine)
    assert "System RAM" in rslctl("doctor", "--root", machine.root)[1]


def test_a_report_has_what_was_seen(machine: Machine, rslctl: Rslctl, tmp_path: Path) -> None:
    set_up(whole(machine))
    before = {path: path.read_bytes() for path in machine.root.rglob("*") if path.is_file()}
    report = tmp_path / "report.json"
    rslctl("doctor", "--report", report, "--root", machine.root)
    document = json.loads(report.read_text())
    assert document["board"] == "qemu-virt"
    assert document["files"][f"{LINK}/label"] == "rpu0"
    assert "/run/rslctl/rpu0.json" in document["files"]
    assert "/rsl-mbox@8020040" in document["device_tree"]
    after = {path: path.read_bytes() for path in machine.root.rglob("*") if path.is_file()}
    assert {k: v for k, v in after.items() if k != report} == before
