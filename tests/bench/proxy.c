// SPDX-License-Identifier: BSD-3-Clause
/*
 * proxy MICROSECONDS MBOX MEMORY BASE VECTOR VECTOR NOTIFY... KICK...
 *
 * Plays the proxy of OpenAMP's RSL daemon (--vproxy) for one device of version 2 whose
 * first two queues vhost serves. It has all notifications of a link, and passes them on.
 * MBOX is the descriptor of the link, MEMORY that of its memory, which the remote has at
 * BASE. NOTIFY and KICK are eventfds by vector: these are the link of "rslctl virtio".
 * VECTOR is that of each of the queues.
 *
 * As in the daemon (branch hvl-integration of kvmtool-openamp-staging):
 *  - a thread waits for the link, as pmm_thread() of builtin-run.c, and then, for each
 *    notification, does what virtio_mmio_notification_out() of virtio/mmio.c does once
 *    the driver runs the device: it sleeps, reads the registers, and kicks vhost for each
 *    queue that has had buffers, as notify_vq() of virtio/vsock.c does, where nothing ever
 *    advances last_avail_idx;
 *  - another one waits for vhost's calls, as ioeventfd__thread() of ioeventfd.c, and
 *    writes to the link for each, as virtio_mmio_signal_vq() of virtio/mmio.c.
 *
 * What it leaves out: other devices, for each of which the daemon sleeps and scans as well;
 * the registers of version 1, and that it does one thing per wake. MICROSECONDS is how
 * long it sleeps: the daemon 1000.
 */
#include "bench.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#define VECTORS		4
#define QUEUES		2

/* Of virtio 1.2, 4.2.2, in 32-bit words. */
#define QUEUE_SEL	(0x030 / 4)
#define QUEUE_READY	(0x044 / 4)
#define INTERRUPT_ACK	(0x064 / 4)
#define STATUS		(0x070 / 4)
#define QUEUE_DRIVER	(0x090 / 4)
#define DRIVER_OK	4
/* Where the index is in the available ring. */
#define AVAIL_IDX	2

static struct timespec pause_;
static int mbox;
static volatile uint32_t *header;
static uint32_t base;
static uint32_t vector_of[QUEUES];
static int notify[VECTORS], call[VECTORS];
/* The available rings, as the driver has told. */
static volatile uint16_t *avail[QUEUES];
static volatile uint32_t registers[5];

static void signal_eventfd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die("signal an eventfd");
}

static void remember_queue(void)
{
	uint32_t queue = header[QUEUE_SEL];

	if (queue < QUEUES && header[QUEUE_READY] == 1)
		avail[queue] = (volatile uint16_t *)((volatile uint8_t *)header +
						     (header[QUEUE_DRIVER] - base));
}

static void look(uint32_t mask)
{
	unsigned int n;

	if (pause_.tv_nsec)
		nanosleep(&pause_, NULL);
	registers[0] = header[STATUS];
	registers[1] = header[INTERRUPT_ACK];
	registers[2] = header[QUEUE_SEL];
	if (mask & 1) {
		remember_queue();
		signal_eventfd(notify[0]);
	}
	if (!(registers[0] & DRIVER_OK))
		return;
	for (n = 0; n < QUEUES; n++)
		if (avail[n] && avail[n][AVAIL_IDX / 2])
			signal_eventfd(notify[vector_of[n]]);
}

static void wait_for_notifications(void)
{
	struct pollfd wanted = { .fd = mbox, .events = POLLIN };
	uint32_t mask;

	for (;;) {
		if (poll(&wanted, 1, -1) < 0)
			die("poll");
		if (wanted.revents & (POLLHUP | POLLERR))
			return;
		if (read(mbox, &mask, sizeof(mask)) == sizeof(mask))
			look(mask);
	}
}

static void *wait_for_calls(void *unused)
{
	struct epoll_event event, events[VECTORS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t count;
	int n, found;

	(void)unused;
	for (n = 0; n < VECTORS; n++) {
		event = (struct epoll_event){ .events = EPOLLIN, .data.u32 = n };
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, call[n], &event))
			die("epoll");
	}
	for (;;) {
		found = epoll_wait(epoll, events, VECTORS, -1);
		for (n = 0; n < found; n++) {
			uint32_t vector = events[n].data.u32, mask = 1u << vector;

			if (read(call[vector], &count, sizeof(count)) != sizeof(count))
				continue;
			if (write(mbox, &mask, sizeof(mask)) != sizeof(mask))
				die("kick");
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	unsigned int n;

	if (argc != 5 + QUEUES + 2 * VECTORS)
		return 2;
	/* With the process that became the daemon. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("prctl");
	pause_.tv_nsec = strtol(argv[1], NULL, 10) * 1000;
	mbox = atoi(argv[2]);
	header = must_map(atoi(argv[3]), 0x1000000, 0);
	base = strtoul(argv[4], NULL, 0);
	for (n = 0; n < QUEUES; n++)
		vector_of[n] = atoi(argv[5 + n]);
	for (n = 0; n < VECTORS; n++) {
		notify[n] = atoi(argv[5 + QUEUES + n]);
		call[n] = atoi(argv[5 + QUEUES + VECTORS + n]);
	}
	if (pthread_create(&thread, NULL, wait_for_calls, NULL))
		die("a thread");
	wait_for_notifications();
	return 0;
}
