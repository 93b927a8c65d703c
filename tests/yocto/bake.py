# SPDX-License-Identifier: BSD-3-Clause
"""bitbake's own parser, fetcher and task runner on the recipes of yocto/meta-rsl.

python -m tests.yocto.bake BUILD SETTINGS RECIPE TASK...

BUILD is a directory to work in, SETTINGS a JSON object of variables. The tasks of the recipe are
run, and its variables printed as a JSON object. Beside the layer there is only core/, which
stands for openembedded-core: each of its files names what it plays, and what it leaves out.
real.py does the same with the real layers.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import types
from pathlib import Path
from typing import Any

# The parser of shell writes its tables into this directory, where it may not write to its own. They
# are not found there again, as Python looks for modules where it was started.
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])

# bitbake-setup leaves out the server of hashes, which is only for builds that share them.
for absent in ("hashserv", "hashserv.client"):
    sys.modules[absent] = types.ModuleType(absent)

import bb.build  # noqa: E402
import bb.cookerdata  # noqa: E402
import bb.parse  # noqa: E402

REPOSITORY = Path(__file__).parents[2]


def native(build: Path) -> str:
    """A PATH with rslctl of this checkout, which stands for rslctl-native."""
    script = build / "native/rslctl"
    script.parent.mkdir(exist_ok=True)
    tools = f"PYTHONPATH='{REPOSITORY / 'tools'}' PYTHONDONTWRITEBYTECODE=1"
    script.write_text(f"#!/bin/sh\n{tools} exec '{sys.executable}' -m rslctl \"$@\"\n")
    script.chmod(0o755)
    return f"{script.parent}:{os.environ['PATH']}"


def configure(build: Path, settings: dict[str, str]) -> bb.cookerdata.CookerDataBuilder:
    """Read the configuration of both layers."""
    conf = build / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    layer = settings.get("LAYER", str(REPOSITORY / "yocto/meta-rsl"))
    layers = f"{Path(__file__).parent / 'core'} {layer}"
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    lines += ['BBPATH = "${TOPDIR}"', f'BBLAYERS = "{layers}"', f'PYTHON = "{sys.executable}"']
    (conf / "bblayers.conf").write_text("\n".join(lines) + "\n")
    parameters = bb.cookerdata.CookerConfiguration()
    # Tasks in Python start programs with this process's own environment.
    os.environ["PATH"] = native(build)
    parameters.env = {"PATH": os.environ["PATH"], "HOME": str(build)}
    builder = bb.cookerdata.CookerDataBuilder(parameters)
    builder.parseBaseConfiguration()
    return builder


def recipes(builder: bb.cookerdata.CookerDataBuilder) -> dict[str, str]:
    """The file of each recipe that BBFILES names."""
    patterns = builder.data.getVar("BBFILES").split()
    files = sorted(str(path) for each in patterns for path in Path("/").glob(each[1:]))
    return {Path(file).stem.split("_")[0]: file for file in files}


def run(builder: bb.cookerdata.CookerDataBuilder, file: str, tasks: list[str]) -> dict[str, Any]:
    """Run tasks of a recipe.

    Raises:
        SystemExit: the recipe was skipped, or a task failed.
    """
    data = builder.parseRecipe(file, [], "")
    if data.getVar("__SKIPPED", False):
        raise SystemExit(f"skipped: {data.getVar('__SKIPPED', False)}")
    for task in tasks:
        data.setVarFlag(task, "nostamp", "1")
        if bb.build.exec_task(file, task, data):
            log = Path(data.getVar("T")) / f"log.{task}"
            raise SystemExit(f"{task} failed: {log.read_text() if log.exists() else 'no log'}")
    known = bb.data.generate_dependencies(data, set())
    _, signatures = bb.data.generate_dependency_hash(*known, set(), "")
    return {
        "signatures": {name.removeprefix(":"): value for name, value in signatures.items()},
        **{
            name: data.getVar(name)
            for name in data
            if not data.getVarFlag(name, "func", False) and not name.startswith("_")
        },
    }


def main() -> None:
    build, settings, recipe, *tasks = sys.argv[1:]
    logging.getLogger("BitBake").addHandler(logging.StreamHandler())
    builder = configure(Path(build), json.loads(settings))
    files = recipes(builder)
    if recipe not in files:
        raise SystemExit(f"there is no recipe {recipe!r}, but {', '.join(files)}")
    json.dump(run(builder, files[recipe], tasks), sys.stdout, default=str)


if __name__ == "__main__":
    main()
