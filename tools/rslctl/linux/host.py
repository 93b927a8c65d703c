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
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    from rslctl.linux.beneath import Beneath

    Result = TypeVar("Result")

#: The directory in which the kernel shows the running device tree.
DEVICE_TREE = "/sys/firmware/devicetree/base"


class Host:
    """A machine whose files are below *root*; the root "/" is the running machine."""

    def __init__(
        self, root: str | os.PathLike[str] = "/", watch: Callable[[str], None] = lambda _: None
    ) -> None:
        """Call *watch* with a description of each change of the kernel's state, before it."""
        self.watch = watch
        self._root = os.fspath(root).rstrip("/")
        self._beneath: Beneath | None = None

    @classmethod
    def opened(cls, fd: int, watch: Callable[[str], None] = lambda _: None) -> Host:
        """A machine below the directory that *fd* is open on, whatever its name becomes."""
        host = cls(os.readlink(f"/proc/self/fd/{fd}"), watch)
        if host.live:
            os.close(fd)
        else:
            from rslctl.linux.beneath import Beneath

            host._beneath = Beneath(host._root, fd)
        return host

    @property
    def root(self) -> Path:
        from pathlib import Path

        return Path(self._root or "/")

    @property
    def live(self) -> bool:
        """Whether this is the running machine, and not an image or the directory of a test."""
        return not self._root

    def where(self, name: str) -> str:
        """Return the path of the file *name* of the machine, for messages.

        *name* is an absolute path on the machine. Only the methods of this class open it: the path
        may have links that lead out of the root.
        """
        return self._root + name

    def open(self, name: str, flags: int, mode: int = 0o666) -> int:
        """Open a file as open(2) does, close-on-exec, and return the descriptor.

        Below another root than "/", symbolic links mean what they mean to the machine, and nothing
        that happens meanwhile leads out of the root.

        Raises:
            OSError: the file cannot be opened.
            RslError: symbolic links form a loop.
        """
        # O_NONBLOCK: a pipe that somebody has put there is nothing to wait for.
        flags |= os.O_CLOEXEC | (os.O_NOFOLLOW | os.O_NONBLOCK if self._root else 0)
        return self._do(name, lambda last, at: os.open(last, flags, mode, dir_fd=at))

    def real(self, name: str) -> str:
        """Return the absolute path of *name* on the machine, without symbolic links.

        Raises:
            RslError: symbolic links form a loop, or a directory on the way cannot be searched.
        """
        try:
            return self._below().real(name) if self._root else os.path.realpath(name)
        except OSError as error:
            raise os_error(f"look at '{self.where(name)}'", error) from error

    def _below(self) -> Beneath:
        """The paths below another root than "/"."""
        if self._beneath is None:
            from rslctl.linux.beneath import Beneath  # the running machine needs none

            fd = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._beneath = Beneath(self._root, fd)
        return self._beneath

    def _do(
        self,
        name: str,
        action: Callable[[str, int | None], Result],
        *,
        follow: bool = True,
        make: bool = False,
    ) -> Result:
        """Call *action* with the last part of the path *name*, and its directory's descriptor.

        Below another root the last part is no symbolic link any more if *follow* is true, unless
        it becomes one meanwhile: *action* must not follow it. On the running machine *action* gets
        the whole path, and None. With *make* the missing directories are made.
        """
        if not self._root:
            if make:
                _make_directories(os.path.dirname(name))
            return action(name, None)
        return self._below().do(name, action, follow=follow, make=make)

    def stat(self, name: str) -> os.stat_result | None:
        """Return the state of a file; None if it does not exist.

        Raises:
            RslError: the file cannot be looked up, for example without permission.
        """
        try:
            return self._do(name, _state)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise os_error(f"look at '{self.where(name)}'", error) from error

    def lstat(self, name: str) -> os.stat_result | None:
        """Return the state of a file as :meth:`stat`, of a symbolic link its own."""
        try:
            return self._do(
                name,
                lambda last, at: os.stat(last, dir_fd=at, follow_symlinks=False),
                follow=False,
            )
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise os_error(f"look at '{self.where(name)}'", error) from error

    def exists(self, name: str) -> bool:
        """Return whether the file *name* exists.

        Raises:
            RslError: the file cannot be looked up, for example without permission.
        """
        return self.stat(name) is not None

    def is_file(self, name: str) -> bool:
        """Return whether *name* is a regular file. Raises as :meth:`exists`."""
        state = self.stat(name)
        return state is not None and stat.S_ISREG(state.st_mode)

    def is_directory(self, name: str) -> bool:
        """Return whether *name* is a directory. Raises as :meth:`exists`."""
        state = self.stat(name)
        return state is not None and stat.S_ISDIR(state.st_mode)

    def obstacle(self, name: str) -> str:
        """Return the part of a path that exists and is no directory, as it has to be; "" if none.

        Raises as :meth:`exists`.
        """
        parts = name.split("/")
        for end in range(2, len(parts)):
            above = "/".join(parts[:end])
            state = self.stat(above)
            if state is None or not stat.S_ISDIR(state.st_mode):
                return above if state else ""
        return ""

    def may(self, name: str, access: int) -> bool:
        """Return whether this process may open a file as access(2) says: os.R_OK, os.W_OK."""
        try:
            return self._do(name, lambda last, at: os.access(last, access, dir_fd=at))
        except OSError:
            return False

    def walk(self, directory: str) -> Iterator[tuple[str, list[str], int]]:
        """Yield each directory from *directory* downwards: its path, its files, a descriptor.

        Names are sorted. No symbolic link to a directory is followed. Nothing is yielded if
        *directory* is missing.

        Raises:
            OSError: a directory cannot be read.
        """
        try:
            fd = self.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            for at, folders, files, below in os.fwalk(".", dir_fd=fd, onerror=_raise):
                folders.sort()
                yield directory.rstrip("/") + at[1:], sorted(files), below
        finally:
            os.close(fd)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            RslError: the file cannot be read.
        """
        try:
            with open(self.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
                if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                    raise RslError(f"cannot read '{self.where(name)}': it is a pipe")
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
            # As a shell opens it: sysfs does not care, and files that play it do.
            fd = self.open(name, os.O_WRONLY | os.O_TRUNC)
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
            self._do(name, lambda last, at: os.unlink(last, dir_fd=at), follow=False)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise os_error(f"remove '{self.where(name)}'", error) from error

    def make_directory(self, name: str, mode: int = 0o777) -> None:
        """Make a directory of *mode*, less the umask, and those above it that are missing.

        Raises:
            OSError: it cannot be made, or exists.
        """
        self._do(name, lambda last, at: os.mkdir(last, mode, dir_fd=at), make=True)

    def remove_directory(self, name: str) -> None:
        """Remove a directory.

        Raises:
            OSError: it is not there, or not empty.
        """
        self._do(name, lambda last, at: os.rmdir(last, dir_fd=at), follow=False)

    def names(self, directory: str) -> list[str]:
        """Return the sorted names in a directory; an empty list if it does not exist.

        Raises:
            RslError: the directory cannot be read.
        """
        try:
            fd = self.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return sorted(os.listdir(fd))
            finally:
                os.close(fd)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise os_error(f"list '{self.where(directory)}'", error) from error

    def link_target(self, name: str) -> str | None:
        """Return the unresolved target of a symbolic link; None if *name* is no link."""
        try:
            return self._do(name, lambda last, at: os.readlink(last, dir_fd=at), follow=False)
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
            fd = self._do(
                name,
                lambda last, at: os.open(last, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at),
                follow=False,
            )
            try:
                kind = os.fstat(fd).st_mode
                if stat.S_ISLNK(kind) or (self._root and not stat.S_ISREG(kind)):
                    raise RslError(f"'{path}' is a link, or a device of this machine")
                same = f"/proc/self/fd/{fd}"  # fchown(2) takes no O_PATH, this does: proc(5)
                os.chown(same, uid, gid)
                if mode is not None:
                    os.chmod(same, mode)
            finally:
                os.close(fd)
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
        from rslctl.linux.command import run  # seldom needed

        return run(command, hint=hint)

    def remove_temporary(self, name: str) -> None:
        """Remove the temporary file that a killed :meth:`put` of *name* may have left.

        Raises:
            RslError: it cannot be removed.
        """
        from rslctl.linux import atomic

        try:
            self._do(name, lambda last, at: os.unlink(atomic.temporary(last), dir_fd=at))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise os_error(f"remove '{self.where(atomic.temporary(name))}'", error) from error

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
        from rslctl.linux import atomic  # only commands that write need it

        def replace(last: str, at: int | None) -> None:
            atomic.replace(last, at, data, mode=mode, owner=owner, mtime_ns=mtime_ns)

        try:
            self._do(name, replace, make=True)
        except OSError as error:
            wrong = self.obstacle(name) if error.errno == errno.ENOTDIR else ""
            if wrong:
                raise RslError(
                    f"cannot write '{self.where(name)}': '{self.where(wrong)}' is a file, and has "
                    "to be a directory",
                    hint="move the file away",
                ) from error
            raise os_error(f"write '{self.where(name)}'", error) from error


def _state(last: str, at: int | None) -> os.stat_result:
    """The state of a file, as :meth:`Host._do` wants it."""
    return os.stat(last, dir_fd=at, follow_symlinks=at is None)


def _make_directories(path: str) -> None:
    """Make a directory and those above it, which only their owner may write whatever the umask."""
    if not os.path.isdir(path):
        _make_directories(os.path.dirname(path))
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            return


def _raise(error: OSError) -> None:
    raise error
