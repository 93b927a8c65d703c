# SPDX-License-Identifier: BSD-3-Clause
"""Debian packages for the board: downloaded and unpacked, never installed here.

apt gets a state directory of its own with nothing installed in it, and the board's
architecture. Packages of this machine's release come from where its /etc/apt says, those
of other releases from the same server.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.amp import cache
from tests.amp.architectures import Architecture
from tests.amp.machine import run
from tests.amp.say import die, say, step

_CONFIG = """\
APT::Architecture "{1}";
APT::Architectures {{ "{1}"; "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "{0}/state";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
"""


_OTHER_RELEASE = """\
Dir::Etc::SourceList "{0}/sources.list";
Dir::Etc::SourceParts "{0}/none";
Acquire::Check-Valid-Until "false";
"""


def server() -> str:
    """Where this machine's packages come from."""
    files = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]
    texts = [file.read_text() for file in files if file.suffix in (".sources", ".list")]
    found = re.search(r"\bhttps?://\S+/debian/?(?=\s|$)", "\n".join(texts), re.MULTILINE)
    if not found:
        die("/etc/apt names no server with Debian's packages")
    return found[0]


class Apt:
    """An apt of our own below *directory*, with fresh package lists.

    *release* is another than this machine's, or empty.
    """

    def __init__(self, directory: Path, architecture: str = "arm64", release: str = "") -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        self._config = directory / "apt.conf"
        config = _CONFIG.format(directory, architecture)
        if release:
            keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
            source = f"deb [signed-by={keyring}] {server()} {release} main\n"
            (directory / "sources.list").write_text(source)
            config += _OTHER_RELEASE.format(directory)
        self._config.write_text(config)
        self._archives = directory / "cache/archives"
        self._update()

    def _update(self) -> None:
        """Fetch the lists of packages; a server whose copy is being made has no whole one."""
        for pause in (10, 30):
            command = ["env", f"APT_CONFIG={self._config}", "apt-get", "-qq", "update"]
            if not subprocess.run(command, capture_output=True, check=False).returncode:
                return
            time.sleep(pause)
        self._run("apt-get", "-q", "update")

    def _run(self, *command: str) -> str:
        return run(["env", f"APT_CONFIG={self._config}", *command])

    def depends(self, package: str, pattern: str, default: str | None = None) -> str:
        """The package that *package* depends on and that matches *pattern*, or the default."""
        shown = self._run("apt-cache", "--no-all-versions", "show", package)
        found = re.search(rf"^Depends:.*?\b({pattern})", shown, re.MULTILINE)
        if not found:
            if default is not None:
                return default
            die(f"package {package} depends on nothing like {pattern}:\n{shown}")
        return found[1]

    def has(self, package: str) -> bool:
        """Whether a package can be downloaded. Others may only name it."""
        shown = self._run("apt-cache", "policy", package)
        return bool(re.search(r"^ +Candidate: (?!\(none\))", shown, re.MULTILINE))

    def newest(self, pattern: str, usable: Callable[[str], bool] = lambda _: True) -> str:
        """The package of the highest version among those that match *pattern* and are *usable*."""
        names = self._run("apt-cache", "pkgnames").split()
        matching = [name for name in names if re.fullmatch(pattern, name)]
        matching.sort(key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
        for name in reversed(matching):
            if self.has(name) and usable(name):
                break
        else:
            die(f"there is no package like {pattern}")
        return name

    def unpack(self, packages: Sequence[str], target: Path, *, dependencies: bool) -> None:
        """Download *packages*, perhaps with all that they depend on, and unpack them."""
        if dependencies:
            self._run("apt-get", "-qy", "install", "--download-only", *packages)
        else:
            command = ["env", f"APT_CONFIG={self._config}", "apt-get", "-q", "download"]
            run([*command, *packages], cwd=self._archives)
        for archive in sorted(self._archives.glob("*.deb")):
            run(["dpkg-deb", "-x", archive, target])
            archive.unlink()


#: What the board's root file system has, beside what these depend on.
PACKAGES = ("busybox-static", "kmod", "libc-bin", "libudev1", "python3")

#: What no test needs, relative to the root.
_UNUSED = (
    "usr/share",
    "usr/include",
    "usr/lib/python3.11/*/__pycache__",
    "usr/lib/python3.11/test",
    "usr/lib/python3.11/distutils",
    "usr/lib/python3.11/lib2to3",
    "usr/lib/python3.11/idlelib",
    "usr/lib/*-linux-gnu/libdb-*",
    "usr/lib/dpkg",
    "usr/bin/dpkg*",
    "usr/bin/localedef",
    "usr/lib/locale",
    "usr/lib/python3.11/pydoc_data",
    "usr/lib/*-linux-gnu/gconv",
    "usr/lib/*-linux-gnu/perl*",
    "lib/udev/hwdb.d",
    "var",
)


#: What it has more of where systemd is to start things.
SYSTEMD_PACKAGES = ("systemd", "udev")

#: What it has more of where virtio devices are served: qemu-storage-daemon, virtiofsd, and two
#: programs that use AF_VSOCK, with the libraries of these four. Their packages depend on more.
VIRTIO_PACKAGES = (
    *("qemu-system-common", "socat", "ncat", "liblua5.3-0", "libpcap0.8", "libdbus-1-3"),
    *("libsystemd0", "libgcrypt20", "libgpg-error0", "liblz4-1", "libzstd1", "libcap2"),
    *("libaio1", "libcap-ng0", "libfuse3-3", "libglib2.0-0"),
    *("libgmp10", "libgnutls30", "libhogweed6", "libidn2-0", "libnettle8", "libnuma1"),
    *("libp11-kit0", "libseccomp2", "libtasn1-6", "libunistring2", "liburing2", "libwrap0"),
)

#: What these have that nobody starts.
_VIRTIO_UNUSED = (
    *("etc", "lib/udev", "usr/lib/aarch64-linux-gnu/glib-2.0", "usr/lib/aarch64-linux-gnu/qemu"),
    *("usr/bin/qemu-pr-helper", "usr/lib/qemu/qemu-bridge-helper"),
    "usr/lib/qemu/virtfs-proxy-helper",
)


def userland(architecture: Architecture) -> Path:
    """A root file system with Python and busybox."""
    kind = f"userland-{architecture.debian}"
    return _unpacked(kind, "Python", 15, PACKAGES, architecture=architecture.debian)


def systemd() -> Path:
    """What makes systemd run on top of that."""
    return _unpacked("systemd-arm64", "systemd", 15, SYSTEMD_PACKAGES)


def virtio() -> Path:
    """What serves virtio devices on top of that."""
    unused = (*_UNUSED, *_VIRTIO_UNUSED)
    return _unpacked(
        "virtio-arm64", "back-ends for virtio", 8, VIRTIO_PACKAGES, unused, dependencies=False
    )


def libsystemd() -> Path:
    """Header and library of libsystemd for arm64, to build a daemon with."""

    def make(target: Path) -> None:
        say(f"downloading Debian's libsystemd for arm64 into {cache.root()}")
        with step("fetching libsystemd for the board"):
            apt = Apt(target / "apt")
            packages = ("libsystemd-dev", "libsystemd0")
            apt.unpack(packages, target / "root", dependencies=False)
            run(["rm", "-r", target / "apt"])

    return cache.kept("libsystemd-arm64", cache.digest(_CONFIG), make) / "root/usr"


def _unpacked(
    kind: str,
    what: str,
    megabytes: int,
    packages: Sequence[str],
    unused: Sequence[str] = _UNUSED,
    *,
    dependencies: bool = True,
    architecture: str = "arm64",
) -> Path:
    def make(target: Path) -> None:
        say(f"downloading about {megabytes} MB of Debian packages into {cache.root()}: {what}")
        with step(f"fetching {what} for the board"):
            apt = Apt(target / "apt", architecture)
            apt.unpack(packages, target / "root", dependencies=dependencies)
            for pattern in unused:
                for path in (target / "root").glob(pattern):
                    run(["rm", "-r", path])
            run(["rm", "-r", target / "apt"])

    return cache.kept(kind, cache.digest(_CONFIG, *packages, *unused), make)
