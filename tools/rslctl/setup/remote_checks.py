# SPDX-License-Identifier: BSD-3-Clause
"""The conditions for a remote: its driver, its devices, and its order with the daemon.

The checks only read.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator

from rslctl.devicetree.tree import Tree, parent
from rslctl.errors import RslError
from rslctl.linux import bus, mbox, modules, remoteproc
from rslctl.linux.host import Host
from rslctl.profile.model import Link
from rslctl.setup import order
from rslctl.setup.checks import Finding, Level

#: The nodes whose children the kernel makes devices of (drivers/of/platform.c,
#: of_default_bus_match_table).
_BUSES = {"simple-bus", "simple-mfd", "isa", "arm,amba-bus"}

#: The module of drivers/remoteproc for a compatible, and the option of the kernel's build for it.
_DRIVERS = {
    "xlnx,*-r5fss": ("xlnx_r5_remoteproc", "CONFIG_XLNX_R5_REMOTEPROC"),
    "fsl,imx*-cm*": ("imx_rproc", "CONFIG_IMX_REMOTEPROC"),
    "fsl,imx*-hifi4": ("imx_dsp_rproc", "CONFIG_IMX_DSP_REMOTEPROC"),
    "st,stm32*": ("stm32_rproc", "CONFIG_STM32_RPROC"),
    "ti,*-r5fss": ("ti_k3_r5_remoteproc", "CONFIG_TI_K3_R5_REMOTEPROC"),
    "ti,*-m4fss": ("ti_k3_m4_remoteproc", "CONFIG_TI_K3_M4_REMOTEPROC"),
    "ti,*-pru": ("pru_rproc", "CONFIG_PRU_REMOTEPROC"),
    "ti,omap*": ("omap_remoteproc", "CONFIG_OMAP_REMOTEPROC"),
    "ti,dra7*": ("omap_remoteproc", "CONFIG_OMAP_REMOTEPROC"),
    "ti,k2*-dsp": ("keystone_remoteproc", "CONFIG_KEYSTONE_REMOTEPROC"),
    "ti,*-dsp": ("ti_k3_dsp_remoteproc", "CONFIG_TI_K3_DSP_REMOTEPROC"),
    "mediatek,*scp*": ("mtk_scp", "CONFIG_MTK_SCP"),
    "renesas,rcar-*": ("rcar_rproc", "CONFIG_RCAR_REMOTEPROC"),
}


def driver(host: Host, tree: Tree, link: Link) -> list[Finding]:
    """Check that what boots the link's remote has a driver."""
    node = tree.find(link.remoteproc.node) if link.remoteproc else None
    if node is None or any(each.node == node for each in remoteproc.find(host)):
        return []
    if not tree.enabled(node):
        remedy = 'key "enable" of the profile: then a new overlay and a reboot'
        return [_driver(f"{link.name}: {node}, which boots the remote, is disabled", remedy)]
    top = _device_node(tree, node)
    device = bus.directory_of(host, top)
    bound = bus.driver_at(host, device) if device else None
    if bound:
        text = f"{link.name}: driver {bound} has {top} and made no remote processor of {node}"
        return [_driver(text, "dmesg says what it found wrong")]
    names = tree.texts(top, "compatible")
    found = _modules(host, names)
    if found:
        text = f"{link.name}: {top} has no driver yet, and this kernel has one, {found[0]}"
        return [_driver(text, f"modprobe {found[0]}; then dmesg says what it finds wrong")]
    return without_driver(host, tree, link)


def without_driver(host: Host, tree: Tree, link: Link) -> list[Finding]:
    """Check that the kernel, loaded or not, has a driver for what boots the link's remote.

    Without one the link works all the same, with a remote that the boot loader starts.
    """
    node = tree.find(link.remoteproc.node) if link.remoteproc else None
    if node is None or any(each.node == node for each in remoteproc.find(host)):
        return []
    top = _device_node(tree, node)
    device = bus.directory_of(host, top)
    names = tree.texts(top, "compatible")
    if (device and bus.driver_at(host, device)) or _modules(host, names) != []:
        return []
    _, option = _known(names) or ("", "its driver of drivers/remoteproc")
    return [
        _driver(
            f"{link.name}: this kernel, {os.uname().release}, has no driver for {top} "
            f"({', '.join(names)}), so Linux cannot boot the remote",
            f"build the kernel with {option}; or have the boot loader start the remote, and leave "
            "link.remoteproc out of the profile",
            "warning",
        )
    ]


