// SPDX-License-Identifier: BSD-3-Clause
/*
 * The remote's end of virtio as a program of Linux: on port 7 of a vsock device it sends
 * back what comes. Its link is that of "rslctl run".
 */
#include <stdio.h>
#include <stdlib.h>

#include "rsl.h"
#include "rsl_remote.h"

#define PORT		7
#define CONNECTIONS	8
#define CREDIT		16384

static struct rsl_remote remote;
static struct rsl_virtio device;
static struct rsl_vsock vsock;
static struct rsl_vsock_conn table[CONNECTIONS];
static unsigned char credit[CONNECTIONS][CREDIT];

static struct {
	struct rsl_vsock_conn *conn;
	unsigned char data[4096];
	int size;
	int at;
} streams[CONNECTIONS];

static void notify(void *link, unsigned int vector)
{
	if (rsl_kick(link, 1U << vector))
		exit(2);
}

static bool sleep_until_interrupt(void *link, uint32_t milliseconds)
{
	uint32_t kicked;
	int woken = rsl_wait(link, &kicked, (int)milliseconds);

	if (woken < 0)
		exit(3);
	return woken > 0;
}

static const struct rsl_remote_ops ops = { .notify = notify, .wait = sleep_until_interrupt };

/* Move the data of a connection on. Returns whether there was any; ends it at its end. */
static bool move(unsigned int n)
{
	int moved;

	if (streams[n].at == streams[n].size) {
		streams[n].at = 0;
		streams[n].size = rsl_vsock_receive(streams[n].conn, streams[n].data,
						    sizeof(streams[n].data));
		if (streams[n].size == RSL_AGAIN) {
			streams[n].size = 0;
			return false;
		}
		if (streams[n].size <= 0) {
			rsl_vsock_close(streams[n].conn);
			streams[n].conn = NULL;
			return true;
		}
	}
	moved = rsl_vsock_send(streams[n].conn, streams[n].data + streams[n].at,
			       (uint32_t)(streams[n].size - streams[n].at));
	if (moved == RSL_AGAIN)
		return false;
	if (moved < 0) {
		rsl_vsock_close(streams[n].conn);
		streams[n].conn = NULL;
		return true;
	}
	streams[n].at += moved;
	return moved > 0;
}

static void serve(void)
{
	struct rsl_vsock_conn *listener = rsl_vsock_listen(&vsock, PORT);
	unsigned int n;

	for (n = 0; n < CONNECTIONS; n++) {
		streams[n].conn = NULL;
		streams[n].size = 0;
		streams[n].at = 0;
	}
	while (listener && rsl_vsock_poll(&vsock) >= 0) {
		bool busy = false;

		for (n = 0; n < CONNECTIONS; n++) {
			if (!streams[n].conn) {
				streams[n].conn = rsl_vsock_accept(listener);
				streams[n].size = 0;
				streams[n].at = 0;
			}
			if (streams[n].conn)
				busy |= move(n);
		}
		if (!busy)
			rsl_remote_wait(&remote, 1000);
	}
}

int main(void)
{
	struct rsl_link link;
	uint64_t address, version;

	if (rsl_receive(&link, NULL) ||
	    rsl_manifest_number(&link, "memory.remote_base", &address) ||
	    rsl_manifest_number(&link, "virtio.version", &version) ||
	    rsl_remote_init(&remote, &ops, &link, rsl_map(&link), address,
			    (uint32_t)link.memory_size, (unsigned int)version, link.vectors)) {
		fprintf(stderr, "vsock_echo: this is no link with virtio devices\n");
		return 1;
	}
	for (;;) {
		if (!rsl_remote_wait_daemon(&remote, 0, 1000) &&
		    !rsl_remote_find(&remote, RSL_ID_VSOCK, 0, &device) &&
		    !rsl_vsock_begin(&vsock, &device, table, CONNECTIONS, credit, CREDIT))
			serve();
		rsl_remote_wait(&remote, 100);
	}
}
