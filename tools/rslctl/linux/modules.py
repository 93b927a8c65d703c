# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules: find, load and unload them.

Files: modules.dep(5), and modules.builtin beside it.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux.host import Host

#: Files below /sys, and Debian's and Ubuntu's keys with which dkms signs.
_ENFORCED = "/sys/module/module/parameters/sig_enforce"
_LOCKDOWN = "/sys/kernel/security/lockdown"
_EFI = "/sys/firmware/efi"
_KEYS = ("/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der")
#: kernel.modules_disabled: sysctl of Documentation/admin-guide/sysctl/kernel.rst.
_DISABLED = "/proc/sys/kernel/modules_disabled"
#: The end of a signed module's file, and the size of struct module_signature before it
#: (include/linux/module_signature.h).
_MAGIC = b"~Module signature appended~\n"
_SIGNATURE = 12


def loaded(host: Host, module: str) -> bool:
    """Return whether *module* is loaded, or built in and visible in /sys/module."""
    return host.exists(f"/sys/module/{module}")


def available(host: Host, module: str, release: str = os.uname().release) -> bool:
    """Return whether *module* is built into the kernel *release*, or installed for it.

    Raises:
        RslError: the lists of modules cannot be read.
    """
    built_in = [_name(line) for line in _lines(host, release, "modules.builtin")]
    return module in built_in or module in _dependencies(host, release)


def of_compatible(
    host: Host, names: list[str], release: str = os.uname().release
) -> list[str] | None:
    """Return the modules, loaded or not, whose drivers match a device tree node's *names*.

    *names* are its compatible. None if the kernel *release* has no lists of its modules.

    Raises:
        RslError: the lists cannot be read.
    """
    # depmod(8) writes modules.alias; the kernel's build writes what is built in.
    loadable = _lines(host, release, "modules.alias")
    path = f"/lib/modules/{release}/modules.builtin.modinfo"
    built_in = host.read(path).decode(errors="replace").split("\0") if host.exists(path) else []
    if not loadable and not built_in:
        return None
    found = []
    wanted = {f"C{name}" for name in names}
    for line in loadable:
        if line.startswith("alias of:"):
            _, alias, module = line.split()
            if _matched(alias) in wanted:
                found.append(module)
    for line in built_in:
        module, _, alias = line.partition(".alias=of:")
        if alias and _matched(f"of:{alias}") in wanted:
            found.append(module)
    return list(dict.fromkeys(found))


def _matched(alias: str) -> str:
    """Return the compatible that an alias matches, as "of:N*T*Cvendor,partC*", with its C."""
    return "C" + alias.partition("C")[2].removesuffix("C*").removesuffix("*")


def needed(host: Host, module: str) -> list[str]:
    """Return *module* and the modules that it needs; each is before the modules that it needs."""
    return [module, *_dependencies(host, os.uname().release).get(module, [])]


def _dependencies(host: Host, release: str) -> dict[str, list[str]]:
    """Read modules.dep: the modules that each module needs."""
    found = {}
    for line in _lines(host, release, "modules.dep"):
        file, _, others = line.partition(":")
        found[_name(file)] = [_name(each) for each in others.split()]
    return found


def _lines(host: Host, release: str, listing: str) -> list[str]:
    path = f"/lib/modules/{release}/{listing}"
    return host.read_text(path).splitlines() if host.exists(path) else []


def _name(file: str) -> str:
    """The name of the module in a file such as "kernel/drivers/uio/uio.ko.xz"."""
    return file.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def load(host: Host, module: str, *, hint: str) -> None:
    """Load a module and the modules that it needs.

    Raises:
        RslError: the module cannot be loaded; the error says what to do, with *hint* if the
            kernel's reason is not known.
    """
    try:
        host.run(["modprobe", module])
    except RslError as error:
        error.hint = error.hint or _remedy(host, str(error)) or hint
        raise


