/* SPDX-License-Identifier: BSD-3-Clause */
/* Entry of the remote: MMU and interrupts are off, x0 to x3 mean nothing. */
	.section .text.start, "ax"
	.globl	_start
_start:
	adrp	x0, stack_top
	add	x0, x0, :lo12:stack_top
	mov	sp, x0
	b	remote_main

	.bss
	.balign	16
	.space	16384
stack_top:
