# SPDX-License-Identifier: BSD-3-Clause
"""The documents of this project: their blocks, and a shell that runs them as a reader would.

The word behind a block's language says who runs it; docs/testing.md lists these kinds.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import signal
import subprocess
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from tests import checkout

#: Languages of blocks that are run; "console" has the output, too.
SHELL = ("sh", "console")

_FENCE = re.compile(r"^( *)```(\w*) ?(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
#: What a block that is a file begins with: its name in a comment.
_FILE = re.compile(r"(?:#|//|/\*) (\w[\w.-]*\.\w+)(?: \*/)?\n")
#: What is another number each time.
_MEASURED = re.compile(r"\d+(?:\\\.\d+)?(?=\\ (?:s|ms|us)\b)")


@dataclass(frozen=True)
class Block:
    """A block of a document."""

    line: int
    language: str
    kind: str
    text: str


def find(root: Path) -> list[Path]:
    """The documents below *root*, which is a checkout."""
    return [path for path in checkout.sources(root) if path.suffix == ".md"]


def blocks(path: Path) -> list[Block]:
    """The blocks of a document, in order."""
    text = path.read_text()
    return [
        Block(text.count("\n", 0, at.start()) + 1, at[2], at[3], textwrap.dedent(at[4]))
        for at in _FENCE.finditer(text)
    ]


def prose(path: Path) -> str:
    """A document without its blocks."""
    return _FENCE.sub("", path.read_text())


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a block "console", each with the lines that it shows."""
    found: list[tuple[str, list[str]]] = []
    more = False
    for line in text.splitlines():
        if more:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif line.startswith(("$ ", "# ")):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line.rstrip())
        more = not found[-1][1] and line.endswith("\\")
    return found


def script(block: Block) -> str:
    """What a block has the shell do."""
    if block.language == "console":
        return "\n".join(command for command, _ in commands(block.text))
    return block.text


def matches(shown: list[str], lines: list[str]) -> bool:
    """Whether *lines* are those that a document shows, in any order.

    There "..." is what varies, on a line of its own any lines; measured times differ.
    """
    rest = [line.rstrip() for line in lines if line.strip()]
    for each in filter(None, shown):
        pattern = _MEASURED.sub(r"[0-9.]+", re.escape(each)).replace(r"\.\.\.", ".*")
        found = [line for line in rest if re.fullmatch(pattern, line)]
        if each != "..." and not found:
            return False
        if each != "...":
            rest.remove(found[0])
    return not rest or "..." in shown


class Session:
    """A shell that runs the blocks of a document, one after the other."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        self.directory = directory
        self._output = ""
        self._shell = subprocess.Popen(
            ["sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=env,
            start_new_session=True,
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.communicate()

    def run(self, path: Path, kind: str) -> None:
        """Run the blocks of a *kind*, and make the files that the document shows."""
        for block in blocks(path):
            where = f"{path.name}:{block.line}"
            if block.language not in SHELL:
                if named := _FILE.match(block.text):
                    (self.directory / named[1]).write_text(block.text)
            elif block.kind == kind and block.language == "sh":
                status = self._do(f"set -e\n{block.text}set +e\n", where)
                assert status == 0, f"{where}: status {status}\n{self._output}"
                self._output = ""
            elif block.kind == kind:
                self._show(where, commands(block.text))

    def _show(self, where: str, given: list[tuple[str, list[str]]]) -> None:
        for (command, shown), (after, _) in zip(given, [*given[1:], ("", [])], strict=True):
            status = self._do(f"{command}\n", where)
            # A document that shows a failure asks for its status.
            assert status == 0 or after == "echo $?", f"{where}: {command}\n{self._output}"
            end = time.monotonic() + 60
            while not matches(shown, self._output.splitlines()):
                assert time.monotonic() < end and self._more(1), (
                    f"{where}: {command}\nshown:\n{chr(10).join(shown)}\nprinted:\n{self._output}"
                )
            self._output = ""

    def _do(self, text: str, where: str) -> int:
        """Have the shell execute *text*; its exit status."""
        token = secrets.token_hex(8)
        assert self._shell.stdin
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            file.write(text)
            file.flush()
            line = f". {file.name} </dev/null; set -- $?; echo {token} $1; (exit $1)\n"
            self._shell.stdin.write(line.encode())
            self._shell.stdin.flush()
            end = time.monotonic() + 600
            while not (told := re.search(rf"{token} (\d+)\n", self._output)):
                assert time.monotonic() < end, f"{where}: takes too long\n{self._output}"
                assert self._more(10) is not None, f"{where}: failed\n{self._output}"
        self._output = self._output.replace(told[0], "")
        return int(told[1])

    def _more(self, timeout: float) -> bool | None:
        """Read what is printed; None at its end."""
        assert self._shell.stdout
        if select.select([self._shell.stdout], [], [], timeout)[0]:
            data = os.read(self._shell.stdout.fileno(), 65536)
            self._output += data.decode()
            return True if data else None
        return True
