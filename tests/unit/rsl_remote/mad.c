// SPDX-License-Identifier: BSD-3-Clause
/*
 * mad SEED ROUNDS
 *	rsl_remote.h against a device that is mad: before each call, and whenever the driver
 *	notifies, it writes words of the headers, the rings and the buffers, as random as may
 *	get through the driver's checks.
 *
 * A sanitizer sees what is accessed beside the memory; that the program ends shows that
 * nothing waits for ever. It prints how many calls had each result.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSL_REMOTE_WAIT_MS	2
#define RSL_REMOTE_POLLS	200UL

#include "rsl_remote.h"

#define SIZE		0x200000
#define BASE		0x70000000
#define REGION		0x30000
#define DEVICES		6
#define CONNS		5
#define BYTES		300

static struct rsl_remote remote;
static struct rsl_virtio devices[DEVICES];
static struct rsl_vsock vsock;
static struct rsl_vsock_conn conns[CONNS];
static struct rsl_console console;
static struct rsl_rng rng;
static struct rsl_net net;
static struct rsl_blk blk;
static struct rsl_fs fs;

static const uint32_t ids[DEVICES] = {
	RSL_ID_VSOCK, RSL_ID_CONSOLE, RSL_ID_RNG, RSL_ID_NET, RSL_ID_BLK, RSL_ID_FS
};
static uint8_t *memory;
static uint32_t version;

/* How mad: of 1000 events so many are wrong. */
static uint32_t madness;

static uint32_t state;

static uint32_t any(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % below;
}

static bool mad(void)
{
	return any(1000) < madness;
}

static void put16(uint32_t offset, uint16_t value)
{
	memcpy(memory + (offset & (SIZE - 2)), &value, 2);
}

static void put32(uint32_t offset, uint32_t value)
{
	memcpy(memory + (offset & (SIZE - 4)), &value, 4);
}

static uint32_t get32(uint32_t offset)
{
	uint32_t value;

	memcpy(&value, memory + (offset & (SIZE - 4)), 4);
	return value;
}

static uint16_t get16(uint32_t offset)
{
	uint16_t value;

	memcpy(&value, memory + (offset & (SIZE - 2)), 2);
	return value;
}

static uint32_t odd_value(void)
{
	static const uint32_t odd[] = { 0, 1, 2, 3, 44, 63, 64, 65535, 65536, 0x7fffffff,
					0x80000000, 0xffffffff, RSL_MAGIC_VALUE, RSL_PFN_ACK,
					BASE, BASE + SIZE - 1, 0xffffffd4 };

	return any(2) ? odd[any(sizeof(odd) / sizeof(*odd))] : any(256);
}

static void publish(uint32_t n)
{
	uint32_t at = n * RSL_HEADER_SIZE;

	memset(memory + at, 0, RSL_HEADER_SIZE);
	put32(at + RSL_VERSION_REGISTER, version);
	put32(at + RSL_DEVICE_ID, ids[n]);
	put32(at + RSL_DEVICE_FEATURES, any(2) ? 0xffffffff : odd_value());
	put32(at + RSL_QUEUE_NUM_MAX, 16U << any(5));
	put32(at + RSL_SHM_LEN, REGION);
	put32(at + RSL_SHM_BASE, BASE + RSL_HEADERS_SIZE + n * REGION);
	put32(at + RSL_CONFIG, odd_value());
	put32(at + RSL_CONFIG + RSL_FS_TAG, 1);
	put32(at + RSL_MAGIC, RSL_MAGIC_VALUE);
}

/* Use some of the buffers of a queue, with an answer that the upper layer may take. */
static void use(struct rsl_virtq *queue)
{
	uint32_t used, n, id;
	uint16_t index, avail;

	if (!queue->device || !queue->used || !queue->size)
		return;
	used = (uint32_t)(queue->used - remote.memory);
	index = get16(used + RSL_RING_INDEX);
	avail = get16((uint32_t)(queue->available - remote.memory) + RSL_RING_INDEX);
	if (mad())
		put16(used + RSL_RING_INDEX, (uint16_t)odd_value());
	for (n = 0; n < 40 && index != avail; n++, index++) {
		uint32_t entry = used + RSL_RING_ENTRIES + 8 * (index & (queue->size - 1));
		uint32_t avails = (uint32_t)(queue->available - remote.memory) + RSL_RING_ENTRIES;

		id = get16(avails + 2 * (index & (queue->size - 1)));
		put32(entry, mad() ? odd_value() : id);
		put32(entry + 4, any(2) ? odd_value() : 44 + any(1000));
	}
	put16(used + RSL_RING_INDEX, index);
}

