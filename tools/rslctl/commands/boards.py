# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl boards``."""

from __future__ import annotations

from rslctl import board
from rslctl.commands.options import JsonOption, print_json


def boards(json: JsonOption = False) -> None:
    """List the boards that rslctl knows.

    Example: rslctl boards
    """
    known = [board.load(name) for name in board.built_in()]
    if json:
        print_json(
            [
                {
                    "name": each.name,
                    "description": each.description,
                    "compatible": each.compatible,
                    "links": [{"name": link.name, "vectors": link.vectors} for link in each.links],
                }
                for each in known
            ]
        )
        return
    width = max(len(each.name) for each in known)
    for each in known:
        print(f"{each.name:{width}}  {each.description}")
