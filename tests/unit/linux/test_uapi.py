# SPDX-License-Identifier: BSD-3-Clause
"""rslctl.linux.uapi says what the C header says."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from rslctl.linux import uapi

from tests.unit import REPOSITORY

KMOD = REPOSITORY / "kmod/rsl_mbox"


def test_constants_sizes_and_ioctl_numbers_are_those_of_the_header() -> None:
    compiler = shutil.which("aarch64-linux-gnu-gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler to read the header with")
    facts = {
        "RSL_MBOX_API_VERSION": uapi.API_VERSION,
        "RSL_MBOX_MAX_VECTORS": uapi.MAX_VECTORS,
        "RSL_MBOX_LABEL_SIZE": uapi.LABEL_SIZE,
        "RSL_MBOX_FEATURE_MEMORY": uapi.FEATURE_MEMORY,
        "RSL_MBOX_IOC_INFO": uapi.IOC_INFO,
        "sizeof(struct rsl_mbox_info)": uapi.INFO.size,
        "RSL_MBOX_FEATURE_CACHED": uapi.FEATURE_CACHED,
        "RSL_MBOX_NOTIFY": uapi.NOTIFY,
        "RSL_MBOX_KICK": uapi.KICK,
        "RSL_MBOX_IOC_STAT": uapi.IOC_STAT,
        "RSL_MBOX_IOC_BIND": uapi.IOC_BIND,
        "RSL_MBOX_IOC_UNBIND": uapi.IOC_UNBIND,
        "sizeof(struct rsl_mbox_vector_stat)": uapi.VECTOR_STAT.size,
        "sizeof(struct rsl_mbox_binding_spec)": uapi.BINDING.size,
        "offsetof(struct rsl_mbox_info, memory_base)": 16,
        "offsetof(struct rsl_mbox_info, label)": 32,
        "offsetof(struct rsl_mbox_info, reserved)": 64,
    }
    lines = ["#include <stddef.h>", "#include <linux/rsl_mbox.h>"]
    lines += [f'_Static_assert({name} == {value}u, "");' for name, value in facts.items()]
    done = subprocess.run(
        [compiler, "-fsyntax-only", "-Wall", "-Werror", f"-I{KMOD / 'uapi'}", "-x", "c", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
