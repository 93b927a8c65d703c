# SPDX-License-Identifier: BSD-3-Clause
"""Loads the modules on the device tree with tests/amp/bad.dtso and checks what is said.

The module refuses each node with exactly one line, which names the node and the property; the node
that is right comes up all the same.
"""

from __future__ import annotations

import subprocess
import sys
import time

from rslctl.linux import mbox
from rslctl.linux.host import Host

EXPECTED = {
    "bad-no-mboxes": "mboxes: is missing or wrong",
    "bad-no-names": "mbox-names: has to be",
    "bad-names": "mbox-names: has to be",
    "bad-one-name": "mbox-names: has to be",
    "bad-in-use": "mboxes: channel 1 cannot be had",
    "bad-vectors": "rsl,vectors: 2, but 1 channel(s) with payload",
    "bad-many-vectors": "rsl,vectors: 33, but 1 channel(s) with payload",
    "bad-payload": 'rsl,payload: "u64" is not known',
    "bad-done": 'rsl,tx-done: has to be "controller"',
    "bad-other-payload": 'rsl,payload: /sim-bad-value takes "u32-value"',
    "bad-mixed": 'rsl,tx-done: has to be "controller" with /sim-bad-value',
    "bad-ack": "rsl,rx-ack: /sim-bad-value takes no acknowledgment",
    "bad-system-ram": "memory-region: 0x0000000060000000 is System RAM",
    "bad-unaligned": "memory-region: 0x0000000060200800",
    "bad-unreserved": "memory-region: was not reserved at boot",
    "bad-label": "label: has to have 1 to 31 characters",
    "bad-no-interrupts@8020044": "interrupts: has 0, but rsl,kick-values has 1",
    "bad-few-interrupts@8020048": "interrupts: has 1, but rsl,kick-values has 2",
    "bad-no-values@802004c": "rsl,kick-values: needs 1 to 32 cells",
    "bad-status@8020050": "rsl,status-masks: needs 2 cells, one per vector",
    "bad-offset@8020058": "rsl,status-offset: 0x8 is not a 32-bit register within reg",
    "bad-level@8020060": "rsl,clear-offset: is missing, entry 0 of interrupts is a level",
    "bad-no-register": "reg: entry 0 has to be aligned 32-bit registers",
    "bad-doorbells": 'rsl,vectors: 8, but 1 channel(s) with payload "none"',
    "bad-type": "mboxes: /sim-bad-mu: channel type 5 waits for the remote with interrupts off",
    "bad-answer": "rsl,rx-ack: needs a channel of its own",
    "bad-word": "rsl,vectors: 2 in one message, but nobody tells",
    "bad-unknown": "rsl,payload: is missing, and the module does not know the controller",
    "bad-half-known": "rsl,tx-done: is missing, and the module does not know the controller",
    "bad-fallback": "rsl,payload: is missing, and the module does not know the controller",
    "bad-refused": "mboxes: /sim-bad-loud: the driver writes to the log when the remote is slow",
    "bad-reset": "mboxes: /sim-bad-mu: channel type 4 resets the unit, use types 0 to 3",
    "bad-channel-type": "mboxes: /sim-bad-mu: has no channel of type 6",
    "bad-way": "mboxes: /sim-bad-mu: channel 0 can only be used for notifications",
    "bad-held": "mboxes: /sim-bad-sti: has no interrupt that can be held off",
    "bad-both": "mboxes: /sim-bad-one-way: channel 0 can only be used for one direction",
    "bad-forms": "mboxes: has channels that take messages of different forms",
}


def main() -> None:
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    time.sleep(1)
    log = subprocess.run(["dmesg"], stdout=subprocess.PIPE, text=True, check=True).stdout
    wrong = 0
    for node, message in EXPECTED.items():
        name = node.split("@")[0]
        # The driver core says that a probe failed, too, on most kernels; the mailbox
        # framework that a channel is in use, from 6.12 on.
        others = ("probe of", "failed with error", "mailbox not free")
        own = [line for line in log.splitlines() if not any(text in line for text in others)]
        lines = [line for line in own if name in line]
        if len(lines) != 1 or f"/{node}: {message}" not in lines[0]:
            print(f"expected one line '/{node}: {message}', got {lines}")
            wrong += 1
    if "good" not in [link.name for link in mbox.find(Host())]:
        print("the good link is not there")
        wrong += 1
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    print(f"{len(EXPECTED)} bad nodes, {wrong} wrong")
    sys.exit(bool(wrong))


main()
