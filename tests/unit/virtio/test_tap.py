# SPDX-License-Identifier: BSD-3-Clause
"""A tap of the real kernel, in a network of its own, and the numbers of its header."""

from __future__ import annotations

import subprocess
import sys

import pytest
from rslctl.virtio import tap
from rslctl.virtio.backend import VERSION_1, BackendError

from tests.unit import REPOSITORY
from tests.unit.c_programs import check_constants
from tests.unit.programs import there


def test_constants_and_ioctl_numbers_are_those_of_the_header() -> None:
    names = ["TUNSETIFF", "TUNSETOFFLOAD", "TUNSETVNETHDRSZ", "IFF_TAP", "IFF_NO_PI"]
    names += ["IFF_VNET_HDR", "TUN_F_CSUM", "TUN_F_TSO4", "TUN_F_TSO6", "TUN_F_TSO_ECN"]
    csum, tso4, tso6, ecn = tap.OFFLOADS
    facts = {name: getattr(tap, name) for name in names}
    facts |= {
        "sizeof(struct ifreq)": tap.IFREQ.size,
        "offsetof(struct ifreq, ifr_flags)": 16,
        "1 << VIRTIO_NET_F_MRG_RXBUF": tap.MRG_RXBUF,
        "1 << VIRTIO_NET_F_GUEST_CSUM": csum,
        "1 << VIRTIO_NET_F_GUEST_TSO4": tso4,
        "1 << VIRTIO_NET_F_GUEST_TSO6": tso6,
        "1 << VIRTIO_NET_F_GUEST_ECN": ecn,
        "sizeof(struct virtio_net_hdr)": 10,
        "sizeof(struct virtio_net_hdr_mrg_rxbuf)": 12,
    }
    headers = ["stddef.h", "sys/socket.h", "sys/ioctl.h", "linux/if.h", "linux/if_tun.h"]
    check_constants(there("gcc"), [*headers, "linux/virtio_net.h"], facts)


def in_a_network(program: str) -> str:
    """What *program* prints that runs in a network namespace of its own, as its root."""
    start = "import fcntl, os, select, struct\nfrom rslctl.virtio.tap import *\n"
    start += "from rslctl.virtio.backend import VERSION_1, BackendError\n"
    start += "flags = lambda: fcntl.ioctl(t.fd, 0x800454d2, bytes(40))[16:18]\n"
    start += "size = lambda: struct.unpack('=i', fcntl.ioctl(t.fd, 0x800454d7, bytes(4)))[0]\n"
    unshare = [there("unshare"), "--user", "--map-root-user", "--net"]
    if subprocess.run([*unshare, "test", "-w", tap.TUN], check=False).returncode:
        pytest.skip(f"no network namespace, or no {tap.TUN} in it")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", start + program],
        env={"PYTHONPATH": str(REPOSITORY / "tools"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_tap_has_the_header_that_the_driver_has() -> None:
    mrg_rxbuf = tap.MRG_RXBUF
    program = "t = Tap('rsl0')\n"
    for features in (0, VERSION_1, mrg_rxbuf, VERSION_1 | mrg_rxbuf):
        program += f"t.prepare({features})\nprint(size())\n"
    assert in_a_network(program).split() == ["10", "12", "12", "12"]


def test_every_set_of_features_is_taken() -> None:
    # The kernel refuses offloads without the ones that they build on: a driver can take any.
    program = "t = Tap('rsl0')\nbits = [*OFFLOADS]\n"
    program += "for n in range(16): t.prepare(sum(b for i, b in enumerate(bits) if n >> i & 1))\n"
    program += "t.prepare(FEATURES | VERSION_1)\nprint('all')"
    assert in_a_network(program) == "all\n"


def test_a_given_descriptor_of_dev_net_tun_does_as_well() -> None:
    program = "tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)\nt = Tap('rsl0', tun)\n"
    program += "print(struct.unpack('=H', flags())[0] & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))\n"
    program += "t.close(); t.close(); os.fstat(tun)"
    assert in_a_network(program) == f"{tap.IFF_TAP | tap.IFF_NO_PI | tap.IFF_VNET_HDR}\n"


def test_a_tap_in_use_is_an_error_that_says_so() -> None:
    program = (
        "t = Tap('rsl0')\ntry: Tap('rsl0')\nexcept BackendError as e: print(e, e.hint, sep='|')"
    )
    assert in_a_network(program) == (
        "cannot attach to tap 'rsl0': Device or resource busy|another process is attached to it\n"
    )


def test_a_tap_that_was_deleted_can_be_attached_to_anew() -> None:
    program = "t = Tap('rsl0')\nimport subprocess\nsubprocess.run(['ip', 'link', 'del', 'rsl0'])\n"
    program += (
        "p = select.poll(); p.register(t.fd, 0)\nprint(p.poll(30000)[0][1] & select.POLLERR)\n"
    )
    program += "try: t.prepare(VERSION_1)\nexcept BackendError as e: print(e, e.hint, sep='|')\n"
    program += "t.attach(); t.prepare(VERSION_1); print(size())"
    there("ip")
    assert in_a_network(program).splitlines() == [
        "8",
        "cannot set up tap 'rsl0': File descriptor in bad state|it was deleted",
        "12",
    ]


@pytest.mark.parametrize("name", ["", "0123456789abcdef"])
def test_a_name_that_no_interface_can_have_is_an_error(name: str) -> None:
    with pytest.raises(BackendError, match="is no name of a tap: it has 1 to 15 bytes"):
        tap.Tap(name)
