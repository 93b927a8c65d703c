# SPDX-License-Identifier: BSD-3-Clause
"""What packages ask for at run time, by bitbake's parse of the real layers.

python3 closure.py PACKAGE... in a build directory, with bitbake on PATH. The last line is a JSON
object: "standard" has the packages of python3, "versions" those of other projects' modules for
Python and their versions on PyPI, "absent" the packages that nothing provides.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

_bitbake = shutil.which("bitbake")
assert _bitbake, "bitbake is not on PATH"
sys.path.insert(0, str(Path(_bitbake).parents[1] / "lib"))

import bb.tinfoil  # noqa: E402


def main() -> None:
    standard, versions, absent = set(), {}, set()
    with bb.tinfoil.Tinfoil() as tinfoil:
        tinfoil.prepare(quiet=2)
        by_file = dict(tinfoil.run_command("getRuntimeDepends"))
        provided = tinfoil.run_command("getRProviders")
        # Patterns of packages that are named when a recipe is built, as libudev of systemd.
        dynamic = list(tinfoil.run_command("getRecipePackagesDynamic"))
        files = {
            package: file
            for file, packages in by_file.items()
            for package in packages
            if not file.startswith("virtual:")
        }
        left, seen = list(sys.argv[1:]), set()
        while left:
            package = left.pop()
            if package in seen:
                continue
            seen.add(package)
            file = files.get(package)
            if not file:
                if not provided.get(package) and not any(re.match(p, package) for p in dynamic):
                    absent.add(package)
                continue
            left += by_file[file][package]
            name = Path(file).name
            if name.startswith("python3_"):
                standard.add(package)
            elif name.startswith("python3-"):
                data = tinfoil.parse_recipe_file(file)
                pypi = data.getVar("PYPI_PACKAGE") or package.removeprefix("python3-")
                versions[pypi] = data.getVar("PV")
    print(
        json.dumps({"standard": sorted(standard), "versions": versions, "absent": sorted(absent)})
    )


main()
