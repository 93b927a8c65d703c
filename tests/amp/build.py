# SPDX-License-Identifier: BSD-3-Clause
"""What the board boots, made from this checkout into build/."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.amp import cache, debian, kernels
from tests.amp.architectures import AMD64, ARM64, Architecture
from tests.amp.machine import REPOSITORY, python, requirements, run
from tests.amp.packages import wheel
from tests.amp.say import die, say, step

BUILD = REPOSITORY / "build/amp"
#: Directories of kernel modules, and what each wants in a kernel's configuration.
MODULES: dict[str, tuple[str, ...]] = {
    "kmod/rsl_mbox": (),
    "tests/kmod/rsl_mbox_sim": (),
    "tests/kmod/rsl_mbox_deferring": (),
    "tests/kmod/rsl_remoteproc_psci": ("CONFIG_ARM64=y", "CONFIG_REMOTEPROC=y"),
    "tests/kmod/rsl_of_configfs": ("CONFIG_ARM64=y", "CONFIG_OF_OVERLAY=y"),
}

#: For programs of 32 bits, which run on the same kernel.
CROSS_32 = "arm-linux-gnueabihf-"

#: Where QEMU puts Linux and the remote; shim.S jumps there.
LINUX_ENTRY = 0x44000000


@dataclass(frozen=True)
class Board:
    """The files that QEMU takes, and where it loads the remote."""

    image: Path
    initramfs: Path
    #: None leaves the device tree to QEMU.
    dtb: Path | None = None
    #: What starts the remote and then Linux; None leaves the remote to Linux.
    shim: Path | None = None
    firmware: Path = BUILD / "remote.bin"
    firmware_base: int = 0
    architecture: Architecture = ARM64
    #: How many cores Linux has: the first, or the first and the third where the tree says
    #: that the second is the remote's.
    cores: int = 1
    #: Further arguments of the kernel, and of the emulator.
    arguments: tuple[str, ...] = ()
    emulator: tuple[str, ...] = ()
    #: Whether it has a second link, to a remote that is a machine of its own: ivshmem.py.
    ivshmem: bool = False

    def with_tree(self, name: str) -> Board:
        """The same with another tree: "merged" is the board itself, "reserved" has no more of
        the overlay than the memory, the others are of :data:`TREES`, "styles" or "two".
        """
        return dataclasses.replace(
            self,
            dtb=BUILD / f"{name}.dtb",
            cores=2 if name == "sim" else 1,
            shim=None if name == "rproc" else self.shim,
        )

    def machine(self) -> Board:
        """An ordinary machine of QEMU instead: it has no remote."""
        return dataclasses.replace(self, dtb=None, shim=None)

    def with_systemd(self) -> Board:
        """The same where systemd is the first process."""
        return dataclasses.replace(self, initramfs=BUILD / "systemd.cpio")

    def with_virtio(self) -> Board:
        """The same with back-ends for virtio devices, and with a remote that drives these."""
        return dataclasses.replace(
            self, initramfs=BUILD / "virtio.cpio", firmware=BUILD / "virtio.bin"
        )

    def for_test(self, name: str) -> Board:
        """The same with the device tree, the first process and the remote that a test of
        tests/guest is written for.
        """
        board = self.with_tree(TREE_OF_TEST.get(name, "sim"))
        if name.startswith("test_systemd"):
            return board.with_systemd()
        if name == "test_ivshmem":
            return dataclasses.replace(board, ivshmem=True)
        return board.with_virtio() if name.startswith("test_virtio") else board


#: The device trees that are made of "merged" with the overlays of this directory.
TREES = ("sim", "bad", "rproc")

#: The profile that "two" is made of.
TWO = REPOSITORY / "tests/amp/two.toml"

#: Where it is not "sim".
TREE_OF_TEST = {
    "test_bringup": "rproc",
    "test_documents": "merged",
    "test_handoff": "merged",
    "test_ivshmem": "merged",
    "test_mailbox_styles": "styles",
    "test_monitor": "merged",
    "test_overlay_apply": "reserved",
    "test_overlay_live": "merged",
    "test_refused": "merged",
    "test_remoteproc": "rproc",
    "test_rslctl": "merged",
    "test_rslctl_bench": "merged",
    "test_setup_killed": "merged",
    "test_setup_killed_remote": "rproc",
    "test_setup_remote": "rproc",
    "test_setup_two": "two",
    "test_setup_uio": "merged",
    "test_systemd": "rproc",
    "test_systemd_handoff": "rproc",
    "test_uio": "merged",
    "test_virtio": "merged",
    "test_virtio_bench": "merged",
}

#: What tests of tests/guest want in a kernel's configuration; they are for no other kernels.
WANTED_OF_TEST: dict[str, tuple[str, ...]] = {
    "test_compat32": ("CONFIG_COMPAT=y",),
    **dict.fromkeys(
        ("test_overlay_apply", "test_overlay_live"), MODULES["tests/kmod/rsl_of_configfs"]
    ),
    # The kernel with checkers has no control groups: the units tell nothing of the module.
    **dict.fromkeys(("test_systemd", "test_systemd_handoff"), ("CONFIG_CGROUPS=y",)),
    "test_ivshmem": ("CONFIG_PCI_MSI=y", "CONFIG_PCI_HOST_GENERIC=y"),
    "test_vhost": ("CONFIG_VHOST_VSOCK=m",),
    **dict.fromkeys(
        ("test_virtio", "test_virtio_bench"),
        ("CONFIG_VHOST_VSOCK=m", "CONFIG_VHOST_NET=m", "CONFIG_TUN=m"),
    ),
}


def _config(kernel: str) -> set[str]:
    return set((kernels.kernel(kernel) / "headers/.config").read_text().splitlines())


def modules(kernel: str) -> list[str]:
    """The directories of :data:`MODULES` whose modules a kernel can have."""
    config = _config(kernel)
    return [name for name, wanted in MODULES.items() if set(wanted) <= config]


def guest_tests(kernel: str, *prefixes: str) -> list[str]:
    """The tests of tests/guest that are for a kernel and whose names begin so."""
    config = _config(kernel)
    return [
        path.stem
        for path in sorted((REPOSITORY / "tests/guest").glob("*.py"))
        if path.name.startswith(prefixes) and set(WANTED_OF_TEST.get(path.stem, ())) <= config
    ]


def rslctl(*arguments: str | Path) -> str:
    """Run this checkout's rslctl on the building machine."""
    tools = REPOSITORY / "tools"
    return run(["env", f"PYTHONPATH={tools}", python(), "-m", "rslctl", *arguments])


