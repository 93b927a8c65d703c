# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules: those that there are, and those that are loaded."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.linux import modules
from rslctl.linux.host import Host

from tests.unit.machine import Machine

LISTS = f"/lib/modules/{os.uname().release}"


def test_a_module_is_listed_with_those_that_it_needs(machine: Machine) -> None:
    machine.write(
        f"{LISTS}/modules.dep",
        "updates/rsl_mbox.ko.xz: kernel/a-b.ko kernel/c.ko.zst\nkernel/c.ko.zst:\n",
    )
    assert modules.needed(machine.host, "rsl_mbox") == ["rsl_mbox", "a_b", "c"]
    assert modules.needed(machine.host, "c") == ["c"]
    assert modules.needed(machine.host, "unlisted") == ["unlisted"]


def test_a_module_that_is_built_in_is_available(machine: Machine) -> None:
    machine.write(f"{LISTS}/modules.builtin", "kernel/drivers/uio/uio-pdrv-genirq.ko\n")
    assert modules.available(machine.host, "uio_pdrv_genirq")
    assert not modules.available(machine.host, "uio")


def test_each_kernel_has_its_own_modules(machine: Machine) -> None:
    machine.write("/lib/modules/6.1/modules.dep", "updates/rsl_mbox.ko:\n")
    assert modules.available(machine.host, "rsl_mbox", "6.1")
    assert not modules.available(machine.host, "rsl_mbox", "6.12")
    assert not modules.available(machine.host, "rsl_mbox")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.from_regex(r"[a-z][a-z0-9]{0,8}([_-][a-z0-9]{1,4}){0,2}", fullmatch=True),
    st.sampled_from(["", ".gz", ".xz", ".zst"]),
)
def test_a_module_is_known_by_its_name_whatever_its_file_is_called(
    machine: Machine, name: str, compressed: str
) -> None:
    machine.write(f"{LISTS}/modules.dep", f"kernel/drivers/{name}.ko{compressed}:\n")
    assert modules.available(machine.host, name.replace("-", "_"))


def test_a_module_that_something_holds_is_used(machine: Machine) -> None:
    machine.write("/sys/module/rsl_mbox/refcnt", "0\n")
    assert modules.loaded(machine.host, "rsl_mbox")
    assert not modules.used(machine.host, "rsl_mbox")
    machine.write("/sys/module/rsl_mbox/refcnt", "2\n")
    assert modules.used(machine.host, "rsl_mbox")
    assert not modules.loaded(machine.host, "uio")


@pytest.mark.parametrize(("do", "program"), [(modules.load, "modprobe"), (modules.unload, "rmmod")])
def test_no_module_of_this_machine_is_touched_for_another(
    machine: Machine, do: Callable[..., None], program: str
) -> None:
    with pytest.raises(RslError, match=f"'{program}' would act on this machine, not on"):
        do(machine.host, "rsl_mbox", hint="")


ALIASES = """\
# Aliases extracted from modules themselves.
alias of:N*T*Cxlnx,zynqmp-r5fss xlnx_r5_remoteproc
alias of:N*T*Cxlnx,zynqmp-r5fssC* xlnx_r5_remoteproc
alias platform:xlnx,zynqmp-r5fss other
alias of:N*T*Cxlnx,zynqmp-r5fss-more other
"""


def test_drivers_are_found_by_what_they_match(machine: Machine) -> None:
    host = machine.host
    assert modules.of_compatible(host, ["xlnx,zynqmp-r5fss"]) is None
    machine.write(f"{LISTS}/modules.alias", ALIASES)
    names = ["vendor,x", "xlnx,zynqmp-r5fss"]
    assert modules.of_compatible(host, names) == ["xlnx_r5_remoteproc"]
    assert modules.of_compatible(host, ["vendor,x"]) == []
    builtin = "a.license=GPL\0a.alias=of:N*T*Cvendor,xC*\0a.alias=platform:x\0"
    machine.write(f"{LISTS}/modules.builtin.modinfo", builtin)
    assert modules.of_compatible(host, names) == ["xlnx_r5_remoteproc", "a"]


