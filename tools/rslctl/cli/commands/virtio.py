# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl virtio``."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys

from rslctl import client
from rslctl.cli.output import note
from rslctl.errors import os_error
from rslctl.linux import fd_passing
from rslctl.tables import table
from rslctl.virtio import options, service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rslctl.cli.options import DeviceOption, DeviceTreeOption, DryRunOption, RegistersOption


def virtio(
    device: DeviceOption = None,
    version: RegistersOption = None,
    device_tree: DeviceTreeOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Be the daemon of a link, and serve its virtio devices.

    The queues are served by the kernel (vhost-vsock, vhost-net), by other processes (vhost-user),
    or here (rng, console). It gets its link as any daemon does, and needs no privilege. The devices
    are those of the profile; with --device those that it names, in this order. Runs until SIGTERM
    or SIGINT.

    Example: rslctl virtio --device rng --device console,pty=/run/rsl/console

    It is not started alone, but so:

    Example: rslctl run --user nobody -- rslctl virtio

    Example: rslctl run --user nobody --open /dev/vhost-vsock:vhost-vsock -- rslctl virtio
    """
    _fill()
    try:
        link = client.receive()
    except client.NoLinkError as error:
        whole = shlex.join(["rslctl", *sys.argv[1:]])
        raise client.NoLinkError(
            str(error), hint=f"start it with: rslctl run --user nobody -- {whole}"
        ) from error
    with link:
        plan = options.plan(link.manifest, device or (), version=version, device_tree=device_tree)
        if dry_run:
            _print(plan)
            return
        service.serve(lambda: service.Service(link, plan, _given(), _say))


def _fill() -> None:
    """Open what is closed of the standard descriptors: else the link's memory gets their number.

    A console would read it, and write to it, for standard input and output.
    """
    for number in range(fd_passing.START):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free


def _given() -> dict[str, int]:
    """The descriptors beside those of the link, by name: what ``rslctl run --open`` opened.

    Raises:
        RslError: one is not open.
    """
    found = {}
    names = fd_passing.given()
    for name in options.GIVEN:
        try:
            descriptor = fd_passing.find(name, names)
        except OSError as error:
            raise os_error(f"use descriptor {name}", error) from error
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            found[name] = descriptor
    return found


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        note(text)


def _print(plan: options.Plan) -> None:
    """Print what would be served."""
    rows = [("device", "header", "region", "size", "queues", "vectors", "back-end")]
    for device, vectors in zip(plan.devices, plan.vectors, strict=True):
        rows.append(
            (
                device.name,
                f"{plan.header(device).base:#x}",
                f"{plan.memory.base + device.region.offset:#x}",
                f"{device.region.size:#x}",
                f"{device.queues} of {device.queue_size}",
                ",".join(map(str, sorted({*vectors}))),
                options.describe(device),
            )
        )
    tree = "with" if plan.device_tree else "without"
    print(f"version {plan.version} of the registers, {tree} a device tree")
    print("\n".join(table(rows, left=(0, 6))))