#: Set where the files of the board are there already, made by the process that began this one.
MADE = "AMP_BOARD_MADE"


def board(name: str = "6.1", *, uio: bool = True) -> Board:
    """Everything that the emulated board needs to boot the kernel *name*, made anew.

    Without *uio* it lacks the module uio_pdrv_genirq, which takes the kernel's source.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    interpreter, kernel = python(), kernels.kernel(name)
    profile = _profile(interpreter)
    if MADE not in os.environ:
        base, systemd, virtio = _base_files(), _systemd_files(), _virtio_files()
        with step("building module, firmware, device tree and initramfs"):
            _device_tree()
            _firmware(profile)
            project = _project_files(name, uio)
            join([base, project], BUILD / "initramfs.cpio")
            join([systemd, base, project], BUILD / "systemd.cpio")
            join([virtio, base, project], BUILD / "virtio.cpio")
    return Board(
        image=kernel / "image",
        initramfs=BUILD / "initramfs.cpio",
        dtb=BUILD / "merged.dtb",
        shim=BUILD / "shim.bin",
        firmware_base=profile["firmware"]["base"],
    )


def machine(name: str) -> Board:
    """What a virtual machine needs to boot the kernel *name*, of its architecture, made anew."""
    if kernels.KERNELS[name].arch == "arm64":
        return board(name, uio=False).machine()
    kernel, base = kernels.kernel(name), _base_files(AMD64)
    with step("building module and initramfs"):
        join([base, _project_files(name, uio=False, architecture=AMD64)], BUILD / "amd64.cpio")
    return Board(kernel / "image", BUILD / "amd64.cpio", architecture=AMD64)


def _profile(interpreter: Path) -> dict[str, Any]:
    """The first link of the board profile, as rslctl reads it."""
    program = (
        "import json, dataclasses; from rslctl.profile import reader;"
        "print(json.dumps(dataclasses.asdict(reader.load('qemu-virt').links[0])))"
    )
    out = run(["env", f"PYTHONPATH={REPOSITORY / 'tools'}", interpreter, "-c", program])
    link: dict[str, Any] = json.loads(out)
    return link


def _device_tree() -> None:
    base, merged = BUILD / "base.dtb", BUILD / "merged.dtb"
    run([ARM64.emulator, *ARM64.machine, "-M", f"dumpdtb={base}"])
    for board, made in (("qemu-virt", merged), (TWO, BUILD / "two.dtb")):
        rslctl("overlay", "--board", board, "--base", base, "--merge", made)
    reserved = BUILD / "reserved.dtb"
    shutil.copy(merged, reserved)
    run(["fdtput", "-r", reserved, "/rsl-mbox@8020040", "/shmem@70000000"])
    styles = BUILD / "styles.dtso"
    program = REPOSITORY / "tests/amp/styles.py"
    styles.write_text(run(["env", f"PYTHONPATH={REPOSITORY / 'tools'}", python(), program]))
    for name in (*TREES, "styles"):
        blob = BUILD / f"{name}.dtbo"
        source = styles if name == "styles" else REPOSITORY / f"tests/amp/{name}.dtso"
        # Interrupts have their parent from the base, which dtc cannot see.
        run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", blob, source])
        run(["fdtoverlay", "-i", merged, "-o", BUILD / f"{name}.dtb", blob])


def _firmware(link: dict[str, Any]) -> None:
    """The shim and the remote's programs, configured from the board profile."""
    source = REPOSITORY / "tests/remote"
    config = BUILD / "remote_config.h"
    rslctl("remote-dt", "--board", "qemu-virt", "-o", config)
    entry = link["firmware"]["base"]
    flags = "-O2 -Wall -Wextra -Werror -nostdlib -ffreestanding -mgeneral-regs-only -mstrict-align"
    flags += " -fno-pie -no-pie -static"
    places = [f"-I{BUILD}", f"-I{REPOSITORY / 'tools/librsl'}"]
    common = [f"{ARM64.cross}gcc", *flags.split(), *places, "-Wl,--build-id=none"]
    shim = [
        *(f"-DREMOTE_ENTRY={entry:#x}", f"-DLINUX_ENTRY={LINUX_ENTRY:#x}", "-Wl,-Ttext=0"),
        source / "shim.S",
    ]
    remote = [f"-Wl,-T,{source / 'remote.ld'},-Ttext={entry:#x}", source / "start.S"]
    _binary("shim", [*common, *shim])
    for name in ("remote", "virtio"):
        _binary(name, [*common, *remote, source / f"{name}.c"])


