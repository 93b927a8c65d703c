# SPDX-License-Identifier: BSD-3-Clause
"""The measurements of virtio devices by "make bench" run, with a proxy in the path as well."""

from __future__ import annotations

from tests.bench import virtio, virtio_figures


def test_every_device_is_measured_with_each_contender() -> None:
    document = virtio.measure(rounds=1, trips=5, size=20_000)
    print(virtio_figures.table(document))
    for device in virtio.DEVICES:
        for contender in virtio.CONTENDERS:
            for part in virtio_figures.PARTS:
                assert document["measured"][f"{device}-{contender}.{part}"]["p50"][0] > 0
