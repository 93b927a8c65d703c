// SPDX-License-Identifier: BSD-3-Clause
/*
 * driver MEMORY SIZE ADDRESS VERSION VECTORS NOTIFY... KICK...
 *	A remote: does with rsl_remote.h what the lines on standard input say. MEMORY is a
 *	descriptor of the shared memory, NOTIFY and KICK are eventfds, one for each vector.
 *
 * Every answer is one line: what the function returned, then more of it. Bytes are in
 * hexadecimal.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RSL_REMOTE_WAIT_MS	20000

#include "rsl_remote.h"

#define MOST	(1 << 20)

static struct rsl_remote remote;
static struct rsl_virtio device;
static struct rsl_virtq queues[4];
static struct rsl_vsock vsock;
#define CONNS 301
static struct rsl_vsock_conn conns[CONNS];
static struct rsl_console console;
static struct rsl_rng rng;
static struct rsl_net net;
static struct rsl_blk blk;
static struct rsl_fs fs;

static int notify_fds[32], kick_fds[32];
static unsigned int interrupts;

/* Waits in which no kick came in time. */
static unsigned int silences;

/* Register writes and notifications since the last "trace". */
static char trace[65536];

static uint8_t data[MOST];

/* ---- What the firmware supplies ---- */

static void note(const char *what, unsigned long one, unsigned long other)
{
	size_t used = strlen(trace);

	snprintf(trace + used, sizeof(trace) - used, " %s:%lx:%lx", what, one, other);
}

static void notify(void *ctx, unsigned int vector)
{
	const uint64_t one = 1;

	note("notify", vector, 0);
	if (write(notify_fds[vector], &one, sizeof(one)) < 0 || ctx != &remote)
		abort();
}

/* Kicks go through rsl_remote_interrupt(), as an interrupt's handler would have it. */
static bool take_kicks(uint32_t milliseconds)
{
	struct pollfd ready[32];
	unsigned int n;
	uint64_t count;
	bool any = false;

	for (n = 0; n < remote.vectors; n++) {
		ready[n].fd = kick_fds[n];
		ready[n].events = POLLIN;
	}
	if (poll(ready, remote.vectors, (int)milliseconds) < 0)
		abort();
	for (n = 0; n < remote.vectors; n++) {
		if (!(ready[n].revents & POLLIN))
			continue;
		if (read(kick_fds[n], &count, sizeof(count)) < 0)
			abort();
		rsl_remote_interrupt(&remote, n);
		any = true;
	}
	return any;
}

static bool wait_for_kick(void *ctx, uint32_t milliseconds)
{
	bool came = take_kicks(milliseconds);

	(void)ctx;
	silences += !came;
	return came;
}

static void write_register(void *ctx, volatile uint32_t *address, uint32_t value)
{
	(void)ctx;
	note("write", (unsigned long)((volatile uint8_t *)address - remote.memory), value);
	*address = value;
}

static const struct rsl_remote_ops ops = {
	notify, wait_for_kick, NULL, write_register, NULL, NULL, NULL
};

static void interrupted(struct rsl_virtio *of, void *argument)
{
	if (of != &device || argument != &interrupts)
		abort();
	interrupts++;
}

/* ---- Answers ---- */

static void answer(int rc)
{
	printf("%d\n", rc);
}

static void answer_bytes(int rc, const uint8_t *bytes, int size)
{
	int n;

	printf("%d ", rc);
	for (n = 0; n < size; n++)
		printf("%02x", bytes[n]);
	printf("\n");
}

static uint32_t bytes_of(const char *text)
{
	uint32_t size;
	unsigned int value;

	for (size = 0; size < MOST && sscanf(text + 2 * size, "%2x", &value) == 1; size++)
		data[size] = (uint8_t)value;
	return size;
}

static void answer_conn(const struct rsl_vsock_conn *conn)
{
	answer(conn ? (int)(conn - conns) : -1);
}

/* ---- Commands ---- */