def _remedy(host: Host, text: str) -> str:
    """What to do about the kernel's refusal in modprobe's *text*; "" if that says nothing."""
    # EKEYREJECTED and ENOKEY, and EPERM under lockdown: kernel/module/signing.c.
    if "Key was rejected" in text or "Required key not available" in text:
        return how_to_sign(host)
    if "Operation not permitted" in text and os.geteuid() == 0:
        if _text(host, _DISABLED) == "1":
            return "kernel.modules_disabled is 1: no module can be loaded before a reboot"
        return how_to_sign(host) if signatures_wanted(host) else ""
    if "Exec format error" in text or "nvalid module format" in text:
        return "it was built for another kernel: build it anew, with dkms: dkms autoinstall"
    return ""


def _text(host: Host, path: str) -> str:
    return host.read_text(path) if host.exists(path) else ""


def signatures_wanted(host: Host) -> str:
    """Return why the kernel loads only signed modules: the setting; "" if it loads any."""
    if _text(host, _ENFORCED) == "Y":
        return "module.sig_enforce"
    chosen = _text(host, _LOCKDOWN).partition("[")[2].partition("]")[0]
    return f"lockdown={chosen}" if chosen not in ("", "none") else ""


def how_to_sign(host: Host) -> str:
    """Return what to do about a module whose signature the kernel does not accept."""
    if host.exists(_EFI):
        key = next((each for each in _KEYS if host.exists(each)), _KEYS[0])
        return (
            f"enrol the key that dkms signs with: mokutil --import {key}, reboot, and confirm it "
            "there; a module that is not signed has to be built by dkms anew"
        )
    return (
        "sign it with a key of the kernel's (scripts/sign-file of its build), or boot without "
        "module.sig_enforce and lockdown"
    )


def signature(host: Host, module: str, release: str = os.uname().release) -> str:
    """Return what is known of a module's signature.

    "unsigned", "unknown key" if no key of the kernel has the name of the signer, "known key", or ""
    if that cannot be told: the module is not there, its compression is not known to Python, or the
    user may not see the kernel's keys.

    Raises:
        RslError: the module cannot be read.
    """
    lines = _lines(host, release, "modules.dep")
    file = next((line.partition(":")[0] for line in lines if _name(line) == module), "")
    data = _content(host, f"/lib/modules/{release}/{file}") if file else None
    if data is None:
        return ""
    if not data.endswith(_MAGIC):
        return "unsigned"
    end = len(data) - len(_MAGIC) - _SIGNATURE
    size = int.from_bytes(data[end + _SIGNATURE - 4 : end + _SIGNATURE], "big")
    signers = _signers(host)
    if not signers:
        return ""
    # A PKCS#7 signature has the name of its signer as text.
    return "known key" if any(each in data[end - size : end] for each in signers) else "unknown key"


def _content(host: Host, path: str) -> bytes | None:
    """The module in a file; None if its compression is not known to this Python."""
    packers = {"xz": "lzma", "gz": "gzip", "zst": None, "ko": ""}
    packer = packers.get(path.rpartition(".")[2])
    if packer is None or not host.exists(path):
        return None
    data = host.read(path)
    if not packer:
        return data
    try:
        unpacked: bytes = __import__(packer).decompress(data)
    except ImportError:  # small systems leave it out
        return None
    except Exception as error:  # each packer has errors of its own
        raise RslError(
            f"'{host.where(path)}' is damaged: {error}", hint="install it anew"
        ) from error
    return unpacked


def _signers(host: Host) -> list[bytes]:
    """The names of the kernel's keys: keyrings(7), /proc/keys."""
    found = []
    for line in _text(host, "/proc/keys").splitlines():
        kind, _, rest = " ".join(line.split()[7:]).partition(" ")
        # The type, "Organisation: Name: 0123456789abcdef: X509.rsa 89abcdef []"
        parts = rest.split(": ")
        if kind.startswith("asymmet") and len(parts) > 2:
            found.append(parts[-3].encode())
    return found


def used(host: Host, module: str) -> bool:
    """Return whether a loaded module is in use: its reference count is not 0."""
    return host.read_text(f"/sys/module/{module}/refcnt") != "0"


def unload(host: Host, module: str, *, hint: str) -> None:
    """Unload a module, but not the modules that it needs.

    Raises:
        RslError: the module cannot be unloaded, as it is in use; the error has *hint*.
    """
    host.run(["rmmod", module], hint=hint)