def _binary(name: str, command: list[object]) -> None:
    elf, binary = BUILD / f"{name}.elf", BUILD / f"{name}.bin"
    run([*command, "-o", elf])
    run([f"{ARM64.cross}objcopy", "-O", "binary", elf, binary])


def module(name: str, kernel: str) -> Path:
    """The module in *name*, a directory, built for a kernel out of tree without a warning."""
    source = Path(name)

    def make(target: Path) -> None:
        place = target / source.name
        shutil.copytree(REPOSITORY / source, place)
        said = run([*kernels.make_command(kernel, place), "W=1", "C=1"])
        if "warning" in said:
            die(f"the module builds with warnings:\n{said}")

    command = " ".join(map(str, kernels.make_command(kernel, Path())))
    key = cache.digest(REPOSITORY / source, command)
    kept = cache.kept(f"{source.name}-{kernel}", key, make)
    return kept / source.name / f"{source.name}.ko"


def _base_files(architecture: Architecture = ARM64) -> Path:
    """An archive with the board's root file system, without what comes from the checkout."""
    userland = debian.userland(architecture)
    packages = [*requirements(), "pytest"]
    key = cache.digest(str(userland), Path(__file__), *packages)

    def make(target: Path) -> None:
        wanted = f"{architecture.debian}: {', '.join(packages)}"
        say(f"downloading from PyPI into {cache.root()}, for {wanted}")
        with step("making the board's root file system"):
            root = target / "root"
            run(["cp", "-a", userland / "root", root])
            for name in ("proc", "sys", "dev", "run", "tmp", "root"):
                (root / name).mkdir(exist_ok=True)
            site = root / "usr/local/lib/python3.11/dist-packages"
            platforms = [f"manylinux{each}_{architecture.gnu}" for each in ("2014", "_2_28")]
            run(
                [
                    *(python(), "-m", "pip", "install", "-q", "--target", site),
                    *("--only-binary", ":all:", "--python-version", "3.11"),
                    *(word for platform in platforms for word in ("--platform", platform)),
                    *packages,
                ]
            )
            _compile(root)
            (root / "etc/passwd").write_text(
                "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n"
            )
            # As Debian's udev makes the group, to which its rules give /dev/vhost-vsock.
            (root / "etc/group").write_text("root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n")
            archive(root, target / "base.cpio")
            shutil.rmtree(root)

    return cache.kept(f"initramfs-{architecture.debian}", key, make) / "base.cpio"


