# SPDX-License-Identifier: BSD-3-Clause
"""A machine whose link is up, and all that can be wrong with it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import struct
from collections.abc import Callable
from typing import Any

from rslctl.linux.host import DEVICE_TREE
from rslctl.profile import model
from rslctl.profile.model import NodeRef
from rslctl.virtio.registers import Register
from rslctl.virtio.report import AWAY, MAGIC

from tests.unit.machine import Machine
from tests.unit.setup import ivshmem_faults

LINK = "/sys/class/rsl_mbox/rsl_mbox0"
IOMEM = "60000000-6fffffff : System RAM\n70000000-70ffffff : reserved\n"


def whole(machine: Machine) -> Machine:
    """A machine with its link up and nothing wrong with it."""
    machine.with_device_tree().with_driver().with_link()
    machine.write("/proc/iomem", IOMEM)
    machine.write("/lib/modules/6.1/modules.dep", "updates/rsl_mbox.ko:\n")
    for vector in range(4):
        for count in ("kicks", "notifications"):
            machine.write(f"{LINK}/vector{vector}/{count}", "0\n")
    return machine


def with_uio(machine: Machine, driver: str | None, number: int = 0, base: int = 0x70000000) -> None:
    device = machine.path("/sys/bus/platform/devices/70000000.shmem")
    device.mkdir(parents=True)
    (device / "of_node").symlink_to(machine.path(f"{DEVICE_TREE}/shmem@70000000"))
    machine.write("/sys/bus/platform/drivers/uio_pdrv_genirq/bind", "")
    if driver is None:
        return
    (device / "driver").symlink_to(machine.path(f"/sys/bus/platform/drivers/{driver}"))
    if driver != "uio_pdrv_genirq":
        return
    directory = f"/sys/class/uio/uio{number}"
    machine.write(f"{directory}/name", "rpu0\n")
    machine.write(f"{directory}/maps/map0/addr", f"{base:#x}\n")
    machine.write(f"{directory}/maps/map0/size", "0x1000000\n")
    machine.path(f"{directory}/device").symlink_to(device)


def with_mailbox(machine: Machine, *, driver: bool, other: bool) -> model.Board:
    """The board with a mailbox link, a controller and somebody else who has its channel."""
    machine.write(f"{DEVICE_TREE}/mailbox/phandle", (77).to_bytes(4, "big"))
    machine.write(f"{DEVICE_TREE}/mailbox/#mbox-cells", (1).to_bytes(4, "big"))
    places = {"mailbox": driver, "rpmsg": other}
    for name, bound in places.items():
        device = machine.path(f"/sys/bus/platform/devices/{name}")
        device.mkdir(parents=True)
        (device / "of_node").symlink_to(machine.path(f"{DEVICE_TREE}/{name}"))
        if bound:
            (device / "driver").symlink_to(f"/drivers/{name}-driver")
    machine.write(f"{DEVICE_TREE}/rpmsg/mboxes", bytes([0, 0, 0, 77, 0, 0, 0, 2]))
    machine.write(f"{DEVICE_TREE}/rsl-mbox-rpu0/mboxes", bytes([0, 0, 0, 77, 0, 0, 0, 2]))
    channels = model.Channels(NodeRef("", ("/mailbox",)), ((2,),), ((3,),))
    link = machine.board.links[0]
    link = dataclasses.replace(link, offers={"mailbox": channels}, transport="mailbox")
    return dataclasses.replace(machine.board, links=(link,))


def no_tree(machine: Machine) -> None:
    """The tree that Linux makes for itself where ACPI describes the machine."""
    shutil.rmtree(machine.path(DEVICE_TREE))
    machine.write(f"{DEVICE_TREE}/#address-cells", (2).to_bytes(4, "big"))
    machine.write("/sys/firmware/acpi/tables/DSDT", b"")


def other_board(machine: Machine) -> None:
    machine.write(f"{DEVICE_TREE}/compatible", b"xlnx,zynqmp-zcu102-rev1.0\0xlnx,zynqmp\0")


def unsigned(machine: Machine) -> None:
    shutil.rmtree(machine.path("/sys/module/rsl_mbox"))
    machine.write("/sys/module/module/parameters/sig_enforce", "Y\n")
    release = os.uname().release
    machine.write(f"/lib/modules/{release}/modules.dep", "updates/rsl_mbox.ko:\n")
    machine.write(f"/lib/modules/{release}/updates/rsl_mbox.ko", b"\x7fELF")


def without_driver(machine: Machine) -> model.Board:
    """A remote that the kernel could boot if it were built with the driver."""
    release = os.uname().release
    machine.write(f"{DEVICE_TREE}/remoteproc@ffe00000/compatible", b"xlnx,zynqmp-r5fss\0")
    machine.write(f"{DEVICE_TREE}/remoteproc@ffe00000/r5f@0/compatible", b"xlnx,zynqmp-r5f\0")
    machine.write(
        f"/lib/modules/{release}/modules.alias",
        "# Aliases extracted from modules themselves.\n"
        "alias of:N*T*Cti,am654-r5fssC* ti_k3_r5_remoteproc\n",
    )
    boots = model.Remoteproc(NodeRef("", ("/remoteproc@ffe00000/r5f@0",)), "", "daemon")
    return with_link(machine, remoteproc=boots)


def linux_has_it(machine: Machine) -> model.Board:
    """A serial port that the remote's program has, too."""
    machine.write(f"{DEVICE_TREE}/serial@1/compatible", b"cdns,uart-r1p8\0")
    device = machine.path("/sys/bus/platform/devices/1.serial")
    device.mkdir(parents=True)
    (device / "of_node").symlink_to(machine.path(f"{DEVICE_TREE}/serial@1"))
    (device / "driver").symlink_to("/drivers/xuartps")
    return with_link(machine, remote_devices=(NodeRef("uart1", ("/serial@1",)),))


