# SPDX-License-Identifier: BSD-3-Clause
"""What machines of QEMU run: whose programs, built how, and what starts them."""

from __future__ import annotations

from dataclasses import dataclass

#: Of every machine: nothing that is not asked for.
BARE = ("-nodefaults", "-nic", "none", "-nographic")


@dataclass(frozen=True)
class Architecture:
    #: Debian's name for it, and GNU's, which pip and QEMU have, too.
    debian: str
    gnu: str
    #: The arguments of QEMU for a machine.
    machine: tuple[str, ...]
    #: Those of Linux.
    arguments: tuple[str, ...]

    @property
    def cross(self) -> str:
        """What the names of the tools begin with that build for it."""
        return f"{self.gnu}-linux-gnu-"

    @property
    def emulator(self) -> str:
        return f"qemu-system-{self.gnu}"


#: That of the emulated board, which is this machine; links between virtual machines, too.
ARM64 = Architecture(
    "arm64",
    "aarch64",
    ("-M", "virt,gic-version=2", "-cpu", "cortex-a53", "-smp", "3", "-m", "1G", *BARE),
    ("console=ttyAMA0",),
)
AMD64 = Architecture(
    "amd64",
    "x86_64",
    ("-M", "q35", "-m", "1G", *BARE),
    # An emulator on a busy machine fails the checks of the timer's interrupt and of the clock.
    ("console=ttyS0", "no_timer_check", "tsc=nowatchdog"),
)
