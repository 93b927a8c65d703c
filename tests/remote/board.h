/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs on the emulated board's second core share: the GICv2 (Arm
 * IHI 0048) at QEMU's virt addresses, the core's counter, its end, and the control block.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#include "remote_ctl.h"

#define GICD			0x08000000UL
#define GICD_CTLR		0x000
#define GICD_ISENABLER		0x100
#define GICD_ICPENDR		0x280
#define GICD_IPRIORITYR		0x400
#define GICD_ITARGETSR		0x800
#define GICD_ICFGR		0xc00
#define GICC			0x08010000UL
#define GICC_CTLR		0x00
#define GICC_PMR		0x04
#define GICC_IAR		0x0c
#define GICC_EOIR		0x10
#define GIC_SPURIOUS		1020

#define CORE1			(1 << 1)

#define TIMER_INTERRUPT		27	/* of the core's own virtual timer */

#define PSCI_CPU_OFF		0x84000002	/* Arm DEN0022 */

static inline uint32_t read32(unsigned long addr)
{
	return *(volatile uint32_t *)addr;
}

static inline void write32(unsigned long addr, uint32_t value)
{
	*(volatile uint32_t *)addr = value;
}

static inline void write8(unsigned long addr, uint8_t value)
{
	*(volatile uint8_t *)addr = value;
}

static inline void barrier(void)
{
	__asm__ volatile("dsb sy" ::: "memory");
}

static inline uint64_t counter(void)
{
	uint64_t ticks;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r" (ticks) : : "memory");
	return ticks;
}

/* Have the timer's interrupt come so many ticks of the counter later. */
static inline void set_timer(uint64_t ticks)
{
	__asm__ volatile("msr cntv_tval_el0, %0\n\tmsr cntv_ctl_el0, %1\n\tisb"
			 : : "r" (ticks), "r" (1UL) : "memory");
}

static inline void stop_timer(void)
{
	__asm__ volatile("msr cntv_ctl_el0, %0\n\tisb" : : "r" (0UL) : "memory");
}

static inline void gic_route(uint32_t id)
{
	unsigned long icfgr = GICD + GICD_ICFGR + id / 16 * 4;

	write8(GICD + GICD_ITARGETSR + id, CORE1);
	write8(GICD + GICD_IPRIORITYR + id, 0x80);
	write32(icfgr, read32(icfgr) | 2u << (id % 16 * 2));	/* edge */
	/* Kicked while nobody was there. */
	write32(GICD + GICD_ICPENDR + id / 32 * 4, 1u << (id % 32));
	write32(GICD + GICD_ISENABLER + id / 32 * 4, 1u << (id % 32));
}

/*
 * Linux resets every shared interrupt when it initialises the distributor and
 * enables the distributor last; what is set up before that is lost.
 */
static inline void gic_wait_for_linux(void)
{
	while (!(read32(GICD + GICD_CTLR) & 1))
		/* To the other core, where an emulator runs one at a time. */
		__asm__ volatile("yield");
}

/* The core's own part, with its timer. */
static inline void gic_start(void)
{
	write8(GICD + GICD_IPRIORITYR + TIMER_INTERRUPT, 0x80);
	write32(GICD + GICD_ISENABLER, 1u << TIMER_INTERRUPT);
	write32(GICC + GICC_PMR, 0xff);
	write32(GICC + GICC_CTLR, 1);
}

/* The next interrupt, which from here on can be pending again; GIC_SPURIOUS or more is none. */
static inline uint32_t gic_take(void)
{
	uint32_t id = read32(GICC + GICC_IAR) & 0x3ff;

	if (id < GIC_SPURIOUS)
		write32(GICC + GICC_EOIR, id);
	return id;
}

/* Interrupts stay masked: a pending one ends the wait all the same. */
static inline void sleep_until_interrupt(void)
{
	__asm__ volatile("dsb sy\n\twfi" ::: "memory");
}

static inline void core_off(void)
{
	register unsigned long x0 __asm__("x0") = PSCI_CPU_OFF;

	write32(GICC + GICC_CTLR, 0);
	barrier();
	__asm__ volatile("hvc #0" : "+r" (x0) : : "memory");
}

/* Forget what a program before this one may have left in the control block. */
static inline void reset_ctl(struct remote_ctl *ctl, unsigned int vectors)
{
	unsigned int n;

	ctl->magic = 0;
	ctl->vectors = vectors;
	ctl->command = REMOTE_NONE;
	ctl->placed = 0;
	ctl->flood_left = 0;
	ctl->stamp = 0;
	ctl->running = 0;
	for (n = 0; n < vectors; n++) {
		ctl->vector[n].kick_seen = 0;
		ctl->vector[n].kick_taken = 0;
		ctl->vector[n].notify_sent = 0;
	}
	barrier();
}

#endif