static int link_command(const char *verb, char words[][MOST], int count)
{
	unsigned long one = count > 0 ? strtoul(words[0], NULL, 0) : 0;
	unsigned long other = count > 1 ? strtoul(words[1], NULL, 0) : 0;
	int rc;

	if (!strcmp(verb, "daemon")) {
		answer(rsl_remote_wait_daemon(&remote, (uint32_t)one, (uint32_t)other));
	} else if (!strcmp(verb, "find") || !strcmp(verb, "open")) {
		rc = *verb == 'f' ? rsl_remote_find(&remote, (uint32_t)one, (unsigned int)other,
						    &device) :
				    rsl_remote_open(&remote, (uint32_t)one, &device);
		device.interrupt = interrupted;
		device.argument = &interrupts;
		printf("%d %x\n", rc, device.header);
	} else if (!strcmp(verb, "trace")) {
		printf("0%s\n", trace);
		trace[0] = '\0';
	} else if (!strcmp(verb, "kicks")) {
		interrupts = 0;
		rc = take_kicks((uint32_t)one);
		printf("%d %u\n", rc, interrupts);
	} else {
		return 0;
	}
	return 1;
}

static int device_command(const char *verb, char words[][MOST], int count)
{
	uint64_t one = count > 0 ? strtoull(words[0], NULL, 0) : 0;
	unsigned long other = count > 1 ? strtoul(words[1], NULL, 0) : 0;
	uint64_t taken = 0;
	int rc;

	if (!strcmp(verb, "reset")) {
		rc = rsl_virtio_reset(&device);
		printf("%d %x %x\n", rc, device.start, device.end);
	} else if (!strcmp(verb, "negotiate")) {
		rc = rsl_virtio_negotiate(&device, one, &taken);
		printf("%d %" PRIx64 "\n", rc, taken);
	} else if (!strcmp(verb, "setup")) {
		struct rsl_virtq *queue = &queues[one % 4];

		rc = rsl_virtq_setup(queue, &device, (unsigned int)one, (uint32_t)other);
		printf("%d %u %u\n", rc, queue->size, queue->count);
	} else if (!strcmp(verb, "start")) {
		answer(rsl_virtio_start(&device));
	} else if (!strcmp(verb, "lost")) {
		answer(rsl_virtio_lost(&device));
	} else if (!strcmp(verb, "silences")) {
		answer((int)silences);
	} else if (!strcmp(verb, "changed")) {
		answer(rsl_virtio_changed(&device));
	} else if (!strcmp(verb, "config")) {
		rc = rsl_virtio_config(&device, (uint32_t)one, data, (uint32_t)other);
		answer_bytes(rc, data, rc ? 0 : (int)other);
	} else if (!strcmp(verb, "alloc")) {
		volatile uint8_t *at = rsl_virtio_alloc(&device, (uint32_t)one, (uint32_t)other);

		printf("%d %x\n", at ? 0 : -1, at ? (unsigned int)(at - remote.memory) : 0);
	} else {
		return 0;
	}
	return 1;
}

/* queue add INDEX READABLE WRITABLE SIZE: pieces of SIZE bytes from the start of the region on */
static int queue_command(const char *verb, char words[][MOST], int count)
{
	unsigned long number[4] = { 0, 0, 0, 0 };
	struct rsl_virtq_piece pieces[RSL_VIRTQ_MAX + 1];
	struct rsl_virtq *queue;
	uint32_t written = 0;
	void *token = NULL;
	int n, rc;

	for (n = 0; n < count && n < 4; n++)
		number[n] = strtoul(words[n], NULL, 0);
	queue = &queues[number[0] % 4];
	if (!strcmp(verb, "add")) {
		for (n = 0; n < (int)(number[1] + number[2]) && n <= RSL_VIRTQ_MAX; n++) {
			pieces[n].data = remote.memory + device.end - 4096;
			pieces[n].size = (uint32_t)number[3];
		}
		answer(rsl_virtq_add(queue, pieces, (unsigned int)number[1],
				     (unsigned int)number[2], queue));
	} else if (!strcmp(verb, "get")) {
		rc = rsl_virtq_get(queue, &token, &written);
		printf("%d %d %u\n", rc, token == queue, written);
	} else if (!strcmp(verb, "notify")) {
		rsl_virtq_notify(queue);
		answer(0);
	} else if (!strcmp(verb, "interrupts")) {
		answer(rsl_virtq_interrupts(queue, number[1]));
	} else {
		return 0;
	}
	return 1;
}

