# SPDX-License-Identifier: BSD-3-Clause
"""The links of the kernel module: which one is meant, and what it has."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.linux import mbox

from tests.command_line import Rslctl
from tests.unit.machine import Machine


@pytest.mark.parametrize("vector", ["4", "32", "99999999999999999999"])
@pytest.mark.parametrize("command", ["kick", "wait"])
def test_a_vector_past_the_last_is_refused_with_the_range(
    rslctl: Rslctl, machine: Machine, command: str, vector: str
) -> None:
    machine.with_link()
    assert rslctl(command, vector, "--root", machine.root) == (
        1,
        "",
        f"rslctl: link 'rpu0' has no vector {vector}\nhint: its vectors are 0 to 3\n",
    )
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


def test_a_negative_vector_is_refused_with_the_range(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link(vectors=1)
    status, _, err = rslctl("kick", "--root", machine.root, "--", "-1")
    assert (status, err) == (
        1,
        "rslctl: link 'rpu0' has no vector -1\nhint: its only vector is 0\n",
    )


@pytest.mark.parametrize("command", [["kick", "0"], ["wait"], ["run", "--", "true"]])
def test_without_a_link_a_command_says_how_to_bring_one_up(
    rslctl: Rslctl, machine: Machine, command: list[str]
) -> None:
    status, out, err = rslctl(command[0], "--root", machine.root, *command[1:])
    assert (status, out) == (1, "")
    assert err == (
        f"rslctl: no link is up: '{machine.root}/sys/class/rsl_mbox' has no device\n"
        "hint: bring it up with: rslctl setup --board NAME\n"
    )


def test_several_links_want_one_named(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link().with_link("rpu1", number=1)
    status, _, err = rslctl("kick", "0", "--root", machine.root)
    assert (status, err) == (
        1,
        "rslctl: more than one link is up: rpu0, rpu1\nhint: name one with --link\n",
    )
    assert rslctl("kick", "0", "--link", "rpu1", "--root", machine.root)[0] == 0
    assert (machine.root / "dev/rsl_mbox1").read_bytes() == b"\1\0\0\0"
    status, _, err = rslctl("kick", "0", "--link", "rpu2", "--root", machine.root)
    assert (status, err) == (
        1,
        "rslctl: no link 'rpu2' is up\nhint: links that are up: rpu0, rpu1\n",
    )


def test_a_device_node_that_is_missing_is_named(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    (machine.root / "dev/rsl_mbox0").unlink()
    status, _, err = rslctl("kick", "0", "--root", machine.root)
    assert status == 1
    assert f"cannot open '{machine.root}/dev/rsl_mbox0': No such file" in err


@given(st.sets(st.integers(0, 31)))
def test_a_mask_is_the_numbers_of_its_vectors(vectors: set[int]) -> None:
    mask = sum(1 << vector for vector in vectors)
    assert mbox.vectors_of(mask) == sorted(vectors)


def test_a_link_is_read_as_sysfs_shows_it(machine: Machine) -> None:
    (link,) = mbox.find(machine.with_device_tree().with_link(vectors=2).host)
    assert (link.node, link.memory_base, link.memory_size) == ("/dev/rsl_mbox0", 7 << 28, 1 << 24)
    assert [vars(each) for each in mbox.counters(machine.host, link)] == [
        {"kicks": 10, "kicks_coalesced": 0, "notifications": 20},
        {"kicks": 11, "kicks_coalesced": 0, "notifications": 21},
    ]
    at = mbox.at(machine.host, "/rsl-mbox@8020040")
    assert at and at.name == "rpu0"
    assert mbox.at(machine.host, "/elsewhere") is None


def test_links_are_in_the_order_of_their_numbers(machine: Machine) -> None:
    for number in (10, 9):
        machine.with_link(f"rpu{number}", number)
    assert [each.name for each in mbox.find(machine.host)] == ["rpu9", "rpu10"]


def test_nothing_is_put_outside_the_memory_of_a_link(machine: Machine) -> None:
    (link,) = mbox.find(machine.with_link().host)
    for base in (0x6FFFFFFF, 0x70FFFFFF, 0x71000000):
        with pytest.raises(RslError, match=rf"0x1000000 bytes: {base:#x} is not in it"):
            mbox.place(machine.host, link, base, b"two")
    assert machine.host.read("/dev/rsl_mbox0") == b""


def test_the_descriptor_of_an_open_link_can_be_taken_from_it(machine: Machine) -> None:
    (link,) = mbox.find(machine.with_link().host)
    with mbox.Mailbox(machine.host, link) as mailbox:
        fd = mailbox.detach()
        assert mailbox.fileno() == -1
    os.write(fd, b"still open")
    os.close(fd)
