# SPDX-License-Identifier: BSD-3-Clause
"""The kernels that the board boots, and the headers that the modules build against.

A kernel is a directory with ``image`` to boot, ``headers`` to build modules against,
``release`` as uname -r has it, and ``modules``, the files that depmod wants and the modules
of :data:`KEPT`; headers alone lack the image.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.amp import cache
from tests.amp.debian import Apt
from tests.amp.machine import REPOSITORY, run
from tests.amp.say import say, step


@dataclass(frozen=True)
class Packaged:
    """One of Debian's kernels: which packages, and the compiler for them."""

    #: Of a header package; the first group is the release without its flavour.
    headers: str
    architecture: str = "arm64"
    #: Debian's release where it is not this machine's.
    release: str = ""
    bootable: bool = False
    arch: str = "arm64"
    cross: str = "aarch64-linux-gnu-"
    #: Whether its headers need the compiler of *release*.
    own_compiler: bool = False
    #: What the name of the package of the headers for all flavours ends in.
    common: str = "common"


KERNELS = {
    "6.1": Packaged(r"linux-headers-(6\.1\.0-\d+)-arm64", bootable=True),
    # PREEMPT_RT.
    "6.1-rt": Packaged(r"linux-headers-(6\.1\.0-\d+)-rt-arm64", bootable=True, common="common-rt"),
    "6.12": Packaged(r"linux-headers-(6\.12\.\d+\+deb12)-arm64", bootable=True),
    "5.10": Packaged(r"linux-headers-(5\.10\.0-\d+)-arm64", release="bullseye"),
    "6.1-amd64": Packaged(
        r"linux-headers-(6\.1\.0-\d+)-amd64", "amd64", bootable=True, arch="x86", cross=""
    ),
    "6.1-armhf": Packaged(
        r"linux-headers-(6\.1\.0-\d+)-armmp",
        "armhf",
        # Not this machine's sources: linux-kbuild has to be there for both architectures.
        release="bookworm",
        arch="arm",
        cross="arm-linux-gnueabihf-",
    ),
    # The newest there is: 7.2 in November 2026.
    "sid": Packaged(
        r"linux-headers-(\d+\.\d+\.\d+\+deb\d+)-arm64",
        release="sid",
        bootable=True,
        own_compiler=True,
    ),
}

#: The modules that are kept of those that come with a bootable kernel.
KEPT = (
    *("configfs", "uio"),
    # vhost-vsock, and what it depends on.
    *("vsock", "vmw_vsock_virtio_transport_common", "vhost_iotlb", "vhost", "vhost_vsock"),
    # vhost-net, and the same.
    *("tap", "tun", "vhost_net"),
)

#: What a module's build takes from Debian beside the compiler, where it takes that from there.
TOOLS = (
    *("base-files", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "mawk", "sed"),
    *("make", "pahole", "sparse"),
)


def kernel(name: str = "6.1") -> Path:
    """The directory of a kernel of :data:`KERNELS`, or "debug", made where it is not there."""
    if name == "debug":
        config = REPOSITORY / "tests/amp/debug.config"
        return cache.kept("kernel-debug", cache.digest(config, "1"), _make_debug)
    packaged = KERNELS[name]
    kept = KEPT if packaged.bootable else ()
    key = cache.digest(repr(packaged), "2", *kept)
    return cache.kept(f"kernel-{name}", key, lambda target: _make_packaged(name, packaged, target))


def make_command(name: str, source: Path) -> list[object]:
    """The command that builds the modules in *source* for a kernel; takes more variables."""
    packaged = KERNELS.get(name) or Packaged("")
    headers = (kernel(name) / "headers").resolve()
    compiler = f"{packaged.cross}gcc"
    inside: list[object] = []
    if packaged.own_compiler:
        version = (kernel(name) / "compiler").read_text()
        compiler += f"-{version}"
        inside = _inside(_toolchain(packaged.release, version), source)
    return [
        *(*inside, "make", "-s", "-C", source, f"KERNEL_SRC={headers}", f"ARCH={packaged.arch}"),
        # Debian's headers name a compiler that may not be here.
        *(f"CROSS_COMPILE={packaged.cross}", f"CC={compiler}"),
    ]


