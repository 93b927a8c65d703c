# SPDX-License-Identifier: BSD-3-Clause
"""The overlay of every board on the device trees that Debian's kernels have for it."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.devicetree import nodes, overlay, tree
from rslctl.errors import SeveralError
from rslctl.profile import model, reader
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests import elf
from tests.amp import build, dtbs, kernels
from tests.amp.machine import REPOSITORY, run

#: Sid moves on, so its trees are tried where SID is set.
needs_sid = pytest.mark.skipif("SID" not in os.environ, reason="make check-kernels sets SID")


def stripped(base: Path, target: Path) -> Path:
    """The tree without symbols."""
    shutil.copy(base, target)
    if "/__symbols__" in tree.from_blob(base.read_bytes(), str(base)):
        run(["fdtput", "-r", target, "/__symbols__"])
    return target


def labelled(base: Path, target: Path, labels: dict[str, str]) -> Path:
    """The tree, which has no symbols, compiled anew with *labels* and dtc's -@."""
    text = run(["dtc", "-q", "-I", "dtb", "-O", "dts", base])
    lines, path = [], [""]
    for line in text.splitlines():
        if node := re.match(r"(\t*)([^\s{}]+) \{$", line):
            path.append(node[2] if node[2] != "/" else "")
            here = "/".join(path[1:]) or "/"
            names = [name for name, each in labels.items() if each == here]
            line = f"{node[1]}{''.join(f'{name}: ' for name in names)}{node[2]} {{"
        elif re.match(r"\t*\};$", line):
            path.pop()
        lines.append(line)
    source = target.with_suffix(".dts")
    source.write_text("\n".join(lines))
    run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", target, source])
    made = tree.from_blob(target.read_bytes(), str(target))
    assert {name: made.labels.get(name) for name in labels} == labels
    return target


def wanted(profile: model.Board) -> list[NodeRef]:
    """The nodes of the base that the profile names."""
    nodes = [*profile.enable, *profile.disable]
    nodes += [profile.interrupt_parent] if profile.interrupt_parent else []
    for link in profile.links:
        nodes += link.remote_devices
        if isinstance(link.by, (model.Channels, model.Fifos)):
            nodes.append(link.by.controller)
    return nodes


def warnings(blob: Path) -> set[str]:
    done = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", blob], capture_output=True, text=True, check=True
    )
    return {line.partition(": ")[2] for line in done.stderr.splitlines()}


def check(profile: model.Board, merged: tree.Tree) -> None:
    """Check that every reference of ours exists and points at the intended node."""
    (link,) = profile.links
    place = f"/reserved-memory/memory@{link.memory.base:x}"
    assert merged.regions(place) == [link.memory]
    assert "no-map" in merged.nodes[place]
    if link.firmware:
        firmware = f"/reserved-memory/firmware@{link.firmware.base:x}"
        assert merged.regions(firmware) == [link.firmware]
    assert merged.regions(f"/shmem@{link.memory.base:x}") == [link.memory]
    (client,) = [path for path in merged.nodes if merged.texts(path, "label") == [link.name]]
    (number,) = merged.cells(client, "memory-region")
    assert merged.phandles[number] == place
    gic = merged.find(profile.interrupt_parent) if profile.interrupt_parent else None
    by = link.by
    if isinstance(by, model.Doorbell):
        (interrupt,) = merged.interrupts(client)
        assert (interrupt.controller, interrupt.cells[1]) == (gic, by.spis[0])
        return
    channels = merged.specifiers(client, "mboxes", "#mbox-cells")
    if isinstance(by, model.Channels):
        controller = merged.find(by.controller)
        assert {each for each, _ in channels} == {controller}
        assert [cells for _, cells in channels if cells in by.tx] == list(by.tx)
    elif isinstance(by, model.Fifos):
        ((controller, (sub_node,)),) = channels
        assert controller == merged.find(by.controller)
        assert tree.parent(merged.phandles[sub_node]) == controller
        assert merged.enabled(merged.phandles[sub_node])
    else:
        mailbox = channels[0][0]
        assert channels == [(mailbox, (0,)), (mailbox, (1,))]
        (interrupt,) = merged.interrupts(tree.parent(mailbox))
        assert (interrupt.controller, interrupt.cells) == (gic, (0, 29, 4))


