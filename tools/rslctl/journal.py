# SPDX-License-Identifier: BSD-3-Clause
"""What setup did, written down before it does it, and the lock around that."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rslctl.errors import RslError, WaitTimeoutError, os_error
from rslctl.host import Host

STATE = "/run/rslctl"
_LOCK = f"{STATE}/lock"

#: What undoing a step needs; goes through JSON.
Plan = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What setup was told of a link, for the commands that come after it."""

    #: The board as --board had it, and the transport.
    board: str
    transport: str
    #: Paths in the device tree: of the notification node, and of what boots the remote.
    node: str
    #: One of :data:`overlay.STYLES`.
    style: str
    remoteproc: str = ""
    #: The remote's file below /lib/firmware; "" is the one that the kernel has.
    firmware: str = ""
    #: One of :data:`board.STARTS`.
    start: str = "daemon"


@dataclass
class Journal:
    """What setup did to bring a link up, in order; one file per link in /run."""

    host: Host
    link: str
    entries: list[dict[str, Any]] = field(default_factory=list)
    facts: Facts | None = None
    #: Whether every step was done.
    complete: bool = False

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
                document = json.loads(host.read(journal.file))
                journal.entries = [
                    {"step": str(entry["step"]), "plan": dict(entry["plan"])}
                    for entry in document["entries"]
                ]
                journal.complete = bool(document["complete"])
                facts = {key: _text(value) for key, value in document["facts"].items()}
                journal.facts = Facts(**facts)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise journal.damaged(str(error)) from error
        return journal

    def damaged(self, why: str) -> RslError:
        """What to say of a file that is not what was written."""
        return RslError(
            f"'{self.host.path(self.file)}' is damaged: {why}",
            hint="remove it; what setup did before is then left as it is",
        )

    @classmethod
    def links(cls, host: Host) -> list[str]:
        """The links that have a journal."""
        names = host.names(STATE)
        return [name[:-5] for name in names if name.endswith(".json") and name[0] != "."]

    def _save(self) -> None:
        if not self.entries and not self.complete:
            self.host.remove(self.file)
            return
        document = {
            "link": self.link,
            "facts": asdict(self.facts) if self.facts else {},
            "complete": self.complete,
            "entries": self.entries,
        }
        text = json.dumps(document, indent=2) + "\n"
        # For status and dry runs of everybody.
        self.host.put(self.file, text.encode(), mode=0o644)

    def add(self, step: str, plan: Plan) -> bool:
        """Write down that *step* is about to be done; False if that is written already."""
        entry = {"step": step, "plan": plan}
        if entry in self.entries:
            return False
        self.entries.append(entry)
        self.complete = False
        self._save()
        return True

    def has(self, step: str, plan: Plan) -> bool:
        """Whether something is written of *step* on the same device already."""
        return any(
            each["step"] == step and each["plan"].get("device") == plan.get("device")
            for each in self.entries
        )

    def adopt(self, entry: dict[str, Any]) -> None:
        """Take over, as the first, what another link's journal has to undo."""
        if entry not in self.entries:
            self.entries.insert(0, entry)
            self._save()

    def drop_last(self) -> None:
        self.entries.pop()
        self._save()

    def last(self, step: str) -> Plan | None:
        """What was written last of *step*."""
        plans = [entry["plan"] for entry in self.entries if entry["step"] == step]
        return plans[-1] if plans else None

    def drop(self, step: str, plan: Plan) -> None:
        """Take out what was written of *step*, which is undone."""
        self.entries.remove({"step": step, "plan": plan})
        self._save()

    def finish(self) -> None:
        """Write down that every step is done."""
        self.complete = True
        self._save()

    def begin_undoing(self) -> None:
        """Write down that the link is not whole any more."""
        self.complete = False
        self._save()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


@contextlib.contextmanager
def locked(host: Host, timeout: float, note: Callable[[str], None]) -> Iterator[None]:
    """Keep other setups and teardowns out; wait for one for *timeout* seconds.

    Raises:
        WaitTimeoutError: one is still under way; the message names its process.
        RslError: the state directory cannot be made.
    """
    directory = host.path(STATE)
    try:
        if not directory.exists():
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)  # whatever the umask is: status and dry runs read it
        # Not everybody's to open, so that not everybody can hold it.
        fd = os.open(host.path(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise os_error(f"lock '{directory}'", error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _wait(fd, timeout, note)
        for name in host.names(STATE):
            if name.startswith("."):  # of one that was killed while it wrote
                host.remove(f"{STATE}/{name}")
        yield
    finally:
        os.close(fd)


class _LateError(Exception):
    pass


def _wait(fd: int, timeout: float, note: Callable[[str], None]) -> None:
    def late(_: int, __: FrameType | None) -> None:
        raise _LateError

    holder = _holder(fd)
    if timeout:
        note(f"waiting for {holder} to end, up to {timeout:g} s")
        before = signal.signal(signal.SIGALRM, late)
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout)
            fcntl.flock(fd, fcntl.LOCK_EX)
            return
        except _LateError:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    raise WaitTimeoutError(
        f"another rslctl setup or teardown is under way: {holder}",
        hint="try again when it is done, or give it more time with --timeout",
    )


def _holder(fd: int) -> str:
    """The process that has the lock: proc_locks(5)."""
    state = os.fstat(fd)
    name = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
        held = [line.split() for line in lines if "->" not in line]
        pid = next(words[4] for words in held if words[5] == name)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, StopIteration, IndexError):
        return "a process that cannot be seen"
    return f"process {pid} ({' '.join(command.split(chr(0))).strip()})"
