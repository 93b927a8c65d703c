# SPDX-License-Identifier: BSD-3-Clause
#
# Every target installs, downloads and builds what it needs by itself and says
# so first. docs/testing.md tells what happens.

PYTHON ?= python3

help:
	@echo "make demo        the main job on an emulated board, as a user sees it"
	@echo "make demo-vm     a link between two virtual machines"
	@echo "make check       all tests"
	@echo "make check-million  a million kicks over every style of mailbox"
	@echo "make check-debug    the tests in the board on a kernel with checkers"
	@echo "make check-kernels  build for every supported kernel, test on those that boot"
	@echo "make check-virtio   virtio devices of a link in the emulated board, at length"
	@echo "make check-vm       two virtual machines and the links between them"
	@echo "make check-trees    links merged into every device tree of Debian's kernels"
	@echo "make bench       what the module and the command line cost, measured"
	@echo "make shell       look around in the emulated board"
	@echo "make overlays    generate dt-overlays/ anew"
	@echo "make deb         build the Debian packages in build/deb"
	@echo "make man         generate docs/man/ anew"

demo demo-vm check check-million check-debug check-kernels check-virtio check-vm check-trees bench shell overlays man deb:
	@$(PYTHON) -m tests.amp $@

.PHONY: help demo demo-vm check check-million check-debug check-kernels check-virtio check-vm check-trees bench shell overlays man deb
