# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl layout``."""

from __future__ import annotations

from typing import Any

from rslctl.cli.machine import ROOT, host
from rslctl.cli.options import (
    BoardOption,
    DeviceOption,
    DeviceTreeOption,
    JsonOption,
    LinkOption,
    RegistersOption,
    RootOption,
)
from rslctl.cli.output import print_json
from rslctl.errors import RslError, UsageError
from rslctl.profile import reader, virtio
from rslctl.profile.model import Link, Virtio
from rslctl.tables import table


def layout(
    board: BoardOption,
    link: LinkOption = None,
    device: DeviceOption = None,
    device_tree: DeviceTreeOption = None,
    version: RegistersOption = None,
    json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Show how much of a link's shared memory the virtio devices use, in bytes.

    Example: rslctl layout --board zcu102 --device rng --device net
    """
    chosen = reader.load(board, host(root)).link(link)
    served = _served(chosen, device, device_tree, version)
    room = chosen.remote_dt.base - chosen.memory.base if chosen.remote_dt else None
    misfit = virtio.misfit(
        served.devices, device_tree=served.device_tree, size=chosen.memory.size, room=room
    )
    if misfit:
        raise RslError(
            f"link {chosen.name!r}: {misfit}",
            hint="make link.memory.size larger, serve fewer devices, or say another region=BYTES",
        )
    devices = virtio.arrange(served.devices, device_tree=served.device_tree, version=served.version)
    used = virtio.end(served.devices, device_tree=served.device_tree)
    free = chosen.memory.size - used - (chosen.remote_dt.size if chosen.remote_dt else 0)
    head = virtio.head(served.devices, device_tree=served.device_tree)
    if json:
        print_json(_document(chosen, served.version, head, devices, free))
    else:
        _print(chosen, head, devices, free)


def _served(
    link: Link, words: list[str] | None, device_tree: bool | None, version: int | None
) -> Virtio:
    """What is served: what the options say, and for the rest what the profile does."""
    served = link.virtio or Virtio((), device_tree=False)
    for word in words or []:
        try:
            virtio.parse(word)
        except ValueError as error:
            raise UsageError(f"--device: {error}") from error
    devices = tuple(words) if words else served.devices
    if not devices:
        raise RslError(
            f"the profile of link {link.name!r} names no virtio devices",
            hint="add --device KIND, or a table link.virtio to the profile",
        )
    chosen = version or served.version
    if chosen == 2 and device_tree:
        raise UsageError("--dtb: version 2 has no device tree", hint="add --version 1")
    first = served.device_tree if device_tree is None else device_tree
    return Virtio(devices, first and chosen == 1, chosen)


def _document(
    link: Link, version: int, head: virtio.Area, devices: list[virtio.Device], free: int
) -> dict[str, Any]:
    base = link.memory.base
    return {
        "link": link.name,
        "version": version,
        "memory": {"base": base, "size": link.memory.size},
        "head": {"what": head.name, "base": base + head.offset, "size": head.size},
        "devices": [
            {
                "kind": each.kind,
                "device_id": each.device_id,
                "header": base + each.header,
                "region": {"base": base + each.region.offset, "size": each.region.size},
                "queues": each.queues,
                "queue_size": each.queue_size,
                "queue_bytes": each.queue_bytes,
                "buffers": each.buffers,
            }
            for each in devices
        ],
        "remote_dt": {"base": link.remote_dt.base, "size": link.remote_dt.size}
        if link.remote_dt
        else None,
        "free": free,
    }


def _print(link: Link, head: virtio.Area, devices: list[virtio.Device], free: int) -> None:
    base = link.memory.base
    print(f"{link.name}: shared memory at {base:#x}, {link.memory.size:#x} bytes")
    rows = [
        ("part", "base", "size", "header", "queues", "each", "buffers"),
        (head.name, f"{base + head.offset:#x}", f"{head.size:#x}", "", "", "", ""),
    ]
    rows += [
        (
            each.kind,
            f"{base + each.region.offset:#x}",
            f"{each.region.size:#x}",
            f"{base + each.header:#x}",
            f"{each.queues} of {each.queue_size}",
            f"{each.queue_bytes:#x}",
            f"{each.buffers:#x}",
        )
        for each in devices
    ]
    if link.remote_dt:
        at, size = link.remote_dt.base, link.remote_dt.size
        rows.append(("remote-dt", f"{at:#x}", f"{size:#x}", "", "", "", ""))
    rows.append(("free", "", f"{free:#x}", "", "", "", ""))
    print("\n".join(table(rows, left=(0,))))
