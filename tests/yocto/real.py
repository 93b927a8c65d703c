# SPDX-License-Identifier: BSD-3-Clause
"""The layer yocto/meta-rsl with the real layers of several series.

OE=DIR python -m tests.yocto.real [SERIES | SERIES:MACHINE]...

DIR has a directory for each series, scarthgap for example, with clones of bitbake,
openembedded-core, meta-openembedded, and of whichever layers of MACHINES there are. For each
machine that can be had: bitbake parses all, plans an image with the class rsl, and what the class
did to the recipes of the kernel and of virtual/dtb is looked up. For qemuarm64 yocto-check-layer
runs, too, and rslctl is imported on what the series' recipes say that an image has.

The builds go to DIR/build. bitbake refuses to work for root: as root, OE_USER names whose they are.
meta-xilinx-tools wants libtinfo.so.5 (libtinfo5 of Debian 12). Nothing is built: images are planned
only (bitbake -n), so nothing has to be downloaded, also no C library for the build's own programs
(uninative).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.amp import machine

LAYER = machine.REPOSITORY / "yocto/meta-rsl"
#: The layers that every build has.
COMMON = ("openembedded-core/meta", "meta-openembedded/meta-oe", "meta-openembedded/meta-python")
_ARM = ("meta-arm/meta-arm-toolchain", "meta-arm/meta-arm")
_XILINX = ("meta-xilinx/meta-xilinx-core", "meta-xilinx/meta-xilinx-standalone")
#: The machines, with the layers that each needs.
MACHINES: dict[str, tuple[str, ...]] = {
    "qemuarm64": (),
    "zcu102-zynqmp": (*_ARM, *_XILINX, "meta-xilinx/meta-xilinx-bsp", "meta-xilinx-tools"),
    "imx8mp-lpddr4-evk": ("meta-freescale",),
    "imx93-11x11-lpddr4x-evk": (*_ARM, "meta-freescale"),
    "imx8mpevk": (
        *_ARM,
        "meta-openembedded/meta-multimedia",
        "meta-freescale",
        "meta-imx/meta-imx-bsp",
    ),
    "stm32mp15-disco": (
        "meta-openembedded/meta-networking",
        "meta-openembedded/meta-filesystems",
        "meta-st-stm32mp",
    ),
    "am62xx-evm": (*_ARM, "meta-ti/meta-ti-bsp"),
}
#: Of all machines, as some want.
SETTINGS = """
ACCEPT_FSL_EULA = "1"
LICENSE_FLAGS_ACCEPTED += "xilinx"
PACKAGE_CLASSES = "package_ipk"
BB_SERVER_TIMEOUT = "0"
CONNECTIVITY_CHECK_URIS = ""
DL_DIR = "{oe}/build/downloads"
BB_HASHSERVE = ""
BB_SIGNATURE_HANDLER = "OEBasicHash"
INHERIT_DISTRO:remove = "uninative"
IMAGE_INSTALL:append = " packagegroup-rsl"
"""
#: Of one machine. meta-imx and meta-ti follow the releases of NXP and TI, so they can have appends
#: for versions of recipes that the newest commit of another layer has no more.
OWN_SETTINGS = {
    # Newer series have no such variable.
    "imx8mpevk": 'BB_DANGLINGAPPENDS_WARNONLY = "1"\n',
    "am62xx-evm": 'BBMASK += "/meta-ti-bsp/recipes-graphics/wayland/weston_"\n',
}


class BuildError(Exception):
    """Something is not as it has to be."""


class NoLayerError(Exception):
    """There is no clone of a layer that a machine needs."""


class Build:
    """A build directory of a series for a machine.

    Raises:
        NoLayerError: there is no clone of a layer of the machine's.
    """

    def __init__(self, oe: Path, series: str, name: str, *, inherit: bool = True) -> None:
        self.series, self.machine, self.tree = series, name, oe / series
        self.place = oe / "build" / f"{series}-{name}"
        layers = [self.tree / each for each in (*COMMON, *MACHINES[name])] + [LAYER]
        absent = [each for each in layers if not each.is_dir()]
        if absent:
            raise NoLayerError(f"there is no {absent[0].relative_to(oe)}")
        conf = self.place / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "bblayers.conf").write_text(
            'LCONF_VERSION = "7"\nBBPATH = "${TOPDIR}"\nBBFILES ?= ""\n'
            f'BBLAYERS ?= "{" ".join(map(str, layers))}"\n'
        )
        given = 'INHERIT += "rsl"\n' if inherit else ""
        (conf / "local.conf").write_text(
            f'MACHINE = "{name}"\nCONF_VERSION = "2"\n{given}{SETTINGS.format(oe=oe)}'
            + OWN_SETTINGS.get(name, "")
        )
        user = os.environ.get("OE_USER")
        if user:
            subprocess.run(["chown", "-R", user, oe / "build"], check=True)
        self._start = ["runuser", "-u", user, "--"] if user else []

    def run(self, *words: str | Path) -> str:
        """What a program of bitbake or openembedded-core prints.

        Raises:
            BuildError: it failed.
        """
        path = f"{self.tree}/bitbake/bin:{self.tree}/openembedded-core/scripts:{os.environ['PATH']}"
        done = subprocess.run(
            [
                *self._start,
                "env",
                f"PATH={path}",
                f"BUILDDIR={self.place}",
                "LC_ALL=C.UTF-8",
                *words,
            ],
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            shown = [*serious(done.stdout), *done.stdout.splitlines()[-20:]]
            raise BuildError("\n  ".join([" ".join(map(str, words)), *shown]))
        return done.stdout

    def variables(self, *recipe: str | Path) -> dict[str, str]:
        """The variables of a recipe, as ``bitbake -e`` prints them."""
        text = self.run("bitbake", "-e", *recipe)
        return dict(re.findall(r'^(?:export )?(\S+)="(.*)"$', text, re.MULTILINE))


def check_machine(build: Build) -> None:
    """Parse, look at what the class did, and plan an image."""
    report(build, build.run("bitbake", "-p"))
    kernel = build.variables("virtual/kernel")
    given = " ".join(
        kernel.get(name, "")
        for name in ("SRC_URI", "KERNEL_CONFIG_FRAGMENTS", "DELTA_KERNEL_DEFCONFIG")
    )
    if "rsl.cfg" not in given:
        raise BuildError(f"{kernel['PN']} has not got its configuration")
    trees = kernel.get("KERNEL_DEVICETREE", "").split()
    print(
        f"  {kernel['PN']} {kernel['PV']}: {len(trees)} trees, -@ in {kernel['KERNEL_DTC_FLAGS']!r}"
    )
    plan = build.run("bitbake", "-n", "rsl-image")
    report(build, plan)
    merging = re.findall(r"\(\S*?([^/]+\.bb):do_rsl_merge\)", plan)
    print(f"  the link is merged by {', '.join(merging) or 'none'}")
    if not merging and build.machine != "qemuarm64":
        raise BuildError("no recipe merges the link into a tree")
    check_overlay(build)


def check_overlay(build: Build) -> None:
    """Look at an image for a boot loader that applies the overlay."""
    chosen = build.place / "conf/overlay.conf"
    chosen.write_text('RSL_DEVICE_TREE = "overlay"\n')
    image = ("-b", LAYER / "recipes-rsl/images/rsl-image.bb")
    merged, overlay = build.variables(*image), build.variables("-R", chosen, *image)
    before, after = (each.get("IMAGE_BOOT_FILES", "").split() for each in (merged, overlay))
    if after != [*before, f"devicetree/{overlay['RSL_BOARD_NAME']}.dtbo"]:
        raise BuildError(f"boot files with the overlay: {after}; without: {before}")
    print(f"  the boot partition has {' '.join(after)}")


def check_layer(oe: Path, series: str) -> None:
    """Run yocto-check-layer, which wants a build without the layer, and without its class."""
    build = Build(oe, series, "qemuarm64", inherit=False)
    conf = build.place / "conf"
    text = (conf / "bblayers.conf").read_text()
    (conf / "bblayers.conf").write_text(text.replace(f" {LAYER}", ""))
    local = (conf / "local.conf").read_text()
    (conf / "local.conf").write_text(
        local.replace('IMAGE_INSTALL:append = " packagegroup-rsl"', "")
    )
    beside = [build.tree / each for each in COMMON]
    said = build.run("yocto-check-layer", LAYER, "--no-auto-dependency", "--dependency", *beside)
    print("\n".join(f"  {line}" for line in said.splitlines()[-12:]))


def check_python(build: Build) -> None:
    """Import all of rslctl on the packages that the recipes of a series ask for."""
    script = Path(__file__).with_name("closure.py")
    document = json.loads(build.run("python3", script, "rslctl").splitlines()[-1])
    if document["absent"]:
        raise BuildError(f"nothing provides {', '.join(document['absent'])}")
    manifest = (
        build.tree / "openembedded-core/meta/recipes-devtools/python/python3/python3-manifest.json"
    )
    versions = document["versions"]
    libraries = [f"{name}=={version}" for name, version in versions.items()]
    python = machine.environment(f"the libraries of {build.series}", libraries)
    # python3-misc is what no other package has, so the manifest has no entry of it.
    standard = [
        each.removeprefix("python3-") for each in document["standard"] if each != "python3-misc"
    ]
    done = subprocess.run(
        [python, "-m", "tests.yocto.python3", "--manifest", manifest, *standard],
        cwd=machine.REPOSITORY,
        env=os.environ | {"PYTHONPATH": "tools:."},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(done.stderr)
    print(f"  rslctl on {', '.join(libraries)} and {len(standard)} packages of python3")


def serious(said: str) -> list[str]:
    """The warnings and errors of bitbake."""
    return [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]


def report(build: Build, said: str) -> None:
    """Show the end of what bitbake said, and each of its warnings."""
    for line in [*serious(said), said.splitlines()[-1]]:
        print(f"  {line}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.yocto.real")
    parser.add_argument("what", nargs="*", metavar="SERIES[:MACHINE]")
    wanted = parser.parse_args().what
    oe = Path(os.environ["OE"]).resolve()
    wanted = wanted or sorted(path.parent.name for path in oe.glob("*/openembedded-core"))
    failed = []
    for each in wanted:
        series, _, name = each.partition(":")
        for one in [name] if name else MACHINES:
            print(f"{series}, {one}:", flush=True)
            try:
                build = Build(oe, series, one)
                check_machine(build)
                if one == "qemuarm64":
                    check_python(build)
                    check_layer(oe, series)
            except NoLayerError as reason:
                print(f"  left out: {reason}")
            except BuildError as failure:
                print(f"  FAILED: {failure}")
                failed.append(f"{series}:{one}")
    sys.exit(f"failed: {' '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
