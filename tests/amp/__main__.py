# SPDX-License-Identifier: BSD-3-Clause
"""python3 -m tests.amp COMMAND: what the Makefile calls, and run SHELL-COMMAND."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.amp import bench, build, kernels, machine, machines, packages, qemu
from tests.amp.build import Board
from tests.amp.say import die, say


def demo() -> None:
    """Show the main job in the emulated board; fail where a step of it fails."""
    board = build.board(uio=False).with_virtio()
    say("booting: Linux on core 0, the remote on core 1")
    outcome = qemu.boot(board, "sh /guest/tests/guest/demo.sh", timeout=180, show=True)
    if not outcome.passed:
        die(f"the demo failed with status {outcome.status}")
    say("every step of the demo did what it should")


def demo_vm() -> None:
    """Show a link between two virtual machines; fail where a step of it fails."""
    board = build.machine("6.1")
    say("booting two machines with a link between them")
    commands = [f"sh /guest/tests/guest/demo_vm.sh {role}" for role in ("daemon", "remote")]
    failed = [
        each
        for each in qemu.boot_linked(board, commands, timeout=600, show=True)
        if not each.passed
    ]
    if failed:
        die("\n".join(f"failed with status {each.status}:\n{each.console}" for each in failed))
    say("every step of both machines did what it should")


def check(arguments: list[str]) -> None:
    """Run all tests."""
    machine.install({**machine.ROOT_PACKAGES, **machine.BROWSER_PACKAGES})
    interpreter = machine.python()
    build.board()
    os.environ[build.MADE] = "1"
    say("running the tests; with those in the board they take about 25 minutes")
    os.chdir(machine.REPOSITORY)
    # Emulated boards wait a lot, so two at a time keep two cores busy; the longest go first.
    command = [str(interpreter), "-m", "pytest", "-n", "2", "--dist", "worksteal"]
    os.execv(interpreter, [*command, *(arguments or ["tests/system", "tests/unit"])])


def _in_the_board(boots: list[tuple[str, Board, str]], timeout: float) -> list[str]:
    """Run commands in boards, two at a time. Returns the names of those that failed."""

    def one(named: tuple[str, Board, str]) -> str:
        name, board, command = named
        outcome = qemu.boot(board, command, timeout=timeout)
        print(outcome.console, end="", flush=True)
        say(f"{name}: {'passed' if outcome.passed else 'FAILED'}")
        return "" if outcome.passed else name

    # Emulated boards wait a lot, so two at a time keep two cores busy.
    with ThreadPoolExecutor(2) as pool:
        return [name for name in pool.map(one, boots) if name]


def check_debug(names: list[str]) -> None:
    """Run the tests in the board on a kernel with checkers, and those meant for it only."""
    machine.install(machine.KERNEL_PACKAGES)
    board = build.board("debug")
    wanted = names or build.guest_tests("debug", "test_", "debug_")
    command = (
        "SIMFLOOD_COUNT=20000 IVSHMEM_CYCLES=1000 "
        "python3 -m pytest -p no:cacheprovider -v -rP --tb=short "
        "/guest/tests/guest/{}.py"
    )
    boots = [(name, board.for_test(name), command.format(name)) for name in wanted]
    failed = _in_the_board(boots, 5400)
    print(f"{len(wanted) - len(failed)} passed, {len(failed)} failed")
    if failed:
        die(f"failed on the kernel with checkers: {' '.join(failed)}")


def _check_dkms() -> None:
    """Have dkms build and install the module for Debian's kernel of this machine."""
    name = "6.1-amd64"
    kernel = kernels.kernel(name)
    release = (kernel / "release").read_text()
    place = build.BUILD / "dkms"
    shutil.rmtree(place, ignore_errors=True)
    source = place / "source/rsl_mbox"
    shutil.copytree(machine.REPOSITORY / "kmod/rsl_mbox", source)
    (place / "tree").mkdir()
    (place / "installed" / release).mkdir(parents=True)
    trees = ("--sourcetree", place / "source", "--dkmstree", place / "tree")
    machine.run(["dkms", "add", *trees, source])
    machine.run(
        [
            *("dkms", "install", *trees, "--installtree", place / "installed", "--no-depmod"),
            *("-k", release, "--kernelsourcedir", (kernel / "headers").resolve()),
            *("-m", "rsl-mbox", "-v", "0.1.0"),
        ]
    )
    (module,) = (place / "installed" / release).rglob("rsl_mbox.ko*")
    found = machine.run(["modinfo", "-F", "vermagic", module])
    if not found.startswith(f"{release} "):
        die(f"dkms installed a module for {found}, not for {release}")
    say(f"{release}: dkms installs {module.name}")


def check_kernels(names: list[str]) -> None:
    """Build the modules for every kernel of kernels.KERNELS, and test on those that boot.

    With *names*, only these kernels are booted.
    """
    machine.install(machine.HEADERS_PACKAGES)
    build.BUILD.mkdir(parents=True, exist_ok=True)
    for name in kernels.KERNELS:
        release = (kernels.kernel(name) / "release").read_text()
        for directory in build.modules(name):
            module = build.module(directory, name)
            say(f"{release}: {module.name} builds without a warning")
    _check_dkms()
    wanted = names or [
        name
        for name, packaged in kernels.KERNELS.items()
        if packaged.bootable and packaged.arch == "arm64"
    ]
    failed = []
    for name in wanted:
        board = build.board(name)
        # What is done many times depends little on the kernel.
        brief = "" if name == wanted[0] else "BRIEF=1 "
        command = f"{brief}python3 -m pytest -p no:cacheprovider --tb=short /guest/tests/guest/"
        boots = [
            (f"{name}: {test}", board.for_test(test), f"{command}{test}.py")
            for test in build.guest_tests(name, "test_")
        ]
        command = "python3 /guest/tests/guest/bad_device_trees.py"
        boots.append((f"{name}: bad_device_trees", board.with_tree("bad"), command))
        failed += _in_the_board(boots, 2400)
        say(f"{name}: {len(boots)} tests in the board")
    if failed:
        die(f"failed: {'; '.join(failed)}")
    tests = [f"tests/system/test_{name}.py" for name in ("boards", "loaders")]
    words = ["env", "SID=1", machine.python(), "-m", "pytest", "-q", *tests]
    print(machine.run(words, cwd=machine.REPOSITORY))
    print(f"{len(kernels.KERNELS)} passed, 0 failed")


