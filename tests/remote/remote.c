// SPDX-License-Identifier: BSD-3-Clause
/*
 * The remote of the emulated board: a bare-metal program on the second core,
 * which answers each kick on vector n with a notification on vector n.
 *
 * Its addresses and interrupts come from the board profile by way of
 * remote_config.h, which "rslctl remote-dt" writes.
 */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "remote_config.h"
#include "remote_ctl.h"

/* The PL061 (Arm DDI 0190) of QEMU's virt. */
#define GPIO			0x09030000UL
#define GPIO_DATA		0x000	/* the address selects the pins */
#define GPIO_DIR		0x400
#define GPIO_IEV		0x40c

static const uint32_t kick_values[] = RSL_RPU0_KICK_INTERRUPTS;	/* Linux -> here */
static const uint32_t notify_values[] = RSL_RPU0_NOTIFY_VALUES;	/* here -> Linux */

/* The second link, "level" of tests/amp/sim.dtso, notifies by pins of the GPIO block. */
static const uint32_t level_kick_values[] = { 84, 85, 86, 87 };

#define VECTORS			(sizeof(kick_values) / sizeof(kick_values[0]))

static struct remote_ctl *const ctl =
	(struct remote_ctl *)(RSL_RPU0_MEMORY_BASE + RSL_RPU0_MEMORY_SIZE - REMOTE_CTL_SIZE);

/* tests/kmod/rsl_remoteproc_psci has the number, too. */
_Static_assert(offsetof(struct remote_ctl, off) == 0x220, "off has moved");
/* tests/bench has these. */
_Static_assert(offsetof(struct remote_ctl, delay) == 0x224, "delay has moved");
_Static_assert(offsetof(struct remote_ctl, stamp) == 0x228, "stamp has moved");

/* A resource table without entries: remoteproc wants one. */
__attribute__((section(".resource_table"), used))
static const uint32_t resource_table[4] = { 1 };	/* version */

static uint32_t answered = ~0u;
static uint32_t delayed;	/* answers that wait for the timer */
static uint32_t flood_mask;
static uint32_t flood_pause;

static void notify(unsigned int n)
{
	ctl->vector[n].notify_sent++;
	ctl->stamp = counter();
	barrier();
	write32(RSL_RPU0_NOTIFY_REGISTER, notify_values[n]);
}

/*
 * An edge on an input pin, made by having the pin as an output for a moment: its
 * interrupt stays asserted until Linux clears it.
 */
static void notify_level(unsigned int n)
{
	uint32_t pin = 1u << n;
	unsigned int value;

	for (value = 0; value < 2; value++) {
		write32(GPIO + GPIO_DIR, pin);
		write32(GPIO + GPIO_DATA + (pin << 2), value ? pin : 0);
		write32(GPIO + GPIO_DIR, 0);
	}
}

/* By the timer, because a core that spins keeps an emulator's other core waiting. */
static void notify_later(unsigned int n)
{
	delayed |= 1u << n;
	set_timer(ctl->delay);
}

static void take_timer(void)
{
	unsigned int n;

	stop_timer();
	for (n = 0; n < VECTORS; n++)
		if (delayed & (1u << n))
			notify(n);
	delayed = 0;
}

static void take_command(void)
{
	uint32_t command = ctl->command;

	if (command == REMOTE_FLOOD) {
		flood_mask = ctl->arg0;
		flood_pause = ctl->arg2;
		ctl->flood_left = ctl->arg1;
	} else if (command == REMOTE_ANSWER) {
		answered = ctl->arg0;
	} else if (command == REMOTE_LOOK) {
		ctl->placed = read32(RSL_RPU0_DT_BASE);
	}
	barrier();
	ctl->command = REMOTE_NONE;
}

static void flood(void)
{
	uint32_t n, i;

	for (n = 0; n < VECTORS; n++) {
		if (!(flood_mask & (1u << n)))
			continue;
		notify(n);
		for (i = 0; i < flood_pause; i++)
			__asm__ volatile("nop");
	}
	barrier();
	ctl->flood_left--;
}

static void take_kick(unsigned int n)
{
	struct remote_vector *vector = &ctl->vector[n];

	vector->kick_taken++;
	vector->kick_seen = vector->kick_sent;
	barrier();
	/* A kick that brings a command is not answered: its sender watches the command. */
	if (n == 0 && ctl->command != REMOTE_NONE)
		take_command();
	else if (!(answered & (1u << n)))
		return;
	else if (ctl->delay)
		notify_later(n);
	else
		notify(n);
}

static void gic_init(void)
{
	unsigned int n;

	gic_wait_for_linux();
	write32(GPIO + GPIO_IEV, 0xff);		/* rising edges */
	for (n = 0; n < VECTORS; n++) {
		gic_route(kick_values[n]);
		gic_route(level_kick_values[n]);
	}
	gic_route(REMOTE_WAKE);
	gic_start();
}

static void turn_off(void)
{
	ctl->magic = 0;
	core_off();
}

void remote_main(void)
{
	reset_ctl(ctl, VECTORS);
	gic_init();
	barrier();
	ctl->magic = REMOTE_MAGIC;

	for (;;) {
		uint32_t id, n;

		if (ctl->off)
			turn_off();
		if (ctl->flood_left)
			flood();
		else
			sleep_until_interrupt();
		while ((id = gic_take()) < GIC_SPURIOUS) {
			if (id == TIMER_INTERRUPT)
				take_timer();
			for (n = 0; n < VECTORS; n++)
				if (kick_values[n] == id)
					take_kick(n);
				else if (level_kick_values[n] == id)
					notify_level(n);
		}
	}
}
