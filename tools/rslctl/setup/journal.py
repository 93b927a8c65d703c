# SPDX-License-Identifier: BSD-3-Clause
"""The journal of a link: setup writes how to undo each step before it does the step.

Each link has two files in /run/rslctl. LINK.json is the journal. LINK.facts has what setup was told
of the link.
"""

from __future__ import annotations

from rslctl.errors import RslError
from rslctl.linux import trust
from rslctl.linux.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

#: The data that a step needs to be undone. It is written as JSON.
UndoPlan: TypeAlias = "dict[str, Any]"

#: The directory of what does not outlive a reboot, and what to do if it cannot be written.
RUN = "/run"
TMPFS = "mount a tmpfs there, as most systems do at boot: mount -t tmpfs -o mode=0755 tmpfs /run"

STATE = f"{RUN}/rslctl"


class Facts:
    """What setup was told of a link, for the commands that run later."""

    def __init__(
        self,
        board: str,
        transport: str,
        node: str,
        style: str,
        remoteproc: str = "",
        firmware: str = "",
        start: str = "daemon",
    ) -> None:
        #: The value of --board, and the transport.
        self.board = board
        self.transport = transport
        #: Paths in the device tree: of the notification node, and of the remote's boot node.
        self.node = node
        #: One of :data:`overlay.STYLES`.
        self.style = style
        self.remoteproc = remoteproc
        #: The remote's file below /lib/firmware; "" is the one that the kernel has.
        self.firmware = firmware
        #: One of :data:`model.STARTS`.
        self.start = start


class Journal:
    """The steps that setup did to bring a link up, in order."""

    def __init__(self, host: Host, link: str) -> None:
        """Make an empty journal; see :meth:`load`."""
        self.host = host
        self.link = link
        self.entries: list[dict[str, Any]] = []
        self.facts: Facts | None = None
        self._saved_facts = ""
        #: Whether every step was done.
        self.complete = False

    @property
    def file(self) -> str:
        return f"{STATE}/{self.link}.json"

    @classmethod
    def load(cls, host: Host, link: str) -> Journal:
        """Read the journal of *link*; an empty one if setup did nothing.

        Raises:
            RslError: the file is damaged.
        """
        import json  # loading json takes longer than most commands run

        journal = cls(host, link)
        trust.check_own(host, STATE, f"{link}.json")
        if host.exists(journal.file):
            try:
                document = json.loads(host.read(journal.file))
                journal.entries = [
                    {"step": str(entry["step"]), "plan": dict(entry["plan"])}
                    for entry in document["entries"]
                ]
                journal.complete = bool(document["complete"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise journal.damaged(str(error)) from error
            journal.facts = facts(host, link)
            journal._saved_facts = _text(link, journal.facts) if journal.facts else ""
        return journal

    def damaged(self, why: str) -> RslError:
        """The error for a journal that setup did not write."""
        return _damaged(self.host, self.file, why)

    @classmethod
    def links(cls, host: Host) -> list[str]:
        """The links that have a journal."""
        names = host.names(STATE)
        return [name[:-5] for name in names if name.endswith(".json") and name[0] != "."]

    def _save(self) -> None:
        if not self.entries and not self.complete:
            self.host.remove(_facts_file(self.link))
            self.host.remove(self.file)
            return
        import json

        facts_text = _text(self.link, self.facts) if self.facts else ""
        document = {
            "link": self.link,
            "complete": self.complete,
            "entries": self.entries,
        }
        text = json.dumps(document, indent=2) + "\n"
        # All users may read it, for status and dry runs.
        self.host.put(self.file, text.encode(), mode=0o644)
        # Facts without a journal would stay behind if setup were killed here.
        if facts_text != self._saved_facts:
            data = facts_text.encode(errors="surrogateescape")
            self.host.put(_facts_file(self.link), data, mode=0o644)
            self._saved_facts = facts_text

    def add(self, step: str, plan: UndoPlan) -> bool:
        """Write that *step* is about to be done. Returns False if that is written already."""
        entry = {"step": step, "plan": plan}
        if entry in self.entries:
            return False
        self.entries.append(entry)
        self.complete = False
        self._save()
        return True

    def has(self, step: str, plan: UndoPlan) -> bool:
        """Whether the journal has *step* on the same device."""
        return any(
            each["step"] == step and each["plan"].get("device") == plan.get("device")
            for each in self.entries
        )

    def adopt(self, entry: dict[str, Any]) -> None:
        """Insert an entry of another link's journal as the first one."""
        if entry not in self.entries:
            self.entries.insert(0, entry)
            self._save()

    def drop_last(self) -> None:
        self.entries.pop()
        self._save()

    def last(self, step: str) -> UndoPlan | None:
        """The undo data of the last *step*; None if there is none."""
        plans = [entry["plan"] for entry in self.entries if entry["step"] == step]
        return plans[-1] if plans else None

    def drop(self, step: str, plan: UndoPlan) -> None:
        """Remove the entry of *step*, which is undone."""
        self.entries.remove({"step": step, "plan": plan})
        self._save()

    def finish(self) -> None:
        """Write that every step is done."""
        self.complete = True
        self._save()

    def begin_undoing(self) -> None:
        """Write that the link is not complete any more."""
        self.complete = False
        self._save()


def _facts_file(link: str) -> str:
    return f"{STATE}/{link}.facts"


def facts(host: Host, link: str) -> Facts | None:
    """Read what setup was told of a link; None if setup did not bring it up.

    The facts have a file of their own, with lines KEY=VALUE, because loading a JSON reader takes
    longer than a kick.

    Raises:
        RslError: the file is damaged.
    """
    file = _facts_file(link)
    trust.check_own(host, STATE, f"{link}.facts")
    if not host.exists(file):
        return None
    lines = host.read(file).decode(errors="surrogateescape").removesuffix("\n").split("\n")
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    if found.get("board", "").endswith(".toml"):
        trust.check_ours(host, file)
    try:
        return Facts(**found)
    except TypeError as error:
        raise _damaged(host, file, str(error)) from error


def _text(link: str, known: Facts) -> str:
    """The content of the facts file of *link*.

    Raises:
        RslError: a fact has a line break.
    """
    for key, value in vars(known).items():
        if "\n" in value:
            raise RslError(f"{key} of link {link!r} has a line break: {value!r}")
    return "".join(f"{key}={value}\n" for key, value in vars(known).items())


def _damaged(host: Host, file: str, why: str) -> RslError:
    return RslError(
        f"'{host.where(file)}' is damaged: {why}",
        hint="remove it; what setup did before is then left as it is",
    )