def check_vm(names: list[str]) -> None:
    """Run the scenarios of two virtual machines, perhaps only those of these names or kernels."""
    machine.install(machine.AMD64_PACKAGES)
    failed = []
    for kernel in machines.KERNELS:
        wanted = [
            each
            for each in machines.SCENARIOS
            if not names or {each, kernel, f"{kernel}: {each}"} & set(names)
        ]
        if not wanted:
            continue
        board = build.machine(kernel)
        for scenario in wanted:
            name = f"{kernel}: {scenario}"
            outcomes = machines.run(board, scenario, machines.count(kernel, scenario))
            for outcome in outcomes:
                print(outcome.console, end="", flush=True)
            passed = all(each.passed for each in outcomes)
            failed += [] if passed else [name]
            say(f"{name}: {'passed' if passed else 'FAILED'}")
    if failed:
        die(f"failed: {'; '.join(failed)}")


#: The sizes of "make check-virtio"; docs/testing.md tells what they are.
VIRTIO_SIZES = {
    "ROUNDS": 10_000,
    "BYTES": 100_000_000,
    "PINGS": 1000,
    "SECTORS": 4096,
    "RESTARTS": 100,
    "KILL_SECONDS": 600,
    "MAD": 1_000_000,
}


def check_virtio(names: list[str]) -> None:
    """Run the tests of virtio in the board at their full sizes, perhaps only those of a kernel."""
    sizes = " ".join(f"VIRTIO_{name}={value}" for name, value in VIRTIO_SIZES.items())
    command = (
        f"{sizes} python3 -m pytest -p no:cacheprovider -v -rP --tb=short "
        "/guest/tests/guest/test_virtio.py"
    )
    failed = []
    for name in names or ["6.1"]:
        board = build.board(name).for_test("test_virtio")
        failed += _in_the_board([(f"{name}: test_virtio", board, command)], 4 * 3600)
    if failed:
        die(f"failed: {'; '.join(failed)}")


def overlays() -> None:
    """Generate the overlays that are checked in."""
    for profile in sorted((machine.REPOSITORY / "tools/rslctl/profile/boards").glob("*.toml")):
        if profile.stem == "sim" or profile.stem.startswith("ivshmem"):  # have no device tree
            continue
        target = machine.REPOSITORY / f"dt-overlays/{profile.stem}.dtso"
        build.rslctl("overlay", "--board", profile.stem, "-o", target)
        say(f"wrote {target.relative_to(machine.REPOSITORY)}")


def man() -> None:
    """Generate the manual pages that are checked in."""
    target = machine.REPOSITORY / "docs/man"
    environment = f"PYTHONPATH={machine.REPOSITORY / 'tools'}"
    machine.run(
        ["env", environment, machine.python(), machine.REPOSITORY / "tools/mkman.py", target]
    )
    say(f"wrote {target.relative_to(machine.REPOSITORY)}")


def deb() -> None:
    """Build the Debian packages."""
    machine.install(machine.DEB_PACKAGES)
    for path in packages.debs(machine.REPOSITORY / "build/deb"):
        say(f"wrote {path.relative_to(machine.REPOSITORY)}")


def run(command: str, tree: str = "merged", timeout: float = 1800) -> None:
    """Run a shell command in the board, for at most *timeout* seconds."""
    outcome = qemu.boot(build.board().with_tree(tree), command, timeout=timeout, show=True)
    if not outcome.passed:
        die(f"ended with status {outcome.status}")


def main() -> None:
    name, *arguments = sys.argv[1:] or [""]
    machine.install()
    plain = {
        "demo": demo,
        "demo-vm": demo_vm,
        "bench": bench.bench,
        "overlays": overlays,
        "man": man,
        "deb": deb,
    }
    named = {
        "check": check,
        "check-debug": check_debug,
        "check-kernels": check_kernels,
        "check-virtio": check_virtio,
        "check-vm": check_vm,
    }
    if name in plain and not arguments:
        plain[name]()
    elif name in named:
        named[name](arguments)
    elif name == "shell":
        qemu.shell(build.board(uio=False))
    elif name == "check-trees":
        os.environ["TREES"] = "1"
        files = ["tests/system/test_trees.py", "tests/system/test_proposals.py"]
        check([*files, *arguments])
    elif name == "check-million":
        tests = "/guest/tests/guest/test_mailbox.py"
        run(
            f"SIMFLOOD_COUNT=1000000 python3 -m pytest -p no:cacheprovider -rP -k exactly {tests}",
            "sim",
            7200,
        )
    elif name == "run" and arguments:
        run(" ".join(arguments))
    else:
        die(f"usage: {__doc__}")


if __name__ == "__main__":
    main()
