/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control block in the last page of the shared memory, through which Linux
 * instructs the remote and both count. tests/guest/remote.py is its other side.
 *
 * Who writes a word is the only one to write it, except command, which Linux
 * sets and the remote clears.
 */
#ifndef REMOTE_CTL_H
#define REMOTE_CTL_H

#include <stdint.h>

#define REMOTE_CTL_SIZE		4096
#define REMOTE_MAGIC		0x4d455252	/* "RREM" in memory */

/* The interrupt that has the remote look at "off". */
#define REMOTE_WAKE		88

enum remote_command {
	REMOTE_NONE = 0,
	/* Notify each vector of arg0 arg1 times, arg2 loops apart, kicks taken meanwhile. */
	REMOTE_FLOOD = 1,
	REMOTE_ANSWER = 2,	/* answer kicks of the vectors in arg0 only */
	REMOTE_LOOK = 3,	/* tell in placed what is at RSL_RPU0_DT_BASE */
	/* Of virtio.c alone, which does not flood. */
	REMOTE_BEGIN = 4,	/* begin anew, as from reset */
	/* Write random words to the header of the device arg2 and to its region, arg1 times. */
	/* arg0 is the seed; flood_left tells how many are left, placed whether it has the device. */
	REMOTE_MAD = 5,
};

struct remote_vector {
	volatile uint32_t kick_sent;	/* Linux: number of this kick, before it */
	volatile uint32_t kick_seen;	/* remote: kick_sent at the last interrupt */
	volatile uint32_t kick_taken;	/* remote: interrupts */
	volatile uint32_t notify_sent;	/* remote: notifications, before each */
};

struct remote_ctl {
	volatile uint32_t magic;	/* remote: REMOTE_MAGIC once it listens */
	volatile uint32_t vectors;	/* remote */
	volatile uint32_t command;	/* taken at the next kick of vector 0 */
	volatile uint32_t arg0;		/* Linux */
	volatile uint32_t arg1;		/* Linux */
	volatile uint32_t arg2;		/* Linux */
	volatile uint32_t flood_left;	/* remote: rounds that the flood still has */
	volatile uint32_t placed;	/* remote */
	struct remote_vector vector[32];
	volatile uint32_t off;		/* Linux: 1 has the remote turn its core off */
	volatile uint32_t delay;	/* Linux: answer so many ticks of the counter later */
	volatile uint64_t stamp;	/* remote: CNTVCT_EL0 just before the last notification */
	volatile uint32_t begun;	/* virtio.c: times that it began */
	volatile uint32_t running;	/* virtio.c: mask of the devices that it drives */
	volatile uint32_t result[8];	/* virtio.c: what it last got when it began with each */
};

#endif
