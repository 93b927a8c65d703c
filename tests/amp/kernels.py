# SPDX-License-Identifier: BSD-3-Clause
"""The kernels that the board boots, and the headers that the modules build against.

A kernel is a directory with ``image`` to boot, ``headers`` to build modules against,
``release`` as uname -r has it, and ``modules``, the files that depmod wants; headers alone
lack the image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.amp import cache
from tests.amp.debian import Apt
from tests.amp.machine import REPOSITORY, run
from tests.amp.say import say, step


@dataclass(frozen=True)
class Packaged:
    """One of Debian's kernels: which packages, and the cross compiler for them."""

    #: Of a header package; the first group is the release without its flavour.
    headers: str
    flavour: str
    architecture: str = "arm64"
    #: Debian's release where it is not this machine's.
    release: str = ""
    bootable: bool = False
    arch: str = "arm64"
    cross: str = "aarch64-linux-gnu-"


KERNELS = {
    "6.1": Packaged(r"linux-headers-(6\.1\.0-\d+)-arm64", "arm64", bootable=True),
    "6.12": Packaged(r"linux-headers-(6\.12\.\d+\+deb12)-arm64", "arm64", bootable=True),
    "5.10": Packaged(r"linux-headers-(5\.10\.0-\d+)-arm64", "arm64", release="bullseye"),
    "6.1-amd64": Packaged(
        r"linux-headers-(6\.1\.0-\d+)-amd64", "amd64", "amd64", arch="x86", cross=""
    ),
}


def kernel(name: str = "6.1") -> Path:
    """The directory of a kernel of :data:`KERNELS`, or "debug", made where it is not there."""
    if name == "debug":
        config = REPOSITORY / "tests/amp/debug.config"
        return cache.kept("kernel-debug", cache.digest(config, "1"), _make_debug)
    packaged = KERNELS[name]
    key = cache.digest(repr(packaged), "1")
    return cache.kept(f"kernel-{name}", key, lambda target: _make_packaged(name, packaged, target))


def _make_packaged(name: str, packaged: Packaged, target: Path) -> None:
    size = 80 if packaged.bootable else 15
    say(f"downloading about {size} MB of Debian packages into {cache.root()}: kernel {name}")
    with step(f"fetching kernel {name}"):
        apt = Apt(target / "apt", packaged.architecture, packaged.release)
        headers = apt.newest(packaged.headers)
        found = re.fullmatch(packaged.headers, headers)
        assert found is not None
        common = f"linux-headers-{found[1]}-common"
        release = headers.removeprefix("linux-headers-")
        version = apt.depends(headers, r"linux-kbuild-[^\s,]+")
        packages = [headers, common, f"{version}:amd64"]
        if packaged.bootable:
            packages.append(f"linux-image-{release}")
        apt.unpack(packages, target / "root", dependencies=False)
        run(["rm", "-r", target / "apt"])
    _adapt_headers(target / "root", headers, common)
    (target / "headers").symlink_to(f"root/usr/src/{headers}")
    (target / "release").write_text(release)
    if packaged.bootable:
        modules = f"root/lib/modules/{release}"
        run(["rm", "-r", target / modules / "kernel"])
        (target / "modules").symlink_to(modules)
        (target / "image").symlink_to(f"root/boot/vmlinuz-{release}")


def _adapt_headers(root: Path, headers: str, common: str) -> None:
    """Have Debian's headers work where they are."""
    source = root / "usr/src" / headers
    # They name their place as if they were installed.
    (source / "Makefile").write_text(
        f"include $(dir $(lastword $(MAKEFILE_LIST)))../{common}/Makefile\n"
    )
    # Type information of the kernel, which takes another tool and which we do not use.
    (source / "vmlinux").unlink(missing_ok=True)


def _make_debug(target: Path) -> None:
    say(f"downloading about 145 MB into {cache.root()}: the source of kernel 6.12")
    with step("fetching the kernel's source"):
        apt = Apt(target / "apt")
        apt.unpack(["linux-source-6.12"], target / "root", dependencies=False)
        run(["rm", "-r", target / "apt"])
        run(["tar", "-xf", target / "root/usr/src/linux-source-6.12.tar.xz"], cwd=target)
        run(["rm", "-r", target / "root"])
    source = target / "linux-source-6.12"
    make = ["make", "-s", "-C", source, "ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"]
    config = REPOSITORY / "tests/amp/debug.config"
    run([*make, f"KCONFIG_ALLCONFIG={config}", "allnoconfig"])
    with step("building a kernel with checkers, about 10 minutes"):
        run([*make, "-j2", "Image", "modules"])
    run([*make, f"INSTALL_MOD_PATH={target}", "modules_install"])
    release = run([*make, "kernelrelease"]).strip().splitlines()[-1]
    for leftover in ("*.o", "*.a", ".*.cmd"):
        run(["find", source, "-name", leftover, "-not", "-path", "*/scripts/*", "-delete"])
    (target / "release").write_text(release)
    (target / "headers").symlink_to(source.name)
    (target / "image").symlink_to(f"{source.name}/arch/arm64/boot/Image")
    (target / "modules").symlink_to(f"lib/modules/{release}")
