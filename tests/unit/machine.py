# SPDX-License-Identifier: BSD-3-Clause
"""A machine made of files, for error paths and for what needs no kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rslctl.devicetree import nodes, overlay
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile import reader
from rslctl.setup.journal import STATE

#: The boards that come with rslctl and are not only played.
REAL_BOARDS = [name for name in reader.built_in() if name != "sim" and reader.load(name).has_tree]


#: The address of the machine's ivshmem device.
PCI = "0000:00:04.0"


class Machine:
    """A directory that looks like a machine with the link of board qemu-virt, module loaded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = Host(root)
        self.board = reader.load("qemu-virt")

    def path(self, name: str) -> Path:
        """The path of a file of this machine, in which no link is followed yet."""
        return Path(self.host.where(name))

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def with_device_tree(self) -> Machine:
        made = overlay.build(self.board)
        labels = [node.label for _, node in made.nodes() if node.label]
        for path, node in made.nodes():
            base = DEVICE_TREE + path.rstrip("/")
            for key, value in node.properties:
                data = nodes.encode(value, lambda node: labels.index(node.label) + 1)
                self.write(f"{base}/{key}", data)
            if node.label:
                number = labels.index(node.label) + 1
                self.write(f"{base}/phandle", number.to_bytes(4, "big"))
        self.write(f"{DEVICE_TREE}/compatible", b"linux,dummy-virt\0")
        self.write("/proc/iomem", "60000000-6fffffff : System RAM\n70000000-70ffffff : reserved\n")
        device = self.path("/sys/bus/platform/devices/8020040.rsl-mbox")
        device.mkdir(parents=True)
        tree = self.path(DEVICE_TREE + "/rsl-mbox@8020040")
        (device / "of_node").symlink_to(tree)
        return self

    def with_driver(self, name: str = "rsl_mbox_doorbell") -> Machine:
        self.write("/sys/module/rsl_mbox/refcnt", "0\n")
        for each in ("rsl_mbox_doorbell", "rsl_mbox_mailbox"):
            self.write(f"/sys/bus/platform/drivers/{each}/unbind", "")
        driver = self.write(f"/sys/bus/platform/drivers/{name}/bind", "").parent
        device = self.path("/sys/bus/platform/devices/8020040.rsl-mbox")
        (device / "driver").symlink_to(driver)
        return self

    def with_link(self, name: str = "rpu0", number: int = 0, vectors: int = 4) -> Machine:
        base = f"/sys/class/rsl_mbox/rsl_mbox{number}"
        attributes = {
            "label": name,
            "transport": "doorbell",
            "vectors": str(vectors),
            "memory_base": "0x0000000070000000",
            "memory_size": "0x0000000001000000",
            "open_files": "0",
            "stalled_ms": "0",
            "storm_limit": "100000",
            "dev": f"240:{number}",
        }
        for key, value in attributes.items():
            self.write(f"{base}/{key}", f"{value}\n")
        for n in range(vectors):
            self.write(f"{base}/vector{n}/kicks", f"{10 + n}\n")
            self.write(f"{base}/vector{n}/kicks_coalesced", "0\n")
            self.write(f"{base}/vector{n}/notifications", f"{20 + n}\n")
            self.write(f"{base}/vector{n}/storms", "0\n")
            self.write(f"{base}/vector{n}/masked", "\n")
        device = self.path("/sys/bus/platform/devices/8020040.rsl-mbox")
        self.path(f"{base}/device").symlink_to(device)
        self.write(f"/dev/rsl_mbox{number}", b"")
        return self

    def with_ivshmem(self, *, bound: bool = True, address: str = PCI) -> Machine:
        """An ivshmem device as PCI shows it, bound and with the first link, or neither.

        It plays drivers/pci/pci-sysfs.c and kmod/rsl_mbox/ivshmem.c. What is written changes
        nothing else: no driver comes and goes.
        """
        directory = f"/sys/devices/pci0000:00/{address}"
        shown = {"vendor": "0x1af4", "device": "0x1110", "driver_override": "(null)"}
        for name, value in shown.items():
            self.write(f"{directory}/{name}", f"{value}\n")
        device = self.path(f"/sys/bus/pci/devices/{address}")
        device.parent.mkdir(parents=True, exist_ok=True)
        device.symlink_to(self.path(directory))
        if bound:
            driver = self.write("/sys/bus/pci/drivers/rsl_mbox_ivshmem/bind", "").parent
            self.write("/sys/bus/pci/drivers/rsl_mbox_ivshmem/unbind", "")
            (device / "driver").symlink_to(driver)
            for name, value in {"role": "none", "peer": "none", "position": "3"}.items():
                self.write(f"{directory}/{name}", f"{value}\n")
            self.with_link(address)
            base = "/sys/class/rsl_mbox/rsl_mbox0"
            self.write(f"{base}/memory_size", "0x3f0000\n")
            self.write(f"{base}/transport", "ivshmem\n")
            link = self.path(f"{base}/device")
            link.unlink()
            link.symlink_to(self.path(directory))
        return self

    def with_eventfds(self, vector: int | None = None) -> Machine:
        """Eventfds of the first link with 4 vectors: none, or one for notifications of *vector*."""
        for n in range(4):
            base = f"/sys/class/rsl_mbox/rsl_mbox0/vector{n}"
            self.write(f"{base}/bound_notify", f"{int(n == vector)}\n")
            self.write(f"{base}/bound_kick", "0\n")
        return self

    def with_facts(self, link: str = "rpu0", **facts: str) -> Machine:
        """What setup was told of a link."""
        lines = [f"{key}={value}\n" for key, value in facts.items()]
        self.write(f"{STATE}/{link}.facts", "".join(lines))
        return self

    def with_journal(
        self, facts: Mapping[str, str], link: str = "rpu0", *, complete: bool = True
    ) -> Machine:
        """What setup wrote of a link, which undoes nothing; *facts* go before the board's."""
        usual = {"board": "qemu-virt", "transport": "doorbell", "style": "rsl"}
        self.with_facts(link, **{**usual, "node": "/rsl-mbox@8020040", **facts})
        self.write(f"{STATE}/{link}.json", json.dumps({"complete": complete, "entries": []}))
        return self

    def with_remote(self, state: str, firmware: str = "remote.elf") -> Machine:
        """A remote processor of the node /remote."""
        self.write(f"{DEVICE_TREE}/remote/compatible", b"vendor,remoteproc\0")
        device = self.path("/sys/bus/platform/devices/remote")
        device.mkdir(parents=True)
        (device / "of_node").symlink_to(self.path(f"{DEVICE_TREE}/remote"))
        base = "/sys/class/remoteproc/remoteproc0"
        attributes = {"name": "r5", "state": state, "firmware": firmware, "recovery": "enabled"}
        for key, value in attributes.items():
            self.write(f"{base}/{key}", f"{value}\n")
        self.path(f"{base}/device").symlink_to(device)
        self.write(f"/lib/firmware/{firmware}", b"\x7fELF")
        return self
