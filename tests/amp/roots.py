# SPDX-License-Identifier: BSD-3-Clause
"""Root file systems of Debian 12 with what our packages depend on, made by mmdebstrap.

Ours are not in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.amp import cache, debian
from tests.amp.machine import run
from tests.amp.say import die, say, step

RELEASE = "bookworm"

#: What a clean root has beside that; dkms needs headers to build for.
CLEAN = ("bash-completion", "linux-headers-amd64", "man-db")

#: What it has more of where it is booted, and what it lacks because it has to fit into memory.
BOOTED = ("busybox-static", "systemd-sysv", "udev")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/i18n/*", "/usr/share/locale/*", "/usr/share/man/*")

_EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")


def clean(debs: Sequence[Path]) -> Path:
    """A root for this machine, as a tar archive."""
    depends = _depends(debs)

    def make(target: Path) -> None:
        _bootstrap("amd64", CLEAN, depends, target / "root.tar")

    key = cache.digest(RELEASE, depends, *CLEAN)
    return cache.kept("root-amd64", key, make) / "root.tar"


def booted(debs: Sequence[Path]) -> Path:
    """A root for the board, with systemd as the first process, as an archive for the kernel."""
    depends = _depends(debs)

    def make(target: Path) -> None:
        _have_emulator()
        tar, cpio = target / "root.tar", target / "root.cpio"
        _bootstrap(
            "arm64", BOOTED, depends, tar, *(f"--dpkgopt=path-exclude={x}" for x in LEFT_OUT)
        )
        run(["bsdtar", "-cf", cpio, "--format", "newc", f"@{tar}"])
        run(["zstd", "-q", "-15", "-T2", "--rm", cpio])
        tar.unlink()

    key = cache.digest(RELEASE, depends, *BOOTED, *LEFT_OUT)
    return cache.kept("root-arm64", key, make) / "root.cpio.zst"


def _depends(debs: Sequence[Path]) -> str:
    return ", ".join(run(["dpkg-deb", "-f", deb, "Depends"]).strip() for deb in debs)


def _bootstrap(
    architecture: str, packages: Sequence[str], depends: str, target: Path, *options: str
) -> None:
    say(f"downloading about 150 MB of Debian packages into {cache.root()}: a root file system")
    with step(f"making a root file system of Debian 12 for {architecture}"):
        satisfy = f"apt-get satisfy -qy --no-install-recommends '{depends}'"
        run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={architecture}"),
                *(f"--include={','.join(packages)}", f'--customize-hook=chroot "$1" {satisfy}'),
                *(*options, RELEASE, target, debian.server()),
            ]
        )


def _have_emulator() -> None:
    """Have the kernel here start programs for arm64 by qemu-user, to configure packages."""
    if not _EMULATOR.exists():
        run(["update-binfmts", "--enable", "qemu-aarch64"])
    if not _EMULATOR.exists():
        die("no program for arm64 runs here; as root: update-binfmts --enable qemu-aarch64")
