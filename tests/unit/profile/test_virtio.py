# SPDX-License-Identifier: BSD-3-Clause
"""The words of virtio devices, and where the daemon puts the devices."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.profile import virtio

from tests.command_line import Rslctl


@pytest.mark.parametrize(
    ("size", "expected"),
    # vring_size() of include/uapi/linux/virtio_ring.h at 4096, worked out by hand.
    [(1, 0x2000), (128, 0x2000), (256, 0x3000), (1024, 0x8000)],
)
def test_the_size_of_a_virtqueue(size: int, expected: int) -> None:
    assert virtio.queue_bytes(size) == expected


def test_too_small_says_by_how_much(tmp_path: Path, rslctl: Rslctl) -> None:
    small = tmp_path / "small.toml"
    text = (
        'extends = "qemu-virt"\n[[link]]\nname = "rpu0"\nremote-dt = false\nmemory.size = 0x20000\n'
    )
    small.write_text(text + "virtio = false\n")
    status, out, err = rslctl("layout", "--board", small, "--device", "net")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "rslctl: link 'rpu0': 0x90000 bytes are needed, the shared memory has 0x20000: "
        "too small by 0x70000 bytes",
        "hint: make link.memory.size larger, serve fewer devices, or say another region=BYTES",
    ]
    small.write_text(text + 'virtio.devices = "net"\n')
    status, out, err = rslctl("layout", "--board", small)
    assert (status, out) == (1, "")
    assert err.startswith(f"rslctl: {small}:6: link[0].virtio.devices: 0x90000 bytes are needed")


@pytest.mark.parametrize(
    ("count", "kind", "message"),
    [
        (31, "net", "remote-dt begins at 0xf00000: too small by 0x90000 bytes"),
        (129, "rng", "there are 129 devices, at most 128 are possible"),
    ],
)
def test_parts_do_not_overlap(rslctl: Rslctl, count: int, kind: str, message: str) -> None:
    devices = ["--device", kind] * count
    status, out, err = rslctl("layout", "--board", "qemu-virt", *devices)
    assert (status, out) == (1, "")
    assert message in err


#: Values of each key that are right.
VALUES: dict[str, st.SearchStrategy[str]] = {
    "tap": st.sampled_from(["tap0", "br-lan.7", "a" * 15]),
    "socket": st.sampled_from(["/run/x=y.sock", "blk sock", "é" * 53]),
    "pty": st.sampled_from(["/run/rsl-daemon/rpu0/console"]),
    "mac": st.sampled_from(["02:00:00:00:00:01", "AE:ff:00:12:34:56"]),
    "cid": st.integers(3, 2**32 - 2).map(str),
    "tag": st.sampled_from(["root", "my files", "é" * 18]),
    "id": st.integers(1, 63).map(str),
    "queues": st.integers(1, 16).map(str),
    "queue-size": st.sampled_from([str(1 << bit) for bit in range(9)]),
    "region": st.integers(0x60, 0x1000).map(lambda pages: hex(pages << 12)),
}


@st.composite
def words(draw: st.DrawFn) -> str:
    """A word that is right, with any of its options in any order."""
    kind = draw(st.sampled_from(sorted(virtio.KINDS)))
    needed = ["id", "queues"] if kind == "device" else []
    others = [key for key in virtio.KINDS[kind].options if key not in needed]
    chosen = draw(st.lists(st.sampled_from(others), unique=True))
    if "socket" in chosen:
        chosen = [key for key in chosen if key not in ("tap", "pty", "cid")]
    keys = draw(st.permutations(needed + chosen))
    return ",".join([kind, *(f"{key}={draw(VALUES[key])}" for key in keys)])


@given(words())
def test_a_word_is_read_and_written_the_same(text: str) -> None:
    word = virtio.parse(text)
    assert str(word) == text
    assert word.option("region") == dict(word.options).get("region")
    assert virtio.parse(str(word)) == word


@given(
    st.one_of(
        st.text(),
        st.tuples(st.sampled_from(sorted(virtio.KINDS)), st.text()).map(",".join),
        st.tuples(
            st.sampled_from(sorted(virtio.KINDS)), st.sampled_from(sorted(VALUES)), st.text()
        ).map(lambda parts: f"{parts[0]},{parts[1]}={parts[2]}"),
        st.text("cdeiv,=0123456789abxk:/-\udc80²é\n "),
    )
)
def test_any_text_is_a_word_or_is_refused_in_one_line(text: str) -> None:
    try:
        word = virtio.parse(text)
    except ValueError as error:
        assert str(error).isprintable()
        assert not isinstance(error, UnicodeError)
    else:
        assert str(word) == text
        assert virtio.arrange((text,), device_tree=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not one of net, blk, console, rng, 9p, vsock, fs, device"),
        ("vsok", "device; did you mean 'vsock'?"),
        ("rng\n", "'rng\\n' is not a line of printable text"),
        ("rng,", "'rng,': '' is not an option of rng: region"),
        ("blk,sokcet=/x", "'sokcet' is not an option of blk: socket, region; did you mean 'socket"),
        ("rng,cid=3", "'rng,cid=3': 'cid' is not an option of rng: region"),
        ("vsock,cid", "'cid' is not cid=VALUE with a decimal number from 3 to 4294967294"),
        ("vsock,cid=2", "'vsock,cid=2': 'cid=2' is not cid=VALUE with a decimal number from 3"),
        ("vsock,cid=4294967295", "with a decimal number from 3 to 4294967294"),
        ("vsock,cid=0x10", "with a decimal number from 3"),
        ("vsock,cid=3,cid=4", "'vsock,cid=3,cid=4': cid is given twice"),
        ("vsock,cid=3,socket=/x", "cid and socket exclude each other"),
        ("net,tap=t,socket=/x", "tap and socket exclude each other"),
        ("console,pty=/t,socket=/x", "socket and pty exclude each other"),
        ("net,tap=" + "a" * 16, "is not tap=VALUE with the name of a network interface, as tap0"),
        ("net,tap=a/b", "with the name of a network interface"),
        ("net,tap=..", "with the name of a network interface"),
        ("net,mac=01:00:00:00:00:01", "is not mac=VALUE with the address of one station, as 02:"),
        ("net,mac=00:00:00:00:00:00", "with the address of one station"),
        ("net,mac=02-00-00-00-00-01", "with the address of one station"),
        ("blk,socket=", "'socket=' is not socket=VALUE with a path of 1 to 107 bytes"),
        ("blk,socket=" + "é" * 54, "with a path of 1 to 107 bytes"),
        ("console,pty=" + "a" * 4096, "with a path of 1 to 4095 bytes"),
        ("fs,tag=" + "é" * 19, "is not tag=VALUE with 1 to 36 bytes of UTF-8"),
        ("device", "'device': expected id=N and queues=N too, as 'device,id=4,queues=1'"),
        ("device,id=4", "'device,id=4': expected queues=N too"),
        ("device,id=64,queues=1", "is not id=VALUE with a decimal number from 1 to 63"),
        ("device,id=0,queues=1", "is not id=VALUE with a decimal number from 1 to 63"),
        ("device,id=1,queues=17", "is not queues=VALUE with a decimal number from 1 to 16"),
        ("device,id=1,queues=1,queue-size=3", "with a power of two from 1 to 256"),
        ("device,id=1,queues=1,queue-size=512", "with a power of two from 1 to 256"),
        ("rng,region=0", "is not region=VALUE with bytes, a multiple of 0x1000, as 0x400000"),
        ("rng,region=0x0", "with bytes, a multiple of 0x1000"),
        ("rng,region=4097", "with bytes, a multiple of 0x1000"),
        ("rng,region=-4096", "with bytes, a multiple of 0x1000"),
    ],
)
def test_a_wrong_word_is_named_with_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        virtio.parse(text)


def test_the_options_of_a_word_are_the_devices() -> None:
    served = (
        "blk,socket=/run/disk",
        "device,queue-size=64,id=34,queues=5,region=65536",
        "device,id=41,queues=2",
        "fs",
    )
    disk, first, second, files = virtio.arrange(served, device_tree=False, version=2)
    assert (disk.name, disk.device_id, disk.queues, disk.queue_size) == ("blk", 2, 1, 128)
    assert disk.options == {"socket": "/run/disk"}
    assert disk.region == virtio.Area("blk", 0x10000, 0x400000)
    assert (first.name, first.device_id, first.queues, first.queue_size) == ("device0", 34, 5, 64)
    assert first.region == virtio.Area("device", 0x410000, 0x10000)
    assert first.options["region"] == "65536"
    assert (second.name, second.device_id, second.queues, second.queue_size) == (
        "device1",
        41,
        2,
        128,
    )
    assert (files.device_id, files.queues, files.options) == (26, 2, {})
    assert [each.header for each in (disk, first, second, files)] == [0, 0x200, 0x400, 0x600]


def test_only_version_1_has_the_control_queue_of_net() -> None:
    served = ("net,tap=tap0", "vsock,cid=42", "console")
    queues = [
        [each.queues for each in virtio.arrange(served, device_tree=False, version=version)]
        for version in virtio.VERSIONS
    ]
    assert queues == [[3, 3, 2], [2, 3, 2]]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(0, 0, 0), (0, 0), (0,), (0,), (0, 0)]),
        (2, [(1, 1, 0), (0, 0), (0,), (1,), (1, 1)]),
        (4, [(1, 2, 0), (0, 0), (0,), (3,), (1, 2)]),
        (32, [(1, 2, 0), (0, 0), (0,), (3,), (4, 5)]),
    ],
)
def test_queues_of_back_ends_share_the_vectors_but_that_of_transactions(
    count: int, expected: list[tuple[int, ...]]
) -> None:
    words = ("vsock", "console", "rng", "blk", "device,id=3,queues=2")
    devices = virtio.arrange(words, device_tree=False, version=2)
    assert virtio.vectors(devices, count) == expected


def test_a_region_that_is_too_small_for_its_queues_is_a_misfit() -> None:
    served = ("rng", "console,region=0x3000")
    assert virtio.misfit(served, device_tree=False, size=1 << 24, room=None) == (
        "'console,region=0x3000': its 2 queues of 128 do not fit into its region of 0x3000 bytes: "
        "too small by 0x1000"
    )
    enough = ("console,region=0x4000",)
    assert virtio.misfit(enough, device_tree=False, size=1 << 24, room=None) == ""
    # The header is in the region.
    assert "by 0x200" in virtio.misfit(enough, device_tree=True, size=1 << 24, room=None)


@given(st.lists(words(), min_size=1, max_size=40), st.booleans())
def test_devices_never_overlap_and_end_where_it_is_said(texts: list[str], tree: bool) -> None:
    served = tuple(texts)
    made = virtio.arrange(served, device_tree=tree)
    assert [each.kind for each in made] == [virtio.parse(text).kind for text in texts]
    assert len({each.name for each in made}) == len(made)
    regions = [each.region for each in made]
    assert all(one.end == two.offset for one, two in itertools.pairwise(regions))
    assert regions[-1].end == virtio.end(served, device_tree=tree)
    for each in made:
        assert each.region.size == int(
            each.options.get("region", str(virtio.KINDS[each.kind].region)), 0
        )
    headers = sorted(each.header for each in made)
    assert all(two - one >= virtio.HEADER_SIZE for one, two in itertools.pairwise(headers))
    # With a device tree a header begins its region, otherwise all are in what is before them.
    head = virtio.head(served, device_tree=tree)
    for each in made:
        assert each.header == each.region.offset if tree else each.header < head.end
        assert each.buffers >= 0


@given(st.lists(words(), max_size=40), st.booleans())
def test_devices_fit_into_just_what_they_take(texts: list[str], tree: bool) -> None:
    served = tuple(texts)
    size = virtio.end(served, device_tree=tree)
    assert virtio.misfit(served, device_tree=tree, size=size, room=size) == ""
    too_small = virtio.misfit(served, device_tree=tree, size=size - 1, room=None)
    assert too_small.endswith("too small by 0x1 bytes") or not size
    assert virtio.misfit(served, device_tree=tree, size=size, room=size - 1).endswith("0x1 bytes")
