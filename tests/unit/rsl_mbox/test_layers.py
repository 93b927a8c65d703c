# SPDX-License-Identifier: BSD-3-Clause
"""The files of the kernel module call only downwards, as the list in rsl_mbox.h says."""

from __future__ import annotations

import re

from tests.unit import REPOSITORY

MODULE = REPOSITORY / "kmod/rsl_mbox"
HEADER = (MODULE / "rsl_mbox.h").read_text()
SOURCES = {path.stem: path.read_text() for path in MODULE.glob("*.c")}

#: What begins at the start of a line and is no definition of a function or variable.
NO_DEFINITION = re.compile(r"(?:static|struct \w+ \{|enum|[#{}/]|\s|\w+:|[A-Z]|module_)")


def listed(header: str) -> dict[str, set[str]]:
    """The files that the list in rsl_mbox.h names, top first, and those that each may call."""
    lines = re.findall(r"^ \*\t(\w+)\.c\t+\S.*?\t+(\S.*)$", header, re.MULTILINE)
    return {name: set(may.split()) - {"-"} for name, may in lines}


def code(text: str) -> str:
    """The text without comments, strings and the macros that the compiler does not see."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', " ", text, flags=re.DOTALL)


def defined(text: str) -> set[str]:
    """The functions and variables that other files can use of a source file."""
    lines = [line for line in code(text).splitlines() if not NO_DEFINITION.match(line)]
    names = (re.match(r"[\w\s*]*?\**(\w+)(?:\[\])?\s*[(=;]", line) for line in lines)
    return {name[1] for name in names if name}


def declared(header: str) -> dict[str, set[str]]:
    """The functions and variables that rsl_mbox.h declares under the name of each file."""
    parts = re.split(r"^/\* (\w+)\.c \*/$", header, flags=re.MULTILINE)
    return {
        name: set(re.findall(r"(\w+)(?:\[\])?(?:;|\((?!\*))", re.sub(r"\(\*.*", "", text)))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def called(sources: dict[str, str]) -> dict[str, set[str]]:
    """The other files whose functions and variables each file uses."""
    names = {name: defined(text) for name, text in sources.items()}
    words = {name: set(re.findall(r"\w+", code(text))) for name, text in sources.items()}
    return {
        name: {other for other in names if other != name and words[name] & names[other]}
        for name in sources
    }


def test_the_list_has_every_file_and_each_calls_only_files_below_it() -> None:
    order = list(listed(HEADER))
    assert sorted(order) == sorted(SOURCES)
    for name, may_call in listed(HEADER).items():
        assert may_call <= set(order[order.index(name) + 1 :]), name


def test_each_file_calls_the_files_that_the_list_says() -> None:
    assert called(SOURCES) == listed(HEADER)


def test_a_call_upwards_is_found_and_a_comment_is_not_taken_for_one() -> None:
    ends = "void rsl_mbox_kill(struct rsl_mbox *link)\n{\n"
    assert SOURCES["link"].count(ends) == 1
    for added, found in (
        ("\trsl_mbox_eventfd_unbind_all(link);\n", {"eventfd"}),
        ("\t/* rsl_mbox_eventfd_unbind_all(link); */\n", set()),
    ):
        link = SOURCES["link"].replace(ends, ends + added)
        assert called(SOURCES | {"link": link})["link"] == found


def test_the_header_declares_what_each_file_defines_under_its_name() -> None:
    shared = {name: names for name, text in SOURCES.items() if (names := defined(text))}
    assert declared(HEADER) == shared
    # Nor does an inline function of the header call any of them.
    words = re.findall(r"\w+", code(HEADER))
    assert {words.count(name) for names in shared.values() for name in names} == {1}
    assert "rsl_mbox_notify" in shared["link"]
    assert "rsl_mbox_fops" in shared["chardev"]
    assert "rsl_mbox_groups" in shared["sysfs"]
