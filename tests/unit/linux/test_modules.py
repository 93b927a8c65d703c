# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules: those that there are, and those that are loaded."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.linux import modules

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