def with_link(machine: Machine, **changes: Any) -> model.Board:
    link = dataclasses.replace(machine.board.links[0], **changes)
    return dataclasses.replace(machine.board, links=(link,))


def restarted(machine: Machine) -> None:
    """The kernel's log of two starts since rslctl's own began, and one before."""
    machine.with_journal({"remoteproc": "/remote"})
    machine.with_remote("running").write(f"{LINK}/open_files", "1\n")
    plan = {"node": "/remote", "firmware": "remote.elf", "served": True, "log": 700}
    document = {"complete": True, "entries": [{"step": "remote", "plan": plan}]}
    machine.write("/run/rslctl/rpu0.json", json.dumps(document))
    log(machine, 690, 700, 800)


def log(machine: Machine, *starts: int) -> None:
    """The kernel's log, in which the remote was started in these records."""
    records = "".join(
        f"6,{number - 1},{number}000,-;remoteproc remoteproc0: Booting fw image x, size 4\n"
        " SUBSYSTEM=remoteproc\n DEVICE=+remoteproc:remoteproc0\n"
        f"6,{number},{number}000,-;remoteproc remoteproc0: remote processor r5 is now up\n"
        " SUBSYSTEM=remoteproc\n DEVICE=+remoteproc:remoteproc0\n"
        f"6,{number + 1},{number}000,-;remoteproc remoteproc1: remote processor r5 is now up\n"
        " SUBSYSTEM=remoteproc\n DEVICE=+remoteproc:remoteproc1\n"
        for number in starts
    )
    machine.write("/dev/kmsg", records)


def wrong_tree(machine: Machine) -> None:
    machine.write(f"{DEVICE_TREE}/rsl-mbox@8020040/label", b"rpu1\0")


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
    (machine.path(LINK) / "device").unlink()
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
    machine.path("/sys/bus/platform/drivers/uio_pdrv_genirq/bind").unlink()
    machine.path("/sys/bus/platform/drivers/uio_pdrv_genirq").rmdir()


def no_node(machine: Machine) -> None:
    machine.path("/dev/rsl_mbox0").unlink()


def storm(machine: Machine) -> None:
    machine.write(f"{LINK}/vector2/storms", "3\n")
    machine.write(f"{LINK}/vector2/masked", "storm\n")


def storm_that_is_over(machine: Machine) -> None:
    machine.write(f"{LINK}/vector1/storms", "1\n")


def stalled(machine: Machine) -> None:
    machine.write(f"{LINK}/stalled_ms", "1500\n")


def silent(machine: Machine) -> None:
    # As with a controller whose driver says that a message was sent once it is in a register.
    machine.write(f"{LINK}/stalled_ms", "0\n")
    machine.write(f"{LINK}/vector3/kicks", "17\n")
    machine.write(f"{LINK}/open_files", "1\n")


def unread(machine: Machine) -> None:
    machine.write(f"{LINK}/vector1/notifications", "7\n")


