# SPDX-License-Identifier: BSD-3-Clause
"""The inter-processor interrupts (IPI) of the Zynq UltraScale+ MPSoC.

Addresses, bits and interrupts: AMD UG1085 chapter 13 and UG1087 module IPI; the numbers of the
agents: the device tree property xlnx,ipi-id, as TF-A has them (plat/xilinx/zynqmp/zynqmp_ipi.c).
"""

from __future__ import annotations

from dataclasses import dataclass

#: Offsets of an agent's registers.
TRIG, ISR, IER, IDR = 0x00, 0x10, 0x18, 0x1C
#: Bytes of an agent's registers.
SIZE = 0x20

_BUFFERS = 0xFF990000
#: Bytes of a request, and of a response.
BUFFER_SIZE = 0x20


@dataclass(frozen=True)
class Agent:
    """One of the agents that ring each other."""

    name: str
    #: Its bit in the registers of the others.
    bit: int
    #: Physical address of its registers.
    registers: int
    #: Its shared peripheral interrupt.
    spi: int
    #: Where its outgoing messages are, and which of them are to this agent, as offsets.
    outgoing: int
    incoming: int


#: By xlnx,ipi-id. The four agents of the PMU (3 to 6) are the firmware's.
AGENTS = {
    0: Agent("APU", 1 << 0, 0xFF300000, 35, 0x400, 0x080),
    1: Agent("RPU0", 1 << 8, 0xFF310000, 33, 0x000, 0x000),
    2: Agent("RPU1", 1 << 9, 0xFF320000, 34, 0x200, 0x040),
    7: Agent("PL0", 1 << 24, 0xFF340000, 29, 0x600, 0x0C0),
    8: Agent("PL1", 1 << 25, 0xFF350000, 30, 0x800, 0x100),
    9: Agent("PL2", 1 << 26, 0xFF360000, 31, 0xA00, 0x140),
    10: Agent("PL3", 1 << 27, 0xFF370000, 32, 0xC00, 0x180),
}

#: The agents that are free for Linux, and those of the remotes.
LOCAL = (7, 8, 9, 10)
REMOTE = (1, 2, 7, 8, 9, 10)


def request(sender: Agent, receiver: Agent) -> int:
    """Physical address of the request buffer from *sender* to *receiver*; its response follows."""
    return _BUFFERS + sender.outgoing + receiver.incoming
