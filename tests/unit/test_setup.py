# SPDX-License-Identifier: BSD-3-Clause
"""Setting up and taking down on machines made of files, error paths above all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rslctl.devicetree import tree
from rslctl.errors import RslError
from rslctl.setup import bring_up, checks, steps
from rslctl.setup.journal import Facts, Journal
from rslctl.setup.lock import locked

from tests.command_line import Rslctl
from tests.unit.machine import Machine

TREE = "/sys/firmware/devicetree/base"


def target(machine: Machine, ownership: steps.Ownership | None = None) -> steps.Target:
    link, now = machine.board.links[0], tree.from_machine(machine.host)
    return steps.Target(
        machine.host, machine.board, link, now, ownership or steps.Ownership(), timeout=0
    )


def up(machine: Machine, ownership: steps.Ownership | None = None) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    wanted = target(machine, ownership)
    bring_up.up(
        bring_up.steps_for(wanted, None),
        Facts("qemu-virt", "doorbell", wanted.node, "rsl"),
        dry_run=False,
        report=lambda step, result, _: said.append((step, result)),
    )
    return said


def down(machine: Machine) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    bring_up.down(
        machine.host,
        "rpu0",
        dry_run=False,
        report=lambda step, result, _: said.append((step, result)),
    )
    return said


def written(machine: Machine, link: str, *entries: dict[str, object]) -> None:
    document = {
        "facts": {"board": "b", "transport": "doorbell", "node": "/n", "style": "rsl"},
        "complete": True,
        "entries": entries,
    }
    machine.write(f"/run/rslctl/{link}.json", json.dumps(document))


def journal(machine: Machine) -> Path:
    return machine.root / "run/rslctl/rpu0.json"


def test_a_machine_that_matches_has_nothing_to_say(machine: Machine) -> None:
    assert checks.machine(machine.board, tree.from_machine(machine.with_device_tree().host)) == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("/compatible", b"xlnx,zynqmp\0", "/: compatible is ['xlnx,zynqmp'], the profile says"),
        ("/rsl-mbox@8020040/label", b"rpu1\0", 'label is "rpu1", the profile says "rpu0"'),
        ("/rsl-mbox@8020040/memory-region", b"\0\0\0\7", "memory-region is <7>, the profile says"),
        ("/rsl-mbox@8020040/reg", b"\0\0\0", "reg is b'\\x00\\x00\\x00', the profile says <0 0x8"),
        ("/rsl-mbox@8020040/label", None, 'label is missing, the profile says "rpu0"'),
        ("/intc@8000000/v2m@8020000/status", b"okay\0", 'status is "okay", the profile says'),
        ("/reserved-memory/memory@70000000/no-map", None, "no-map is missing, the profile says pr"),
    ],
)
def test_a_machine_that_does_not_match_is_refused_with_what_differs(
    machine: Machine, file: str, content: bytes | None, message: str
) -> None:
    machine.with_device_tree()
    if content is None:
        machine.host.path(TREE + file).unlink()
    else:
        machine.write(TREE + file, content)
    machine.with_driver()
    with pytest.raises(RslError) as error:
        up(machine)
    assert message in str(error.value)
    assert not journal(machine).exists()


def test_a_machine_without_a_device_tree_is_refused(machine: Machine, rslctl: Rslctl) -> None:
    status, _, err = rslctl("setup", "--board", "qemu-virt", "--root", machine.root)
    assert status == 1
    assert "/: compatible is []" in err


def test_what_is_up_already_is_left_alone(machine: Machine) -> None:
    said = up(machine.with_device_tree().with_driver().with_link())
    assert [result for _, result in said] == ["ok"] * 3 + ["already"] * 3 + ["ok"]
    assert json.loads(journal(machine).read_text())["entries"] == []
    assert down(machine) == []
    assert not journal(machine).exists()


def test_owner_and_mode_are_journalled_and_put_back(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    node = machine.root / "dev/rsl_mbox0"
    node.chmod(0o600)
    assert up(machine, steps.Ownership(mode=0o640))[-1] == (
        "/dev/rsl_mbox0 has mode 0640",
        "done",
    )
    assert node.stat().st_mode & 0o777 == 0o640
    assert [entry["step"] for entry in json.loads(journal(machine).read_text())["entries"]] == [
        "owner"
    ]
    assert [result for _, result in down(machine)] == ["undone"]
    assert node.stat().st_mode & 0o777 == 0o600
    assert not journal(machine).exists()


def test_a_node_made_anew_is_not_given_an_old_owner(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    node = machine.root / "dev/rsl_mbox0"
    other = machine.root / "dev/other"
    other.write_bytes(b"")  # so that the new node has another inode
    node.unlink()
    other.rename(node)
    node.chmod(0o666)
    assert [result for _, result in down(machine)] == ["already undone"]
    assert node.stat().st_mode & 0o777 == 0o666


def test_a_device_held_by_another_driver_is_not_taken(machine: Machine) -> None:
    machine.with_device_tree().with_driver("other")
    with pytest.raises(RslError, match="held by driver 'other', not 'rsl_mbox_doorbell'"):
        up(machine)


def test_a_node_that_became_no_device_is_named(machine: Machine) -> None:
    machine.with_device_tree().with_driver()
    os.unlink(machine.root / "sys/bus/platform/devices/8020040.rsl-mbox/of_node")
    with pytest.raises(RslError, match="the kernel made no device of /rsl-mbox@8020040"):
        up(machine)


def test_a_step_that_fails_leaves_no_entry(machine: Machine) -> None:
    machine.with_device_tree()
    with pytest.raises(RslError, match="'modprobe' would act on this machine"):
        up(machine)
    assert not journal(machine).exists()


def test_a_bind_that_the_kernel_refuses_points_to_its_log(machine: Machine) -> None:
    machine.with_device_tree().with_driver()
    os.unlink(machine.root / "sys/bus/platform/devices/8020040.rsl-mbox/driver")
    os.unlink(machine.root / "sys/bus/platform/drivers/rsl_mbox_doorbell/bind")
    with pytest.raises(RslError, match=r"cannot write '8020040\.rsl-mbox' to ") as error:
        up(machine)
    assert "dmesg" in error.value.hint
    assert not journal(machine).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"entries": [3]}', '{"entries": [{}]}'])
def test_a_damaged_journal_is_named(machine: Machine, text: str) -> None:
    machine.write("/run/rslctl/rpu0.json", text)
    with pytest.raises(RslError, match=r"rpu0\.json' is damaged"):
        down(machine)


def test_a_journal_with_an_unknown_step_is_left_as_it_is(machine: Machine) -> None:
    written(machine, "rpu0", {"step": "magic", "plan": {}})
    with pytest.raises(RslError, match="unknown step 'magic'"):
        down(machine)
    assert [entry["step"] for entry in Journal.load(machine.host, "rpu0").entries] == ["magic"]


def test_two_setups_keep_out_of_each_others_way(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_device_tree().with_driver().with_link()
    arguments = ("setup", "--board", "qemu-virt", "--root", machine.root)
    with locked(machine.host, 0, print):
        status, _, err = rslctl(*arguments, "--timeout", "0.1")
    assert status == 4
    holder = f"process {os.getpid()} ("
    assert f"waiting for {holder}" in err
    assert f"another rslctl setup or teardown is under way: {holder}" in err
    assert rslctl(*arguments)[0] == 0


def test_a_setup_waits_for_another_to_end(machine: Machine) -> None:
    other = contextlib.ExitStack()
    other.enter_context(locked(machine.host, 0, print))
    said = []

    def note(text: str) -> None:
        said.append(text)
        threading.Timer(0.1, other.close).start()

    with locked(machine.host, 30, note):
        assert [text.partition(" (")[0] for text in said] == [f"waiting for process {os.getpid()}"]


def test_what_a_killed_writer_left_is_swept_away(machine: Machine) -> None:
    left = machine.write("/run/rslctl/.rpu0.json.abc", '{"link": "rp')
    with locked(machine.host, 0, print):
        assert not left.exists()


def test_teardown_of_a_link_that_was_not_set_up_says_so(machine: Machine, rslctl: Rslctl) -> None:
    status, out, err = rslctl("teardown", "--link", "rpu9", "--root", machine.root)
    assert (status, out) == (0, "")
    assert err == "rslctl: setup did nothing for link 'rpu9': nothing to undo\n"


def test_an_unknown_owner_is_named() -> None:
    with pytest.raises(RslError, match="unknown user 'nosuch'"):
        bring_up.parse_owner("nosuch")
    with pytest.raises(RslError, match="unknown group 'nosuch'"):
        bring_up.parse_owner("0:nosuch")
    assert bring_up.parse_owner("0") == (0, None)
    assert bring_up.parse_owner("root:0") == (0, 0)


@pytest.mark.parametrize("text", ["99999999999", "4294967295", "0:4294967295"])
def test_an_owner_that_no_file_can_have_is_refused(text: str) -> None:
    with pytest.raises(RslError, match=r"unknown (user|group) '\d+'"):
        bring_up.parse_owner(text)


def test_teardown_of_one_link_leaves_the_module_to_the_other(machine: Machine) -> None:
    written(machine, "rpu0", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    written(machine, "rpu1", {"step": "driver", "plan": {"device": "x"}})
    assert [result for _, result in down(machine)] == ["left to link rpu1"]
    assert not journal(machine).exists()
    kept = json.loads((machine.root / "run/rslctl/rpu1.json").read_text())["entries"]
    assert [each["step"] for each in kept] == ["module", "driver"]


def test_teardown_of_a_link_in_use_undoes_nothing(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/open_files", "2\n")
    with pytest.raises(RslError, match="link 'rpu0' is in use: /dev/rsl_mbox0 is open 2 times"):
        down(machine)
    assert (machine.root / "dev/rsl_mbox0").stat().st_mode & 0o777 == 0o640


def test_a_dry_teardown_says_what_the_real_one_would(machine: Machine, rslctl: Rslctl) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    dry = ("teardown", "--dry-run", "--root", machine.root)
    assert "owner (node /dev/rsl_mbox0" in rslctl(*dry)[1]
    machine.write("/sys/class/rsl_mbox/rsl_mbox0/open_files", "2\n")
    status, out, err = rslctl(*dry)
    assert (status, out) == (1, "")
    assert "link 'rpu0' is in use" in err
    written(machine, "rpu1", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    out = rslctl("teardown", "--link", "rpu1", "--dry-run", "--root", machine.root)[1]
    assert out.startswith("rpu1: module (modules rsl_mbox): left to link rpu0")


def test_what_loading_the_module_bound_is_setups_to_undo(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    written(machine, "rpu1", {"step": "module", "plan": {"modules": ["rsl_mbox"]}})
    up(machine)
    (entry,) = Journal.load(machine.host, "rpu0").entries
    assert (entry["step"], entry["plan"]["device"]) == ("driver", "8020040.rsl-mbox")
    up(machine)
    assert len(Journal.load(machine.host, "rpu0").entries) == 1
    assert [result for _, result in down(machine)] == ["undone"]
    unbound = machine.host.read_text("/sys/bus/platform/drivers/rsl_mbox_doorbell/unbind")
    assert unbound == "8020040.rsl-mbox"


def test_a_second_setup_that_fails_leaves_the_link_unfinished(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    up(machine, steps.Ownership(mode=0o640))
    before = os.chown
    os.chown = lambda *_: 1 / 0  # type: ignore[assignment]
    try:
        with pytest.raises(ZeroDivisionError):
            up(machine, steps.Ownership(mode=0o600))
    finally:
        os.chown = before
    assert not Journal.load(machine.host, "rpu0").complete


def test_a_damaged_journal_of_one_link_is_not_in_the_way_of_others(
    machine: Machine, rslctl: Rslctl
) -> None:
    machine.with_device_tree().with_driver().with_link()
    machine.write("/run/rslctl/aaa.json", "{")
    written(machine, "rpu0", {"step": "owner", "plan": {"node": "/dev/none"}})
    status, out, err = rslctl("teardown", "--root", machine.root)
    assert status == 1
    assert "rpu0: owner (node /dev/none): already undone" in out
    assert "aaa.json' is damaged" in err
    assert not machine.host.path("/run/rslctl/rpu0.json").exists()
    status, out, err = rslctl("status", "--root", machine.root)
    assert (status, "aaa.json' is damaged" in err) == (0, True)


@pytest.mark.parametrize("step", ["driver", "module", "owner", "remote", "recovery"])
def test_a_plan_that_is_none_is_named(machine: Machine, rslctl: Rslctl, step: str) -> None:
    machine.with_device_tree().with_driver().with_link().with_remote("offline")
    written(machine, "rpu0", {"step": step, "plan": {"modules": [], "x": 1}})
    status, _, err = rslctl("teardown", "--root", machine.root)
    assert (status, "rpu0.json' is damaged" in err) == (1, True)


def test_facts_that_are_none_are_named(machine: Machine, rslctl: Rslctl) -> None:
    document = {"facts": {"board": 5}, "complete": True, "entries": []}
    machine.write("/run/rslctl/rpu0.json", json.dumps(document))
    status, out, _ = rslctl("doctor", "--root", machine.root)
    assert (status, "error: journal:" in out) == (1, True)


def test_one_link_that_fails_does_not_keep_the_others_down(
    machine: Machine, rslctl: Rslctl, tmp_path: Path
) -> None:
    machine.with_device_tree().with_driver().with_link()
    profile = tmp_path / "two.toml"
    profile.write_text(
        'extends = "qemu-virt"\n[[link]]\nname = "aaa"\n'
        "[link.memory]\nbase = 0x72000000\nsize = 0x1000\n[link.doorbell]\n"
        'register = 0x08020040\nkick-values = [90]\nspis = [90]\ntrigger = "edge-rising"\n'
    )
    status, out, err = rslctl("setup", "--board", profile, "--json", "--root", machine.root)
    assert status == 1
    assert "does not match board 'two'" in err
    assert {each["link"] for each in json.loads(out)} == {"rpu0", "aaa"}


def test_nobody_who_stops_reading_leaves_a_link_half_set_up(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "rslctl", "setup", "--board", "qemu-virt"),
            *("--mode", "0640", "--root", str(machine.root)),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(theirs)
    assert "Traceback" not in done.stderr
    assert Journal.load(machine.host, "rpu0").complete


def test_an_owner_of_many_digits_or_none_is_refused(machine: Machine, rslctl: Rslctl) -> None:
    for owner in ("9" * 5000, ""):
        status, _, err = rslctl("setup", "--board", "qemu-virt", "--owner", owner)
        assert (status, "unknown user" in err) == (1, True)


def test_a_device_that_udev_is_not_done_with_is_waited_for(machine: Machine) -> None:
    machine.with_device_tree().with_driver().with_link()
    wanted = target(machine)
    there = steps.DeviceThere(wanted, "rsl_mbox", wanted.node)
    assert there.check()
    machine.write("/run/udev/control", "")
    assert not there.check()
    machine.write("/run/udev/data/c240:0", "")
    assert there.check()


def test_the_state_directory_is_readable_whatever_the_umask(machine: Machine) -> None:
    before = os.umask(0o077)
    try:
        with locked(machine.host, 0, print):
            pass
    finally:
        os.umask(before)
    assert (machine.root / "run/rslctl").stat().st_mode & 0o777 == 0o755