/* Write packets, headers and answers that are nearly right into the region of a device. */
static void scribble(uint32_t n)
{
	uint32_t start = devices[n].start, room = devices[n].end - start, count, at;

	if (!room || devices[n].end > SIZE)
		return;
	for (count = any(40); count; count--) {
		at = start + any(room);
		put32(at, odd_value());
	}
	for (count = 0; n == 0 && count < RSL_BUFFERS && vsock.receive.memory; count++) {
		struct rsl_vsock_conn *conn = &conns[any(CONNS)];

		at = (uint32_t)(rsl_buffers_at(&vsock.receive, count) - remote.memory);
		put32(at, 2);
		put32(at + 4, 0);
		put32(at + 8, (uint32_t)vsock.cid);
		put32(at + 12, (uint32_t)(vsock.cid >> 32));
		put32(at + 16, any(3) ? conn->peer_port : 1000 + any(3));
		put32(at + 20, any(3) ? conn->port : 7);
		put32(at + 24, any(4) ? any(400) : odd_value());
		put32(at + 28, 1 | (any(9) << 16));
		put32(at + 32, any(4));
		put32(at + 36, any(4) ? 1000 : odd_value());
		put32(at + 40, any(4) ? conn->sent : odd_value());
	}
	if (n == 5 && fs.reply) {
		at = (uint32_t)(fs.reply - remote.memory);
		put32(at, any(2) ? 16 + any(200) : odd_value());
		put32(at + 4, any(4) ? 0 : odd_value());
		put32(at + 8, (uint32_t)fs.unique);
		put32(at + 16, any(2) ? 7 : odd_value());
		put32(at + 16 + 16, any(2) ? any(60) : odd_value());
	}
}

/* All that the device does when it is asked. */
static void act(void)
{
	static struct rsl_virtq *const queues[] = {
		&vsock.receive.queue, &vsock.send.queue, &console.receive.queue,
		&console.send.queue, &rng.queue, &net.receive.queue, &net.send.queue,
		&blk.queue, &fs.queue
	};
	uint32_t n, at, word;

	for (n = 0; n < DEVICES; n++) {
		at = n * RSL_HEADER_SIZE;
		word = get32(at + RSL_TRANSACTION);
		if (word == (RSL_DEVICE_FEATURES_SEL | 4 << 16))
			put32(at + RSL_DEVICE_FEATURES, get32(at + RSL_DEVICE_FEATURES_SEL) ? 1 :
							odd_value());
		if (word == (RSL_STATUS | 4 << 16) && !get32(at + RSL_STATUS))
			put32(at + RSL_INTERRUPT_STATUS, 0);
		put32(at + RSL_TRANSACTION, mad() ? odd_value() : 0);
		if (version == 1 && get32(at + RSL_QUEUE_PFN))
			put32(at + RSL_QUEUE_PFN, mad() ? odd_value() : RSL_PFN_ACK);
		if (version == 1)
			put32(at + RSL_INTERRUPT_STATUS, mad() ? odd_value() : 0);
		if (mad())
			put32(at + (any(RSL_HEADER_SIZE) & ~3U), odd_value());
		if (mad())
			publish(n);
		scribble(n);
	}
	for (n = 0; n < sizeof(queues) / sizeof(*queues); n++)
		if (any(4))
			use(queues[n]);
}

static void notify(void *ctx, unsigned int vector)
{
	(void)ctx;
	if (vector >= remote.vectors)
		abort();
	act();
}

static const struct rsl_remote_ops ops = { notify, NULL, NULL, NULL, NULL, NULL, NULL };

static int begin(uint32_t n)
{
	static uint8_t buffers[CONNS * BYTES];
	int rc = rsl_remote_find(&remote, ids[n], 0, &devices[n]);

	if (rc) {
		publish(n);
		return rc;
	}
	switch (n) {
	case 0:
		rc = rsl_vsock_begin(&vsock, &devices[0], conns, CONNS, buffers, BYTES);
		if (!rc && rsl_vsock_listen(&vsock, 7))
			rsl_vsock_connect(&vsock, 2, 1000);
		return rc;
	case 1:
		return rsl_console_begin(&console, &devices[1]);
	case 2:
		return rsl_rng_begin(&rng, &devices[2]);
	case 3:
		return rsl_net_begin(&net, &devices[3]);
	case 4:
		return rsl_blk_begin(&blk, &devices[4]);
	default:
		return rsl_fs_begin(&fs, &devices[5]);
	}
}

