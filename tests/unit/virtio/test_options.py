# SPDX-License-Identifier: BSD-3-Clause
"""From words to devices in the memory and their back-ends."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from rslctl.errors import RslError, UsageError
from rslctl.profile import virtio
from rslctl.region import Region
from rslctl.virtio import options
from rslctl.virtio.console import ConsoleBackend
from rslctl.virtio.rng import RngBackend

from tests.unit.virtio.links import played

MANIFEST = {
    "link": "rpu0",
    "vectors": 4,
    "memory": {"base": 0x70000000, "remote_base": 0x30000000, "size": 0x1000000, "offset": 0},
    "remote_dt": {"offset": 0xF00000, "size": 0x10000},
}


def manifest(**changes: Any) -> dict[str, Any]:
    return {**MANIFEST, **changes}


def profile(*words: str, version: int = 1, device_tree: bool = False) -> dict[str, Any]:
    """What the manifest of a link has whose profile names these devices."""
    devices = [
        {"kind": word.kind, "options": dict(word.options)} for word in map(virtio.parse, words)
    ]
    return {"version": version, "device_tree": device_tree, "devices": devices}


def test_the_devices_are_those_of_the_profile() -> None:
    served = profile("rng", "vsock,cid=42", version=2)
    plan = options.plan(manifest(virtio=served), ())
    assert [(each.name, each.options) for each in plan.devices] == [
        ("rng", {}),
        ("vsock", {"cid": "42"}),
    ]
    assert (plan.version, plan.device_tree) == (2, False)
    assert plan.vectors == ((0,), (1, 2, 0))
    assert plan.memory == Region(0x30000000, 0x1000000)
    assert plan.header(plan.devices[1]) == Region(0x30000200, 0x200)


def test_words_stand_in_place_of_the_profiles_devices() -> None:
    served = profile("9p", "net", device_tree=True)
    plan = options.plan(manifest(virtio=served), ["rng", "console"])
    assert [each.name for each in plan.devices] == ["rng", "console"]
    # In version 1 there is one vector for everything.
    assert (plan.version, plan.device_tree, plan.vectors) == (1, True, ((0,), (0, 0)))
    assert plan.devices[0].header == 0x10000
    plan = options.plan(manifest(virtio=served), ["rng"], version=2)
    assert (plan.version, plan.device_tree) == (2, False)
    plan = options.plan(manifest(virtio=served), ["rng"], device_tree=False)
    assert plan.devices[0].header == 0


def test_a_manifest_that_does_not_tell_where_the_remote_has_the_memory_means_the_same_place() -> (
    None
):
    memory = {"base": 0x70000000, "size": 0x1000000, "offset": 0}
    assert options.plan(manifest(memory=memory), ["rng"]).memory.base == 0x70000000


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["9p"], ["9p: there is no maintained back-end", "new firmware takes fs"]),
        (["net"], ["net: its back-end is not named: it needs tap=NAME or socket=PATH"]),
        (["blk"], ["blk: its back-end is not named: it needs socket=PATH"]),
        (["vsock"], ["it needs cid=N or socket=PATH", "rslctl virtio --device rng"]),
        (["fs,socket=/x"], ["fs: its back-end is not named: it needs tag=TEXT"]),
        (["fs"], ["it needs socket=PATH", "it needs tag=TEXT"]),
        (["device,id=4,queues=1"], ["device: its back-end is not named: it needs socket=PATH"]),
        (["console", "console"], ["console0 and console1 want standard input and output"]),
        (["vsock,cid=7", "vsock,cid=7"], ["cid=7 is the back-end of one device only"]),
        (["net,tap=a", "net,tap=a"], ["tap=a is the back-end of one device only"]),
        (["net", "vsock"], ["net: ", "vsock: "]),
    ],
)
def test_what_cannot_be_served_is_named_with_what_it_lacks(
    words: list[str], texts: list[str]
) -> None:
    for given in ((manifest(), words), (manifest(virtio=profile(*words)), ())):
        with pytest.raises(RslError) as error:
            options.plan(*given)
        for text in texts:
            assert text in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    ("changes", "words", "version", "tree", "text"),
    [
        ({"memory": None}, ["rng"], None, None, "link 'rpu0' has no shared memory"),
        ({}, [], None, None, "names no virtio devices"),
        ({"virtio": None}, [], None, None, "names no virtio devices"),
        ({"virtio": profile()}, [], None, None, "names no virtio devices"),
        ({}, ["blk,socket=/x"] * 4, None, None, "socket=/x is the back-end of one device"),
        ({}, [f"blk,socket=/{n}" for n in range(4)], None, None, "do not fit into the memory"),
    ],
)
def test_a_link_that_has_no_place_for_devices_is_told(
    changes: dict[str, Any], words: list[str], version: int, tree: bool, text: str
) -> None:
    with pytest.raises(RslError, match=text):
        options.plan(manifest(**changes), words, version=version, device_tree=tree)


def test_wrong_words_and_a_device_tree_of_version_2_are_errors_of_usage() -> None:
    with pytest.raises(UsageError, match=r"--device: 'rgn' is not one of .*did you mean 'rng'"):
        options.plan(manifest(), ["rgn"])
    with pytest.raises(UsageError, match="--dtb: only version 1 has a device tree"):
        options.plan(manifest(), ["rng"], version=2, device_tree=True)


def test_a_device_tells_its_driver_what_it_is() -> None:
    plan = options.plan(manifest(), ["rng", "vsock,cid=42"], version=2)

    class Kernel:
        """Plays VhostVsock, whose device the machine of the tests need not have: two queues."""

        queues = (64, 64)

        def offered(self) -> int:
            return 1 << 32 | 2

        def config(self) -> bytes:
            return b"\x2a" + bytes(7)

    told = plan.identity(1, Kernel())  # type: ignore[arg-type]
    assert told.device_id == 19
    # The queue of events is published, and nobody serves it.
    assert told.queues == (64, 64, 128)
    assert told.region == Region(0x30016000, 0x10000)
    assert (told.features, told.config) == (1 << 32 | 2, b"\x2a" + bytes(7))
    assert (told.memory, told.vectors) == (plan.memory, (1, 2, 0))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("rng", "built in: getrandom(2)"),
        ("console", "built in: standard input and output"),
        ("console,pty=/run/x", "built in: pty /run/x"),
        ("console,socket=/run/x", "built in: socket /run/x"),
        ("vsock,cid=42", "vhost-vsock with CID 42"),
        ("vsock,socket=/run/x", "vhost-user at /run/x"),
        ("net,tap=tap0", "vhost-net on tap0"),
        ("net,socket=/run/x", "vhost-user at /run/x"),
        ("blk,socket=/run/x", "vhost-user at /run/x"),
        ("device,id=41,queues=1,socket=/run/x", "vhost-user at /run/x"),
    ],
)
def test_the_back_end_of_each_device_can_be_told(word: str, text: str) -> None:
    (device,) = options.plan(manifest(), [word]).devices
    assert options.describe(device) == text


class Made:
    """Plays the constructors of back-ends of the kernel and of other processes: notes what each is
    given, and does nothing.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        for name in ("VhostVsock", "VhostNet", "VhostUser", "Tap"):
            monkeypatch.setattr(options, name, self._noting(name))

    def _noting(self, name: str) -> Any:
        def make(*given: Any, **named: Any) -> str:
            self.calls.append((name, given, named))
            return name

        return make