def _virtio_files() -> Path:
    """An archive with what serves virtio devices, compressed as systemd's."""
    packages = debian.virtio()

    def make(target: Path) -> None:
        with step("packing back-ends for the board"):
            archive(packages / "root", target / "virtio.cpio")
            run(["gzip", "-9", target / "virtio.cpio"])

    return cache.kept("virtio", cache.digest(str(packages)), make) / "virtio.cpio.gz"


def _systemd_files() -> Path:
    """An archive with systemd, which brings the board up to guest.service and no further."""
    packages = debian.systemd()
    unit = REPOSITORY / "tests/guest/guest.service"

    def make(target: Path) -> None:
        with step("packing systemd for the board"):
            root = target / "root"
            run(["cp", "-a", packages / "root", root])
            units = root / "etc/systemd/system"
            shutil.copy(unit, units)
            (units / "default.target").symlink_to("guest.target")
            (units / "guest.target").write_text(
                "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=guest.service\n"
            )
            (root / "etc/machine-id").write_text(f"{cache.digest('board') * 2}\n")
            archive(root, target / "systemd.cpio")
            shutil.rmtree(root)
            # What lies behind the archives in memory belongs to the remote.
            run(["gzip", "-9", target / "systemd.cpio"])

    key = cache.digest(str(packages), Path(__file__), unit)
    return cache.kept("systemd", key, make) / "systemd.cpio.gz"


def _compile(root: Path) -> None:
    """Compile Python's files here, where it is quick, if this Python's files fit."""
    if sys.version_info[:2] == (3, 11):
        places = [root / "usr/lib/python3.11", root / "usr/local/lib/python3.11"]
        command = [sys.executable, "-m", "compileall", "-q", "-s", str(root), "-p", "/"]
        command += ["--invalidation-mode", "unchecked-hash"]
        # A few files of the library are not meant to compile.
        subprocess.run(
            [*command, *(str(place) for place in places if place.exists())],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def archive(root: Path, target: Path) -> None:
    """The files below *root* as an archive that the kernel unpacks, owned by root."""
    names = subprocess.run(["find", "."], cwd=root, check=True, stdout=subprocess.PIPE).stdout
    with open(target, "wb") as file:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet", "--reproducible"],
            input=names,
            cwd=root,
            check=True,
            stdout=file,
        )


def _programs(target: Path, architecture: Architecture) -> None:
    """The tests' C programs, and the examples, for the board; for others those of two machines."""
    target.mkdir(parents=True)
    places = [f"-I{REPOSITORY / name}" for name in ("kmod/rsl_mbox/uapi", "tools/librsl")]
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", *places]
    if architecture is not ARM64:
        source, program = REPOSITORY / "tests/guest/vsock_echo.c", target / "vsock_echo"
        run([f"{architecture.cross}gcc", *flags, "-static", "-o", program, source])
        return
    systemd = debian.libsystemd()
    examples = REPOSITORY / "tools/examples"
    ours = [
        each for name in ("guest", "bench") for each in (REPOSITORY / "tests" / name).glob("*.c")
    ]
    for source in (*ours, *examples.glob("*.c")):
        how = ["-static"]
        if source.stem == "sdlisten":
            # What the library needs itself is in the board only.
            how = [f"-I{systemd / 'include'}", "-Wl,--allow-shlib-undefined"]
            how.append(str(next(systemd.rglob("libsystemd.so.0"))))
        run([f"{ARM64.cross}gcc", *flags, "-o", target / source.stem, source, *how])
        if source.stem == "compat32":
            name = f"{source.stem}.armhf"
            run([f"{CROSS_32}gcc", *flags, "-o", target / name, source, *how])