@pytest.mark.parametrize(("kernel", "name", "file"), dtbs.cases())
def test_the_overlay_merges_into_the_real_tree(
    kernel: str, name: str, file: str, tmp_path: Path
) -> None:
    profile = reader.load(name)
    real = dtbs.path(kernel, file)
    without = stripped(real, tmp_path / "stripped.dtb")
    base = tree.from_blob(without.read_bytes(), name)
    labels = {node.label: base.find(node) or "" for node in wanted(profile)}
    bases = [real, without]
    if labels:
        bases.append(labelled(without, tmp_path / "labelled.dtb", labels))
    (link,) = profile.links
    for transport in link.offers:
        chosen = overlay.choose(profile, transport)
        for each in bases:
            made = overlay.for_base(chosen, "rsl", tree.from_blob(each.read_bytes(), name))
            source, blob = tmp_path / "x.dtso", tmp_path / "x.dtbo"
            source.write_text(nodes.to_source(made))
            run(["dtc", "-@", "-q", "-I", "dts", "-O", "dtb", "-o", blob, source])
            out = tmp_path / "merged.dtb"
            run(["fdtoverlay", "-i", each, "-o", out, blob])
            merged = tree.from_blob(out.read_bytes(), name)
            # What dtc makes of the source is what rslctl merges.
            own = tree.from_blob(overlay.merge(made, each.read_bytes()), name)
            assert own.nodes.keys() == merged.nodes.keys()
            for result in (merged, own):
                check(chosen, result)
            assert warnings(out) <= warnings(each)


def test_the_command_does_the_same(tmp_path: Path) -> None:
    base = dtbs.path("6.12", "zynqmp-zcu102-rev1.0.dtb")
    blob, out = tmp_path / "x.dtbo", tmp_path / "out.dtb"
    build.rslctl("overlay", "--board", "zcu102", "--base", base, "-o", blob, "--merge", out)
    run(["fdtoverlay", "-i", base, "-o", tmp_path / "again.dtb", blob])
    assert out.read_bytes() == (tmp_path / "again.dtb").read_bytes()


@pytest.mark.parametrize("name", ["zcu102", "zcu104", "kv260"])
def test_the_nodes_of_the_original_daemon_merge_too(name: str, tmp_path: Path) -> None:
    base = dtbs.path("6.12", dtbs.BOARDS[name][0])
    out = tmp_path / "merged.dtb"
    options = ("--board", name, "--style", "user-mailbox", "--base", base, "--merge", out)
    build.rslctl("overlay", *options)
    merged = tree.from_blob(out.read_bytes(), name)
    mailbox = merged.specifiers("/umb", "mboxes", "#mbox-cells")[0][0]
    assert merged.specifiers("/umb", "mboxes", "#mbox-cells") == [(mailbox, (0,)), (mailbox, (1,))]
    assert merged.cells(tree.parent(mailbox), "xlnx,ipi-id") == (7,)
    assert merged.texts("/umb", "mbox-names") == ["tx", "rx"]
    assert warnings(out) <= warnings(base)


def validated(schemas: Path, only: str, files: list[Path]) -> list[str]:
    """What dt-validate has against trees, by the schemas in a directory whose $id has *only*."""
    program = "import sys; from dtschema.dtb_validate import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "-l", only, "-s", schemas, *files],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


def listed(board: tree.Tree, node: str) -> list[Region]:
    """The regions in a node's memory-region."""
    numbers = board.cells(node, "memory-region")
    return [region for each in numbers for region in board.regions(board.phandles[each])]


#: Boards, and kernels whose trees have no node of the board's remote.
NO_REMOTE = {
    "am642-evm": ("6.1", "6.12"),
    "am625-sk": ("6.1", "6.12"),
    "imx93-evk": ("6.1",),
    "imx8mp-evk": ("6.1", "6.12", "sid"),
}