def _driver(text: str, remedy: str, level: Level = "error") -> Finding:
    return Finding("remote-driver", level, text, remedy)


def _modules(host: Host, names: list[str]) -> list[str] | None:
    """The modules, loaded or built in, that are drivers for a compatible of *names*.

    None if the kernel has no lists of its modules. Of drivers that are built in, those of older
    kernels have the names only, and not what they match.
    """
    found = modules.of_compatible(host, names)
    known = _known(names)
    if found == [] and known and modules.available(host, known[0]):
        return [known[0]]
    return found


def _device_node(tree: Tree, node: str) -> str:
    """The node of the device that *node* belongs to: itself, or one above, as of a cluster."""
    above = parent(node)
    while above not in ("/", "") and not _BUSES & set(tree.texts(above, "compatible")):
        node, above = above, parent(above)
    return node


def _known(names: list[str]) -> tuple[str, str] | None:
    """The module and the option of the driver for a compatible; None if they are not known."""
    return next(
        (
            each
            for name in names
            for pattern, each in _DRIVERS.items()
            if fnmatch.fnmatchcase(name, pattern)
        ),
        None,
    )


def devices(host: Host, tree: Tree, link: Link) -> list[Finding]:
    """Check that Linux leaves the devices alone that the remote's program uses."""
    found = []
    for ref in link.remote_devices:
        node = tree.find(ref)
        if node is None or not tree.enabled(node):
            continue
        device = bus.directory_of(host, node)
        bound = bus.driver_at(host, device) if device else None
        has = f", whose driver {bound} has it" if bound else ""
        text = f"{link.name}: the remote's program uses {node}, and it is Linux's too{has}"
        remedy = (
            f'disable = ["{ref}"] in the profile, a new overlay and a reboot; or, if your program '
            "uses another, take it out of remote-devices"
        )
        found.append(Finding("remote-device", "warning", text, remedy))
    return found


def state(host: Host, name: str) -> Iterator[Finding]:
    """Check the state of the remote of the link *name*, which is set up, and of its daemon."""
    try:
        remote = order.of(host, name)
        processor = remote.processor(host)
    except order.UnknownRemoteError:
        return
    except RslError as error:
        yield Finding("remote", "error", f"{name}: {error}", error.hint)
        return
    device = mbox.at(host, remote.facts.node)
    served = bool(device and device.open_files)
    if processor.state == remoteproc.CRASHED:
        yield Finding(
            "remote-crashed",
            "error",
            f"{name}: {processor.device} has crashed",
            "stop the daemon, then: rslctl remote stop; start the daemon, then: rslctl remote "
            "start; dmesg says more",
        )
    elif processor.state in remoteproc.RUNNING:
        yield from _order(host, remote, processor, served)
    elif served:
        yield Finding(
            "remote-down",
            "warning",
            f"{name}: a daemon has the link open and {processor.device} is {processor.state}",
            f"rslctl remote start --link {name}",
        )
    if served and processor.recovers:
        yield Finding(
            "recovery",
            "warning",
            f"{name}: the kernel restarts {processor.device} by itself, under its daemon",
            "run rslctl setup again: it turns that off",
        )
    firmware = remote.facts.firmware or processor.firmware
    if firmware != remoteproc.UNKNOWN and not remoteproc.has_firmware(host, firmware):
        yield Finding(
            "firmware",
            "error",
            f"{name}: there is no firmware {remoteproc.FIRMWARE}/{firmware}",
            "put the remote's program there, an ELF file",
        )


def _order(
    host: Host, remote: order.Remote, processor: remoteproc.RemoteProcessor, served: bool
) -> Iterator[Finding]:
    """Find a running remote that did not start after its daemon, or has no daemon."""
    if remote.facts.start != "daemon":
        return
    what = "runs and no daemon has the link open"
    if served:
        try:
            order.check_order(host, remote, processor)
            return
        except order.RestartedError as error:
            yield Finding(
                "remote-restarted",
                "error",
                f"{remote.link}: {error}",
                "the daemon has the queues of the program that ran before: stop both, start the "
                "daemon, then the remote",
            )
            return
        except order.OrderError:
            what = "may have been started before its daemon"
        except RslError as error:
            yield Finding(
                "remote-restarted",
                "unknown",
                f"{remote.link}: cannot tell whether {processor.device} was restarted: {error}",
                error.hint,
            )
            return
    yield Finding(
        "remote-alone",
        "warning",
        f"{remote.link}: {processor.device} {what}",
        "then it finds no virtio devices: stop both, start the daemon, then the remote",
    )
