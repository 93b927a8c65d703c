# SPDX-License-Identifier: BSD-3-Clause
"""The inter-processor interrupts (IPI) of the Zynq UltraScale+ MPSoC.

Sources: AMD UG1085 chapter 13 and UG1087 module IPI for addresses, bits and interrupts. The number
of an agent is the value of the device tree property xlnx,ipi-id; TF-A has the same numbers
(plat/xilinx/zynqmp/zynqmp_ipi.c).
"""

from __future__ import annotations

from dataclasses import dataclass

#: The offsets of an agent's registers in bytes.
TRIG, ISR, IER, IDR = 0x00, 0x10, 0x18, 0x1C
#: Those that a doorbell needs, by their names in the device tree.
OFFSETS = (("status", ISR), ("clear", ISR), ("enable", IER), ("disable", IDR))
#: The size of an agent's registers in bytes.
SIZE = 0x20

_BUFFERS = 0xFF990000
#: The size of a request buffer, and of a response buffer, in bytes.
BUFFER_SIZE = 0x20


@dataclass(frozen=True)
class Agent:
    """An IPI agent: a processor or another master that can ring, and be rung by, the others."""

    name: str
    #: The bit of this agent in the registers of the other agents.
    bit: int
    #: The physical address of the registers.
    registers: int
    #: The number of the shared peripheral interrupt.
    spi: int
    #: Offsets in bytes: *outgoing* is that of the buffers for messages that this agent sends;
    #: *incoming* is that of the buffer for this agent in the outgoing buffers of another agent.
    outgoing: int
    incoming: int


#: The agents by xlnx,ipi-id. The firmware uses the four agents of the PMU, 3 to 6.
AGENTS = {
    0: Agent("APU", 1 << 0, 0xFF300000, 35, 0x400, 0x080),
    1: Agent("RPU0", 1 << 8, 0xFF310000, 33, 0x000, 0x000),
    2: Agent("RPU1", 1 << 9, 0xFF320000, 34, 0x200, 0x040),
    7: Agent("PL0", 1 << 24, 0xFF340000, 29, 0x600, 0x0C0),
    8: Agent("PL1", 1 << 25, 0xFF350000, 30, 0x800, 0x100),
    9: Agent("PL2", 1 << 26, 0xFF360000, 31, 0xA00, 0x140),
    10: Agent("PL3", 1 << 27, 0xFF370000, 32, 0xC00, 0x180),
}

#: The agents that Linux may use, and those that a remote may use.
LOCAL = (7, 8, 9, 10)
REMOTE = (1, 2, 7, 8, 9, 10)


#: The cores behind the agents, keys of :data:`cores.CORES`; "" for the programmable logic, in which
#: a core of any kind can be.
CORES = {agent: {1: "zynqmp-r5-0", 2: "zynqmp-r5-1"}.get(agent, "") for agent in REMOTE}


def request(sender: Agent, receiver: Agent) -> int:
    """Return the physical address of the request buffer from *sender* to *receiver*.

    The response buffer follows it.
    """
    return _BUFFERS + sender.outgoing + receiver.incoming
