# SPDX-License-Identifier: BSD-3-Clause
"""The blocks of the documents that are about boards which are not here, on their device trees."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from rslctl.devicetree import overlay, tree
from rslctl.profile import reader

from tests import documents
from tests.amp import dtbs
from tests.amp.machine import REPOSITORY, python
from tests.unit.project.test_docs import command_lines, name, of_kind

ZCU102 = "zynqmp-zcu102-rev1.0.dtb"
#: Commands that files are enough for; setup is told to change nothing.
RUN = ("boards", "doctor", "layout", "overlay", "remote-dt", "setup")
#: Documents whose commands all need the board itself.
NOT_HERE = ("daemon.md", "legacy.md", "performance.md", "your-own-daemon.md")
#: "Done, and a reboot is needed."
REBOOT = 3


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with this checkout's rslctl."""
    starter = tmp_path / "bin/rslctl"
    starter.parent.mkdir()
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY}/tools exec {python()} -m rslctl "$@"\n')
    starter.chmod(0o755)
    return {**os.environ, "PATH": f"{starter.parent}:{os.environ['PATH']}", "TERM": "dumb"}


@pytest.mark.parametrize("path", of_kind("tree"), ids=name)
def test_the_commands_on_device_trees(path: Path, env: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(dtbs.path("6.12", "imx8mm-evk.dtb"), tmp_path)
    with documents.Session(tmp_path, env) as session:
        session.run(path, "tree")


def booted(root: Path, base: Path) -> None:
    """Make *root* the files of a ZCU102 that was booted with its overlay by extlinux.conf.

    Its kernel has the R5's driver, drivers/remoteproc/xlnx_r5_remoteproc.c, and core 0 is offline.
    """
    board = reader.load("zcu102")
    parsed, blob = overlay.read_base(base)
    merged = overlay.merge(overlay.for_base(board, "rsl", parsed), blob)
    tree_of = "sys/firmware/devicetree/base"
    for path, properties in tree.from_blob(merged, "merged").nodes.items():
        node = root / f"{tree_of}{path}"
        node.mkdir(parents=True, exist_ok=True)
        for key, data in properties.items():
            (node / key).write_bytes(data)
    memory = board.links[0].memory
    for file, text in {
        "proc/iomem": f"{memory.base:08x}-{memory.end - 1:08x} : reserved\n",
        "boot/extlinux/extlinux.conf": "label l\n\tlinux /Image\n\tfdt /zcu102.dtb\n",
        "lib/modules/6.12/modules.dep": "updates/rsl_mbox.ko:\n",
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    shutil.copy(base, root / "boot/zcu102.dtb")
    shutil.copy(base, root / "zcu102.dtb")
    driver = root / "sys/bus/platform/drivers/zynqmp-ipi"
    driver.mkdir(parents=True)
    for made in ("zynqmp-ipi-rpu0/mailbox@ff990600", "rsl-mbox-rpu0"):
        device = root / "sys/bus/platform/devices" / made.replace("/", ".")
        device.mkdir(parents=True)
        (device / "of_node").symlink_to(root / tree_of / made)
        if "mailbox" in made:
            (device / "driver").symlink_to(driver)
    remote = root / "sys/class/remoteproc/remoteproc0"
    (remote / "device").mkdir(parents=True)
    (remote / "device/of_node").symlink_to(root / tree_of / "remoteproc-split@ffe00000/r5f@0")
    for file, text in {
        "name": "ffe00000.remoteproc-split:r5f@0",
        "state": "offline",
        "firmware": "rproc-ffe00000.remoteproc-split:r5f@0-fw",
        "recovery": "enabled",
    }.items():
        (remote / file).write_text(f"{text}\n")


@pytest.mark.parametrize("path", of_kind("zcu102"), ids=name)
def test_the_commands_on_the_files_of_a_zcu102(
    path: Path, env: dict[str, str], tmp_path: Path
) -> None:
    base, root = tmp_path / "base.dtb", tmp_path / "root"
    shutil.copy(dtbs.path("6.12", ZCU102), base)
    booted(root, base)
    ran = 0
    for block in documents.blocks(path):
        if block.language == "toml":
            (root / "etc/rslctl/boards").mkdir(parents=True)
            (root / "etc/rslctl/boards/zcu102.toml").write_text(block.text)
        wanted = command_lines(documents.script(block)) if block.kind == "zcu102" else []
        for words in [words for words in wanted if words[0] in RUN]:
            dry = ["--dry-run"] if words[0] == "setup" and "--dry-run" not in words else []
            done = subprocess.run(
                ["rslctl", *words, *dry, "--root", root],
                cwd=tmp_path,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            status = REBOOT if words[:2] == ["overlay", "install"] else 0
            assert done.returncode == status, f"{shlex.join(words)}: {done.stdout}"
            ran += 1
    assert ran or path.name in NOT_HERE