def _toolchain(release: str, version: str) -> Path:
    """A root file system with a version of gcc of another release."""
    packages = (f"gcc-{version}-aarch64-linux-gnu", *TOOLS)

    def make(target: Path) -> None:
        say(f"downloading about 100 MB into {cache.root()}: {packages[0]} of {release}")
        with step(f"fetching the compiler of {release}"):
            apt = Apt(target / "apt", "amd64", release)
            apt.unpack(packages, target / "root", dependencies=True)
            run(["rm", "-r", target / "apt"])
            (target / "root/usr/bin/awk").symlink_to("mawk")

    key = cache.digest(release, *packages, "1")
    return cache.kept("toolchain", key, make) / "root"


def _inside(root: Path, source: Path) -> list[object]:
    """What starts a command with the programs of *root*, and *source* to write to."""
    words: list[object] = ["bwrap", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
    for name in ("usr", "etc"):
        words += ["--ro-bind", root / name, f"/{name}"]
    for name in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    return [*words, "--ro-bind", cache.root(), cache.root(), "--bind", source, source]


def _has_image(apt: Apt, packaged: Packaged, headers: str) -> bool:
    """Whether the kernel of *headers* can be had where it is wanted: it may come days later."""
    release = headers.removeprefix("linux-headers-")
    images = (f"linux-image-{release}", f"linux-binary-{release}")
    return not packaged.bootable or any(map(apt.has, images))


def _make_packaged(name: str, packaged: Packaged, target: Path) -> None:
    size = 80 if packaged.bootable else 15
    say(f"downloading about {size} MB of Debian packages into {cache.root()}: kernel {name}")
    with step(f"fetching kernel {name}"):
        apt = Apt(target / "apt", packaged.architecture, packaged.release)
        headers = apt.newest(packaged.headers, lambda each: _has_image(apt, packaged, each))
        found = re.fullmatch(packaged.headers, headers)
        assert found is not None
        common = f"linux-headers-{found[1]}-{packaged.common}"
        release = headers.removeprefix("linux-headers-")
        kbuild = apt.depends(headers, r"linux-kbuild-[^\s,]+")
        packages = [headers, common, f"{kbuild}:amd64"]
        if packaged.bootable:
            # In one package, or in some of which the first has what depmod wants. Since
            # November 2026 the modules are in one of their own.
            split = apt.depends(headers, r"linux-base-\d[^\s,]+", default="")
            packages += [split, f"linux-binary-{release}"] if split else [f"linux-image-{release}"]
            modules = f"linux-modules-{release}"
            packages += [modules] if apt.has(modules) else []
        apt.unpack(packages, target / "root", dependencies=False)
        if packaged.own_compiler:
            host = apt.depends(headers, r"gcc-\d+-for-host")
            (target / "compiler").write_text(host.split("-")[1])
        if packaged.architecture == "armhf":
            apt.unpack([kbuild], target / "armhf", dependencies=False)
        run(["rm", "-r", target / "apt"])
    _adapt_headers(target / "root", headers)
    if packaged.architecture == "armhf":
        _adapt_modpost(target, kbuild)
    (target / "headers").symlink_to(f"root/usr/src/{headers}")
    (target / "release").write_text(release)
    if packaged.bootable:
        (place,) = target.glob(f"root/**/lib/modules/{release}/kernel")
        for path in place.rglob("*.ko*"):
            if path.name.partition(".")[0] not in KEPT:
                path.unlink()
        (target / "modules").symlink_to(place.parent.relative_to(target))
        (image,) = target.glob("root/**/vmlinuz*")
        (target / "image").symlink_to(image.relative_to(target))


def _adapt_headers(root: Path, headers: str) -> None:
    """Have Debian's headers work where they are."""
    source = root / "usr/src" / headers
    # They name their place as if they were installed.
    makefile = source / "Makefile"
    place = "SOURCES := $(dir $(lastword $(MAKEFILE_LIST))).."
    makefile.write_text(f"{place}\n{makefile.read_text().replace('/usr/src', '$(SOURCES)')}")
    # Type information of the kernel, which takes another tool and which we do not use.
    (source / "vmlinux").unlink(missing_ok=True)
    # Makefiles since 6.16 ask this whether sparse is there, and Debian does not ship it.
    valid = source / "scripts/checker-valid.sh"
    if not valid.exists():
        valid.write_text("#!/bin/sh\necho 1\n")
        valid.chmod(0o755)


def _adapt_modpost(target: Path, kbuild: str) -> None:
    """Have modpost know how long the tables of a 32-bit kernel are.

    Debian's for amd64 was compiled with the lengths of amd64, so it has to be armhf's own.
    """
    place = target / f"root/usr/lib/{kbuild}/scripts/mod/modpost"
    own = f"../../../../../../armhf/usr/lib/{kbuild}/scripts/mod/modpost.real-lsb-32"
    assert (place.parent / own).exists(), own
    place.unlink()
    place.write_text(
        "#!/bin/sh\n"
        f'exec qemu-arm -L /usr/arm-linux-gnueabihf "$(dirname "$(readlink -f "$0")")/{own}" "$@"\n'
    )
    place.chmod(0o755)


def _source() -> Path:
    """The archive of the kernel's source."""

    def make(target: Path) -> None:
        say(f"downloading about 145 MB into {cache.root()}: the source of kernel 6.12")
        with step("fetching the kernel's source"):
            apt = Apt(target / "apt")
            apt.unpack(["linux-source-6.12"], target / "root", dependencies=False)
            run(["rm", "-r", target / "apt"])

    kept = cache.kept("kernel-source", "6.12", make)
    return kept / "root/usr/src/linux-source-6.12.tar.xz"


def _from_source(directory: str, *names: str) -> Path:
    """The first of some files in a directory of the kernel's source; the others are beside it."""

    def make(target: Path) -> None:
        source = _source()
        with step(f"unpacking {names[0]}"):
            members = [f"linux-source-6.12/{directory}/{name}" for name in names]
            depth = directory.count("/") + 2
            run(["tar", "-xf", source, f"--strip-components={depth}", *members], cwd=target)

    kind = Path(names[0]).name.partition(".")[0]
    return cache.kept(kind, cache.digest("6.12", *names), make) / names[0]


def checkpatch() -> Path:
    """The kernel's checker of style."""
    others = ("const_structs.checkpatch", "spelling.txt")
    return _from_source("scripts", "checkpatch.pl", *others)


def bindings() -> Path:
    """The directory of the kernel's schemas of remoteproc nodes, and of what these refer to."""
    directory = "Documentation/devicetree/bindings"
    names = ("remoteproc", "arm/keystone/ti,k3-sci-common.yaml")
    return _from_source(directory, *names).parent


def uio_driver(name: str) -> Path:
    """The kernel's module uio_pdrv_genirq, which none of Debian's for arm64 has."""
    module = "uio_pdrv_genirq"

    def make(target: Path) -> None:
        shutil.copy(_from_source("drivers/uio", f"{module}.c"), target)
        (target / "Kbuild").write_text(f"obj-m := {module}.o\n")
        (target / "Makefile").write_text("all:\n\t$(MAKE) -C $(KERNEL_SRC) M=$(CURDIR) modules\n")
        run(make_command(name, target))

    key = cache.digest((kernel(name) / "release").read_text(), "1")
    return cache.kept(f"uio-{name}", key, make) / f"{module}.ko"


def _make_debug(target: Path) -> None:
    archive = _source()
    with step("unpacking the kernel's source"):
        run(["tar", "-xf", archive], cwd=target)
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
