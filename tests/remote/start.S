/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entry of the remote: MMU and interrupts are off, x0 to x3 mean nothing. A program that
 * keeps all that it changes in .bss may jump here to begin anew.
 */
	.section .text.start, "ax"
	.globl	_start
_start:
	adrp	x0, __bss_start
	add	x0, x0, :lo12:__bss_start
	adrp	x1, __bss_end
	add	x1, x1, :lo12:__bss_end
1:	cmp	x0, x1
	b.hs	2f
	str	xzr, [x0], #8
	b	1b
2:	adrp	x0, stack_top
	add	x0, x0, :lo12:stack_top
	mov	sp, x0
	b	remote_main

	.bss
	.balign	16
	.space	16384
stack_top:
