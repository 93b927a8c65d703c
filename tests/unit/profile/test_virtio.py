# SPDX-License-Identifier: BSD-3-Clause
"""Where the daemon puts its virtio devices."""

from __future__ import annotations

import itertools
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
        "hint: make link.memory.size larger, or serve fewer devices",
    ]
    small.write_text(text + 'virtio.devices = "net"\n')
    status, out, err = rslctl("layout", "--board", small)
    assert (status, out) == (1, "")
    assert err.startswith(f"rslctl: {small}:6: link[0].virtio.devices: 0x90000 bytes are needed")


@pytest.mark.parametrize(
    ("count", "kind", "message"),
    [
        (31, "net", "remote-dt begins at 0xf00000: too small by 0x90000 bytes"),
        (130, "rng", "headers of 130 devices take 0x10400 of 0x10000 bytes"),
    ],
)
def test_parts_do_not_overlap(rslctl: Rslctl, count: int, kind: str, message: str) -> None:
    devices = ["--device", kind] * count
    status, out, err = rslctl("layout", "--board", "qemu-virt", *devices)
    assert (status, out) == (1, "")
    assert message in err


@given(st.lists(st.sampled_from(sorted(virtio.KINDS)), min_size=1, max_size=40), st.booleans())
def test_devices_never_overlap_and_end_where_it_is_said(kinds: list[str], tree: bool) -> None:
    served = tuple(kinds)
    made = virtio.arrange(served, device_tree=tree)
    assert [each.kind for each in made] == kinds
    assert len({each.name for each in made}) == len(made)
    regions = [each.region for each in made]
    assert all(one.end <= two.offset for one, two in itertools.pairwise(regions))
    assert regions[-1].end == virtio.end(served, device_tree=tree)
    headers = sorted(each.header for each in made)
    assert all(two - one >= virtio.HEADER_SIZE for one, two in itertools.pairwise(headers))
    # With a device tree a header begins its region, otherwise all are in what is before them.
    head = virtio.head(served, device_tree=tree)
    for each in made:
        assert each.header == each.region.offset if tree else each.header < head.end
        assert each.buffers >= 0


@given(st.lists(st.sampled_from(sorted(virtio.KINDS)), max_size=40), st.booleans())
def test_devices_fit_into_just_what_they_take(kinds: list[str], tree: bool) -> None:
    served = tuple(kinds)
    size = virtio.end(served, device_tree=tree)
    assert virtio.misfit(served, device_tree=tree, size=size, room=size) == ""
    too_small = virtio.misfit(served, device_tree=tree, size=size - 1, room=None)
    assert too_small.endswith("too small by 0x1 bytes") or not size
    assert virtio.misfit(served, device_tree=tree, size=size, room=size - 1).endswith("0x1 bytes")
