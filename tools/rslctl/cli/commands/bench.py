# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl bench``."""

from __future__ import annotations

import json as decoder
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from rslctl.bench import measure, page, paths, report
from rslctl.cli.machine import host
from rslctl.cli.options import JsonOption, LinkOption, among, write
from rslctl.cli.output import columns, note, print_json
from rslctl.errors import RslError, UsageError, os_error
from rslctl.linux import given_file, mbox

#: Those that leave the link to the module.
_DEFAULT = ["chardev", "eventfd", "sysfs"]
#: The options that say what to measure, where none is given.
_TOLD_NOTHING = (None, None, None, None, 0, 1000, 5, 50)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number of bytes, as 0x1000") from error


def bench(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN.json]...", help="Runs to compare. Nothing is measured then."),
    ] = None,
    link: LinkOption = None,
    vector: Annotated[
        int, typer.Option("--vector", metavar="N", min=0, help="Vector that the remote answers.")
    ] = 0,
    path: Annotated[
        list[str] | None,
        typer.Option(
            "--path",
            metavar="NAME",
            help="chardev, eventfd, sysfs or uio; may be repeated.",
            autocompletion=among(paths.PATHS),
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="Kicks per path and round.")
    ] = 1000,
    time: Annotated[
        float | None,
        typer.Option(
            "--time",
            metavar="S",
            min=0.001,
            max=1e6,
            help="Seconds per path and round, instead of --count.",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Rounds, each with all paths.")
    ] = 5,
    warm_up: Annotated[
        int, typer.Option("--warm-up", metavar="N", min=0, help="Kicks before each round.")
    ] = 50,
    write_at: Annotated[
        int | None,
        typer.Option(
            "--write-at",
            metavar="OFFSET",
            help="Also write to the memory: 64 KiB from this offset on are overwritten.",
            parser=_number,
        ),
    ] = None,
    json: JsonOption = False,
    report_to: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page of HTML.")
    ] = None,
) -> None:
    """Measure how long kicks, notifications and copies of memory take, or compare such runs.

    The remote has to answer each kick of the vector with a notification of the same vector, and
    no daemon may use the link. The path uio takes the link from the module for its part of each
    round.

    Example: rslctl bench --json > a.json; rslctl bench a.json b.json --report both.html
    """
    if report_to and not os.access(report_to.absolute().parent, os.W_OK):
        raise UsageError(f"--report: '{report_to.parent}' is no directory to write to")
    told = (link, path or None, time, write_at, vector, count, rounds, warm_up)
    if runs:
        if told != _TOLD_NOTHING:
            raise UsageError("options that say what to measure do not go with runs to compare")
        documents = list(zip(_names(runs), map(_read, runs), strict=True))
    else:
        settings = measure.Settings(
            tuple(dict.fromkeys(path or _DEFAULT)),
            vector,
            count,
            time,
            rounds,
            warm_up,
            write_at,
        )
        documents = [("this run", _measure(link, settings))]
    if json:
        print_json([each for _, each in documents] if runs else documents[0][1])
    if report_to:
        write({report_to: page.html(documents).encode()})
    elif not json:
        for line in _lines(documents):
            print(report.in_encoding(line, sys.stdout.encoding))


def _names(runs: list[Path]) -> list[str]:
    """What the runs are called: their files' names, where these differ."""
    stems = [each.stem for each in runs]
    return stems if len(set(stems)) == len(stems) else [str(each) for each in runs]


def _measure(link: str | None, settings: measure.Settings) -> dict[str, Any]:
    for name in settings.paths:
        if name not in paths.PATHS:
            raise UsageError(f"--path: {name!r} is not one of {', '.join(paths.PATHS)}")
    machine = host()
    device = mbox.pick(machine, link)
    return measure.run(machine, device, settings, note)


def _lines(documents: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    width = columns(sys.stdout) if sys.stdout.isatty() else None
    compared = list(report.comparison(documents, width))
    yield from compared
    for number, (name, document) in enumerate(documents):
        yield from [""] if number or compared else []
        yield from report.run(document, name, width)


def _read(path: Path) -> dict[str, Any]:
    """A run that was printed before.

    Raises:
        RslError: there is none in the file.
    """
    try:
        document: dict[str, Any] = decoder.loads(given_file.read(path))
        report.check(document)
    except OSError as error:
        raise os_error(f"read '{path}'", error) from error
    except (ValueError, RecursionError) as error:
        raise RslError(
            f"'{path}' is no run of rslctl bench: {error}", hint="make one: rslctl bench --json"
        ) from error
    return document
