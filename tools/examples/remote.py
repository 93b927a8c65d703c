# SPDX-License-Identifier: BSD-3-Clause
# Plays the remote of daemon.py on the board "sim": answers in capital letters.
from rslctl import client

with client.receive() as link:
    link.wait()
    link.memory[0:5] = link.memory[0:5].upper()
    link.kick(0)
    link.wait()  # until the daemon ends