KEYS = """\
03a8227f I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1
0578dd95 I------     1 perm 1f030000     0     0 {} Debian: Kernel key: 0a1b: X509.rsa 0a1b []
""".format("asymmetric"[:9])


def signed(signer: bytes) -> bytes:
    """A module with a signature as scripts/sign-file.c appends it; of the PKCS#7 only the name."""
    pkcs7 = b"0\x82" + signer + b"\x01"
    tail = bytes([0, 0, 2, 0, 0, 0, 0, 0]) + len(pkcs7).to_bytes(4, "big")
    return b"\x7fELF" + b"Kernel key in the code" + pkcs7 + tail + b"~Module signature appended~\n"


@pytest.mark.parametrize(
    ("data", "keys", "known"),
    [
        (b"\x7fELF", KEYS, "unsigned"),
        (signed(b"Kernel key"), KEYS, "known key"),
        (signed(b"DKMS module signing key"), KEYS, "unknown key"),
        (signed(b"DKMS module signing key"), "", ""),
    ],
)
@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".xz", lzma.compress), (".gz", gzip.compress)]
)
def test_the_signature_of_a_module_is_looked_at(
    machine: Machine,
    data: bytes,
    keys: str,
    known: str,
    ending: str,
    pack: Callable[[bytes], bytes],
) -> None:
    machine.write(f"{LISTS}/modules.dep", f"updates/dkms/rsl_mbox.ko{ending}:\n")
    machine.write(f"{LISTS}/updates/dkms/rsl_mbox.ko{ending}", pack(data))
    machine.write("/proc/keys", keys)
    assert modules.signature(machine.host, "rsl_mbox") == known


def test_a_signature_that_cannot_be_seen_is_not_known(machine: Machine) -> None:
    machine.write(f"{LISTS}/modules.dep", "updates/rsl_mbox.ko.zst:\n")
    machine.write(f"{LISTS}/updates/rsl_mbox.ko.zst", b"\x28\xb5\x2f\xfd")
    assert modules.signature(machine.host, "rsl_mbox") == ""
    assert modules.signature(machine.host, "other") == ""


def test_a_module_that_is_damaged_is_named(machine: Machine) -> None:
    machine.write(f"{LISTS}/modules.dep", "updates/rsl_mbox.ko.xz:\n")
    machine.write(f"{LISTS}/updates/rsl_mbox.ko.xz", lzma.compress(b"\x7fELF" * 100)[:-20])
    with pytest.raises(RslError, match=r"rsl_mbox\.ko\.xz' is damaged: "):
        modules.signature(machine.host, "rsl_mbox")


@pytest.mark.parametrize(
    ("said", "files", "hint"),
    [
        ("Key was rejected by service", {}, "sign it with a key of the kernel's"),
        ("Required key not available", {}, "sign it with a key of the kernel's"),
        (
            "Key was rejected by service",
            {"/sys/firmware/efi/x": ""},
            "mokutil --import /var/lib/dk",
        ),
        (
            "Key was rejected by service",
            {"/sys/firmware/efi/x": "", "/var/lib/shim-signed/mok/MOK.der": ""},
            "mokutil --import /var/lib/shim-signed/mok/MOK.der",
        ),
        (
            "Operation not permitted",
            {"/sys/kernel/security/lockdown": "none integrity [confidentiality]"},
            "sign it with a key of the kernel's",
        ),
        (
            "Operation not permitted",
            {"/proc/sys/kernel/modules_disabled": "1"},
            "kernel.modules_disabled is 1",
        ),
        ("Operation not permitted", {"/sys/kernel/security/lockdown": "[none] integrity"}, "usual"),
        ("Exec format error", {}, "it was built for another kernel"),
        ("No such device", {}, "usual"),
    ],
)
def test_what_modprobe_says_has_its_remedy(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    files: dict[str, str],
    hint: str,
) -> None:
    for name, text in files.items():
        machine.write(name, text)

    def run(self: Host, command: list[str], *, hint: str = "") -> str:
        raise RslError(f"'modprobe x' failed: modprobe: ERROR: could not insert 'x': {said}")

    monkeypatch.setattr(Host, "run", run)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(RslError, match=said) as raised:
        modules.load(machine.host, "x", hint="usual")
    assert hint in raised.value.hint