@pytest.mark.parametrize(("kernel", "name", "file"), dtbs.cases())
def test_the_remotes_node_has_what_its_driver_needs(
    kernel: str, name: str, file: str, tmp_path: Path
) -> None:
    profile, data = reader.load(name), dtbs.path(kernel, file).read_bytes()
    base = tree.from_blob(data, file)
    merged = tree.from_blob(overlay.merge(overlay.for_base(profile, "rsl", base), data), file)
    (link,) = profile.links
    if kernel in NO_REMOTE.get(name, ()):
        assert link.remoteproc is None or merged.find(link.remoteproc.node) is None
        return
    assert link.remoteproc
    node = merged.find(link.remoteproc.node)
    assert node
    assert merged.enabled(node)
    had = listed(base, node)
    own = [link.firmware] if link.firmware else []
    if not name.startswith("stm32"):  # whose driver refuses DDR
        own.append(link.memory)
    assert listed(merged, node) == [*had, *own]
    if link.core.startswith("zynqmp"):
        cluster = tree.parent(node)
        assert merged.cells(cluster, "xlnx,cluster-mode") == (0,)
        clusters = [
            path
            for path in merged.nodes
            if "xlnx,zynqmp-r5fss" in merged.texts(path, "compatible") and not merged.idle(path)
        ]
        assert clusters == [cluster]
        carveouts = list(elf.zynqmp_carveouts(merged, node))
        assert elf.refused(elf.made(elf.PUBLISHED), carveouts) == []
        bare = [each for each in carveouts if each not in own]
        assert len(elf.refused(elf.made(elf.PUBLISHED), bare)) == 2
    before, after = tmp_path / "base.dtb", tmp_path / "merged.dtb"
    before.write_bytes(data)
    after.write_bytes(overlay.merge(overlay.for_base(profile, "rsl", base), data))
    # Debian's own trees have faults of their own.
    known = validated(kernels.bindings(), "remoteproc", [before])
    found = validated(kernels.bindings(), "remoteproc", [after])
    assert [each.replace("base.dtb", "merged.dtb") for each in known] == found
    if link.core.startswith("zynqmp"):
        assert found == []


