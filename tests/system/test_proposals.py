# SPDX-License-Identifier: BSD-3-Clause
"""Profiles proposed for boards: the emulated one, and with "make check-trees" all of Debian's."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from rslctl.devicetree import fifos, holes, overlay, propose, remotes, tree
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.profile import model, reader
from rslctl.profile.socs import At

from tests.amp import build, dtbs
from tests.command_line import Rslctl
from tests.command_line import rslctl as rslctl

KERNELS = ("6.12", "sid", "6.12-armhf")
SIZE = 0x1000000
REPORTS = build.BUILD / "trees"

#: The most seconds of processor time for a proposal.
SLOW = 2

#: The families of SoCs by an entry of the root's compatible.
FAMILIES = {
    "ZynqMP": r"xlnx,zynqmp",
    "Versal": r"xlnx,versal(-net)?",
    "i.MX 7": r"fsl,imx7\w+",
    "i.MX 8": r"fsl,imx8\w+",
    "i.MX 93": r"fsl,imx93",
    "i.MX 95": r"fsl,imx95\d?",
    "STM32MP1": r"st,stm32mp1\d\d",
    "STM32MP2": r"st,stm32mp2\d\d",
    "AM6x": r"ti,am6\w+",
    "J7": r"ti,j7\w+",
    "AM57x": r"ti,dra7",
}


def family(names: list[str]) -> str:
    """The family of a tree, by its root's compatible; "" for others."""
    for name, kind in FAMILIES.items():
        # The first entries are the board's: ti,am654-evm.
        if any(re.fullmatch(kind, each) for each in names[-1:]):
            return name
    return ""


def check_table(base: Tree) -> None:
    """Check that the table of SoCs says what the tree says, where the tree says it."""
    for each in remotes.find(base):
        if isinstance(each.by, At) and each.controllers:
            places = [base.regions(path)[0].base for path in each.controllers]
            assert places == [each.by.address], each.name
            uses = [use for path in each.controllers for use in fifos.uses(base, path)]
            assert {use.user for use in uses if not use.remote} <= {each.by.user}, each.name


def check(board: model.Board, merged: Tree) -> None:
    """Check that the merged tree has each link as the profile says it."""
    for link in board.links:
        for _, region in link.regions():
            places = [path for path in merged.nodes if merged.regions(path) == [region]]
            assert any(path.startswith("/reserved-memory/") for path in places), link.name
        (client,) = [path for path in merged.nodes if merged.texts(path, "label") == [link.name]]
        assert merged.enabled(client)
        for target, _ in merged.specifiers(client, "mboxes", "#mbox-cells"):
            assert merged.enabled(target), link.name
            by = link.by
            if isinstance(by, (model.Channels, model.Fifos)):
                assert target == merged.find(by.controller)
        if link.remoteproc:
            node = merged.find(link.remoteproc.node)
            assert node, link.name
            assert merged.enabled(node), link.name


def check_again(board: model.Board, base: Tree, merged: Tree) -> None:
    """Check that what is proposed with the links in the tree is for the tree without them."""
    made = propose.propose(merged, SIZE, holes.Running())
    again = reader.from_text(made.text, "again.toml", board.name)
    assert again.links == board.links
    overlay.for_base(again, "rsl", base)


def test_the_emulated_board_gets_its_profile(tmp_path: Path, rslctl: Rslctl) -> None:
    build.board()
    base, profile, out = build.BUILD / "base.dtb", tmp_path / "mine.toml", tmp_path / "out.dtb"
    status, _, err = rslctl("boards", "propose", "--base", base, "-o", profile)
    assert (status, "'qemu-virt' is for this board" in err) == (0, True)
    assert rslctl("boards", "check", profile)[0] == 0
    assert rslctl("overlay", "--board", profile, "--base", base, "--merge", out)[0] == 0
    (found,), (own,) = reader.load(str(profile)).links, reader.load("qemu-virt").links
    assert (found.name, found.by, found.remote) == (own.name, own.by, own.remote)
    check(reader.load(str(profile)), tree.from_blob(out.read_bytes(), "merged"))


@pytest.mark.skipif("TREES" not in os.environ, reason="make check-trees sets TREES")
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_proposal_is_accepted_as_it_stands(kernel: str, tmp_path: Path, rslctl: Rslctl) -> None:
    count: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    slowest, wrong = (0.0, ""), []
    profile = tmp_path / "proposed.toml"
    for path in dtbs.every(kernel):
        name = family(tree.from_blob(path.read_bytes(), "tree").texts("/", "compatible"))
        if not name:
            continue
        count[name, "trees"] += 1
        profile.unlink(missing_ok=True)
        begin = os.times()
        status, _, err = rslctl("boards", "propose", "--base", path, "-o", profile)
        end = os.times()
        slowest = max(slowest, (end.user + end.system - begin.user - begin.system, path.name))
        for line in err.splitlines():
            if found := re.search(r"no link for ([\w, ]+): (.*)|: ([^:]*: all cores.*)", line):
                why = re.sub(r"/\S+@\w+|0x\w+|[\w,-]+, ", "*", found[2] or found[3])
                reasons[f"{name}: {why[:120]}"] += len((found[1] or "x").split(", "))
        if status:
            count[name, "without"] += 1
            assert not profile.exists()
            continue
        try:
            board = reader.load(str(profile))
            read, blob = overlay.read_base(path)
            check_table(read)
            merged = overlay.merge(overlay.for_base(board, "rsl", read), blob)
            check(board, tree.from_blob(merged, "merged"))
            check_again(board, read, tree.from_blob(merged, "merged"))
        except (AssertionError, RslError, subprocess.SubprocessError) as error:
            wrong.append(f"{path.name}: {type(error).__name__}: {error}"[:300])
            continue
        count[name, "accepted"] += 1
        count[name, "links"] += len(board.links)
        count[name, "all remotes"] += "no link for" not in err
    keys = ("trees", "accepted", "all remotes", "links", "without")
    rows = [f"{kernel}: {', '.join(keys)}; slowest {slowest[0]:.2f} s ({slowest[1]})"]
    rows += [f"{name}: {', '.join(str(count[name, key]) for key in keys)}" for name in FAMILIES]
    rows += [f"  {times} {text}" for text, times in reasons.most_common()]
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"proposals-{kernel}.txt").write_text("\n".join([*rows, *wrong, ""]))
    assert wrong == []
    assert slowest[0] < SLOW
    assert sum(number for (_, key), number in count.items() if key == "accepted") > 0