static int vsock_command(char words[][MOST], int count)
{
	static uint8_t buffers[MOST];
	const char *verb = words[0];
	uint64_t one = count > 1 ? strtoull(words[1], NULL, 0) : 0;
	uint32_t size = count > 2 ? (uint32_t)strtoul(words[2], NULL, 0) : 0;
	struct rsl_vsock_conn *conn = &conns[one % CONNS];
	int rc;

	if (!strcmp(verb, "begin")) {
		rc = rsl_vsock_begin(&vsock, &device, conns, (unsigned int)one, buffers, size);
		printf("%d %" PRIu64 " %u\n", rc, vsock.cid, vsock.send.size);
	} else if (!strcmp(verb, "listen")) {
		answer_conn(rsl_vsock_listen(&vsock, (uint32_t)one));
	} else if (!strcmp(verb, "accept")) {
		answer_conn(rsl_vsock_accept(conn));
	} else if (!strcmp(verb, "connect")) {
		answer_conn(rsl_vsock_connect(&vsock, one, size));
	} else if (!strcmp(verb, "connected")) {
		answer(rsl_vsock_connected(conn));
	} else if (!strcmp(verb, "send")) {
		size = bytes_of(words[2]);
		answer(rsl_vsock_send(conn, data, size));
	} else if (!strcmp(verb, "receive")) {
		rc = rsl_vsock_receive(conn, data, size);
		answer_bytes(rc, data, rc);
	} else if (!strcmp(verb, "shutdown")) {
		rsl_vsock_shutdown(conn);
		answer(0);
	} else if (!strcmp(verb, "close")) {
		rsl_vsock_close(conn);
		answer(0);
	} else if (!strcmp(verb, "state")) {
		answer((int)conn->state);
	} else if (!strcmp(verb, "poll")) {
		answer(rsl_vsock_poll(&vsock));
	} else {
		return 0;
	}
	return 1;
}

static int stream_command(const char *kind, char words[][MOST], int count)
{
	const char *verb = words[0];
	uint32_t size = count > 1 ? (uint32_t)strtoul(words[1], NULL, 0) : 0;
	int rc;

	if (!strcmp(verb, "begin")) {
		rc = *kind == 'c' ? rsl_console_begin(&console, &device) :
		     *kind == 'r' ? rsl_rng_begin(&rng, &device) : rsl_net_begin(&net, &device);
		answer_bytes(rc, net.mac, 6);
	} else if (!strcmp(verb, "read")) {
		rc = *kind == 'c' ? rsl_console_read(&console, data, size) :
		     *kind == 'r' ? rsl_rng_read(&rng, data, size) :
				    rsl_net_receive(&net, data, size);
		answer_bytes(rc, data, rc);
	} else if (!strcmp(verb, "write")) {
		size = bytes_of(words[1]);
		answer(*kind == 'c' ? rsl_console_write(&console, data, size) :
				      rsl_net_send(&net, data, size));
	} else {
		return 0;
	}
	return 1;
}

static int blk_command(char words[][MOST], int count)
{
	const char *verb = words[0];
	uint64_t sector = count > 1 ? strtoull(words[1], NULL, 0) : 0;
	uint32_t size = count > 2 ? (uint32_t)strtoul(words[2], NULL, 0) : 0;
	int rc;

	if (!strcmp(verb, "begin")) {
		rc = rsl_blk_begin(&blk, &device);
		printf("%d %" PRIu64 " %d %u\n", rc, blk.capacity, blk.read_only, blk.largest);
	} else if (!strcmp(verb, "read")) {
		rc = rsl_blk_read(&blk, sector, data, size);
		answer_bytes(rc, data, rc ? 0 : (int)size * 512);
	} else if (!strcmp(verb, "write")) {
		size = bytes_of(words[2]);
		answer(rsl_blk_write(&blk, sector, data, size / 512));
	} else if (!strcmp(verb, "flush")) {
		answer(rsl_blk_flush(&blk));
	} else if (!strcmp(verb, "start")) {
		answer(rsl_blk_start(&blk, RSL_BLK_READ, sector, NULL, size));
	} else if (!strcmp(verb, "finish")) {
		answer(rsl_blk_finish(&blk, data));
	} else {
		return 0;
	}
	return 1;
}

