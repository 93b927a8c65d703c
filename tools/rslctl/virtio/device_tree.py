# SPDX-License-Identifier: BSD-3-Clause
"""The device tree with which version 1 can begin the shared memory: where the headers are.

It is the tree of the RSL daemon, OpenAMP's fork of kvmtool: setup_virtio_mmio_fdt() and
generate_virtio_mmio_fdt_node() in virtio/mmio.c of its branch hvl-integration. The nodes have no
interrupts there either.
"""

from __future__ import annotations

from collections.abc import Iterable

from rslctl.virtio import registers


def blob(headers: Iterable[int]) -> bytes:
    """Return the tree for devices with *headers* at these addresses, which are the remote's.

    For :data:`virtio.MOST` devices it is shorter than virtio.DEVICE_TREE_SIZE.
    """
    import fdt  # here: most links have no such tree, and its import takes long

    tree = fdt.FDT(entries=[])  # the default is one list that all trees share
    tree.add_item(fdt.PropWords("#address-cells", 2))
    tree.add_item(fdt.PropWords("#size-cells", 2))
    for address in headers:
        cells = (address >> 32, address & 0xFFFF_FFFF, 0, registers.HEADER_SIZE)
        tree.add_item(
            fdt.Node(
                f"virtio@{address:x}",
                fdt.PropStrings("compatible", "virtio,mmio"),
                fdt.PropWords("reg", *cells),
                fdt.Property("dma-coherent"),
            )
        )
    made: bytes = tree.to_dtb(17, 16)  # version 17, compatible with 16, as libfdt writes it
    return made
