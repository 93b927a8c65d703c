# SPDX-License-Identifier: BSD-3-Clause
"""What this machine has to have: Debian packages, and a venv with the Python packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomllib

from tests.amp import cache
from tests.amp.say import die, say, step

REPOSITORY = Path(__file__).parents[2]

#: A file that tells a package is installed, and the package.
PACKAGES = {
    "/usr/bin/aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "/usr/aarch64-linux-gnu/include/stdio.h": "libc6-dev-arm64-cross",
    # For programs of 32 bits.
    "/usr/bin/arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf",
    "/usr/arm-linux-gnueabihf/include/stdio.h": "libc6-dev-armhf-cross",
    "/usr/bin/qemu-system-aarch64": "qemu-system-arm",
    "/usr/bin/dtc": "device-tree-compiler",
    "/usr/bin/mkimage": "u-boot-tools",
    "/usr/bin/cpio": "cpio",
    "/usr/bin/make": "make",
    "/usr/bin/sparse": "sparse",
    "/usr/bin/systemd-analyze": "systemd",
    "/sbin/depmod": "kmod",
    "/usr/bin/mandoc": "mandoc",
    "/usr/bin/zsh": "zsh",
    "/usr/bin/fish": "fish",
}


def run(command: Sequence[object], *, cwd: Path | None = None, quiet: bool = True) -> str:
    """Run a command and return its output, or end with what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join(str(part) for part in command)
        die(f"failed with status {done.returncode}: {words}\n{done.stdout}")
    return done.stdout


#: The same, for virtual machines of amd64, and their programs.
AMD64_PACKAGES = {
    "/usr/bin/qemu-system-x86_64": "qemu-system-x86",
    "/usr/bin/x86_64-linux-gnu-gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
}

#: The same, for building the Debian packages.
DEB_PACKAGES = {
    "/usr/bin/dh": "debhelper",
    "/usr/bin/dh_dkms": "dh-dkms",
    "/usr/bin/dh_python3": "dh-python",
    "/usr/share/dh-python/dhpython/build/plugin_pyproject.py": "pybuild-plugin-pyproject",
    "/usr/lib/python3/dist-packages/setuptools": "python3-setuptools",
}

#: The same, for installing these in root file systems of Debian.
ROOT_PACKAGES = {
    **DEB_PACKAGES,
    "/usr/bin/arch-test": "arch-test",
    "/usr/bin/bsdtar": "libarchive-tools",
    "/usr/bin/lintian": "lintian",
    "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/bin/newuidmap": "uidmap",
    "/usr/bin/qemu-aarch64-static": "qemu-user-static",
    "/usr/bin/zstd": "zstd",
    "/usr/sbin/update-binfmts": "binfmt-support",
}

#: The same, for looking at pages.
BROWSER_PACKAGES = {
    "/usr/bin/chromium": "chromium",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
}

#: The same, for building programs for this machine.
COMPILER_PACKAGES = {"/usr/bin/gcc": "gcc", "/usr/include/stdio.h": "libc6-dev"}

#: The same, for building a whole kernel.
KERNEL_PACKAGES = {
    **COMPILER_PACKAGES,
    "/usr/bin/bc": "bc",
    "/usr/bin/bison": "bison",
    "/usr/bin/flex": "flex",
}

#: The same, for building modules for all kernels.
HEADERS_PACKAGES = {
    "/usr/bin/bwrap": "bubblewrap",
    "/usr/sbin/dkms": "dkms",
    "/usr/bin/gcc": "gcc",
    "/usr/bin/qemu-arm": "qemu-user",
}


def install(packages: Mapping[str, str] = PACKAGES) -> None:
    """Install the Debian packages that are missing, or say which they are and end."""
    missing = [package for file, package in packages.items() if not Path(file).exists()]
    if not importlib.util.find_spec("ensurepip"):
        missing.append("python3-venv")
    if not missing:
        return
    say(f"missing on this machine, from Debian 12: {' '.join(missing)}")
    root = os.geteuid() == 0
    if not shutil.which("apt-get") or not (root or shutil.which("sudo")):
        die(f"cannot install them; as root: apt-get install {' '.join(missing)}")
    if not root and subprocess.run(["sudo", "-v"], check=False).returncode:
        die(f"sudo does not let you install them; as root: apt-get install {' '.join(missing)}")
    apt = ["apt-get"] if root else ["sudo", "apt-get"]
    with step("installing them with apt-get"):
        run([*apt, "update", "-q"])
        run([*apt, "install", "-qy", "--no-install-recommends", *missing])
    importlib.invalidate_caches()


def python() -> Path:
    """The interpreter of a venv with what rslctl and its tests need, but not rslctl itself."""
    return environment("the tests", requirements("test"))


def environment(name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a venv with *packages*, which is made for *name*."""

    def make(target: Path) -> None:
        say(f"downloading from PyPI into {cache.root()}: {', '.join(packages)}")
        with step(f"making the Python environment of {name}"):
            run([sys.executable, "-m", "venv", target])
            run([target / "bin/python", "-m", "pip", "install", "-q", *packages])

    return cache.kept("venv", cache.digest(sys.version, *packages), make) / "bin/python"


def requirements(extra: str | None = None) -> list[str]:
    """The Python packages that pyproject.toml asks for, with those of an *extra*."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [
        *project["dependencies"],
        *(project["optional-dependencies"][extra] if extra else []),
    ]
