# SPDX-License-Identifier: BSD-3-Clause
"""What setup did, written down before it does it, and the lock around that."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rslctl.errors import RslError, os_error
from rslctl.host import Host

STATE = "/run/rslctl"

#: What undoing a step needs; goes through JSON.
Plan = dict[str, Any]


@dataclass
class Journal:
    """What setup did to bring a link up, in order; one file per link in /run."""

    host: Host
    link: str
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def file(self) -> str:
        return f"{STATE}/{self.link}.json"

    @classmethod
    def load(cls, host: Host, link: str) -> Journal:
        """The journal of *link*; an empty one if setup did nothing.

        Raises:
            RslError: the file is damaged.
        """
        journal = cls(host, link)
        if host.exists(journal.file):
            try:
                journal.entries = [
                    {"step": str(entry["step"]), "plan": dict(entry["plan"])}
                    for entry in json.loads(host.read(journal.file))["entries"]
                ]
            except (ValueError, KeyError, TypeError) as error:
                raise RslError(
                    f"'{host.path(journal.file)}' is damaged: {error}",
                    hint="remove it; what setup did before is then left as it is",
                ) from error
        return journal

    @classmethod
    def links(cls, host: Host) -> list[str]:
        """The links that have a journal."""
        names = host.names(STATE)
        return [name[:-5] for name in names if name.endswith(".json") and name[0] != "."]

    def _save(self) -> None:
        if self.entries:
            text = json.dumps({"link": self.link, "entries": self.entries}, indent=2)
            self.host.replace(self.file, text + "\n")
        else:
            self.host.remove(self.file)

    def add(self, step: str, plan: Plan) -> bool:
        """Write down that *step* is about to be done; False if that is written already."""
        entry = {"step": step, "plan": plan}
        if entry in self.entries:
            return False
        self.entries.append(entry)
        self._save()
        return True

    def adopt(self, entry: dict[str, Any]) -> None:
        """Take over, as the first, what another link's journal has to undo."""
        if entry not in self.entries:
            self.entries.insert(0, entry)
            self._save()

    def drop_last(self) -> None:
        self.entries.pop()
        self._save()


@contextlib.contextmanager
def locked(host: Host) -> Iterator[None]:
    """Keep other setups and teardowns out.

    Raises:
        RslError: one is under way, or the state directory cannot be made.
    """
    directory = host.path(STATE)
    try:
        if not directory.exists():
            directory.mkdir(parents=True)
            directory.chmod(0o755)  # whatever the umask is: status and dry runs read it
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise os_error(f"lock '{directory}'", error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RslError(
            "another rslctl setup or teardown is under way", hint="try again when it is done"
        ) from error
    finally:
        os.close(fd)
