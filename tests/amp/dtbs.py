# SPDX-License-Identifier: BSD-3-Clause
"""The device trees of real boards, as Debian's kernels have them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.amp import cache, kernels
from tests.amp.debian import Apt
from tests.amp.machine import run
from tests.amp.say import say, step


@dataclass(frozen=True)
class Image:
    """A kernel package that is wanted for its device trees only."""

    package: str
    release: str
    architecture: str = "armhf"


#: Beside the kernels of kernels.KERNELS. Sid's for armhf has none.
IMAGES = {
    "6.1-armhf": Image(r"linux-image-6\.1\.0-\d+-armmp", "bookworm"),
    "6.12-armhf": Image(r"linux-image-6\.12\.\d+\+deb12-armmp", "bookworm-backports"),
    "6.12-riscv64": Image(r"linux-image-6\.12\.\d+\+deb13-riscv64", "trixie", "riscv64"),
    "sid-riscv64": Image(r"linux-base-7\.\d+\.\d+\+deb\d+-riscv64", "sid", "riscv64"),
}

#: What such a package has beside its trees.
_UNWANTED = ("boot", "lib", "usr/lib/modules/*/kernel")

#: Where each board's tree is, and its kernels without one.
BOARDS = {
    "zcu102": ("zynqmp-zcu102-rev1.0.dtb", ()),
    "zcu104": ("zynqmp-zcu104-revC.dtb", ()),
    "kv260": ("zynqmp-sm-k26-revA-sck-kv-g-revB.dtb", ("6.1",)),
    "imx8mp-evk": ("imx8mp-evk.dtb", ()),
    "imx93-evk": ("imx93-11x11-evk.dtb", ()),
    "am642-evm": ("k3-am642-evm.dtb", ()),
    "am625-sk": ("k3-am625-sk.dtb", ()),
    "stm32mp157c-dk2": ("stm32mp157c-dk2.dtb", ()),
}


def cases() -> list[tuple[str, str, str]]:
    """Kernel, board and file of every tree; those of sid, which moves on, where SID is set."""
    found = []
    arm64 = ["6.1", "6.12", *(["sid"] if "SID" in os.environ else [])]
    for board, (file, missing) in BOARDS.items():
        names = ["6.1-armhf", "6.12-armhf"] if board.startswith("stm32") else arm64
        found += [(name, board, file) for name in names if name not in missing]
    # The K26 without a carrier, and the starter kit's, which is a module of its own.
    others = ("zynqmp-sm-k26-revA.dtb", "smk-k26-revA-sm-k26-revA-sck-kv-g-revB.dtb")
    return [*found, *(("6.1", "kv260", file) for file in others)]


def path(kernel: str, file: str) -> Path:
    """A tree of a kernel."""
    (found,) = _root(kernel).glob(f"**/{file}")
    return found


def every(kernel: str) -> list[Path]:
    """All trees of a kernel, in a fixed order."""
    return sorted(_root(kernel).glob("**/*.dtb"))


def _root(kernel: str) -> Path:
    return _images(kernel) if kernel in IMAGES else kernels.kernel(kernel) / "root"


def _images(name: str) -> Path:
    image = IMAGES[name]

    def make(target: Path) -> None:
        say(f"downloading about 40 MB into {cache.root()}: the device trees of kernel {name}")
        with step(f"fetching the device trees of kernel {name}"):
            apt = Apt(target / "apt", image.architecture, image.release)
            apt.unpack([apt.newest(image.package)], target / "root", dependencies=False)
            unwanted = [each for name in _UNWANTED for each in (target / "root").glob(name)]
            run(["rm", "-r", target / "apt", *unwanted])

    return cache.kept(f"dtbs-{name}", cache.digest(repr(image), "1"), make)
