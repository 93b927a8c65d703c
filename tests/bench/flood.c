// SPDX-License-Identifier: BSD-3-Clause
/*
 * flood DEVICE SIMULATOR VECTORS EACH COUNT
 *
 * What a notification costs a daemon that serves VECTORS vectors: a second process sends
 * COUNT messages as fast as it can, each of which notifies EACH vectors. The daemon is
 * woken at once and has to have every one, on one core, so that the time that passes is
 * what both and the kernel take. The sender's own part, measured with messages that
 * nobody receives, is subtracted. COUNT has to be small enough for the kernel not to
 * throttle the daemon, whose priority is a real-time process's.
 *
 * Lines: cost (nanoseconds per notification taken), whole (with the sender's), taken
 * (notifications), reads (that took them).
 */
#include "bench.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int device, simulator;
static unsigned int vectors, each;
static long count;

static uint32_t word_of(long message)
{
	uint32_t word = 0;
	unsigned int n;

	for (n = 0; n < each; n++)
		word |= 1u << (message * each + n) % vectors;
	return word;
}

static uint64_t send_all(uint32_t channel)
{
	struct sim_message message = { .channel = channel };
	uint64_t start = now_ns();
	long n;

	for (n = 0; n < count; n++) {
		message.word = word_of(n);
		if (write(simulator, &message, sizeof(message)) != sizeof(message))
			die("send");
	}
	return now_ns() - start;
}

/* One system call per wake, however many vectors it is for. */
static void serve(int report)
{
	struct sched_param first = { .sched_priority = 1 };
	uint64_t told[2] = { 0, 0 };
	uint64_t taken[32] = { 0 };
	uint32_t mask;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || sched_setscheduler(0, SCHED_FIFO, &first))
		die("priority");
	/* The parent goes on once this one sleeps. */
	if (write(report, told, sizeof(told[0])) < 0)
		die("report");
	while (told[0] < (uint64_t)count * each) {
		if (read(device, &mask, sizeof(mask)) != sizeof(mask))
			die("read");
		told[1]++;
		for (; mask; mask &= mask - 1) {
			taken[__builtin_ctz(mask)]++;
			told[0]++;
		}
	}
	for (mask = 0; mask < vectors; mask++)
		if (taken[mask] != (uint64_t)count * each / vectors)
			exit(3);
	if (write(report, told, sizeof(told)) != sizeof(told))
		die("report");
	exit(0);
}

int main(int argc, char **argv)
{
	uint64_t told[2], own, whole;
	int report[2], status;
	pid_t daemon;

	if (argc != 6)
		return 2;
	begin();
	device = must_open(argv[1], O_RDONLY);
	simulator = must_open(argv[2], O_RDWR);
	vectors = atoi(argv[3]);
	each = atoi(argv[4]);
	/* The same number for each vector. */
	count = (atol(argv[5]) / 32 + 1) * 32;
	if (pipe(report))
		die("pipe");

	own = send_all(SIM_TX);
	daemon = fork();
	if (!daemon)
		serve(report[1]);
	if (daemon < 0 || read(report[0], told, sizeof(told[0])) < 0)
		die("start the daemon");
	whole = send_all(SIM_RX);
	if (read(report[0], told, sizeof(told)) != sizeof(told) ||
	    waitpid(daemon, &status, 0) != daemon || status) {
		fprintf(stderr, "flood: the daemon lacks notifications\n");
		return 1;
	}
	printf("cost %.0f\nwhole %.0f\ntaken %llu\nreads %llu\n",
	       (double)(whole - own) / told[0], (double)whole / told[0],
	       (unsigned long long)told[0], (unsigned long long)told[1]);
	return 0;
}
