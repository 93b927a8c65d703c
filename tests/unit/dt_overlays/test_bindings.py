# SPDX-License-Identifier: BSD-3-Clause
"""The device tree bindings are schemas, and their examples follow them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import REPOSITORY
from tests.unit.programs import needs_dtc

BINDINGS = REPOSITORY / "dt-overlays/bindings"
SCHEMAS = sorted(BINDINGS.glob("*/*.yaml"))


def dtschema(tool: str, *arguments: str | Path) -> str:
    """Run a tool of dtschema; returns all that it prints."""
    program = f"import sys; from dtschema.{tool} import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_a_binding_is_a_schema(schema: Path) -> None:
    assert dtschema("doc_validate", "-u", BINDINGS, schema) == ""


def validated(schema: Path, directory: Path, old: str = "", new: str = "") -> str:
    """What is found in the schema's examples, with *old* replaced by *new*."""
    source = dtschema("extract_example", schema)
    assert old in source
    blob = directory / "example.dtb"
    subprocess.run(
        ["dtc", "-@", "-q", "-I", "dts", "-O", "dtb", "-o", blob],
        input=source.replace(old, new, 1) if old else source,
        text=True,
        check=True,
    )
    return dtschema("dtb_validate", "-l", "rsl", "-s", BINDINGS, blob)


@needs_dtc
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_its_examples_follow_it(schema: Path, tmp_path: Path) -> None:
    assert validated(schema, tmp_path) == ""


@needs_dtc
@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("doorbell", "rsl,kick-values = <80 81>;", "", "'rsl,kick-values' is a required property"),
        ("doorbell", "rsl,status-masks = <0x100>;", "", "'rsl,status-masks' is a dependency of"),
        ("doorbell", "label =", "title =", "'title' does not match any of the regexes"),
        ("client", '"tx", "rx"', '"out", "rx"', "'out' does not match"),
        (
            "client",
            "label =",
            "rsl,vectors = <33>; label =",
            "33 is greater than the maximum of 32",
        ),
        ("client", "label =", 'rsl,payload = "u64"; label =', "'u64' is not one of"),
    ],
)
def test_a_node_that_does_not_is_found(
    name: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    schema = BINDINGS / f"mailbox/rsl,mbox-{name}.yaml"
    assert message in validated(schema, tmp_path, old, new)
