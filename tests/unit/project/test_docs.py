# SPDX-License-Identifier: BSD-3-Clause
"""Every link and every command of the documents works."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mkman
import pytest
import typer
from rslctl.cli import application

from tests import checkout, documents
from tests.command_line import Rslctl
from tests.unit import REPOSITORY

ROOT = REPOSITORY
DOCUMENTS = documents.find(ROOT)
#: Who runs the blocks of a kind, as docs/testing.md says.
KINDS = ("laptop", "tree", "board", "zcu102", "debian", "yocto", "make")
#: Words that stand for a number.
NUMBERS = {"VECTOR": "3", "S": "1", "COUNT": "1", "OCTAL": "0660"}
#: What the command line says where something is left out.
INCOMPLETE = ("MissingParameter", "BadOptionUsage", "NoArgsIsHelpError")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def of_kind(kind: str) -> list[Path]:
    return [path for path in DOCUMENTS if kind in {each.kind for each in documents.blocks(path)}]


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", documents.prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"`[^`]*`", "", documents.prose(path))
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = unquote(link).partition("#")
        target = path.parent / file if file else path
        if not re.match(r"\w+:", link) and (
            not target.exists() or (anchor and anchor not in anchors(target))
        ):
            dead.append(link)
    assert dead == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        links = re.findall(r"\]\(([^)\s#:]+)\)", documents.prose(path))
        for target in [(path.parent / unquote(link)).resolve() for link in links]:
            todo.append(target / "README.md" if (target / "README.md").exists() else target)
    assert [name(path) for path in DOCUMENTS if path not in seen] == []


def test_documents_that_sources_name_are_there() -> None:
    places = ("Makefile", "pyproject.toml", "tools", "kmod", "tests", "dt-overlays", "yocto")
    files = [each for place in places for each in (ROOT / place, *(ROOT / place).rglob("*"))]
    sources = [each for each in files if each.is_file() and each.suffix not in (".pyc", ".md")]
    named = {
        found
        for source in sources
        for found in re.findall(
            r"\bdocs/[\w/-]+(?:\.md|abi/[\w-]+)", source.read_text(errors="replace")
        )
    }
    assert [each for each in sorted(named) if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_shell_block_says_who_runs_it(path: Path) -> None:
    for block in documents.blocks(path):
        if not block.language:
            plain = not re.search(r"^(?:[$#] |rslctl )", block.text, re.MULTILINE)
            assert plain, f"line {block.line}: say who runs it"
        runs = block.language in documents.SHELL
        assert block.language not in ("bash", "shell"), f"line {block.line}: say sh"
        assert (block.kind in KINDS) if runs else not block.kind, f"line {block.line}: {block.kind}"


def command_lines(text: str) -> list[list[str]]:
    """The commands of rslctl in a shell script."""
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        before, taken = "", False
        for word in words:
            if set(word) <= set("();<>|&"):
                taken = False
            elif word == "rslctl" and not taken and before != "purge":
                found.append([])
                taken = True
            elif taken:
                found[-1].append(word)
            before = word
    return found


def check_command(words: list[str], *, complete: bool) -> None:
    """Parse a command of rslctl as the command line does, without executing it.

    What is not *complete* may lack options and arguments, and has "[OPTION]" for what may be left
    out.
    """
    if not complete:
        words = [re.sub(r"[\[\]]|\.\.\.", "", word) for word in words]
        words = [word for word in words if word not in ("", "OPTIONS", "COMMAND")]
    words = [NUMBERS.get(word, word) for word in words]
    command = typer.main.get_command(application.app)
    context = None
    told = "rslctl"
    try:
        while True:
            context = command.make_context(told, list(words), parent=context)
            words = [*getattr(context, "_protected_args", []), *context.args]
            if not hasattr(command, "resolve_command") or not words:
                return
            told, command, words = command.resolve_command(context, words)
    except typer.Exit:  # --help
        return
    except Exception as error:
        if complete or type(error).__name__ not in INCOMPLETE:
            raise AssertionError(f"{told}: {error}") from error


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_command_exists(path: Path) -> None:
    wrong = []
    spans = re.findall(r"`rslctl ([^`]+)`", documents.prose(path).replace("\n", " "))
    lines = [(shlex.split(span), False) for span in spans]
    for block in documents.blocks(path):
        if block.language in documents.SHELL:
            lines += [(words, True) for words in command_lines(documents.script(block))]
    for words, complete in lines:
        try:
            check_command(words, complete=complete)
        except AssertionError as error:
            wrong.append(f"rslctl {shlex.join(words)}: {error}")
    assert wrong == []


@pytest.mark.parametrize(
    "words", ["nothing", "kick", "kick x", "kick 3 --no-such", "boards nothing", "setup"]
)
def test_a_wrong_command_is_found(words: str) -> None:
    with pytest.raises(AssertionError):
        check_command(words.split(), complete=True)


def test_every_json_document_is_described() -> None:
    def with_json(command: Any, words: str) -> list[str]:
        subs = mkman.below(command)
        here = [words] if any(each.name == "json" for each in command.params) else []
        return here + [
            found for sub, each in subs.items() for found in with_json(each, f"{words} {sub}")
        ]

    text = (ROOT / "docs/reference/json.md").read_text()
    described = set(re.findall(r"^\| (?:\[)?`(rslctl [\w -]+)`", text, re.MULTILINE))
    assert described == set(with_json(typer.main.get_command(application.app), "rslctl"))


@pytest.mark.parametrize("command", ["boards", "boards show zcu102", "layout --board zcu102"])
def test_every_key_of_a_json_document_is_described(command: str, rslctl: Rslctl) -> None:
    def keys(value: Any, depth: int) -> set[str]:
        if isinstance(value, list):
            return {key for each in value for key in keys(each, depth)}
        if not isinstance(value, dict) or not depth:
            return set()
        return {*value, *(key for each in value.values() for key in keys(each, depth - 1))}

    status, out, _ = rslctl(*command.split(), "--json")
    assert status == 0
    title = " ".join(word for word in command.split()[:2] if word != "--board")
    text = (ROOT / "docs/reference/json.md").read_text()
    (row,) = re.findall(rf"^\| `rslctl {title}` .*$", text, re.MULTILINE)
    # What a transport or a region of a profile has is the profile's to say.
    depth = 2 if title == "boards show" else 9
    assert {f"`{key}`" for key in keys(json.loads(out), depth)} <= set(re.findall("`[^`]*`", row))


def test_what_make_is_told_is_there() -> None:
    told = {
        target
        for path in of_kind("make")
        for block in documents.blocks(path)
        if block.kind == "make"
        for target in re.findall(r"^make ([\w-]+)", block.text, re.MULTILINE)
    }
    assert told
    assert told <= set(re.findall(r'"make ([\w-]+)', (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a (0.01 s)\nb", "b\na (1.5 s)", True),
        ("a ... c", "a b c", True),
        ("a\n...", "a\nb\nc", True),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("a 1", "a 2", False),
    ],
)
def test_another_output_than_shown_is_found(shown: str, printed: str, same: bool) -> None:
    assert documents.matches(shown.splitlines(), printed.splitlines()) == same


@pytest.mark.parametrize("block", ["```sh laptop\nfalse\n```", "```console laptop\n$ false\n```"])
def test_a_command_that_fails_is_found(block: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"{block}\n")
    with (
        documents.Session(tmp_path, dict(os.environ)) as session,
        pytest.raises(AssertionError, match=r"a\.md:1"),
    ):
        session.run(tmp_path / "a.md", "laptop")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has a Python of their own, and rslctl in it."""
    place = tmp_path_factory.mktemp("installed")
    venv = place / "venv"
    made = [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(venv)]
    subprocess.run(made, check=True)
    pip = venv / "bin/pip"
    pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {venv}/bin/python "$@"\n')
    pip.chmod(0o755)
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
        "COLUMNS": "100",
        "TERM": "dumb",
        # What rslctl needs is here already, for any venv; nothing is downloaded.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if "site-packages" in path),
        "PIP_NO_BUILD_ISOLATION": "0",  # this is how pip is told not to isolate
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    subprocess.run(
        [pip, "install", "-q", "."],
        cwd=checkout.copy(ROOT, place / "checkout"),
        env=env,
        check=True,
    )
    return env


@pytest.mark.parametrize("path", of_kind("laptop"), ids=name)
def test_the_commands_for_this_machine(
    path: Path, installed: dict[str, str], tmp_path: Path
) -> None:
    text = path.read_text()
    if "\ncc -" in text and not shutil.which("cc"):
        pytest.skip("no C compiler")
    if "-m venv" in text and not importlib.util.find_spec("ensurepip"):
        pytest.skip("no ensurepip: Debian's package python3-venv")
    with documents.Session(checkout.copy(ROOT, tmp_path / "checkout"), installed) as session:
        session.run(path, "laptop")


def test_the_first_daemon_is_short_and_an_example() -> None:
    for path in (ROOT / "README.md", ROOT / "docs/tutorial.md"):
        programs = [each.text for each in documents.blocks(path) if each.language == "python"][:2]
        for program, file in zip(programs, ("daemon.py", "remote.py"), strict=True):
            said, text = program.split("\n", 1)
            assert said == f"# {file}"
            assert (ROOT / "tools/examples" / file).read_text().endswith(text)
            assert len(text.splitlines()) < 20
