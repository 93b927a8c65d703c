# SPDX-License-Identifier: BSD-3-Clause
# A daemon: greets the remote through the shared memory, and prints its answer.
from rslctl import client

with client.receive() as link:
    link.memory[0:6] = b"hello\0"
    link.ready()
    link.kick(0)
    if not link.wait(timeout=10):
        raise SystemExit("the remote does not answer")
    print("the remote says:", link.memory[0:5].decode())
