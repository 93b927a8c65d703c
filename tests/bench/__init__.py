# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel module is measured with; "make bench" runs it in the emulated board."""
