// SPDX-License-Identifier: BSD-3-Clause
/*
 * simflood LINK SIMULATOR VECTORS STRIDE RX-CHANNEL COUNT SEED
 *
 * Plays Linux's process and the remote of a simulated mailbox at random: bursts of
 * kicks, messages taken late, bursts of notifications, reads now and then, until
 * there were COUNT kicks and COUNT notifications. Then the counters have to add
 * up exactly, and the last notification of each vector has to be read. Vector n
 * goes by channel n * STRIDE and comes by RX-CHANNEL + n * STRIDE.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/rsl_mbox.h>

struct message {
	uint32_t channel;
	uint32_t word;
	uint64_t coalesced;
};

static int link_fd, sim_fd;
static unsigned int vectors, stride, rx_channel;
static uint64_t seed;
static uint64_t kicked[32], taken[32], notified[32], sim_coalesced[64];
static uint32_t unread;
static int waiting;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

static void fail(const char *what)
{
	fprintf(stderr, "simflood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void kick(void)
{
	uint32_t n = rnd(vectors), mask = 1u << n;

	if (write(link_fd, &mask, sizeof(mask)) != sizeof(mask))
		fail("kick");
	kicked[n]++;
}

static int take(void)
{
	struct message message;
	unsigned int n;

	if (read(sim_fd, &message, sizeof(message)) != sizeof(message)) {
		if (errno == EAGAIN)
			return 0;
		fail("take");
	}
	sim_coalesced[message.channel] = message.coalesced;
	if (stride)
		taken[message.channel / stride]++;
	else
		for (n = 0; n < vectors; n++)
			taken[n] += message.word >> n & 1;
	return 1;
}

static struct rsl_mbox_vector_stat stat_of(uint32_t n)
{
	struct rsl_mbox_vector_stat stat = { .vector = n };

	if (ioctl(link_fd, RSL_MBOX_IOC_STAT, &stat))
		fail("stat");
	return stat;
}

/* Give what is to come 10 s from now on, once. */
static void late(void)
{
	if (!waiting)
		alarm(10);
	waiting = 1;
	sched_yield();
}

static void notify(void)
{
	uint32_t n = rnd(vectors);
	struct message message = {
		.channel = rx_channel + n * stride,
		.word = stride ? 0 : 1u << n,
	};

	/* A thread handles it on PREEMPT_RT. One that is lost ends by the alarm. */
	while (write(sim_fd, &message, sizeof(message)) != sizeof(message)) {
		if (errno != EAGAIN)
			fail("notify");
		late();
	}
	notified[n]++;
	unread |= 1u << n;
	while (stat_of(n).notifications != notified[n])
		late();
	if (waiting)
		alarm(0);
	waiting = 0;
}

static void receive(void)
{
	uint32_t mask;

	if (read(link_fd, &mask, sizeof(mask)) != sizeof(mask)) {
		if (errno != EAGAIN)
			fail("read");
		mask = 0;
	}
	if (mask != unread) {
		fprintf(stderr, "simflood: read %#x, notified %#x\n", mask, unread);
		exit(1);
	}
	unread = 0;
}

int main(int argc, char **argv)
{
	uint64_t count, kicks = 0, notifications = 0, lost = 0, coalesced = 0;
	struct pollfd pfd = { .events = POLLIN };
	unsigned int n, burst;

	if (argc != 8)
		return 2;
	link_fd = open(argv[1], O_RDWR | O_NONBLOCK);
	sim_fd = open(argv[2], O_RDWR | O_NONBLOCK);
	if (link_fd < 0 || sim_fd < 0)
		fail("open");
	vectors = atoi(argv[3]);
	stride = atoi(argv[4]);
	rx_channel = atoi(argv[5]);
	count = strtoull(argv[6], NULL, 0);
	seed = strtoull(argv[7], NULL, 0);

	while (kicks < count || notifications < count) {
		for (burst = rnd(8); burst && kicks < count; burst--, kicks++)
			kick();
		for (burst = rnd(8); burst && take(); burst--)
			;
		for (burst = rnd(8); burst && notifications < count; burst--, notifications++)
			notify();
		if (!rnd(4))
			receive();
	}
	receive();
	pfd.fd = sim_fd;
	while (poll(&pfd, 1, 300) == 1)
		take();

	for (n = 0; n < 64; n++)
		lost += sim_coalesced[n];
	for (n = 0; n < vectors; n++) {
		struct rsl_mbox_vector_stat stat = stat_of(n);

		coalesced += stat.kicks_coalesced;
		kicks -= taken[n];
		if (stat.kicks != kicked[n] || stat.notifications != notified[n] ||
		    (notified[n] && !stat.last_notification)) {
			fprintf(stderr, "simflood: vector %u does not add up\n", n);
			return 1;
		}
	}
	printf("%s: %llu kicks: %llu coalesced in the module, %llu in the controller; %llu notifications\n",
	       argv[1], (unsigned long long)count, (unsigned long long)coalesced,
	       (unsigned long long)lost, (unsigned long long)notifications);
	if (kicks != coalesced + lost) {
		fprintf(stderr, "simflood: %llu kicks were neither taken nor coalesced\n",
			(unsigned long long)(kicks - coalesced - lost));
		return 1;
	}
	return 0;
}