static void answer_entries(int rc)
{
	char name[64];
	uint64_t offset;
	int at = 0, size = rc;

	printf("%d", rc);
	while (rc > 0 && (at = rsl_fs_entry(data, (uint32_t)size, (uint32_t)at, name, sizeof(name),
					    &offset)) > 0)
		printf(" %s:%" PRIu64, name, offset);
	printf("\n");
}

static int fs_command(char words[][MOST], int count)
{
	const char *verb = words[0];
	uint64_t number[4] = { 0, 0, 0, 0 }, node = 0, size = 0;
	uint32_t mode = 0;
	int n, rc;

	for (n = 1; n < count && n < 5; n++)
		number[n - 1] = strtoull(words[n], NULL, 0);
	if (!strcmp(verb, "begin")) {
		rc = rsl_fs_begin(&fs, &device);
		printf("%d %u %s\n", rc, fs.largest, fs.tag);
	} else if (!strcmp(verb, "lookup")) {
		rc = rsl_fs_lookup(&fs, number[0], words[2], &node, &size, &mode);
		printf("%d %u %" PRIu64 " %" PRIu64 " %o\n", rc, fs.error, node, size, mode);
	} else if (!strcmp(verb, "open")) {
		rc = rsl_fs_open(&fs, number[0], number[1], &node);
		printf("%d %u %" PRIu64 "\n", rc, fs.error, node);
	} else if (!strcmp(verb, "read")) {
		rc = rsl_fs_read(&fs, number[0], number[1], number[2], data, (uint32_t)number[3]);
		answer_bytes(rc, data, rc);
	} else if (!strcmp(verb, "readdir")) {
		answer_entries(rsl_fs_readdir(&fs, number[0], number[1], number[2], data,
					      (uint32_t)number[3]));
	} else if (!strcmp(verb, "release")) {
		answer(rsl_fs_release(&fs, number[0], number[1], number[2]));
	} else if (!strcmp(verb, "forget")) {
		answer(rsl_fs_forget(&fs, number[0]));
	} else {
		return 0;
	}
	return 1;
}

static int obey(char words[][MOST], int count)
{
	const char *kind = words[0];

	if (!strcmp(kind, "vsock"))
		return vsock_command(words + 1, count - 1);
	if (!strcmp(kind, "console") || !strcmp(kind, "rng") || !strcmp(kind, "net"))
		return stream_command(kind, words + 1, count - 1);
	if (!strcmp(kind, "blk"))
		return blk_command(words + 1, count - 1);
	if (!strcmp(kind, "fs"))
		return fs_command(words + 1, count - 1);
	if (!strcmp(kind, "queue"))
		return queue_command(words[1], words + 2, count - 2);
	return link_command(kind, words + 1, count - 1) ||
	       device_command(kind, words + 1, count - 1);
}

int main(int argc, char **argv)
{
	static char line[4 * MOST], words[8][MOST];
	uint32_t size;
	unsigned int n, vectors;
	void *memory;
	int count, used, rc;
	const char *at;

	if (argc < 6)
		return 1;
	size = (uint32_t)strtoul(argv[2], NULL, 0);
	vectors = (unsigned int)strtoul(argv[5], NULL, 0);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (memory == MAP_FAILED || vectors > 32 || argc != 6 + 2 * (int)vectors)
		return 1;
	for (n = 0; n < vectors; n++) {
		notify_fds[n] = atoi(argv[6 + n]);
		kick_fds[n] = atoi(argv[6 + vectors + n]);
	}
	rc = rsl_remote_init(&remote, &ops, &remote, memory, strtoull(argv[3], NULL, 0), size,
			     (unsigned int)strtoul(argv[4], NULL, 0), vectors);
	printf("%d\n", rc);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (count = 0, at = line;
		     count < 8 && sscanf(at, "%1048575s%n", words[count], &used) == 1; count++)
			at += used;
		if (!count || !obey(words, count))
			printf("unknown\n");
		fflush(stdout);
	}
	munmap(memory, size);
	return 0;
}
