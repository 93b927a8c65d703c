/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the measuring programs share. Each prints lines of a name and numbers;
 * tests/bench/figures.py makes figures of them.
 */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Samples before the first that counts: the first ones find cold caches. */
#define WARM_UP		20

/* As tests/kmod/rsl_mbox_sim has them. */
struct sim_message {
	uint32_t channel;
	uint32_t word;
	uint64_t coalesced;
};

struct sim_burst {
	uint64_t delay;
	uint32_t interrupts;
	uint32_t messages;
	uint32_t channel;
	uint32_t word;
};

#define SIM_STAMP	_IOR('S', 0, uint64_t)

/* The channels of "tx" and "rx" of link-mhu and link-bell in tests/amp/sim.dtso. */
#define SIM_TX		0
#define SIM_RX		1

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

/* Ends the program where an answer does not come, and keeps it on one core. */
static inline void begin(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first))
		die("stay on the first core");
	alarm(120);
}

static inline int must_open(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0)
		die(path);
	return fd;
}

static inline void *must_map(int fd, size_t size, off_t offset)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

/* The counter that the remote takes its stamps from, which user space can read as well. */
static inline uint64_t counter(void)
{
	uint64_t ticks;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r" (ticks) : : "memory");
	return ticks;
}

static inline uint64_t counter_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r" (hz));
	return hz;
}

static inline double counter_ns(uint64_t ticks)
{
	return ticks * 1e9 / counter_hz();
}

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static inline double *samples_alloc(long samples)
{
	double *room = calloc(samples, sizeof(*room));

	if (!room)
		die("memory");
	return room;
}

static inline void print_samples(const char *name, const double *values, long samples)
{
	long n;

	fputs(name, stdout);
	for (n = 0; n < samples; n++)
		printf(" %.0f", values[n]);
	putchar('\n');
}

#endif
