# SPDX-License-Identifier: BSD-3-Clause
"""The machine: its files below one root directory, and the commands that are run on it.

rslctl reads and changes the machine through a :class:`Host`. So tests can use a directory as the
machine, and can observe each change.
"""

from __future__ import annotations

import errno
import os
import stat

from rslctl.errors import RslError, os_error

TYPE_CHECKING = False
if TYPE_CHECKING:  # imports for types only would make each command start later
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: The directory in which the kernel shows the running device tree.
DEVICE_TREE = "/sys/firmware/devicetree/base"

#: The largest number of links that Linux follows in one path (path_resolution(7)).
_LINKS_MAX = 40


class Host:
    """A machine whose files are below *root*; the root "/" is the running machine."""

    def __init__(
        self, root: str | os.PathLike[str] = "/", watch: Callable[[str], None] = lambda _: None
    ) -> None:
        """Call *watch* with a description of each change of the kernel's state, before it."""
        self.watch = watch
        self._root = os.fspath(root).rstrip("/")

    @property
    def root(self) -> Path:
        from pathlib import Path

        return Path(self._root or "/")

    @property
    def live(self) -> bool:
        """Whether this is the running machine, and not an image or the directory of a test."""
        return not self._root

    def path(self, name: str) -> Path:
        """:meth:`where` as a Path."""
        from pathlib import Path  # slow to load, and few commands need it

        return Path(self.where(name))

    def where(self, name: str) -> str:
        """Return the path by which this process opens the file *name* of the machine.

        *name* is an absolute path on the machine. Where the root is not "/", symbolic links are
        resolved below the root, as the machine itself would resolve them.

        Raises:
            RslError: symbolic links form a loop.
        """
        if self.live:
            return self._root + name
        return self._below([part for part in name.split("/") if part not in ("", ".")])

    def own_path(self, name: str) -> str:
        """Return the path as :meth:`where` does, but do not follow *name* if it is a link."""
        directory, _, last = name.rstrip("/").rpartition("/")
        return f"{self.where(directory).rstrip('/')}/{last}"

    def _below(self, parts: list[str]) -> str:
        """Resolve the path of *parts*, links included, below the root."""
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
            # A link target may already contain the path of the root.
            inside = target.startswith(f"{self._root}/")
            if target.startswith("/"):
                at = self._root
            target = target.removeprefix(self._root) if inside else target
            parts = [each for each in target.split("/") if each not in ("", ".")] + parts
        return at

    def exists(self, name: str) -> bool:
        """Return whether the file *name* exists.

        Raises:
            RslError: the file cannot be looked up, for example without permission.
        """
        try:
            os.stat(self.where(name))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise os_error(f"look at '{self.where(name)}'", error) from error
        return True

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            RslError: the file cannot be read.
        """
        try:
            with open(self.where(name), "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise os_error(f"read '{self.where(name)}'", error) from error

    def read_text(self, name: str) -> str:
        """Return the content of a text file, without white space at its start and end.

        Raises:
            RslError: the file cannot be read.
        """
        return self.read(name).decode(errors="replace").strip()

    def write_attribute(self, name: str, text: str) -> None:
        """Write *text* to a sysfs attribute, in one write.

        Raises:
            RslError: the attribute does not exist, or the kernel refuses the value.
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
        """Remove a file; a missing file is no error.

        Raises:
            RslError: the file cannot be removed.
        """
        try:
            os.unlink(self.own_path(name))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise os_error(f"remove '{self.own_path(name)}'", error) from error

    def names(self, directory: str) -> list[str]:
        """Return the sorted names in a directory; an empty list if it does not exist.

        Raises:
            RslError: the directory cannot be read.
        """
        try:
            return sorted(os.listdir(self.where(directory)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise os_error(f"list '{self.where(directory)}'", error) from error

    def link_target(self, name: str) -> str | None:
        """Return the unresolved target of a symbolic link; None if *name* is no link."""
        try:
            return os.readlink(self.own_path(name))
        except OSError:
            return None

    def own(self, name: str, uid: int, gid: int, mode: int | None) -> None:
        """Change owner, group and mode of a file; -1 or None leaves a part unchanged.

        Raises:
            RslError: the owner, group or mode cannot be changed.
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
        """Run a command and return its standard output.

        Raises:
            RslError: this is not the running machine, or the command is not installed or fails.
                The message has the last line of its stderr.
        """
        if not self.live:
            raise RslError(
                f"'{command[0]}' would act on this machine, not on '{self.root}'",
                hint="leave out --root, or add --dry-run",
            )
        self.watch(f"run '{' '.join(command)}'")
        return run(command, hint=hint)

    def temporary(self, name: str) -> str:
        """Return the name of the temporary file that :meth:`put` writes before it renames it.

        A killed process may leave this file behind. The next put overwrites it.
        """
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
        """Replace the content of a file by *data* atomically; create the file if it is missing.

        An existing file keeps its mode and owner unless *mode* or *owner* is given.

        Raises:
            RslError: the file cannot be written; it is unchanged then.
        """
        import contextlib  # only commands that write need it

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
    """Set mode and owner of an open file where they differ: FAT refuses any change of them."""
    now = os.fstat(fd)
    if owner not in (None, (now.st_uid, now.st_gid)):
        os.fchown(fd, *(owner or (-1, -1)))
    if mode not in (None, stat.S_IMODE(now.st_mode)):
        os.fchmod(fd, mode or 0)


def _write_all(fd: int, data: bytes) -> None:
    """Write all of *data*, in as many writes as it needs."""
    while data:
        data = data[os.write(fd, data) :]


def _sync(directory: str) -> None:
    """Write a directory's entries to the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_input(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file that the user names: of a pipe, what its writers write.

    Raises:
        RslError: it is a pipe to which nobody writes, so that to open it would wait for ever.
        OSError: the file cannot be opened or read.
    """
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", 0) as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            first = file.read(1)
            if first == b"":
                raise RslError(f"cannot read '{os.fspath(path)}': it is a pipe without a writer")
        else:
            first = b""
        os.set_blocking(file.fileno(), True)
        return (first or b"") + file.readall()


def run(command: Sequence[str], *, hint: str = "") -> str:
    """Run a command that does not touch the machine, and return its standard output.

    Raises:
        RslError: the command is not installed or fails.
    """
    import subprocess  # slow to load, and seldom needed

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