static int do_vsock(uint8_t *data, uint32_t size)
{
	struct rsl_vsock_conn *conn = &conns[any(CONNS)];

	switch (any(7)) {
	case 0:
		return rsl_vsock_accept(conn) ? 0 : RSL_AGAIN;
	case 1:
	case 2:
		return rsl_vsock_send(conn, data, size);
	case 3:
		rsl_vsock_shutdown(conn);
		return 0;
	case 4:
		if (conn->state != RSL_VSOCK_LISTENING || !any(10))
			rsl_vsock_close(conn);
		return 0;
	case 5:
		return rsl_vsock_connect(&vsock, 2, 1000) ? 0 : RSL_FULL;
	default:
		return rsl_vsock_receive(conn, data, size);
	}
}

static int do_fs(uint8_t *data, uint32_t size)
{
	uint64_t node, length;
	uint32_t mode;
	char name[9];
	int rc, at = 0;

	switch (any(5)) {
	case 0:
		return rsl_fs_lookup(&fs, 1, "name", &node, &length, &mode);
	case 3:
		return rsl_fs_forget(&fs, 1);
	case 1:
		return rsl_fs_open(&fs, 1, any(2), &node);
	case 2:
		return rsl_fs_read(&fs, 1, 2, 3, data, size);
	default:
		rc = rsl_fs_readdir(&fs, 1, 2, 3, data, size);
		while (rc > 0 && (at = rsl_fs_entry(data, (uint32_t)rc, (uint32_t)at, name,
						    sizeof(name), &node)) > 0)
			;
		return rc;
	}
}

/* One call, with buffers of exactly the size that they are said to have. */
static int call(uint32_t n)
{
	uint32_t size = 1 + any(n == 4 ? 3 : 700), bytes = n == 4 ? 512 * size : size;
	uint8_t *data = (uint8_t *)malloc(bytes);
	int rc;

	if (!data)
		abort();
	memset(data, 1, bytes);
	if (n == 0)
		rc = do_vsock(data, size);
	else if (n == 1)
		rc = any(2) ? rsl_console_read(&console, data, size) :
			      rsl_console_write(&console, data, size);
	else if (n == 2)
		rc = rsl_rng_read(&rng, data, size);
	else if (n == 3)
		rc = any(2) ? rsl_net_receive(&net, data, size) : rsl_net_send(&net, data, size);
	else if (n == 4)
		rc = any(2) ? rsl_blk_read(&blk, any(4), data, size) :
			      rsl_blk_write(&blk, any(4), data, size);
	else
		rc = do_fs(data, size);
	if (n != 4 && rc > (int)size)
		abort();
	free(data);
	return rc;
}

int main(int argc, char **argv)
{
	unsigned long results[10] = { 0 };
	uint32_t round, rounds, n;
	bool begun[DEVICES];
	void *place;
	int rc;

	if (argc != 3)
		return 1;
	state = (uint32_t)strtoul(argv[1], NULL, 0) * 2654435761U + 1;
	rounds = (uint32_t)strtoul(argv[2], NULL, 0);
	if (posix_memalign(&place, 4096, SIZE))
		return 1;
	memory = (uint8_t *)place;
	memset(memory, 0, SIZE);
	version = 1 + any(2);
	madness = any(2) ? any(5) : any(100);
	if (rsl_remote_init(&remote, &ops, NULL, memory, BASE, SIZE, version, 1 + any(32)))
		return 1;
	for (n = 0; n < DEVICES; n++) {
		publish(n);
		begun[n] = false;
	}
	for (round = 0; round < rounds; round++) {
		n = any(DEVICES);
		if (!any(3))
			act();
		rc = begun[n] ? call(n) : begin(n);
		if (begun[n] ? rc == RSL_LOST || rc == RSL_SILENT : !rc)
			begun[n] = !begun[n];
		results[rc < 0 ? -rc : 0]++;
		if (devices[n].remote)
			(void)rsl_virtio_changed(&devices[n]);
	}
	free(memory);
	for (n = 0; n < 10; n++)
		printf("%lu ", results[n]);
	printf("\n");
	return 0;
}