def test_a_remotes_node_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The check of the bindings can fail: a mode that the cluster does not have."""
    data = dtbs.path("6.12", dtbs.BOARDS["zcu102"][0]).read_bytes()
    wrong = tmp_path / "wrong.dtb"
    wrong.write_bytes(data)
    run(["fdtput", "-t", "x", wrong, "/remoteproc-split@ffe00000", "xlnx,tcm-mode", "1"])
    (first, _) = validated(kernels.bindings(), "remoteproc", [wrong])
    assert "xlnx,tcm-mode: 1 is not one of [0]" in first


def test_the_merged_trees_follow_the_bindings(tmp_path: Path) -> None:
    merged: list[Path] = []
    for kernel, name, file in dtbs.cases():
        data = dtbs.path(kernel, file).read_bytes()
        profile = reader.load(name)
        forms = [(transport, "rsl") for transport in profile.links[0].offers]
        forms += [("mailbox", "user-mailbox")] * (name in ("zcu102", "zcu104", "kv260"))
        for transport, style in forms:
            chosen = overlay.choose(profile, transport)
            made = overlay.for_base(chosen, style, tree.from_blob(data, name))
            merged.append(tmp_path / f"{len(merged)}-{kernel}-{transport}-{style}-{file}")
            merged[-1].write_bytes(overlay.merge(made, data))
    assert len(merged) > len(dtbs.cases())
    assert validated(REPOSITORY / "dt-overlays/bindings", "rsl", merged) == []


@pytest.mark.parametrize(
    ("text", "kernel", "file"),
    [
        (None, "6.1", "imx8mm-evk.dtb"),
        (None, "6.12", "imx8mm-evk.dtb"),
        (
            'extends = "zcu102"\ndescription = "AMD KR260"\n'
            'compatible = ["xlnx,zynqmp-sk-kr260", "xlnx,zynqmp-sm-k26"]\n',
            "6.12",
            "zynqmp-sm-k26-revA.dtb",
        ),
    ],
)
def test_a_second_persons_board(text: str | None, kernel: str, file: str, tmp_path: Path) -> None:
    """The README's example on the real tree, and another carrier of the K26."""
    if text is None:
        readme = (REPOSITORY / "README.md").read_text()
        (text,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert len(text.splitlines()) < 25
    profile, out = tmp_path / "mine.toml", tmp_path / "out.dtb"
    profile.write_text(text)
    base = dtbs.path(kernel, file)
    build.rslctl("overlay", "--board", profile, "--base", base, "--merge", out)
    check(reader.load(str(profile)), tree.from_blob(out.read_bytes(), file))
    assert warnings(out) <= warnings(base)


def people(board: str, memory: int, transport: str, *, top: str = "", size: int = 0x100000) -> str:
    """A profile as people write it for a board that rslctl does not come with."""
    return (
        f'description = "x"\ncompatible = "{board}"\n{top}\n[[link]]\nname = "r0"\n'
        f"[link.memory]\nbase = {memory:#x}\nsize = {size:#x}\n[link.{transport}\n"
    )


def fifos(path: str, user: int) -> str:
    return f'mailbox]\ncontroller = "{path}"\nfifos = [8, 9]\nuser = {user}'


def mu(path: str) -> str:
    return f'mailbox]\ncontroller = "{path}"\ntx = [[2, 0]]\nrx = [[3, 0]]'


def bell(spi: int) -> str:
    return (
        f"doorbell]\nregister = 0x13060000\nkick-values = [1]\nspis = [{spi}]\n"
        'trigger = "level-high"'
    )


BONE = "/ocp/interconnect@48000000/segment@0/target-module@c8000/mailbox@0"
X15 = "/ocp/interconnect@48800000/segment@0/target-module@40000/mailbox@0"
SCU = "/bus@5d000000/mailbox@5d1c0000"
MU5 = "/bus@5d000000/mailbox@5d200000"
MU7 = "/soc/bus@30800000/mailbox@30aa0000"
PROXY = "/bus@f0000/bus@48000000/mailbox@4d000000"
APALIS = "toradex,apalis-imx8"
VF2 = ("starfive,visionfive-2-v1.3b", 0x6E000000, bell(26))

#: The kernel, the tree and the profile, and what comes of it: a message, or a property of a node
#: that the overlay adds.
CASES: list[tuple[str, str, str, str | tuple[str, str, tuple[int, ...]]]] = [
    (
        *("6.12", "imx8qm-apalis-eval.dtb"),
        people(APALIS, 0xC8000000, mu(MU5), top=f'enable = "{MU5}"'),
        "pool: r0: memory at 0xc8000000, leaves no room for /reserved-memory/linux,cma, 0x3c000000",
    ),
    (
        *("6.12", "imx8qm-apalis-eval.dtb"),
        people(APALIS, 0xBF000000, mu(SCU)),
        f"channel: r0: {SCU} <2 0>: speaks the protocol of NXP's firmware",
    ),
    (
        *("6.12-armhf", "imx7d-pico-pi.dtb"),
        people("technexion,imx7d-pico-pi", 0x60000000, mu(MU7), top=f'enable = "{MU7}"'),
        "ram: r0: memory at 0x60000000, 0x100000 bytes, is below RAM, which is 0x80000000 to an un",
    ),
    (
        *("6.12-armhf", "imx7d-pico-pi.dtb"),
        people("technexion,imx7d-pico-pi", 0xBF000000, mu(MU7), top=f'enable = "{MU7}"'),
        ("/rsl-mbox-r0", "reg", ()),
    ),
    (
        *("6.12", "k3-am67a-beagley-ai.dtb"),
        people(
            *("beagle,am67a-beagley-ai", 0xB0000000),
            f'mailbox]\ncontroller = "{PROXY}"\ntx = [[20]]\nrx = [[21]]',
        ),
        f"channel: r0: {PROXY} <20>: speaks the protocol of TI's firmware, use a mailbox cluster",
    ),
    (
        *("6.12", "rk3588-rock-5b.dtb"),
        people("radxa,rock-5b", 0x7800000, bell(61)),
        ("/rsl-mbox@13060000", "interrupts", (0, 61, 4, 0)),
    ),
    (
        *("6.12-armhf", "am335x-boneblack.dtb"),
        people("ti,am335x-bone-black", 0x9F000000, fifos(BONE, 0).replace("8, 9", "2, 3")),
        (f"{BONE}/mbox-rsl-r0", "ti,mbox-rx", (3, 0, 0)),
    ),
    (
        *("6.12-armhf", "am335x-boneblack.dtb"),
        people("ti,am335x-bone-black", 0x9F000000, fifos(BONE, 3).replace("8, 9", "2, 3")),
        (f"{BONE}/mbox-rsl-r0", "ti,mbox-rx", (3, 0, 3)),
    ),
    (
        *("6.12-armhf", "am335x-boneblack.dtb"),
        people("ti,am335x-bone-black", 0x9F000000, bell(99)),
        ("/rsl-mbox@13060000", "interrupts", (99,)),
    ),
    (
        *("6.12-armhf", "am57xx-beagle-x15.dtb"),
        people("ti,am572x-beagle-x15", 0xA0000000, fifos(X15, 2)),
        (f"{X15}/mbox-rsl-r0", "ti,mbox-rx", (9, 2, 2)),
    ),
    (
        *("6.12-armhf", "am57xx-beagle-x15.dtb"),
        people("ti,am572x-beagle-x15", 0xA0000000, fifos(X15, 0)),
        f"channel: r0: user 0 is not Linux, which is 2 in {X15}/mbox-ipu1-ipc3x",
    ),
    (
        *("6.12-riscv64", "jh7110-starfive-visionfive-2-v1.3b.dtb"),
        people(*VF2, top='interrupt-parent = "/soc/interrupt-controller@c000000"'),
        ("/rsl-mbox@13060000", "interrupts", (26,)),
    ),
    (
        *("6.12-riscv64", "jh7110-starfive-visionfive-2-v1.3b.dtb"),
        people(*VF2),
        "interrupt: / has no interrupt-parent, so the profile has to give one: interrupt-parent, "
        "for example '/soc/interrupt-controller@c000000'",
    ),
    (
        *("6.12-armhf", "stm32mp157c-dk2.dtb"),
        'extends = "stm32mp157c-dk2"\n[[link]]\nname = "m4"\n[link.mailbox]\nrx-tx = [[6], [5]]\n',
        "has no such channel, it has <0 to 5>",
    ),
]


@pytest.mark.parametrize(("kernel", "file", "text", "expected"), CASES)
def test_what_people_wrote_for_their_boards(
    kernel: str,
    file: str,
    text: str,
    expected: str | tuple[str, str, tuple[int, ...]],
    tmp_path: Path,
) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(text)
    base = dtbs.path(kernel, file)
    data, found = base.read_bytes(), tree.from_blob(base.read_bytes(), file)
    if isinstance(expected, str):
        with pytest.raises(SeveralError) as error:
            overlay.for_base(reader.load(str(profile)), "rsl", found)
        assert any(expected in each for each in error.value.messages), error.value.messages
        return
    path, key, cells = expected
    made = overlay.for_base(reader.load(str(profile)), "rsl", found)
    merged = tree.from_blob(overlay.merge(made, data), file)
    assert path in merged
    assert merged.cells(path, key) == cells
    (blob := tmp_path / "merged.dtb").write_bytes(overlay.merge(made, data))
    assert warnings(blob) <= warnings(base)


@pytest.mark.parametrize("kernel", ["6.12", pytest.param("sid", marks=needs_sid)])
def test_another_overlay_with_two_remotes_is_refused_for_old_kernels_only(
    kernel: str, tmp_path: Path
) -> None:
    """As OpenAMP's own overlay adds a mailbox to the agent that has the PMU's."""
    base = dtbs.path(kernel, "zynqmp-zcu102-rev1.0.dtb")
    source = tmp_path / "openamp.dtso"
    source.write_text(
        "/dts-v1/; /plugin/; &{/zynqmp-ipi} { mailbox@ff990040 { #mbox-cells = <1>; "
        "xlnx,ipi-id = <1>; }; };"
    )
    run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", tmp_path / "openamp.dtbo", source])
    merged = tmp_path / "merged.dtb"
    run(["fdtoverlay", "-i", base, "-o", merged, tmp_path / "openamp.dtbo"])
    profile = overlay.choose(reader.load("zcu102"), "mailbox")
    assert overlay.kernel_of(base).startswith("6.12." if kernel == "6.12" else "7.")
    unknown = tree.from_blob(merged.read_bytes(), "merged")
    (note,) = overlay.for_base(profile, "rsl", unknown).notes
    assert "has 2 remotes: Linux before 6.13 crashes" in note
    known = dataclasses.replace(unknown, kernel=overlay.kernel_of(base))
    if kernel == "6.12":
        with pytest.raises(SeveralError, match="has 2 remotes"):
            overlay.for_base(profile, "rsl", known)
    else:
        assert overlay.for_base(profile, "rsl", known).notes == ()
    bell = overlay.choose(reader.load("zcu102"), "doorbell")
    assert overlay.for_base(bell, "rsl", unknown).notes == ()
