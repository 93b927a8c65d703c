# SPDX-License-Identifier: BSD-3-Clause
"""The machine: its files below one root, and the processes started on it.

Everything that rslctl reads or changes outside its own process goes through a
:class:`Host`, so that it can be tried on a directory and watched in tests.
"""

from __future__ import annotations

import errno
import os
import stat

from rslctl.errors import RslError, os_error

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported for types only costs every start of a command
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: Where the kernel shows the device tree that runs.
DEVICE_TREE = "/sys/firmware/devicetree/base"

#: As many links in a row as Linux follows (path_resolution(7)).
_LINKS_MAX = 40


class Host:
    """A machine whose files hang on *root*; only "/" is the running one."""

    def __init__(
        self, root: str | os.PathLike[str] = "/", watch: Callable[[str], None] = lambda _: None
    ) -> None:
        """*watch* is told of each change to the kernel's state before it is made."""
        self.watch = watch
        self._root = os.fspath(root).rstrip("/")

    @property
    def root(self) -> Path:
        from pathlib import Path

        return Path(self._root or "/")

    @property
    def live(self) -> bool:
        """Whether this is the running machine, not an image or a test's directory."""
        return not self._root

    def path(self, name: str) -> Path:
        """Where the absolute path *name* of the machine is for us: see :meth:`where`."""
        from pathlib import Path  # slow to load, and few commands need one

        return Path(self.where(name))

    def where(self, name: str) -> str:
        """Where the absolute path *name* of the machine is for us.

        Below another root no symbolic link leads out of it: it means there what it would mean
        to the machine.

        Raises:
            RslError: links lead in a circle.
        """
        if self.live:
            return self._root + name
        return self._below([part for part in name.split("/") if part not in ("", ".")])

    def own_path(self, name: str) -> str:
        """The same, but of a link itself where *name* is one."""
        directory, _, last = name.rstrip("/").rpartition("/")
        return f"{self.where(directory).rstrip('/')}/{last}"

    def _below(self, parts: list[str]) -> str:
        at = self._root
        links = 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                at = os.path.dirname(at) if at != self._root else at
                continue
            here = f"{at}/{part}"
            if not os.path.islink(here):
                at = here
                continue
            links += 1
            if links > _LINKS_MAX:
                raise RslError(f"'{here}' is a link that leads to itself")
            target = os.readlink(here)
            # What leads into this root by its whole path is right as it stands.
            inside = target.startswith(f"{self._root}/")
            if target.startswith("/"):
                at = self._root
            target = target.removeprefix(self._root) if inside else target
            parts = [each for each in target.split("/") if each not in ("", ".")] + parts
        return at

    def exists(self, name: str) -> bool:
        """Whether there is such a file.

        Raises:
            RslError: we may not know.
        """
        try:
            os.stat(self.where(name))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise os_error(f"look at '{self.where(name)}'", error) from error
        return True

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            RslError: it cannot be read.
        """
        try:
            with open(self.where(name), "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise os_error(f"read '{self.where(name)}'", error) from error

    def read_text(self, name: str) -> str:
        """The content of a text file without white space at its ends."""
        return self.read(name).decode(errors="replace").strip()

    def write_attribute(self, name: str, text: str) -> None:
        """Write *text* to a sysfs attribute, in one write.

        Raises:
            RslError: the kernel does not take it.
        """
        self.watch(f"write {text.strip()!r} to '{self.where(name)}'")
        try:
            fd = os.open(self.where(name), os.O_WRONLY)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise os_error(f"write {text.strip()!r} to '{self.where(name)}'", error) from error

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""
        try:
            os.unlink(self.own_path(name))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise os_error(f"remove '{self.own_path(name)}'", error) from error

    def names(self, directory: str) -> list[str]:
        """The sorted names in a directory; none where it does not exist."""
        try:
            return sorted(os.listdir(self.where(directory)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise os_error(f"list '{self.where(directory)}'", error) from error

    def link_target(self, name: str) -> str | None:
        """What a symbolic link says, as it stands; None where there is no link."""
        try:
            return os.readlink(self.own_path(name))
        except OSError:
            return None

    def own(self, name: str, uid: int, gid: int, mode: int | None) -> None:
        """Change who has a file; -1 and None leave a part as it is.

        Raises:
            RslError: that is refused.
        """
        path = self.where(name)
        text = "" if mode is None else f" and mode {mode:04o}"
        self.watch(f"give '{path}' owner {uid}, group {gid}{text}")
        try:
            os.chown(path, uid, gid)
            if mode is not None:
                os.chmod(path, mode)
        except OSError as error:
            raise os_error(f"change owner and mode of '{path}'", error) from error

    def run(self, command: Sequence[str], *, hint: str = "") -> str:
        """Run a command and return what it prints.

        Raises:
            RslError: it is not installed or fails; its last line of stderr says why.
        """
        if not self.live:
            raise RslError(
                f"'{command[0]}' would act on this machine, not on '{self.root}'",
                hint="leave out --root, or add --dry-run",
            )
        self.watch(f"run '{' '.join(command)}'")
        return run(command, hint=hint)

    def temporary(self, name: str) -> str:
        """The file that :meth:`put` writes first; a kill may leave it, the next put takes it."""
        directory, _, last = name.rpartition("/")
        return f"{directory}/.{last}.rslctl-new"

    def put(
        self,
        name: str,
        data: bytes,
        *,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Make *data* the whole of a file, or leave the file as it was.

        A file that is there keeps its mode and owner, where none are given.

        Raises:
            RslError: the file cannot be written.
        """
        import contextlib  # needed by what writes only

        target, temporary = self.where(name), self.where(self.temporary(name))
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.exists(target):
                old = os.stat(target)
                mode = stat.S_IMODE(old.st_mode) if mode is None else mode
                owner = owner or (old.st_uid, old.st_gid)
            try:
                with open(temporary, "wb", buffering=0) as file:
                    _give(file.fileno(), mode, owner)
                    _write_all(file.fileno(), data)
                    os.fsync(file.fileno())
                if mtime_ns is not None:
                    os.utime(temporary, ns=(mtime_ns, mtime_ns))
                os.replace(temporary, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            _sync(os.path.dirname(target))
        except OSError as error:
            raise os_error(f"write '{target}'", error) from error


def _give(fd: int, mode: int | None, owner: tuple[int, int] | None) -> None:
    """Give an open file mode and owner, where they differ: FAT takes no others than its own."""
    now = os.fstat(fd)
    if owner not in (None, (now.st_uid, now.st_gid)):
        os.fchown(fd, *(owner or (-1, -1)))
    if mode not in (None, stat.S_IMODE(now.st_mode)):
        os.fchmod(fd, mode or 0)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _sync(directory: str) -> None:
    """Have a directory on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def run(command: Sequence[str], *, hint: str = "") -> str:
    """Run a command that does not touch the machine: see :meth:`Host.run`."""
    import subprocess  # slow to load, and seldom wanted

    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise os_error(f"run '{command[0]}'", error, hint=hint) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise RslError(f"'{' '.join(command)}' failed: {reason}", hint=hint)
    return done.stdout
