# SPDX-License-Identifier: BSD-3-Clause
"""rslctl.linux.uapi says what the C header says."""

from __future__ import annotations

import shutil

import pytest
from rslctl.linux import uapi

from tests.unit import REPOSITORY
from tests.unit.c_programs import check_constants

KMOD = REPOSITORY / "kmod/rsl_mbox"


def test_constants_sizes_and_ioctl_numbers_are_those_of_the_header() -> None:
    compiler = shutil.which("aarch64-linux-gnu-gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler to read the header with")
    facts = {
        "RSL_MBOX_MAX_VECTORS": uapi.MAX_VECTORS,
        "RSL_MBOX_MAX_BINDINGS": uapi.MAX_BINDINGS,
        "RSL_MBOX_LABEL_SIZE": uapi.LABEL_SIZE,
        "RSL_MBOX_FEATURE_MEMORY": uapi.FEATURE_MEMORY,
        "RSL_MBOX_IOC_INFO": uapi.IOC_INFO,
        "sizeof(struct rsl_mbox_info)": uapi.INFO.size,
        "RSL_MBOX_FEATURE_CACHED": uapi.FEATURE_CACHED,
        "RSL_MBOX_FEATURE_MASK_IRQ": uapi.FEATURE_MASK_IRQ,
        "RSL_MBOX_NOTIFY": uapi.NOTIFY,
        "RSL_MBOX_KICK": uapi.KICK,
        "RSL_MBOX_IOC_STAT": uapi.IOC_STAT,
        "RSL_MBOX_IOC_BIND": uapi.IOC_BIND,
        "RSL_MBOX_IOC_MASK": uapi.IOC_MASK,
        "RSL_MBOX_IOC_MEMORY": uapi.IOC_MEMORY,
        "RSL_MBOX_BIND_DEASSIGN": uapi.BIND_DEASSIGN,
        "RSL_MBOX_MASK": uapi.DO_MASK,
        "RSL_MBOX_UNMASK": uapi.DO_UNMASK,
        "RSL_MBOX_ONESHOT": uapi.DO_ONESHOT,
        "RSL_MBOX_CONTINUOUS": uapi.DO_CONTINUOUS,
        "RSL_MBOX_MEMORY_RDONLY": uapi.MEMORY_RDONLY,
        "sizeof(struct rsl_mbox_mask)": uapi.MASKING.size,
        "sizeof(struct rsl_mbox_memory)": uapi.WINDOW.size,
        "sizeof(struct rsl_mbox_vector_stat)": uapi.VECTOR_STAT.size,
        "sizeof(struct rsl_mbox_binding_spec)": uapi.BINDING.size,
        "offsetof(struct rsl_mbox_info, memory_base)": 8,
        "offsetof(struct rsl_mbox_info, label)": 32,
        "offsetof(struct rsl_mbox_info, reserved)": 64,
        "offsetof(struct rsl_mbox_vector_stat, storms)": 40,
    }
    headers = ["stddef.h", "linux/rsl_mbox.h"]
    check_constants(compiler, headers, facts, f"-I{KMOD / 'uapi'}")
