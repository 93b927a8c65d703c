# SPDX-License-Identifier: BSD-3-Clause
"""Runs in a clean root of Debian, changed into: installs our packages, tries and removes them."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

EXAMPLES = "/usr/share/doc/rslctl/examples"
PACKAGES = ("rslctl", "rsl-mbox-dkms")

#: What is the kernel's, the test's, or a log or an index of apt, dpkg, man and systemd.
THEIRS = {
    *("/proc", "/sys", "/dev", "/tmp", "/debs", "/run/systemd"),  # noqa: S108
    *("/var/log", "/var/lib/apt", "/var/cache/apt", "/var/cache/man"),
    *("/var/lib/dpkg/status", "/var/lib/dpkg/triggers/Lock", "/etc/.pwd.lock"),
}


def run(*command: str, status: int = 0, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, f"{command}: status {done.returncode}\n{done.stdout}"
    return done.stdout


def files() -> dict[str, str]:
    """Every file of the root, and what it is or contains."""
    found = {}
    for directory, names, others in os.walk("/"):
        names[:] = [name for name in names if str(Path(directory, name)) not in THEIRS]
        for path in (Path(directory, name) for name in (*names, *others)):
            # Backups of files that were changed, and changed back, are no more than that.
            if str(path) in THEIRS or path.name.endswith(("-old", "-")):
                continue
            status, content = path.lstat(), ""
            if path.is_symlink():
                content = os.readlink(path)
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = f"{status.st_mode:o} {status.st_uid} {status.st_gid} {content}"
    return found


def typed(text: str) -> str:
    """What a terminal shows when *text* is typed to bash, as a login has it."""
    pid, terminal = pty.fork()
    if not pid:
        script = "unset HISTFILE; PS1='$ '; . /usr/share/bash-completion/bash_completion"
        Path("/tmp/rc").write_text(f"{script}\n")  # noqa: S108
        os.execvp("bash", ["bash", "--rcfile", "/tmp/rc", "-i"])  # noqa: S108
    shown = b""
    deadline = time.monotonic() + 30
    os.write(terminal, text.encode())
    while time.monotonic() < deadline and b"rslctl setup " not in shown:
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 4096)
    os.write(terminal, b"\x15exit\n")
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode()


def check_the_command() -> None:
    for start in (["rslctl"], ["python3", "-m", "rslctl"]):
        assert run(*start, "--version") == "rslctl 0.1.0\n"
        assert "/plugin/" in run(*start, "overlay", "--board", "zcu102")
    broken = Path("/tmp/broken")  # noqa: S108
    broken.mkdir()
    for name in ("typer", "rslctl", "fdt"):
        (broken / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    assert "zcu102" in run("rslctl", "boards", PYTHONPATH=str(broken))
    assert "/plugin/" in run("runuser", "-u", "nobody", "--", "rslctl", "overlay", "--board=zcu102")
    run("python3", "-c", "from rslctl import client")
    remote, daemon = (f"python3 {EXAMPLES}/{name}.py" for name in ("remote", "daemon"))
    said = run("rslctl", "run", "--board", "sim", "--remote", remote, "--", *daemon.split())
    assert "the remote says: HELLO" in said


def check_the_manual() -> None:
    pages = [
        path.name.removesuffix(".1.gz") for path in Path("/usr/share/man/man1").glob("rslctl*")
    ]
    assert len(pages) > 10
    for page in pages:
        assert run("man", "-w", page) == f"/usr/share/man/man1/{page}.1.gz\n"
        text = run("man", "--warnings", page, MANPAGER="cat", MANWIDTH="100", LC_ALL="C.UTF-8")
        assert text.lstrip().startswith(page.upper()), text
        assert "warning" not in text, text
    # The README's links lead to the documents beside it; manual pages have their own place.
    documents = Path("/usr/share/doc/rslctl")
    links = re.findall(r"\((docs/[^)#]+)", (documents / "README.md").read_text())
    lost = {link for link in links if not (documents / link).exists()}
    assert len(links) > 2
    assert lost <= {"docs/man/"}


def check_the_module() -> None:
    (headers,) = Path("/lib/modules").glob("*/build")
    release = headers.parent.name
    assert run("dkms", "status").startswith(f"rsl-mbox/0.1.0, {release}, x86_64: installed")
    (module,) = headers.parent.rglob("rsl_mbox.ko*")
    assert run("modinfo", "-F", "vermagic", str(module)).startswith(f"{release} ")
    assert run("modinfo", "-k", release, "-F", "filename", "rsl_mbox") == f"{module}\n"


def check_a_kernel_update() -> None:
    """An installed overlay whose tree is replaced: stale without the hook, fitted anew by it."""
    trees, loader = Path("/usr/lib/linux-image-test"), Path("/boot/extlinux")
    for directory in (trees, loader):
        directory.mkdir()
    conf = loader / "extlinux.conf"
    text = f"label one\n\tlinux /boot/vmlinuz\n\tfdtdir {trees}\n"
    conf.write_text(text)
    shutil.copy("/debs/old.dtb", trees / "virt.dtb")
    overlay = loader / "rslctl-qemu-virt.dtbo"
    run("rslctl", "overlay", "install", "--board", "qemu-virt", status=3)
    first = overlay.read_bytes()
    assert " installed" in run("rslctl", "overlay", "list")
    (headers,) = Path("/lib/modules").glob("*/build")
    hook = (f"--arg={headers.parent.name}", "--arg=/boot/vmlinuz", "/etc/kernel/postinst.d")
    assert "fit anew" in run("run-parts", *hook)
    assert overlay.read_bytes() == first
    # As dpkg replaces it.
    shutil.copy("/debs/new.dtb", trees / "virt.dtb")
    assert " stale" in run("rslctl", "overlay", "list")
    assert "stale: the overlay of board 'qemu-virt'" in run("sh", "-c", "rslctl doctor; true")
    said = run("run-parts", *hook)
    assert f"replacing what is installed: {trees}/virt.dtb has changed since" in said, said
    assert " installed" in run("rslctl", "overlay", "list")
    assert overlay.read_bytes() != first
    # A tree that the overlay does not fit: that is told, and the kernel is installed nevertheless.
    shutil.copy("/debs/other.dtb", trees / "virt.dtb")
    said = run("run-parts", *hook)
    assert "rslctl: an overlay does not fit the new kernel's device tree" in said, said
    run("rslctl", "overlay", "uninstall", status=3)
    assert [conf.read_text(), list(loader.iterdir())] == [text, [conf]]
    for directory in (trees, loader):
        shutil.rmtree(directory)


def check_the_units() -> None:
    units = [f"rsl-{name}@rpu0.service" for name in ("broker", "daemon", "setup", "watch")]
    assert run("systemd-analyze", "verify", *units, "rsl-broker@rpu0.socket", "rsl.target") == ""
    assert run("getent", "group", "rsl").startswith("rsl:")
    assert Path("/etc/rslctl").is_dir()
    assert not list(Path("/etc/systemd").rglob("*rsl*"))
    # For a root without systemd; nothing is set up here.
    script = subprocess.run(["/usr/lib/rslctl/bringup/zcu102", "status"], check=False)
    assert script.returncode == 3


def use() -> None:
    """Leave what an administrator and a user leave."""
    Path("/etc/rslctl/boards").mkdir()
    Path("/etc/rslctl/boards/my-board.toml").write_text('extends = "zcu102"\n')
    Path("/etc/rslctl/rpu0.env").write_text("RSL_DAEMON=/bin/true\n")
    run("systemctl", "enable", "rsl-setup@my-board", "rsl-daemon@rpu0", "rsl-broker@rpu0.socket")


def main() -> None:
    apt = ("apt-get", "-qy", "--no-install-recommends", "-oAPT::Sandbox::User=")
    # There are headers here, and no kernel whose installation would have done this.
    (headers,) = Path("/lib/modules").glob("*/build")
    run("depmod", headers.parent.name)
    before = files()
    run(*apt, "install", *map(str, Path("/debs").glob("*.deb")), DEBIAN_FRONTEND="noninteractive")
    check_the_command()
    check_the_manual()
    check_the_module()
    check_the_units()
    check_a_kernel_update()
    shown = typed("rslctl set\t")
    assert "rslctl setup " in shown, shown
    use()
    run(*apt, "purge", *PACKAGES)
    after = files()
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert not changed, "\n".join(
        f"{path}: {before.get(path)} -> {after.get(path)}" for path in sorted(changed)
    )
    print("installed, tried and removed")


main()
