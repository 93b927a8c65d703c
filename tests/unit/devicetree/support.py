# SPDX-License-Identifier: BSD-3-Clause
"""dtc, and a base for the board qemu-virt."""

from __future__ import annotations

import subprocess

import fdt
from rslctl.devicetree import overlay, tree
from rslctl.errors import SeveralError
from rslctl.profile import model, reader

BASE = """\
/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	compatible = "linux,dummy-virt";
	interrupt-parent = <0x8002>;
	intc@8000000 {
		compatible = "arm,cortex-a15-gic";
		reg = <0 0x8000000 0 0x10000>;
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;
		phandle = <0x8002>;
		#interrupt-cells = <3>;
		interrupt-controller;
		v2m@8020000 { reg = <0 0x8020000 0 0x1000>; };
	};
	memory@40000000 {
		device_type = "memory";
		reg = <0 0x40000000 0 0x40000000>;
	};
	// more
};
"""

#: The nodes get their interrupt parent from the base, which dtc cannot see.
INHERITED = "-Wno-interrupts_property"
#: The controllers of mailboxes are in the base, too.
NO_CONTROLLER = "-Wno-mboxes_property"
#: The R5 cluster of a ZynqMP has a node for each of its modes, in Linux's own trees as well.
CLUSTERS = "-Wno-unique_unit_address"


def dtc(text: str, *arguments: str) -> bytes:
    done = subprocess.run(
        ["dtc", "-I", "dts", "-O", "dtb", *arguments],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def normal(blob: bytes) -> dict[str, dict[str, bytes]]:
    """A blob's properties by path, as bytes, whatever their order."""
    found: dict[str, dict[str, bytes]] = {}
    for path, _, properties in fdt.parse_dtb(blob).walk():
        # A property in a blob: token, length, offset of its name, then the data, padded.
        found[path] = {
            each.name: bytes(each.to_dtb("")[0])[4:8] + bytes(each.to_dtb("")[0])[12:]
            for each in properties
        }
    return found


def merged_with(base: bytes, name: str = "qemu-virt") -> bytes:
    made = overlay.for_base(reader.load(name), "rsl", tree.from_blob(base, "base"))
    return overlay.merge(made, base)


def problems_on(base: str, profile: model.Board | None = None) -> list[str]:
    """What is found against the overlay on a base."""
    parsed = tree.from_blob(dtc(base), "base")
    try:
        overlay.for_base(profile or reader.load("qemu-virt"), "rsl", parsed)
    except SeveralError as error:
        assert all(message.startswith("base: ") for message in error.messages)
        return [message.removeprefix("base: ") for message in error.messages]
    return []