def test_each_word_makes_its_back_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Made(monkeypatch)
    words = (
        "rng",
        f"console,socket={tmp_path}/console",
        "vsock,cid=42",
        "net,tap=tap0,mac=02:00:00:00:00:0a",
        "net,socket=/net,region=0x10000",
        "fs,socket=/fs,tag=share",
        "device,id=41,queues=3,queue-size=64,socket=/gpio",
    )
    given = {"vhost-vsock": 10, "vhost-net": 11, "tun": 12}
    with played(version=1) as (link, _):
        plan = options.plan(link.manifest, words)
        means = options.Means.of(link, plan, lambda: None, given)
        backends = [options.backend(each, means) for each in plan.devices]
        assert isinstance(backends[0], RngBackend)
        assert isinstance(backends[1], ConsoleBackend)
        with socket.socket(socket.AF_UNIX) as user:
            user.connect(f"{tmp_path}/console")
        window = means.window
        tag = b"share".ljust(36, b"\0") + b"\x01\0\0\0"
        assert made.calls == [
            ("VhostVsock", (42, window, 128), {"descriptor": 10}),
            ("Tap", ("tap0", 12), {}),
            ("VhostNet", ("Tap", window, 256), {"mac": b"\x02\0\0\0\0\x0a", "descriptor": 11}),
            ("VhostUser", (1, "/net", window, (256, 256)), {"config": None}),
            ("VhostUser", (26, "/fs", window, (128, 128)), {"config": tag}),
            ("VhostUser", (41, "/gpio", window, (64, 64, 64)), {"config": None}),
        ]
        # What another process gets can be mapped, and is the memory that the remote sees.
        assert os.pread(window.descriptor, 4, window.offset) == bytes(4)
        assert window.seen == Region(0x70000000, 0x1000000)
        for each in backends[:2]:
            each.close()
