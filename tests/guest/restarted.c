// SPDX-License-Identifier: BSD-3-Clause
/*
 * A daemon that is killed and restarted: writes down in the shared memory, at LOG,
 * what it has seen, for the one that comes after it and for the test.
 *
 * Notifications that came while there was no daemon have to be found by the next one:
 * a vector that was notified since it was seen last has to be in what wait returns.
 */
#include <linux/rsl_mbox.h>
#include <sys/ioctl.h>

#include "rsl.h"

#define LOG	0x100000

struct log {
	uint32_t generation;	/* how many daemons there have been */
	uint32_t pid;		/* of the one that waits now; 0 before it does */
	uint32_t taking;	/* what was taken may not be written down yet */
	uint32_t ambiguous;	/* daemons that were killed while that was so */
	uint32_t found;		/* vectors found notified by a daemon that came late */
	uint32_t lost;		/* and those that should have been, and were not */
	uint32_t vectors;
	uint32_t padding;
	uint64_t seen[RSL_MAX_VECTORS];	/* notifications that were known of */
};

static uint64_t notifications(struct rsl_link *link, unsigned int vector)
{
	struct rsl_mbox_vector_stat stat = { .vector = vector };

	if (ioctl(link->mbox, RSL_MBOX_IOC_STAT, &stat))
		exit(3);
	return stat.notifications;
}

static void take(struct rsl_link *link, volatile struct log *log, int first)
{
	uint64_t before[RSL_MAX_VECTORS];
	uint32_t mask;
	unsigned int n;

	for (n = 0; n < link->vectors; n++)
		before[n] = notifications(link, n);
	log->taking = 1;
	if (rsl_wait(link, &mask, 0) < 0)
		exit(4);
	for (n = 0; n < link->vectors; n++) {
		if (first && before[n] > log->seen[n]) {
			if (mask & 1u << n)
				log->found++;
			else
				log->lost++;
		}
		/* Those that came between are told by the next wait. */
		if (mask & 1u << n)
			log->seen[n] = before[n];
	}
	log->taking = 0;
}

int main(void)
{
	volatile struct log *log;
	struct rsl_link link;
	struct pollfd poller;
	int ambiguous;

	if (rsl_receive(&link, NULL) || link.mbox < 0 || !rsl_map(&link)) {
		fprintf(stderr, "restarted: %s\n", rsl_error(&link));
		return 1;
	}
	log = (volatile struct log *)((char *)link.map + LOG);
	log->vectors = link.vectors;
	ambiguous = log->taking;
	log->ambiguous += ambiguous;
	take(&link, log, log->generation && !ambiguous);
	rsl_ready();
	log->pid = (uint32_t)getpid();
	log->generation++;
	poller.fd = rsl_fd(&link);
	poller.events = POLLIN;
	while (poll(&poller, 1, -1) == 1)
		take(&link, log, 0);
	return 5;
}
