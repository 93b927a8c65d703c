# SPDX-License-Identifier: BSD-3-Clause
"""Overlays as source text and as blobs, which say the same."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rslctl.devicetree import nodes, overlay, tree
from rslctl.devicetree.nodes import Fragment, Node, Overlay, Ref, to_blob, to_source
from rslctl.errors import RslError
from rslctl.profile import reader
from rslctl.profile.model import NodeRef

from tests.unit import REPOSITORY
from tests.unit.devicetree.bases import CHANNELS, MU, profile
from tests.unit.devicetree.support import CLUSTERS, INHERITED, NO_CONTROLLER, dtc, normal
from tests.unit.machine import REAL_BOARDS
from tests.unit.programs import needs_dtc


def variants() -> list[tuple[str, str, str]]:
    """Board, transport and style of every overlay that can be made."""
    found = []
    for name in REAL_BOARDS:
        (link,) = reader.load(name).links
        found += [(name, transport, "rsl") for transport in link.offers]
        if name.startswith("zcu"):
            found.append((name, "mailbox", "user-mailbox"))
    return found


@needs_dtc
@pytest.mark.parametrize(("name", "transport", "style"), variants())
def test_source_and_blob_are_the_same_overlay(name: str, transport: str, style: str) -> None:
    made = overlay.build(overlay.choose(reader.load(name), transport), style)
    compiled = dtc(nodes.to_source(made), "-@", INHERITED, NO_CONTROLLER, CLUSTERS)
    assert normal(compiled) == normal(nodes.to_blob(made))


def test_overlays_are_the_same_from_run_to_run(tmp_path: Path) -> None:
    made = set()
    for seed in ("1", "2"):
        for suffix in ("dtso", "dtbo"):
            file = tmp_path / f"{seed}.{suffix}"
            command = [sys.executable, "-m", "rslctl", "overlay", "--board", "zcu102", "-o", file]
            tools = str(REPOSITORY / "tools")
            environment = {"PYTHONPATH": tools, "PYTHONHASHSEED": seed, "PATH": "/usr/bin"}
            subprocess.run([*map(str, command)], check=True, env=environment)
            made.add(file.read_bytes())
    assert len(made) == 2


@needs_dtc
def test_a_node_that_has_only_a_path_needs_a_base() -> None:
    made = overlay.build(profile(dataclasses.replace(CHANNELS, controller=NodeRef("", (MU,)))))
    for form in (to_source, to_blob):
        with pytest.raises(RslError, match="can be referred to by its path only with --base"):
            form(made)


NAMES = st.from_regex(r"[a-z][a-z0-9,-]{0,6}", fullmatch=True)
TEXTS = st.text("abc XYZ019.,-", min_size=1, max_size=8)
VALUES = st.one_of(
    st.none(),
    TEXTS,
    st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4).map(tuple),
)


def bodies(children: st.SearchStrategy[list[Node]]) -> st.SearchStrategy[Node]:
    return st.builds(
        lambda name, properties, below: Node(
            name, tuple(properties.items()), tuple({each.name: each for each in below}.values())
        ),
        NAMES.map(lambda name: f"n-{name}"),
        st.dictionaries(NAMES.map(lambda name: f"p-{name}"), VALUES, max_size=3),
        children,
    )


ROOTS = st.recursive(
    bodies(st.just([])), lambda inner: bodies(st.lists(inner, max_size=3)), max_leaves=5
).map(lambda node: dataclasses.replace(node, name=""))


@given(ROOTS)
def test_a_blob_has_every_property_of_its_nodes(root: Node) -> None:
    read = tree.from_blob(nodes.blob_of(root), "blob").nodes

    def expected(path: str, node: Node) -> dict[str, dict[str, bytes]]:
        found = {path: {key: nodes.encode(value, lambda _: 0) for key, value in node.properties}}
        for child in node.children:
            found |= expected(f"{path.rstrip('/')}/{child.name}", child)
        return found

    assert read == expected("/", root)


@needs_dtc
@settings(max_examples=25)
@given(ROOTS)
def test_source_is_for_dtc_what_the_blob_is(root: Node) -> None:
    assert normal(dtc(nodes.source_of("any", root), "-q")) == normal(nodes.blob_of(root))


@given(st.integers(0, 2**64 - 1))
def test_a_number_in_two_cells_is_read_back(value: int) -> None:
    upper, lower = nodes.wide(value, 2)
    assert upper << 32 | lower == value
    assert nodes.wide(value, 1) == (lower,)


def test_references_of_an_overlay_are_listed_once() -> None:
    base = NodeRef("gic")
    own = Node("a@1", (("x", (Ref("here"), base)), ("y", (Ref("here"),))), label="here")
    made = Overlay("", (Fragment(base, Node("", (), (own,))), Fragment(base, Node("", ()))))
    assert made.references() == ["here"]
    assert made.base_nodes() == [base]
    assert made.path_of("here") == "&gic/a@1"
    with pytest.raises(KeyError):
        made.path_of("nowhere")