def join(archives: list[Path], target: Path) -> None:
    """One archive that the kernel unpacks in the order of *archives*."""
    with open(target, "wb") as file:
        for part in archives:
            data = part.read_bytes()
            # The kernel looks for an archive at whole words only.
            file.write(data + bytes(-len(data) % 4))


def _project_files(kernel_name: str, uio: bool, architecture: Architecture = ARM64) -> Path:
    """An archive with this checkout's part: rslctl, the module, tests and the demo."""
    root = BUILD / "root"
    shutil.rmtree(root, ignore_errors=True)
    _install_rslctl(root)
    kernel = kernels.kernel(kernel_name)
    release = (kernel / "release").read_text()
    place = root / "lib/modules" / release
    (place / "updates").mkdir(parents=True)
    for name in modules(kernel_name):
        shutil.copy(module(name, kernel_name), place / "updates")
    if uio and kernel_name in kernels.KERNELS:
        shutil.copy(kernels.uio_driver(kernel_name), place / "updates")
    _programs(root / "guest/bin", architecture)
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    # The program of the documents; what it plays, legacyd.c says.
    (root / "usr/local/bin/lkvm").symlink_to("/guest/bin/legacyd")
    shutil.copytree(kernel / "modules/kernel", place / "kernel")
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(kernel / "modules" / name, place)
    run(["depmod", "-b", root, release])
    if architecture is ARM64:
        (root / "lib/firmware").mkdir()
        shutil.copy(BUILD / "remote.elf", root / "lib/firmware/rsl-remote.elf")
    tests = root / "guest/tests"
    for name in ("guest", "bench"):
        shutil.copytree(REPOSITORY / "tests" / name, tests / name)
    for name in ("__init__.py", "checkout.py", "command_line.py", "documents.py"):
        shutil.copy(REPOSITORY / "tests" / name, tests)
    shutil.copytree(REPOSITORY / "docs", root / "guest/documents/docs")
    shutil.copy(REPOSITORY / "README.md", root / "guest/documents")
    shutil.copytree(REPOSITORY / "tools/examples", root / "guest/examples")
    shutil.copytree(REPOSITORY / "tools/bringup", root / "usr/lib/rslctl/bringup")
    shutil.copy(REPOSITORY / "tests/guest/init", root / "init")
    shutil.copy(TWO, root / "guest")
    _units(root)
    _compile(root)
    archive(root, BUILD / "project.cpio")
    return BUILD / "project.cpio"


def _units(root: Path) -> None:
    """What systemd and udev are told, where an administrator would put it."""
    tools = REPOSITORY / "tools"
    for pattern, target in (
        ("systemd/*.*", "systemd/system"),
        ("systemd/sysusers.d/*", "sysusers.d"),
        ("systemd/tmpfiles.d/*", "tmpfiles.d"),
        ("udev/*", "udev/rules.d"),
    ):
        (root / "etc" / target).mkdir(parents=True)
        for path in filter(Path.is_file, tools.glob(pattern)):
            shutil.copy(path, root / "etc" / target)


def _install_rslctl(root: Path) -> None:
    """Install rslctl below *root* from its wheel, as its users do."""
    wheels = BUILD / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [python(), "-m", "pip", "--disable-pip-version-check"]
    site = root / "usr/local/lib/python3.11/dist-packages"
    run([*pip, "install", "-q", "--no-deps", "--target", site, wheel(wheels, python())])
    shutil.rmtree(site / "bin")  # starts this machine's Python
    script = root / "usr/local/bin/rslctl"
    script.parent.mkdir(parents=True)
    # An installer has it start its own Python, without env(1).
    text = (REPOSITORY / "tools/bin/rslctl").read_text()
    script.write_text(text.replace("#!/usr/bin/env python3", "#!/usr/bin/python3", 1))
    script.chmod(0o755)
