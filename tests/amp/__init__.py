# SPDX-License-Identifier: BSD-3-Clause
"""The emulated board of the tests and the demo; docs/testing.md describes it.

Needs nothing but Python's standard library: what else it takes it fetches itself.

    __main__    the commands that the Makefile calls
    qemu        boots the board and runs commands in it
    build       makes what the board boots, from this checkout
    kernels     kernels to boot, and headers to build modules against
    packages    what is handed out: wheel, source archive, Debian packages
    debian      packages for the board, without installing them here
    roots       root file systems of Debian to install our packages in
    machine     what this machine has to have: Debian packages and a venv
    cache       what is kept outside the checkout
    say         what the user is told
"""
