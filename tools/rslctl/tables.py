# SPDX-License-Identifier: BSD-3-Clause
"""Text in columns.

The quick commands load this module, so it needs no more than the interpreter: see cli/quick.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence


def pairs(rows: dict[str, str]) -> list[str]:
    """Lines with a name and a value each, in two columns."""
    return table(list(rows.items()), left=(0, 1))


def table(
    rows: Iterable[Sequence[str]], *, left: Container[int] = (), width: int | None = None
) -> list[str]:
    """Lines with the cells of *rows* in columns, two spaces apart.

    All rows have the same number of cells. Cells go to the right of their columns; those of the
    columns *left*, counted from 0, to the left. Lines that would be wider than *width* columns
    have only one space between cells; if that is not enough, cells of the first column continue
    below. Other cells are never cut, so lines can be wider than *width* still.
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    gap = "  "
    if width is not None and sum(widths) + len(gap) * (len(widths) - 1) > width:
        gap = " "
        others = sum(widths[1:]) + len(widths) - 1
        # Not narrower than a short word, even where there is no room for one.
        widths[0] = min(widths[0], max(width - others, 8))
    lines = []
    for row in rows:
        first, *others_of_row = row
        parts = [first[at : at + widths[0]] for at in range(0, len(first), widths[0])] or [""]
        cells: list[Sequence[str]] = [[parts[0], *others_of_row]]
        cells += [[part] for part in parts[1:]]
        for line in cells:
            justified = [
                cell.ljust(room) if at in left else cell.rjust(room)
                for at, (cell, room) in enumerate(zip(line, widths, strict=False))
            ]
            lines.append(gap.join(justified).rstrip())
    return lines
