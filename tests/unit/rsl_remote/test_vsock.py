# SPDX-License-Identifier: BSD-3-Clause
"""Streams of rsl_remote.h: virtio 1.2, section 5.10.6."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.unit.rsl_remote.conftest import MakeLink
from tests.unit.rsl_remote.devices import (
    CREDIT_REQUEST,
    CREDIT_UPDATE,
    GUEST,
    REQUEST,
    RESPONSE,
    RST,
    RW,
    SHUTDOWN,
    Answering,
    Packet,
    Peer,
    Vsock,
    seeded,
)
from tests.unit.rsl_remote.support import AGAIN, CLOSED, INVALID, LOST, Link, serve

both = pytest.mark.parametrize("version", [1, 2])

PORT = 7
FREE, LISTENING, CONNECTING, OPEN, CLOSING, ENDED = range(6)


class World:
    """A remote with a vsock device, and what its host sends and gets."""

    def __init__(
        self, link: Link, *, table: int = 8, room: int = 1000, host: type[Vsock] = Vsock
    ) -> None:
        self.link = link
        self.host = host(link.memory)
        self.served = serve(link, self.host, 0x10000)
        link.ask("find", 19, 0)
        rc, cid, _ = link.ask("vsock", "begin", table, room)
        assert (rc, cid) == ("0", str(GUEST))
        self.listener = self.do("listen", PORT)
        assert self.listener >= 0

    def do(self, *words: object) -> int:
        return self.link.number("vsock", *words)

    def packets(self) -> list[Packet]:
        assert self.do("poll") == 0
        return self.host.packets()

    def send(self, op: int, **others: int | bytes) -> None:
        """From port 1000 to PORT, if nothing else is said."""
        packet = replace(Packet(op, 1000, PORT), **others)  # type: ignore[arg-type]
        self.host.send(packet)

    def opened(self, **others: int) -> int:
        """A connection that the host has made, and the remote accepted."""
        self.send(REQUEST, **others)
        conn = self.do("accept", self.listener)
        assert conn >= 0
        (answer,) = self.packets()
        assert answer.op == RESPONSE
        return conn


@both
def test_a_connection_is_answered_before_it_is_accepted(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    assert world.do("accept", world.listener) == -1
    world.send(REQUEST)
    (answer,) = world.packets()
    assert answer == Packet(RESPONSE, PORT, 1000, b"", 0, 1000, 0, GUEST, 2)
    conn = world.do("accept", world.listener)
    assert world.do("connected", conn) == 0
    assert world.do("accept", world.listener) == -1


@both
def test_bytes_go_both_ways(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.opened()
    assert world.do("receive", conn, 100) == AGAIN
    world.send(RW, data=b"first")
    assert world.link.data("vsock", "receive", conn, 3) == b"fir"
    assert world.link.data("vsock", "receive", conn, 100) == b"st"
    assert world.do("receive", conn, 0) == 0
    assert world.do("send", conn, b"world".hex()) == 5
    (answer,) = world.packets()
    assert (answer.op, answer.data, answer.fwd_cnt) == (RW, b"world", 5)


@both
def test_nobody_listens_is_a_reset(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    world.send(REQUEST, dst_port=8)
    world.send(RW, dst_port=8, data=b"x")
    world.send(RST, dst_port=8)
    world.send(REQUEST, type=2)
    found = world.packets()
    assert [each.op for each in found] == [RST, RST, RST]
    assert [each.src_port for each in found] == [8, 8, PORT]
    assert found[2].type == 2


@both
def test_packets_for_others_or_of_a_wrong_length_are_dropped(
    make_link: MakeLink, version: int
) -> None:
    world = World(make_link(version))
    world.send(REQUEST, dst_cid=GUEST + 1)
    short = Packet(REQUEST, 1000, PORT).pack()
    world.host.give(short[:43])
    world.host.give(short[:24] + b"\1\0\0\0" + short[28:])
    world.host.give(short[:24] + b"\xff\xff\xff\xff" + short[28:])
    assert world.packets() == []
    assert world.do("accept", world.listener) == -1
    world.opened()


@both
def test_a_full_table_refuses(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version), table=3)
    for port in (1000, 1001):
        world.opened(src_port=port)
    world.send(REQUEST, src_port=1002)
    assert [(each.op, each.dst_port) for each in world.packets()] == [(RST, 1002)]
    assert world.do("connect", 2, 5) == -1
    assert world.do("listen", 5) == -1


@both
def test_the_host_is_connected_to(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.do("connect", 2, 99)
    assert world.do("connected", conn) == AGAIN
    assert world.do("send", conn, "00") == AGAIN
    assert world.do("receive", conn, 10) == AGAIN
    # The reset is for a connection of these ports from before the remote began anew: the host
    # answers no request for one.
    reset, request = world.packets()
    assert reset == replace(request, op=RST)
    assert (request.op, request.dst_port, request.dst_cid) == (REQUEST, 99, 2)
    world.send(RESPONSE, src_port=99, dst_port=request.src_port)
    assert world.do("connected", conn) == 0
    other = world.do("connect", 2, 99)
    assert world.packets()[0].src_port != request.src_port
    world.do("close", conn)
    world.do("close", other)
    assert [each.op for each in world.packets()] == [SHUTDOWN, RST]


@both
@pytest.mark.parametrize("answer", [RST, RW, SHUTDOWN])
def test_a_refused_connection_is_closed(make_link: MakeLink, version: int, answer: int) -> None:
    world = World(make_link(version))
    conn = world.do("connect", 2, 99)
    _, request = world.packets()
    world.send(answer, src_port=99, dst_port=request.src_port)
    assert world.do("connected", conn) == CLOSED
    assert world.do("send", conn, "00") == CLOSED
    assert [each.op for each in world.packets()] == [RST] * (answer != RST)
    world.do("close", conn)
    assert world.do("state", conn) == FREE


@both
def test_a_peer_that_sends_no_more_still_receives(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.opened()
    world.send(RW, data=b"last")
    world.send(SHUTDOWN, flags=2)
    assert world.link.data("vsock", "receive", conn, 10) == b"last"
    assert world.do("receive", conn, 10) == CLOSED
    assert world.do("send", conn, b"answer".hex()) == 6
    world.do("shutdown", conn)
    assert world.do("send", conn, "00") == CLOSED
    assert [(each.op, each.flags) for each in world.packets()] == [(RW, 0), (SHUTDOWN, 2)]
    world.do("close", conn)
    assert [(each.op, each.flags) for each in world.packets()] == [(SHUTDOWN, 3)]
    world.send(RST)
    assert world.packets() == []
    assert world.do("state", conn) == FREE


@both
def test_a_peer_that_closes_gets_its_reset_when_all_was_taken(
    make_link: MakeLink, version: int
) -> None:
    world = World(make_link(version))
    conn = world.opened()
    world.send(RW, data=b"last")
    world.send(SHUTDOWN, flags=3)
    assert world.packets() == []
    assert world.do("send", conn, "00") == CLOSED
    assert world.link.data("vsock", "receive", conn, 10) == b"last"
    assert [each.op for each in world.packets()] == [RST]
    assert world.do("receive", conn, 10) == CLOSED
    world.do("close", conn)
    assert world.packets() == []
    assert world.do("state", conn) == FREE


@both
def test_bytes_before_a_reset_are_not_lost(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.opened()
    world.send(RW, data=b"last")
    world.send(RST)
    assert world.link.data("vsock", "receive", conn, 10) == b"last"
    assert world.do("receive", conn, 10) == CLOSED
    assert world.packets() == []


@both
def test_a_peer_that_keeps_to_no_credit_is_reset(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version), room=10)
    conn = world.opened()
    world.send(RW, data=b"0123456789")
    world.send(RW, data=b"x")
    assert [each.op for each in world.packets()] == [RST]
    assert world.link.data("vsock", "receive", conn, 20) == b"0123456789"
    assert world.do("receive", conn, 20) == CLOSED


@both
def test_a_peer_that_asks_is_told_its_credit(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.opened()
    world.send(RW, data=bytes(300))
    assert len(world.link.data("vsock", "receive", conn, 300)) == 300
    assert world.packets() == []
    world.send(CREDIT_REQUEST)
    (answer,) = world.packets()
    assert (answer.op, answer.buf_alloc, answer.fwd_cnt) == (CREDIT_UPDATE, 1000, 300)


@both
def test_no_more_is_sent_than_the_peer_has_room_for(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.opened(buf_alloc=10)
    assert world.do("send", conn, bytes(30).hex()) == 10
    assert world.do("send", conn, bytes(20).hex()) == AGAIN
    assert [each.op for each in world.packets()] == [RW, CREDIT_REQUEST]
    world.send(CREDIT_UPDATE, buf_alloc=10, fwd_cnt=4)
    assert world.do("send", conn, bytes(20).hex()) == 4
    # More taken than was sent, and a buffer that has shrunk, are no credit.
    world.send(CREDIT_UPDATE, buf_alloc=10, fwd_cnt=99)
    assert world.do("send", conn, "00") == AGAIN
    world.send(CREDIT_UPDATE, buf_alloc=2, fwd_cnt=10)
    assert world.do("send", conn, "00") == AGAIN


@both
def test_a_host_that_is_slow_loses_no_answer(make_link: MakeLink, version: int) -> None:
    """Buffers to send run out: what comes meanwhile waits."""
    world = World(make_link(version), table=70)
    conn = world.opened(src_port=999)
    world.host.deaf = True
    while world.do("send", conn, bytes(100).hex()) > 0:
        pass
    for port in range(1000, 1040):
        world.send(REQUEST, src_port=port)
    assert world.do("poll") == 0
    assert world.do("send", conn, "00") == AGAIN
    world.host.hear()
    assert world.link.ask("kicks", 20000)[0] == "1"  # those were asked for
    found = world.packets()
    while len(answers := {each.dst_port for each in found if each.op == RESPONSE}) < 40:
        found += world.packets()
    assert answers == set(range(1000, 1040))
    assert world.do("send", conn, "00") == 1


@both
def test_more_answers_than_both_sides_have_room_for_stop_nothing(
    make_link: MakeLink, version: int
) -> None:
    """The host takes nothing until its answers are received, and the remote has no buffer left."""
    world = World(make_link(version), table=301, room=10, host=Answering)
    conns = [world.do("connect", 2, port) for port in range(1000, 1300)]
    for _ in range(300):
        assert world.do("poll") == 0
    assert [world.do("connected", conn) for conn in conns] == [0] * 300
    for conn in conns:
        world.do("close", conn)
    for _ in range(300):
        assert world.do("poll") == 0
    assert sum(packet.op == SHUTDOWN for packet in world.packets()) == 300
    last = world.do("connect", 2, 999)
    world.do("poll")
    assert world.do("connected", last) == 0


@both
def test_closed_connections_make_room(make_link: MakeLink, version: int) -> None:
    """Also those whose peer has not answered yet."""
    world = World(make_link(version), table=3)
    for port in range(1000, 1010):
        conn = world.opened(src_port=port)
        world.do("close", conn)
        (packet,) = world.packets()
        assert (packet.op, packet.flags, packet.dst_port) == (SHUTDOWN, 3, port)


@both
def test_a_listener_that_closes_takes_those_that_wait_along(
    make_link: MakeLink, version: int
) -> None:
    world = World(make_link(version))
    world.send(REQUEST)
    world.do("poll")
    world.do("close", world.listener)
    assert [each.op for each in world.packets()] == [RESPONSE, SHUTDOWN]
    world.send(REQUEST, src_port=1001)
    assert [each.op for each in world.packets()] == [RST]
    assert world.do("listen", PORT) >= 0
    assert world.do("listen", PORT) == -1


@both
def test_a_peer_that_has_forgotten_its_connection_gets_a_reset(
    make_link: MakeLink, version: int
) -> None:
    world = World(make_link(version))
    conn = world.opened()
    world.send(REQUEST)
    assert [each.op for each in world.packets()] == [RST]
    assert world.do("receive", conn, 10) == CLOSED


@both
def test_a_device_that_begins_again_has_no_connections(make_link: MakeLink, version: int) -> None:
    world = World(make_link(version))
    conn = world.opened()
    world.served.stop()
    world.link.map[:0x200] = bytes(0x200)
    assert world.do("poll") == LOST
    assert world.do("send", conn, "00") == LOST
    assert world.do("receive", conn, 10) == LOST
    world.served.perform(world.served.engine.publish())
    world.link.ask("find", 19, 0)
    assert world.do("begin", 8, 1000) == 0
    assert world.do("receive", conn, 10) == CLOSED
    assert world.do("begin", 8, 0) == INVALID


@both
def test_64_streams_at_once_lose_and_mix_up_nothing(make_link: MakeLink, version: int) -> None:
    """Both ends count credit; each byte is compared."""
    link = make_link(version, 3)
    world = World(link, table=66, room=700)
    peers, conns = {}, {}
    for port in range(2000, 2064):
        world.send(REQUEST, src_port=port, buf_alloc=900)
        peers[port] = Peer(world.host, PORT, port, 900)
        conns[port] = world.do("accept", world.listener)
    rng = seeded(1)
    down = {port: rng.randbytes(3000) for port in peers}
    up = {port: rng.randbytes(3000) for port in peers}
    sent, got = dict.fromkeys(peers, 0), dict.fromkeys(peers, b"")
    for _ in range(200):
        for port, peer in peers.items():
            sent[port] += peer.send(down[port][sent[port] :], rng.randint(1, 800))
            words = link.ask("vsock", "receive", conns[port], rng.randint(1, 900))
            got[port] += bytes.fromhex(words[1]) if int(words[0]) > 0 else b""
        _send_up(world, peers, conns, up, rng)
        if got == down and {port: peer.received for port, peer in peers.items()} == up:
            break
    assert got == down
    assert {port: peer.received for port, peer in peers.items()} == up


def _send_up(
    world: World,
    peers: dict[int, Peer],
    conns: dict[int, int],
    up: dict[int, bytes],
    rng: random.Random,
) -> None:
    """Have the remote send, and the peers take, what comes next of each stream."""
    for port, peer in peers.items():
        for packet in world.host.packets():
            peers[packet.dst_port].take(packet)
        part = up[port][len(peer.received) :][: rng.randint(1, 900)]
        if part:
            world.do("send", conns[port], part.hex())
        for packet in world.host.packets():
            peers[packet.dst_port].take(packet)
        peer.read()
