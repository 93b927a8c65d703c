/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first instructions of the emulated board. QEMU enters here on core 0
 * with the device tree in x0. PSCI CPU_ON (Arm DEN0022) starts the remote on
 * core 1, then Linux is entered as Documentation/arch/arm64/booting.rst asks.
 *
 * REMOTE_ENTRY and LINUX_ENTRY come from the command line.
 */
	.globl	_start
_start:
	mov	x19, x0
	ldr	x0, =0xc4000003		/* CPU_ON, 64-bit calling convention */
	mov	x1, #1			/* MPIDR affinity of core 1 */
	ldr	x2, =REMOTE_ENTRY
	mov	x3, #0
	hvc	#0
	mov	x0, x19
	mov	x1, xzr
	mov	x2, xzr
	mov	x3, xzr
	ldr	x4, =LINUX_ENTRY
	br	x4
	.ltorg