def no_remote(machine: Machine) -> None:
    machine.with_journal({"remoteproc": "/nowhere"})


def crashed(machine: Machine) -> None:
    machine.with_journal({"remoteproc": "/remote"})
    machine.with_remote("crashed")


def alone(machine: Machine) -> None:
    machine.with_journal({"remoteproc": "/remote"})
    machine.with_remote("running")


def down(machine: Machine) -> None:
    machine.with_journal({"remoteproc": "/remote"})
    machine.with_remote("offline").write(f"{LINK}/open_files", "1\n")


def recovers(machine: Machine) -> None:
    machine.with_journal({"remoteproc": "/remote"})
    machine.with_remote("running").write(f"{LINK}/open_files", "1\n")


def no_firmware(machine: Machine) -> None:
    machine.with_journal({"remoteproc": "/remote", "firmware": "missing.elf"})
    machine.with_remote("offline")


def damaged(machine: Machine) -> None:
    machine.write("/run/rslctl/rpu0.json", "{")


def unfinished(machine: Machine) -> None:
    machine.with_journal({}, complete=False)


def gone(machine: Machine) -> None:
    machine.with_journal({})
    (machine.path(LINK) / "device").unlink()


def tap_down(machine: Machine) -> None:
    machine.write("/sys/class/net/tap0/flags", "0x1002\n")


def with_devices(machine: Machine, *words: str, version: int = 1) -> model.Board:
    """The board whose profile has these virtio devices."""
    served = model.Virtio(words, device_tree=False, version=version)
    return with_link(machine, virtio=served)


def no_tap(machine: Machine) -> model.Board:
    with_vhost(machine, "vhost-net")
    return with_devices(machine, "net,tap=tap7")


def no_vhost(machine: Machine) -> model.Board:
    return with_devices(machine, "vsock,cid=42")


def with_vhost(machine: Machine, name: str) -> None:
    """The driver of a vhost device, as the kernel and udev show it."""
    machine.write(f"/sys/class/misc/{name}/dev", "10:238\n")
    machine.write(f"/dev/{name}", b"")


def with_tap(machine: Machine, name: str, flags: str = "0x1003", tun: str = "0x5002") -> None:
    machine.write(f"/sys/class/net/{name}/flags", f"{flags}\n")
    machine.write(f"/sys/class/net/{name}/tun_flags", f"{tun}\n")


def no_back_end(machine: Machine) -> model.Board:
    return with_devices(machine, "rng", "9p", version=2)


def no_socket(machine: Machine) -> model.Board:
    return with_devices(machine, "blk,socket=/run/blk")


def left_socket(machine: Machine) -> model.Board:
    path = machine.path("/run/blk")
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(path))
    machine.write("/proc/net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n")
    return with_devices(machine, "blk,socket=/run/blk")


def with_headers(machine: Machine, *headers: dict[int, int]) -> None:
    """Virtio headers in the memory of the link, which a daemon has open; each by its registers."""
    memory = machine.path("/dev/rsl_mbox0")
    with memory.open("r+b") as file:
        file.truncate(0x1000000)
        for number, registers in enumerate(headers):
            for offset, value in {0: 0x74726976, 4: 1, **registers}.items():
                file.seek(0x200 * number + offset)
                file.write(struct.pack("<I", value))
    machine.write(f"{LINK}/open_files", "1\n")


def needs_reset(machine: Machine) -> None:
    with_headers(machine, {8: 4}, {8: 19, 0x70: 0x47})


def went_away(machine: Machine) -> None:
    with_headers(machine, {8: 26, 4: 2, 0x70: 0xF})
    with machine.path("/dev/rsl_mbox0").open("r+b") as file:
        file.seek(Register.REPORT)
        file.write(struct.pack("<2I", MAGIC, AWAY))


def failed(machine: Machine) -> None:
    with_headers(machine, {8: 4, 0x70: 0x83})


def features_left(machine: Machine) -> None:
    with_headers(machine, {8: 1, 0x10: 0x3100_8021, 0x20: 0x20, 0x70: 7})


def features_invented(machine: Machine) -> None:
    with_headers(machine, {8: 1, 0x10: 0x20, 0x20: 0x8020, 0x70: 7})


Provoke = Callable[[Machine], model.Board | None]

PROVOKED: list[tuple[str, str, Provoke, str]] = [
    ("no-tree", "error", no_tree, "devicetree/base': ACPI describes its hardware"),
    ("board", "error", other_board, "not board 'qemu-virt': its compatible is ['xlnx,zynqmp-zc"),
    ("signature", "error", unsigned, "signed (module.sig_enforce), and rsl_mbox is not"),
    ("machine", "error", wrong_tree, 'label is "rpu1", the profile says "rpu0"'),
    ("symbols", "warning", wrong_tree, "has no __symbols__"),
    ("runtime-overlay", "warning", wrong_tree, "takes no overlay while it runs"),
    ("memory", "error", in_ram, "memory 0x70000000-0x70ffffff is System RAM"),
    ("memory", "unknown", hidden, "proc/iomem' shows no addresses"),
    ("probe", "error", no_driver, "mailbox controller /mailbox has no driver"),
    ("channel", "error", busy_channel, "channel <2> of /mailbox is in use by /rpmsg, driver rpmsg"),
    ("module", "error", other_kernel, "no module rsl_mbox for kernel 6.9"),
    ("link", "error", unbound, "/rsl-mbox@8020040 has no driver: it waits for something"),
    *ivshmem_faults.PROVOKED,
    ("uio", "warning", uio_unbound, "parameter of_id is 'not set'"),
    ("uio", "warning", uio_driver_absent, "this kernel has no uio_pdrv_genirq"),
    ("uio", "error", uio_held, "/shmem@70000000 is held by driver 'dma-heap'"),
    ("uio-number", "warning", other_uio_number, "/dev/uio1, and the RSL daemon opens /dev/uio0"),
    ("uio-map", "error", other_uio_map, "/dev/uio0 maps 0x71000000, 0x1000000 bytes"),
    ("uio-device-memory", "warning", uio, "/dev/uio0 maps Device memory"),
    ("node", "error", no_node, "/dev/rsl_mbox0 is not there"),
    ("stalled", "error", stalled, "has not taken a kick for 1500 ms"),
    ("stalled", "error", silent, "rpu0: 17 kicks and never a notification"),
    (
        "storm",
        "error",
        storm,
        "more than 100000 times a second, or than the core can handle, and is masked now",
    ),
    ("storm", "warning", storm_that_is_over, "vector 1 was masked 1 time because"),
    ("unread", "warning", unread, "has notified 7 times and nobody has /dev/rsl_mbox0 open"),
    ("remote", "error", no_remote, "the kernel has no remote processor of /nowhere"),
    ("remote-driver", "warning", without_driver, "no driver for /remoteproc@ffe00000 (xlnx,"),
    (
        "remote-device",
        "warning",
        linux_has_it,
        "uses /serial@1, and it is Linux's too, whose driver",
    ),
    ("remote-restarted", "error", restarted, "remoteproc0 was started again under its daemon, and"),
    ("remote-crashed", "error", crashed, "remoteproc0 has crashed"),
    ("remote-alone", "warning", alone, "remoteproc0 runs and no daemon has the link open"),
    ("remote-down", "warning", down, "has the link open and remoteproc0 is offline"),
    ("recovery", "warning", recovers, "the kernel restarts remoteproc0 by itself"),
    ("firmware", "error", no_firmware, "no firmware /lib/firmware/missing.elf"),
    ("journal", "error", damaged, "rpu0.json' is damaged"),
    ("unfinished", "error", unfinished, "rpu0: its setup or teardown did not come to an end"),
    ("link-gone", "error", gone, "rpu0: it was set up and is gone"),
    ("tap", "warning", tap_down, "tap0 is down"),
    ("tap", "error", no_tap, "rpu0: net,tap=tap7: there is no network interface tap7"),
    ("vhost", "error", no_vhost, "rpu0: vsock,cid=42: this kernel has no vhost_vsock"),
    ("no-back-end", "error", no_back_end, "rpu0: 9p: nothing serves 9p but the RSL daemon"),
    ("socket", "error", no_socket, "rpu0: blk,socket=/run/blk: there is no socket '/run/blk'"),
    ("socket", "error", left_socket, "nobody listens at '/run/blk'"),
    ("virtio-device", "error", needs_reset, "rpu0: virtio device vsock says NEEDS_RESET"),
    ("virtio-device", "error", went_away, "device fs: its back-end went away"),
    ("virtio-device", "error", failed, "device rng: the remote's driver says FAILED"),
    ("features", "warning", features_left, "did not take bits 0, 15 of the device's features"),
    ("features", "error", features_invented, "that the device does not have: bits 15"),
]
