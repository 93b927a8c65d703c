/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The remote's end of a link: virtio over its shared memory, for bare metal and any
 * RTOS.
 *
 * Copy this file into the firmware and include it. It is C99 with GNU extensions, or
 * C++11, and freestanding: it calls no libc and has no heap; all state is in structs
 * that the caller supplies. It is the driver's side of "rslctl virtio" and, in
 * version 1, of the RSL daemon.
 *
 * Words: the remote *notifies* Linux on a vector, Linux *kicks* the remote on one. The
 * *device* is Linux's side of a virtio device, whoever serves it.
 *
 * Use, from the bottom up:
 *	rsl_remote_init(), rsl_remote_wait_daemon()	the link
 *	rsl_remote_find()				a device of it
 *	rsl_vsock_begin(), rsl_net_begin(), ...		what is served, ready to use
 * or, for a device of another kind, rsl_virtio_reset(), rsl_virtio_negotiate(),
 * rsl_virtq_setup(), rsl_virtio_start(), rsl_virtq_add(), rsl_virtq_notify(),
 * rsl_virtq_get().
 *
 * Where from: rsl_remote_interrupt(), rsl_virtio_interrupt() and rsl_virtio_lost() may be
 * called from everywhere, an interrupt included, at any time. All else: for one device
 * (rsl_virtio and what stands on it) by one thread at a time, and not from an
 * interrupt; for different devices by different threads at once, except
 * rsl_remote_init() and rsl_remote_find(), which are for one thread alone.
 *
 * Nothing blocks but what says that it waits.
 *
 * When the device or its daemon fails, or the daemon starts anew, everything returns
 * RSL_LOST. Then begin again: rsl_remote_wait_daemon(), rsl_remote_find(),
 * rsl_..._begin(), with the same structs. rsl_virtio_lost() asks for it.
 *
 * What the device writes is not believed: no content of the shared memory makes these
 * functions access anything but the shared memory and what the caller gave.
 *
 * Memory: map the shared memory as the remote's core has to see it, Normal non-cacheable
 * or Device. All accesses to it are aligned.
 */
#ifndef RSL_REMOTE_H
#define RSL_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Sizes that the firmware may define before it includes this file ---- */

/* How long to wait for an answer of the device at most, in milliseconds, where there is
 * rsl_remote_ops.wait ... */
#ifndef RSL_REMOTE_WAIT_MS
#define RSL_REMOTE_WAIT_MS	4000
#endif

/* ... and how often to look for it where there is not. */
#ifndef RSL_REMOTE_POLLS
#define RSL_REMOTE_POLLS	100000000UL
#endif

/* Descriptors that one queue uses at most, a power of two up to 32768: each costs 12 bytes in
 * struct rsl_virtq, or 16 where pointers have 64 bits. A ring may be larger. */
#ifndef RSL_VIRTQ_MAX
#define RSL_VIRTQ_MAX		64
#endif

/* Buffers in each direction of vsock, net and console: at least 2, at most half of
 * RSL_VIRTQ_MAX and 256. They share what the device's region has beside the rings. */
#ifndef RSL_BUFFERS
#define RSL_BUFFERS		16
#endif

#if RSL_REMOTE_WAIT_MS < 1
#error "RSL_REMOTE_WAIT_MS has to be at least 1"
#endif
#if RSL_VIRTQ_MAX < 4 || RSL_VIRTQ_MAX > 32768 || RSL_VIRTQ_MAX & (RSL_VIRTQ_MAX - 1)
#error "RSL_VIRTQ_MAX has to be a power of two from 4 to 32768"
#endif
#if RSL_BUFFERS < 2 || RSL_BUFFERS > 256 || 2 * RSL_BUFFERS > RSL_VIRTQ_MAX
#error "RSL_BUFFERS has to be from 2 to 256, and at most half of RSL_VIRTQ_MAX"
#endif

/* ---- Results ---- */

/* What functions that return an int return instead of 0 or a length. */
enum rsl_remote_result {
	RSL_AGAIN = -1,		/* nothing there, or no room, for now */
	RSL_LOST = -2,		/* the device is gone or wants a reset: begin again */
	RSL_SILENT = -3,	/* no answer in time: is the daemon there? */
	RSL_ABSENT = -4,	/* no such device, queue, entry or feature */
	RSL_INVALID = -5,	/* an argument is wrong */
	RSL_FULL = -6,		/* the device's region, or a table, has no room for it */
	RSL_REFUSED = -7,	/* the device, or the peer's file system, says no */
	RSL_CLOSED = -8		/* the connection has ended */
};

/* ---- The link ---- */

/**
 * struct rsl_remote_ops - what the firmware supplies
 * @notify: notify Linux on a vector: write the register that "rslctl remote-dt" names.
 *	Memory written before has to be visible to Linux before the interrupt is: a
 *	"dsb" on Arm where the interrupt is raised by a system register. Required.
 * @wait: sleep until an interrupt comes or so many milliseconds are over; false if the
 *	time was over. It has to return at once if an interrupt came since it last
 *	returned: a semaphore that the interrupt gives, or "wfi" with interrupts masked.
 *	NULL: functions that wait look again and again.
 * @read32, @write32: access a register of a header. NULL: by a volatile access.
 * @rmb, @wmb, @mb: order reads, writes, all accesses to the shared memory as Linux's
 *	cores see them. NULL: "dmb osh" on Arm, a fence elsewhere.
 *
 * @ctx is what rsl_remote_init() was given.
 */
struct rsl_remote_ops {
	void (*notify)(void *ctx, unsigned int vector);
	bool (*wait)(void *ctx, uint32_t milliseconds);
	uint32_t (*read32)(void *ctx, const volatile uint32_t *address);
	void (*write32)(void *ctx, volatile uint32_t *address, uint32_t value);
	void (*rmb)(void *ctx);
	void (*wmb)(void *ctx);
	void (*mb)(void *ctx);
};

struct rsl_virtio;

/**
 * struct rsl_remote - a link
 * @ops, @ctx, @memory, @address, @size, @version, @vectors: what rsl_remote_init() was
 *	given
 * @devices: what rsl_remote_find() found, for rsl_remote_interrupt()
 */
struct rsl_remote {
	const struct rsl_remote_ops *ops;
	void *ctx;
	volatile uint8_t *memory;
	uint64_t address;
	uint32_t size;
	unsigned int version;
	unsigned int vectors;
	struct rsl_virtio *devices;
};

/**
 * rsl_remote_init() - describe the link
 * @ops: stays the caller's, and has to stay
 * @ctx: for the functions of @ops
 * @memory: the shared memory as this program accesses it, aligned to 4096 bytes
 * @address: its physical address as the remote sees it, RSL_..._MEMORY_BASE of
 *	"rslctl remote-dt -o FILE.h"; on bare metal the same as @memory
 * @size: of it in bytes, RSL_..._MEMORY_SIZE
 * @version: of the protocol, 1 or 2, link.virtio.version of the board profile
 * @vectors: number of vectors, 1 to 32
 *
 * Return: 0 or RSL_INVALID.
 */
static inline int rsl_remote_init(struct rsl_remote *remote, const struct rsl_remote_ops *ops,
				  void *ctx, volatile void *memory, uint64_t address, uint32_t size,
				  unsigned int version, unsigned int vectors);

/**
 * rsl_remote_wait_daemon() - wait until the daemon has published its devices
 * @offset: of the header to look at, in the shared memory: 0, or with link.virtio.device-tree
 *	RSL_..._VIRTIO_..._HEADER less RSL_..._MEMORY_BASE
 * @milliseconds: how long at most; without rsl_remote_ops.wait it is so many times
 *	RSL_REMOTE_POLLS / RSL_REMOTE_WAIT_MS looks; 0 looks once
 *
 * Return: 0, RSL_SILENT, or RSL_INVALID for an offset outside of the memory.
 */
static inline int rsl_remote_wait_daemon(struct rsl_remote *remote, uint32_t offset,
					 uint32_t milliseconds);

/**
 * rsl_remote_find() - find a device among the headers at the start of the memory
 * @id: of the device (virtio 1.2 chapter 5): RSL_ID_VSOCK ...
 * @nth: which of several, from 0
 * @device: filled in; it stays the caller's, has to stay, and may be filled in again
 *
 * Return: 0 or RSL_ABSENT. A daemon publishes one device after the other, so that one
 * that is absent may be there a moment later.
 */
static inline int rsl_remote_find(struct rsl_remote *remote, uint32_t id, unsigned int nth,
				  struct rsl_virtio *device);

/**
 * rsl_remote_open() - take the device whose header is at an offset of the shared memory
 *
 * For a link whose memory begins with a device tree. Otherwise as rsl_remote_find().
 *
 * Return: 0, RSL_INVALID for an offset that cannot be a header's, RSL_ABSENT if no
 * device is there, RSL_REFUSED if it is of another version.
 */
static inline int rsl_remote_open(struct rsl_remote *remote, uint32_t offset,
				  struct rsl_virtio *device);

/**
 * rsl_remote_interrupt() - Linux has kicked a vector
 *
 * Call it from the kick's interrupt or from a thread that it wakes. It calls
 * rsl_virtio_interrupt() of each device that uses the vector: in version 1 of each. Not
 * needed where the firmware looks at its devices after each interrupt anyway.
 */
static inline void rsl_remote_interrupt(struct rsl_remote *remote, unsigned int vector);

/**
 * rsl_remote_wait() - sleep until an interrupt comes or the time is over
 *
 * Return: false if the time is over. Without rsl_remote_ops.wait it returns true at once.
 */
static inline bool rsl_remote_wait(struct rsl_remote *remote, uint32_t milliseconds);

/* ---- A device ---- */

/* Device ids (virtio 1.2 chapter 5). */
#define RSL_ID_NET		1
#define RSL_ID_BLK		2
#define RSL_ID_CONSOLE		3
#define RSL_ID_RNG		4
#define RSL_ID_VSOCK		19
#define RSL_ID_FS		26

/* Feature bits of all devices (virtio 1.2 chapter 6). */
#define RSL_F_VERSION_1		((uint64_t)1 << 32)
#define RSL_F_ORDER_PLATFORM	((uint64_t)1 << 36)

/**
 * struct rsl_virtio - a device
 * @remote: its link
 * @next: the next device of the link
 * @header: offset of its header in the shared memory
 * @id: of the device
 * @features: that were taken
 * @interrupt: NULL, or called by rsl_virtio_interrupt(), in its context: to wake who uses
 *	the device. The caller may set it once the device was found.
 * @argument: for @interrupt, the caller's
 * @status: that the driver wrote last
 * @broken: the device did something impossible
 * @vectors: mask of those that the device kicks
 * @start, @end: offsets of its region in the shared memory
 * @used: offset of the first byte of the region that nobody has
 */
struct rsl_virtio {
	struct rsl_remote *remote;
	struct rsl_virtio *next;
	uint32_t header;
	uint32_t id;
	uint64_t features;
	void (*interrupt)(struct rsl_virtio *device, void *argument);
	void *argument;
	uint32_t status;
	bool broken;
	uint32_t vectors;
	uint32_t start;
	uint32_t end;
	uint32_t used;
};

/**
 * rsl_virtio_reset() - begin with a device, from whatever state it is in
 *
 * Waits until the device has let go of its queues; takes back all that
 * rsl_virtio_alloc() gave; tells the device that there is a driver.
 *
 * Return: 0, RSL_SILENT, RSL_LOST, or RSL_REFUSED if its region is not in the memory.
 */
static inline int rsl_virtio_reset(struct rsl_virtio *device);

/**
 * rsl_virtio_negotiate() - take features
 * @wanted: those that the caller can use. The features of rings that this file does not
 *	have are left out, VERSION_1 is added in version 2. In version 1 there are 32.
 * @taken: out: those that the device offers, too; also in device->features
 *
 * Return: 0, RSL_REFUSED if the device does not agree, RSL_SILENT, RSL_LOST.
 */
static inline int rsl_virtio_negotiate(struct rsl_virtio *device, uint64_t wanted,
				       uint64_t *taken);

/**
 * rsl_virtio_start() - all queues are set up: let the device begin
 *
 * Return: 0, RSL_SILENT, RSL_LOST.
 */
static inline int rsl_virtio_start(struct rsl_virtio *device);

/**
 * rsl_virtio_alloc() - memory that the device can reach, until the device is reset
 * @size: in bytes
 * @align: a power of two, at least 4
 *
 * Return: the memory, or NULL if the region has no room.
 */
static inline volatile uint8_t *rsl_virtio_alloc(struct rsl_virtio *device, uint32_t size,
						 uint32_t align);

/**
 * rsl_virtio_room() - how many bytes rsl_virtio_alloc() could give at an alignment
 */
static inline uint32_t rsl_virtio_room(const struct rsl_virtio *device, uint32_t align);

/**
 * rsl_virtio_config() - read from the device's configuration
 * @offset: of the first byte; @offset + @size is 256 at most
 *
 * What is read is of one generation of the configuration (version 2).
 *
 * Return: 0, RSL_INVALID, or RSL_AGAIN if it is being changed.
 */
static inline int rsl_virtio_config(const struct rsl_virtio *device, uint32_t offset, void *data,
				    uint32_t size);

/**
 * rsl_virtio_changed() - has the configuration changed since this was last asked?
 *
 * It acknowledges the change, so read the configuration afterwards.
 *
 * Return: 1, 0, RSL_SILENT, RSL_LOST.
 */
static inline int rsl_virtio_changed(struct rsl_virtio *device);

/**
 * rsl_virtio_interrupt() - Linux has kicked for this device: calls device->interrupt
 *
 * Interrupts for used buffers need no acknowledgement, because drivers look at the
 * rings whatever INTERRUPT_STATUS says.
 */
static inline void rsl_virtio_interrupt(struct rsl_virtio *device);

/**
 * rsl_virtio_lost() - is the device to be begun again?
 *
 * True if it says NEEDS_RESET, did something impossible, is gone, or is another one
 * than that which was started: its daemon ended or began anew.
 */
static inline bool rsl_virtio_lost(const struct rsl_virtio *device);

/* ---- A queue ---- */

/**
 * struct rsl_virtq_piece - a piece of a scatter list
 * @data: in the device's region, from rsl_virtio_alloc()
 * @size: in bytes, not 0
 */
struct rsl_virtq_piece {
	volatile void *data;
	uint32_t size;
};

/**
 * struct rsl_virtq - a queue, in the user's memory; all of it is to be read only
 * @device, @index: whose, and which
 * @size: of the ring
 * @count: descriptors that are used of it
 * @free: how many of them are free
 * @first: the first of these
 * @chains: that the device has
 * @avail, @seen: the indices of the driver: of the available ring, and of the used ring as far
 *	as it was read
 * @notify_vector: on which the device is notified
 * @used_vector: which the device kicks
 * @desc, @available, @used: the parts of the ring
 * @next: by descriptor: the next one of its chain, or the next free one
 * @pieces, @room, @token: by the first descriptor of a chain: how many it has, how many bytes
 *	the device may write, and what the caller gave for it; NULL where no chain begins
 */
struct rsl_virtq {
	struct rsl_virtio *device;
	unsigned int index;
	uint32_t size;
	uint16_t count;
	uint16_t free;
	uint16_t first;
	uint16_t chains;
	uint16_t avail;
	uint16_t seen;
	unsigned int notify_vector;
	unsigned int used_vector;
	volatile uint8_t *desc;
	volatile uint8_t *available;
	volatile uint8_t *used;
	uint16_t next[RSL_VIRTQ_MAX];
	uint16_t pieces[RSL_VIRTQ_MAX];
	uint32_t room[RSL_VIRTQ_MAX];
	void *token[RSL_VIRTQ_MAX];
};

/**
 * rsl_virtq_setup() - make a queue, in the device's region
 * @index: of the queue; in version 1 from 0 upwards, one after the other
 * @size: descriptors that the caller wants, a power of two up to RSL_VIRTQ_MAX, which is
 *	what it may have at most. queue->count tells what it has.
 *
 * In version 1 the ring has the size that the device names, because its devices believe
 * no other.
 *
 * Return: 0, RSL_INVALID, RSL_ABSENT if the device has no such queue, RSL_FULL,
 * RSL_REFUSED if the device does not take it, RSL_SILENT, RSL_LOST.
 */
static inline int rsl_virtq_setup(struct rsl_virtq *queue, struct rsl_virtio *device,
				  unsigned int index, uint32_t size);

/**
 * rsl_virtq_add() - give buffers to the device
 * @pieces: @readable pieces that the device reads, then @writable ones that it writes
 * @token: what rsl_virtq_get() is to return for them, not NULL
 *
 * The device may use them from now on; rsl_virtq_notify() tells it.
 *
 * Return: 0, RSL_AGAIN without so many free descriptors, RSL_INVALID for none, more than
 * the queue has, or a piece outside of the shared memory.
 */
static inline int rsl_virtq_add(struct rsl_virtq *queue, const struct rsl_virtq_piece *pieces,
				unsigned int readable, unsigned int writable, void *token);

/**
 * rsl_virtq_notify() - tell the device of what was added, unless it does not want that
 */
static inline void rsl_virtq_notify(struct rsl_virtq *queue);

/**
 * rsl_virtq_get() - take back buffers that the device has used
 * @token: out: of these buffers
 * @written: out: how many bytes the device says it wrote, at most those of the writable pieces
 *
 * Return: 0, RSL_AGAIN if there are none, RSL_LOST.
 */
static inline int rsl_virtq_get(struct rsl_virtq *queue, void **token, uint32_t *written);

/**
 * rsl_virtq_interrupts() - ask for kicks when buffers are used, or for none
 *
 * A queue has them at first. The device may kick all the same.
 *
 * Return: true if the device has used buffers already that rsl_virtq_get() did not take.
 */
static inline bool rsl_virtq_interrupts(struct rsl_virtq *queue, bool wanted);

/* ---- Buffers for a direction: what the devices below use ---- */

/**
 * struct rsl_buffers - a queue, and RSL_BUFFERS buffers of one size for it
 * @queue: the queue
 * @memory: the buffers
 * @size: of each in bytes
 * @head: bytes of it that are a piece of their own, for a header; 0: it is one piece
 * @body: offset of what follows the header
 * @spare: numbers of those that the device does not have
 * @spares: how many these are
 * @starved: somebody wants one and there is none, so the device is asked for kicks
 */
struct rsl_buffers {
	struct rsl_virtq queue;
	volatile uint8_t *memory;
	uint32_t size;
	uint32_t head;
	uint32_t body;
	uint8_t spare[RSL_BUFFERS];
	unsigned int spares;
	bool starved;
};

/* ---- vsock: streams (virtio 1.2 section 5.10) ---- */

#define RSL_VSOCK_HOST		2	/* the CID of Linux */

enum rsl_vsock_state {
	RSL_VSOCK_FREE,
	RSL_VSOCK_LISTENING,
	RSL_VSOCK_CONNECTING,
	RSL_VSOCK_OPEN,
	RSL_VSOCK_CLOSING,	/* closed here, the peer has not answered */
	RSL_VSOCK_ENDED		/* by the peer */
};

struct rsl_vsock;

/**
 * struct rsl_vsock_conn - a connection, or a listener
 * @vsock: the device
 * @state: what it is
 * @accepted: rsl_vsock_accept() or rsl_vsock_connect() has returned it
 * @peer, @peer_port, @port: the ends
 * @buffer, @held, @at: what was received and not yet taken: a ring of vsock->bytes bytes,
 *	how many are in it, and where they begin
 * @owed: packets that are to be sent as soon as there is room
 * @peer_shutdown, @own_shutdown: VIRTIO_VSOCK_SHUTDOWN_F bits
 * @peer_room, @peer_taken, @sent: for the peer's credit (section 5.10.6.3)
 * @taken, @told: bytes that were taken here, and what the peer knows of it
 * @asked: the peer was asked for credit
 */
struct rsl_vsock_conn {
	struct rsl_vsock *vsock;
	enum rsl_vsock_state state;
	bool accepted;
	uint64_t peer;
	uint32_t peer_port;
	uint32_t port;
	uint8_t *buffer;
	uint32_t held;
	uint32_t at;
	uint32_t owed;
	uint32_t peer_shutdown;
	uint32_t own_shutdown;
	uint32_t peer_room;
	uint32_t peer_taken;
	uint32_t sent;
	uint32_t taken;
	uint32_t told;
	bool asked;
};

/**
 * struct rsl_vsock - a vsock device
 * @device: the device
 * @cid: the remote's CID, from the device
 * @table, @count: connections and listeners
 * @bytes: of each one's receive buffer
 * @receive, @send: its queues
 * @next_port: the next one for rsl_vsock_connect()
 * @owing: a connection may have packets to be sent
 */
struct rsl_vsock {
	struct rsl_virtio *device;
	uint64_t cid;
	struct rsl_vsock_conn *table;
	unsigned int count;
	uint32_t bytes;
	struct rsl_buffers receive;
	struct rsl_buffers send;
	uint32_t next_port;
	bool owing;
};

/**
 * rsl_vsock_begin() - reset and start a vsock device
 * @table: @count connections and listeners, the caller's
 * @buffers: @count times @bytes bytes, the caller's, not in the shared memory. @bytes is what a
 *	peer may send ahead on a connection, 1 to 2^30.
 *
 * All connections and listeners that were in the table are gone.
 *
 * Waits for the device's answers, at most RSL_REMOTE_WAIT_MS for each.
 *
 * Return: 0, RSL_INVALID, RSL_FULL, RSL_REFUSED, RSL_ABSENT, RSL_SILENT, RSL_LOST; RSL_AGAIN if the
 * device's configuration is being changed.
 */
static inline int rsl_vsock_begin(struct rsl_vsock *vsock, struct rsl_virtio *device,
				  struct rsl_vsock_conn *table, unsigned int count, void *buffers,
				  uint32_t bytes);

/**
 * rsl_vsock_poll() - do what has come and what is to be sent
 *
 * The other functions call it, too; call it after each interrupt nevertheless, for
 * connections that nobody asks for.
 *
 * Return: 0 or RSL_LOST.
 */
static inline int rsl_vsock_poll(struct rsl_vsock *vsock);

/**
 * rsl_vsock_listen() - accept connections to a port
 *
 * Return: the listener, an entry of the table; NULL if the table is full or somebody
 * listens there.
 */
static inline struct rsl_vsock_conn *rsl_vsock_listen(struct rsl_vsock *vsock, uint32_t port);

/**
 * rsl_vsock_accept() - take a connection that a peer has made
 *
 * Peers are answered as long as the table has room, and refused when it has not.
 *
 * Return: a connection; NULL if there is none.
 */
static inline struct rsl_vsock_conn *rsl_vsock_accept(struct rsl_vsock_conn *listener);

/**
 * rsl_vsock_connect() - connect to a port of a peer: RSL_VSOCK_HOST
 *
 * Return: the connection, which is open once rsl_vsock_connected() returns 0; NULL if the table
 * is full.
 */
static inline struct rsl_vsock_conn *rsl_vsock_connect(struct rsl_vsock *vsock, uint64_t cid,
						       uint32_t port);

/**
 * rsl_vsock_connected() - is it open?
 *
 * A peer may refuse because it still has a connection of before this remote began anew. It ends
 * that one then, so try again.
 *
 * Return: 0, RSL_AGAIN as long as the peer has not answered, RSL_CLOSED if it refused or
 * the connection has ended, RSL_LOST.
 */
static inline int rsl_vsock_connected(struct rsl_vsock_conn *conn);

/**
 * rsl_vsock_send() - send bytes
 *
 * Return: how many were sent, 1 to @size; 0 only for a size of 0; RSL_AGAIN if there is no room
 * here, no credit of the peer, or no connection yet; RSL_CLOSED; RSL_LOST.
 */
static inline int rsl_vsock_send(struct rsl_vsock_conn *conn, const void *data, uint32_t size);

/**
 * rsl_vsock_receive() - take bytes that were received
 *
 * Return: how many, 1 to @size; 0 only for a size of 0; RSL_AGAIN if there are none yet; RSL_CLOSED
 * if the peer sends no more and all was taken (rsl_vsock_send() may still work); RSL_LOST.
 */
static inline int rsl_vsock_receive(struct rsl_vsock_conn *conn, void *data, uint32_t size);

/**
 * rsl_vsock_shutdown() - no more will be sent: the peer sees the end of the stream
 */
static inline void rsl_vsock_shutdown(struct rsl_vsock_conn *conn);

/**
 * rsl_vsock_close() - give a connection or listener back
 *
 * The caller has it no more. What was sent still arrives. Connections that a listener has
 * and that nobody accepted are closed with it.
 */
static inline void rsl_vsock_close(struct rsl_vsock_conn *conn);

/* ---- console (section 5.3) ---- */

/**
 * struct rsl_console - a console
 * @current, @at, @left: the buffer that is being read, where, and how much is left of it
 */
struct rsl_console {
	struct rsl_virtio *device;
	struct rsl_buffers receive;
	struct rsl_buffers send;
	unsigned int current;
	uint32_t at;
	uint32_t left;
};

/**
 * rsl_console_begin() - reset and start a console
 *
 * Return: as rsl_vsock_begin().
 */
static inline int rsl_console_begin(struct rsl_console *console, struct rsl_virtio *device);

/**
 * rsl_console_read() - take bytes that were typed
 *
 * Return: how many, 1 to @size; RSL_AGAIN, RSL_LOST.
 */
static inline int rsl_console_read(struct rsl_console *console, void *data, uint32_t size);

/**
 * rsl_console_write() - show bytes
 *
 * Return: how many were taken, 1 to @size; RSL_AGAIN, RSL_LOST.
 */
static inline int rsl_console_write(struct rsl_console *console, const void *data, uint32_t size);

/* ---- rng (section 5.4) ---- */

/**
 * struct rsl_rng - a source of random numbers
 * @buffer, @size: where the device writes
 * @at, @left: what is left of it
 * @asked: the device has the buffer
 */
struct rsl_rng {
	struct rsl_virtio *device;
	struct rsl_virtq queue;
	volatile uint8_t *buffer;
	uint32_t size;
	uint32_t at;
	uint32_t left;
	bool asked;
};

/**
 * rsl_rng_begin() - reset and start a source of random numbers
 *
 * Return: as rsl_vsock_begin().
 */
static inline int rsl_rng_begin(struct rsl_rng *rng, struct rsl_virtio *device);

/**
 * rsl_rng_read() - take random bytes; each is given once
 *
 * Return: how many, 1 to @size; RSL_AGAIN until the device has answered; RSL_LOST.
 */
static inline int rsl_rng_read(struct rsl_rng *rng, void *data, uint32_t size);

/* ---- net (section 5.1) ---- */

/**
 * struct rsl_net - a network interface
 * @mac: its address; of zeros where the device has none, and the firmware's choice then
 * @header: bytes before each frame, 10 or 12
 * @skip: buffers of a frame that is too long, which are still to come
 */
struct rsl_net {
	struct rsl_virtio *device;
	uint8_t mac[6];
	uint32_t header;
	uint32_t skip;
	struct rsl_buffers receive;
	struct rsl_buffers send;
};

/**
 * rsl_net_begin() - reset and start a network interface
 *
 * Return: as rsl_vsock_begin().
 */
static inline int rsl_net_begin(struct rsl_net *net, struct rsl_virtio *device);

/**
 * rsl_net_send() - send an Ethernet frame, without its checksum
 *
 * Return: 0, RSL_AGAIN without room, RSL_INVALID if it is longer than a buffer, RSL_LOST.
 */
static inline int rsl_net_send(struct rsl_net *net, const void *frame, uint32_t size);

/**
 * rsl_net_receive() - take a frame that was received
 * @size: of the buffer for it; a longer frame is dropped. 1514 is enough without VLANs.
 *
 * Return: its length, RSL_AGAIN, RSL_LOST.
 */
static inline int rsl_net_receive(struct rsl_net *net, void *frame, uint32_t size);

/* ---- blk (section 5.2) ---- */

#define RSL_BLK_SECTOR		512

enum rsl_blk_request {
	RSL_BLK_READ = 0,
	RSL_BLK_WRITE = 1,
	RSL_BLK_FLUSH = 4
};

/**
 * struct rsl_blk - a disk
 * @capacity: in sectors of 512 bytes; rsl_blk_begin() reads it
 * @read_only: the device says so
 * @largest: sectors that one request may have
 * @request, @data: the request's header and status, and its data
 * @kind, @sectors: of the request under way
 * @busy: there is one
 */
struct rsl_blk {
	struct rsl_virtio *device;
	struct rsl_virtq queue;
	uint64_t capacity;
	bool read_only;
	uint32_t largest;
	volatile uint8_t *request;
	volatile uint8_t *data;
	enum rsl_blk_request kind;
	uint32_t sectors;
	bool busy;
};

/**
 * rsl_blk_begin() - reset and start a disk
 *
 * Return: as rsl_vsock_begin().
 */
static inline int rsl_blk_begin(struct rsl_blk *blk, struct rsl_virtio *device);

/**
 * rsl_blk_read(), rsl_blk_write() - read and write sectors
 * rsl_blk_flush() - have everything that was written on the medium
 *
 * They wait until it is done, at most RSL_REMOTE_WAIT_MS between two interrupts.
 *
 * Return: 0, RSL_INVALID for sectors that the disk does not have, RSL_REFUSED if the device
 * failed or is read only, RSL_AGAIN if a request is under way, RSL_SILENT (the request is still
 * under way: rsl_blk_finish()), RSL_LOST.
 */
static inline int rsl_blk_read(struct rsl_blk *blk, uint64_t sector, void *data, uint32_t sectors);
static inline int rsl_blk_write(struct rsl_blk *blk, uint64_t sector, const void *data,
				uint32_t sectors);
static inline int rsl_blk_flush(struct rsl_blk *blk);

/**
 * rsl_blk_start() - begin a request and do not wait
 * @data: for RSL_BLK_WRITE; copied
 * @sectors: 1 to blk->largest; 0 for RSL_BLK_FLUSH
 *
 * Return: as rsl_blk_read(), but RSL_SILENT.
 */
static inline int rsl_blk_start(struct rsl_blk *blk, enum rsl_blk_request kind, uint64_t sector,
				const void *data, uint32_t sectors);

/**
 * rsl_blk_finish() - is the request done?
 * @data: for RSL_BLK_READ: room for as many sectors as were asked for; NULL drops them
 *
 * Return: 0, RSL_AGAIN until it is, RSL_REFUSED if the device failed, RSL_INVALID if none is under
 * way, RSL_LOST.
 */
static inline int rsl_blk_finish(struct rsl_blk *blk, void *data);

/* ---- fs: FUSE requests to a directory of Linux's (section 5.11) ---- */

#define RSL_FS_ROOT		1	/* the node of the directory */

/**
 * struct rsl_fs - a file system
 * @tag: its name, NUL-terminated
 * @error: the errno of the last RSL_REFUSED, positive, as Linux numbers them
 * @largest: bytes that one rsl_fs_read() may ask for
 * @request, @reply: the buffers of a request
 * @request_size, @reply_size: of these
 * @unique: number of the last request
 * @busy: the queue that it is under way in; NULL if it is answered
 */
struct rsl_fs {
	struct rsl_virtio *device;
	struct rsl_virtq urgent;
	struct rsl_virtq queue;
	char tag[37];
	uint32_t error;
	uint32_t largest;
	volatile uint8_t *request;
	volatile uint8_t *reply;
	uint32_t request_size;
	uint32_t reply_size;
	uint64_t unique;
	struct rsl_virtq *busy;
};

/**
 * rsl_fs_begin() - reset and start a file system, and make the FUSE session (INIT)
 *
 * Waits for the answer to INIT.
 *
 * Return: as rsl_vsock_begin(); RSL_REFUSED also if its FUSE is another one than 7.
 */
static inline int rsl_fs_begin(struct rsl_fs *fs, struct rsl_virtio *device);

/**
 * rsl_fs_call() - one FUSE request, and its answer
 * @opcode, @node: of the request (struct fuse_in_header of linux/fuse.h)
 * @arguments: what follows that header, @size bytes
 * @answer: out: what follows struct fuse_out_header, at most @room bytes
 *
 * Waits for the answer, at most RSL_REMOTE_WAIT_MS between two interrupts.
 *
 * Return: bytes of the answer; RSL_REFUSED with an errno in fs->error; RSL_INVALID if the
 * arguments or the answer are too large; RSL_AGAIN if the answer to an earlier request that was not
 * awaited is still to come; RSL_SILENT; RSL_LOST.
 */
static inline int rsl_fs_call(struct rsl_fs *fs, uint32_t opcode, uint64_t node,
			      const void *arguments, uint32_t size, void *answer, uint32_t room);

/**
 * rsl_fs_lookup() - find a name in a directory
 * @node: out: to be used in further calls, until rsl_fs_forget()
 * @size: out: of the file in bytes
 * @mode: out: st_mode, with the type of the file
 *
 * Return: 0, or as rsl_fs_call(); RSL_REFUSED with fs->error 2 (ENOENT) if it is not there.
 */
static inline int rsl_fs_lookup(struct rsl_fs *fs, uint64_t parent, const char *name,
				uint64_t *node, uint64_t *size, uint32_t *mode);

/**
 * rsl_fs_forget() - use a node no more (FUSE_FORGET)
 * @node: of rsl_fs_lookup(); once for each time that it was found
 *
 * The back-end keeps what it knows of a node, virtiofsd an open file, until it is forgotten as often
 * as it was found.
 *
 * Return: 0, RSL_AGAIN, RSL_SILENT, RSL_LOST, as rsl_fs_call().
 */
static inline int rsl_fs_forget(struct rsl_fs *fs, uint64_t node);

/**
 * rsl_fs_open() - open a file or a directory for reading
 * @handle: out: for rsl_fs_read(), rsl_fs_readdir() and rsl_fs_release()
 *
 * Return: 0, or as rsl_fs_call().
 */
static inline int rsl_fs_open(struct rsl_fs *fs, uint64_t node, bool directory, uint64_t *handle);

/**
 * rsl_fs_read() - read from a file
 *
 * Return: bytes, 0 at its end; or as rsl_fs_call().
 */
static inline int rsl_fs_read(struct rsl_fs *fs, uint64_t node, uint64_t handle, uint64_t offset,
			      void *data, uint32_t size);

/**
 * rsl_fs_readdir() - read entries of a directory
 * @offset: 0 at first, then that of the last entry
 * @data: out: entries for rsl_fs_entry()
 *
 * Return: bytes, 0 at its end; or as rsl_fs_call().
 */
static inline int rsl_fs_readdir(struct rsl_fs *fs, uint64_t node, uint64_t handle,
				 uint64_t offset, void *data, uint32_t size);

/**
 * rsl_fs_entry() - one entry of what rsl_fs_readdir() read
 * @at: where it begins in @data: 0, then what this function returned
 * @name, @room: out: its name, NUL-terminated and cut to @room bytes with the NUL
 * @offset: out: for rsl_fs_readdir()
 *
 * Return: where the next one begins; RSL_ABSENT if there is none.
 */
static inline int rsl_fs_entry(const void *data, uint32_t size, uint32_t at, char *name,
			       uint32_t room, uint64_t *offset);

/**
 * rsl_fs_release() - close a file or directory
 *
 * Return: 0, or as rsl_fs_call().
 */
static inline int rsl_fs_release(struct rsl_fs *fs, uint64_t node, bool directory,
				 uint64_t handle);

/* What follows is not for use from outside. */

/* ---- Registers: virtio-mmio's (virtio 1.2 sections 4.2.2 and 4.2.4) ---- */

#define RSL_HEADER_SIZE		0x200
#define RSL_HEADERS_SIZE	0x10000		/* the area that the headers are in */

#define RSL_MAGIC		0x000		/* "virt" */
#define RSL_MAGIC_VALUE		0x74726976
#define RSL_VERSION_REGISTER	0x004
#define RSL_DEVICE_ID		0x008		/* 0: nothing there */
#define RSL_DEVICE_FEATURES	0x010
#define RSL_DEVICE_FEATURES_SEL	0x014
#define RSL_DRIVER_FEATURES	0x020
#define RSL_DRIVER_FEATURES_SEL	0x024
#define RSL_GUEST_PAGE_SIZE	0x028		/* version 1 */
#define RSL_QUEUE_SEL		0x030
#define RSL_QUEUE_NUM_MAX	0x034
#define RSL_QUEUE_NUM		0x038
#define RSL_QUEUE_ALIGN		0x03c		/* version 1 */
#define RSL_QUEUE_PFN		0x040		/* version 1 */
#define RSL_QUEUE_READY		0x044
#define RSL_QUEUE_NOTIFY	0x050
#define RSL_INTERRUPT_STATUS	0x060
#define RSL_INTERRUPT_ACK	0x064
#define RSL_STATUS		0x070
#define RSL_QUEUE_DESC		0x080		/* low word, then the high one */
#define RSL_QUEUE_DRIVER	0x090
#define RSL_QUEUE_DEVICE	0x0a0
#define RSL_SHM_SEL		0x0ac
#define RSL_SHM_LEN		0x0b0
#define RSL_SHM_BASE		0x0b8
#define RSL_CONFIG_GENERATION	0x0fc
#define RSL_CONFIG		0x100
#define RSL_CONFIG_SIZE		0x100		/* "rslctl virtio" has its report in the second half */

/* Of rslctl's version 2, in words that virtio-mmio reserves. */
#define RSL_TRANSACTION		0x0d0		/* register | 4 << 16; 0: the device has acted */
#define RSL_QUEUE_NOTIFY_VECTOR	0x0d4
#define RSL_QUEUE_KICK_VECTOR	0x0d8

#define RSL_CONTROL_VECTOR	0
#define RSL_PFN_ACK		0xaabbaabb	/* version 1: the device has made the queue */
#define RSL_PAGE_SHIFT		12
#define RSL_PAGE		(1U << RSL_PAGE_SHIFT)

#define RSL_STATUS_ACKNOWLEDGE	1
#define RSL_STATUS_DRIVER	2
#define RSL_STATUS_DRIVER_OK	4
#define RSL_STATUS_FEATURES_OK	8

#define RSL_INTERRUPT_CONFIG	2

/* Features of rings that are not in this file: what is left out of those to take. */
#define RSL_F_NOT_HERE		((uint64_t)1 << 28 /* INDIRECT_DESC */ | \
				 (uint64_t)1 << 29 /* EVENT_IDX */ | \
				 (uint64_t)1 << 33 /* ACCESS_PLATFORM */ | \
				 (uint64_t)1 << 34 /* RING_PACKED */ | \
				 (uint64_t)1 << 38 /* NOTIFICATION_DATA */ | \
				 (uint64_t)1 << 40 /* RING_RESET */)

/* ---- The shared memory: little endian, each word accessed once, aligned ---- */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define RSL_LE16(value)		__builtin_bswap16(value)
#define RSL_LE32(value)		__builtin_bswap32(value)
#else
#define RSL_LE16(value)		(value)
#define RSL_LE32(value)		(value)
#endif

static inline uint16_t rsl_load16(const volatile uint8_t *at)
{
	return RSL_LE16(*(const volatile uint16_t *)(const volatile void *)at);
}

static inline uint32_t rsl_load32(const volatile uint8_t *at)
{
	return RSL_LE32(*(const volatile uint32_t *)(const volatile void *)at);
}

static inline void rsl_store16(volatile uint8_t *at, uint16_t value)
{
	*(volatile uint16_t *)(volatile void *)at = RSL_LE16(value);
}

static inline void rsl_store32(volatile uint8_t *at, uint32_t value)
{
	*(volatile uint32_t *)(volatile void *)at = RSL_LE32(value);
}

static inline void rsl_store64(volatile uint8_t *at, uint64_t value)
{
	rsl_store32(at, (uint32_t)value);
	rsl_store32(at + 4, (uint32_t)(value >> 32));
}

/* Numbers in ordinary memory, at any alignment. */
static inline uint32_t rsl_bytes32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t rsl_bytes64(const uint8_t *at)
{
	return rsl_bytes32(at) | (uint64_t)rsl_bytes32(at + 4) << 32;
}

static inline void rsl_set32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
	at[2] = (uint8_t)(value >> 16);
	at[3] = (uint8_t)(value >> 24);
}

static inline void rsl_set64(uint8_t *at, uint64_t value)
{
	rsl_set32(at, (uint32_t)value);
	rsl_set32(at + 4, (uint32_t)(value >> 32));
}

/* Copies: volatile on one side, so that no compiler makes a call to memcpy() of them. */
static inline void rsl_copy_in(volatile uint8_t *to, const uint8_t *from, uint32_t size)
{
	for (; size && (uintptr_t)to & 3; size--)
		*to++ = *from++;
	for (; size >= 4; size -= 4, to += 4, from += 4)
		rsl_store32(to, rsl_bytes32(from));
	for (; size; size--)
		*to++ = *from++;
}

static inline void rsl_copy_out(uint8_t *to, const volatile uint8_t *from, uint32_t size)
{
	for (; size && (uintptr_t)from & 3; size--)
		*to++ = *from++;
	for (; size >= 4; size -= 4, to += 4, from += 4)
		rsl_set32(to, rsl_load32(from));
	for (; size; size--)
		*to++ = *from++;
}

static inline uint32_t rsl_least(uint32_t one, uint32_t other)
{
	return one < other ? one : other;
}

/* ---- Barriers ---- */

static inline void rsl_barrier(void)
{
#if defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7 && __ARM_ARCH_PROFILE != 'M')
	/* Outer shareable: Linux's cores are beyond what "ish" orders for. */
	__asm__ volatile("dmb osh" : : : "memory");
#elif defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
	__asm__ volatile("dmb sy" : : : "memory");
#elif defined(__riscv)
	__asm__ volatile("fence iorw, iorw" : : : "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void rsl_order(const struct rsl_remote *remote, void (*hook)(void *ctx))
{
	if (hook)
		hook(remote->ctx);
	else
		rsl_barrier();
}

static inline void rsl_rmb(const struct rsl_remote *remote)
{
	rsl_order(remote, remote->ops->rmb);
}

static inline void rsl_wmb(const struct rsl_remote *remote)
{
	rsl_order(remote, remote->ops->wmb);
}

static inline void rsl_mb(const struct rsl_remote *remote)
{
	rsl_order(remote, remote->ops->mb);
}

/* ---- The link ---- */

static inline uint32_t rsl_remote_read(const struct rsl_remote *remote, uint32_t offset)
{
	const volatile uint8_t *at = remote->memory + offset;

	if (remote->ops->read32)
		return remote->ops->read32(remote->ctx,
					   (const volatile uint32_t *)(const volatile void *)at);
	return rsl_load32(at);
}

static inline void rsl_remote_write(const struct rsl_remote *remote, uint32_t offset,
				    uint32_t value)
{
	volatile uint8_t *at = remote->memory + offset;

	if (remote->ops->write32)
		remote->ops->write32(remote->ctx, (volatile uint32_t *)(volatile void *)at, value);
	else
		rsl_store32(at, value);
}

/* Everything that was written is visible before the interrupt. */
static inline void rsl_remote_ring(const struct rsl_remote *remote, unsigned int vector)
{
	rsl_mb(remote);
	remote->ops->notify(remote->ctx, vector);
}

static inline bool rsl_remote_wait(struct rsl_remote *remote, uint32_t milliseconds)
{
	return !remote->ops->wait || remote->ops->wait(remote->ctx, milliseconds);
}

/* Before each look but the first; false if it is time to give up after one more. */
static inline bool rsl_remote_patient(struct rsl_remote *remote, uint32_t milliseconds,
				      uint64_t *looks)
{
	uint64_t most = RSL_REMOTE_POLLS;

	if (!milliseconds)
		return false;
	if (!remote->ops->wait)
		most = (most / RSL_REMOTE_WAIT_MS + 1) * milliseconds;
	/* Interrupts for others without end are no reason to wait without end. */
	return rsl_remote_wait(remote, milliseconds) && ++*looks < most;
}

/* Wait until a register has a value, or @device is lost, if it is not NULL. */
static inline int rsl_remote_await(struct rsl_remote *remote, uint32_t offset, uint32_t value,
				   uint32_t milliseconds, const struct rsl_virtio *device)
{
	uint64_t looks = 0;
	bool patient = true;

	while (rsl_remote_read(remote, offset) != value) {
		if (!patient || (device && rsl_virtio_lost(device)))
			return RSL_SILENT;
		patient = rsl_remote_patient(remote, milliseconds, &looks);
	}
	rsl_rmb(remote);
	return 0;
}

static inline int rsl_remote_init(struct rsl_remote *remote, const struct rsl_remote_ops *ops,
				  void *ctx, volatile void *memory, uint64_t address, uint32_t size,
				  unsigned int version, unsigned int vectors)
{
	if (!ops || !ops->notify || !memory || (uintptr_t)memory % RSL_PAGE || address % RSL_PAGE ||
	    size < RSL_HEADER_SIZE || size > 0x80000000 || address + size < address ||
	    version < 1 || version > 2 || vectors < 1 || vectors > 32)
		return RSL_INVALID;
	remote->ops = ops;
	remote->ctx = ctx;
	remote->memory = (volatile uint8_t *)memory;
	remote->address = address;
	remote->size = size;
	remote->version = version;
	remote->vectors = vectors;
	remote->devices = NULL;
	return 0;
}

static inline bool rsl_remote_can_be_header(const struct rsl_remote *remote, uint32_t offset)
{
	return offset % 4 == 0 && offset <= remote->size - RSL_HEADER_SIZE;
}

static inline int rsl_remote_wait_daemon(struct rsl_remote *remote, uint32_t offset,
					 uint32_t milliseconds)
{
	if (!rsl_remote_can_be_header(remote, offset))
		return RSL_INVALID;
	return rsl_remote_await(remote, offset + RSL_MAGIC, RSL_MAGIC_VALUE, milliseconds, NULL);
}

static inline int rsl_remote_open(struct rsl_remote *remote, uint32_t offset,
				  struct rsl_virtio *device)
{
	struct rsl_virtio *known = remote->devices;
	uint32_t id;

	if (!rsl_remote_can_be_header(remote, offset))
		return RSL_INVALID;
	if (rsl_remote_read(remote, offset + RSL_MAGIC) != RSL_MAGIC_VALUE)
		return RSL_ABSENT;
	rsl_rmb(remote);
	if (rsl_remote_read(remote, offset + RSL_VERSION_REGISTER) != remote->version)
		return RSL_REFUSED;
	id = rsl_remote_read(remote, offset + RSL_DEVICE_ID);
	if (!id)
		return RSL_ABSENT;
	while (known && known != device)
		known = known->next;
	if (!known) {
		device->interrupt = NULL;
		device->argument = NULL;
		device->next = remote->devices;
	}
	device->remote = remote;
	device->header = offset;
	device->id = id;
	device->features = 0;
	device->status = rsl_remote_read(remote, offset + RSL_STATUS);
	device->broken = false;
	device->vectors = 1U << RSL_CONTROL_VECTOR;
	device->start = device->end = device->used = 0;
	if (!known) {
		/* An interrupt may walk along the devices at any time. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		remote->devices = device;
	}
	return 0;
}

static inline int rsl_remote_find(struct rsl_remote *remote, uint32_t id, unsigned int nth,
				  struct rsl_virtio *device)
{
	uint32_t offset, end = rsl_least(RSL_HEADERS_SIZE, remote->size);

	for (offset = 0; offset + RSL_HEADER_SIZE <= end; offset += RSL_HEADER_SIZE)
		if (rsl_remote_read(remote, offset + RSL_MAGIC) == RSL_MAGIC_VALUE &&
		    rsl_remote_read(remote, offset + RSL_DEVICE_ID) == id && !nth--)
			return rsl_remote_open(remote, offset, device);
	return RSL_ABSENT;
}

static inline void rsl_remote_interrupt(struct rsl_remote *remote, unsigned int vector)
{
	struct rsl_virtio *device;

	for (device = remote->devices; device; device = device->next)
		if (remote->version == 1 || (vector < 32 && device->vectors >> vector & 1))
			rsl_virtio_interrupt(device);
}

/* ---- A device ---- */

static inline uint32_t rsl_virtio_read(const struct rsl_virtio *device, uint32_t offset)
{
	return rsl_remote_read(device->remote, device->header + offset);
}

static inline bool rsl_virtio_modern(const struct rsl_virtio *device)
{
	return device->remote->version == 2;
}

static inline void rsl_virtio_interrupt(struct rsl_virtio *device)
{
	if (device->interrupt)
		device->interrupt(device, device->argument);
}

static inline bool rsl_virtio_there(const struct rsl_virtio *device)
{
	return rsl_virtio_read(device, RSL_MAGIC) == RSL_MAGIC_VALUE &&
	       rsl_virtio_read(device, RSL_DEVICE_ID) == device->id;
}

static inline bool rsl_virtio_lost(const struct rsl_virtio *device)
{
	return device->broken || !rsl_virtio_there(device) ||
	       rsl_virtio_read(device, RSL_STATUS) != device->status;
}

/* Version 1: write a register that the device reads together with the next doorbell. */
static inline void rsl_virtio_write(struct rsl_virtio *device, uint32_t offset, uint32_t value)
{
	rsl_remote_write(device->remote, device->header + offset, value);
}

/*
 * Write a register and have the device act on it. In version 2 this waits for its answer; in
 * version 1 there is none.
 */
static inline int rsl_virtio_tell(struct rsl_virtio *device, uint32_t offset, uint32_t value)
{
	struct rsl_remote *remote = device->remote;
	int rc;

	rsl_virtio_write(device, offset, value);
	if (rsl_virtio_modern(device)) {
		rsl_wmb(remote);
		rsl_virtio_write(device, RSL_TRANSACTION, offset | 4 << 16);
	}
	rsl_remote_ring(remote, RSL_CONTROL_VECTOR);
	if (!rsl_virtio_modern(device))
		return rsl_virtio_there(device) ? 0 : RSL_LOST;
	rc = rsl_remote_await(remote, device->header + RSL_TRANSACTION, 0, RSL_REMOTE_WAIT_MS,
			      NULL);
	if (rc)
		return rc;
	/* A daemon that begins anew zeroes the word, too. */
	return rsl_virtio_there(device) ? 0 : RSL_LOST;
}

/* The same, for what does not change the device's status. */
static inline int rsl_virtio_set(struct rsl_virtio *device, uint32_t offset, uint32_t value)
{
	int rc = rsl_virtio_tell(device, offset, value);

	return rc ? rc : rsl_virtio_lost(device) ? RSL_LOST : 0;
}

/* Version 1 has each bit alone, as the existing front-end writes them; version 2 adds them up. */
static inline int rsl_virtio_set_status(struct rsl_virtio *device, uint32_t bit)
{
	device->status = rsl_virtio_modern(device) && bit ? device->status | bit : bit;
	return rsl_virtio_set(device, RSL_STATUS, device->status);
}

/* Find the device's region; it must not have its header in it, nor those of others. */
static inline int rsl_virtio_find_region(struct rsl_virtio *device)
{
	const struct rsl_remote *remote = device->remote;
	uint64_t size = rsl_virtio_read(device, RSL_SHM_LEN) |
			(uint64_t)rsl_virtio_read(device, RSL_SHM_LEN + 4) << 32;
	uint64_t base = rsl_virtio_read(device, RSL_SHM_BASE) |
			(uint64_t)rsl_virtio_read(device, RSL_SHM_BASE + 4) << 32;
	uint32_t offset;

	if (base < remote->address || base - remote->address > remote->size ||
	    size > remote->size - (base - remote->address))
		return RSL_REFUSED;
	device->start = (uint32_t)(base - remote->address);
	device->end = device->start + (uint32_t)size;
	/* The RSL daemon has regions from the first byte on, which is a header's. */
	for (offset = 0; rsl_remote_can_be_header(remote, offset) && offset < RSL_HEADERS_SIZE &&
	     rsl_remote_read(remote, offset + RSL_MAGIC) == RSL_MAGIC_VALUE;
	     offset += RSL_HEADER_SIZE)
		if (device->start < offset + RSL_HEADER_SIZE)
			device->start = offset + RSL_HEADER_SIZE;
	offset = device->header + RSL_HEADER_SIZE;
	if (device->start < offset && device->end > device->header)
		device->start = offset;
	if (device->start > device->end)
		device->start = device->end;
	return 0;
}

/*
 * Version 1 has no answer to a reset. "rslctl virtio" zeroes INTERRUPT_STATUS once it has let go of
 * the queues; the RSL daemon does not, so that it is not insisted on. QUEUE_PFN may have the
 * first queue's from the time before.
 */
static inline int rsl_virtio_reset_legacy(struct rsl_virtio *device)
{
	int rc;

	if (rsl_virtio_read(device, RSL_STATUS)) {
		rsl_virtio_write(device, RSL_QUEUE_PFN, RSL_PFN_ACK);
		rsl_wmb(device->remote);
		rc = rsl_virtio_set_status(device, 0);
		if (rc)
			return rc;
		(void)rsl_remote_await(device->remote, device->header + RSL_INTERRUPT_STATUS, 0,
				       RSL_REMOTE_WAIT_MS, NULL);
	}
	rc = rsl_virtio_set_status(device, RSL_STATUS_ACKNOWLEDGE);
	rsl_virtio_write(device, RSL_GUEST_PAGE_SIZE, RSL_PAGE);
	return rc;
}

static inline int rsl_virtio_reset(struct rsl_virtio *device)
{
	int rc;

	device->broken = false;
	device->features = 0;
	device->vectors = 1U << RSL_CONTROL_VECTOR;
	if (!rsl_virtio_there(device))
		return RSL_LOST;
	if (rsl_virtio_modern(device)) {
		rc = rsl_virtio_set_status(device, 0);
		if (!rc)
			rc = rsl_virtio_set_status(device, RSL_STATUS_ACKNOWLEDGE);
		if (!rc)
			rc = rsl_virtio_set(device, RSL_SHM_SEL, 0);
	} else {
		rc = rsl_virtio_reset_legacy(device);
	}
	if (!rc)
		rc = rsl_virtio_set_status(device, RSL_STATUS_DRIVER);
	if (!rc)
		rc = rsl_virtio_find_region(device);
	device->used = device->start;
	return rc;
}

/* Read one word of the offered features, take what is wanted of it. */
static inline int rsl_virtio_negotiate_word(struct rsl_virtio *device, uint64_t wanted,
					    unsigned int word)
{
	uint32_t taken;
	int rc = 0;

	if (rsl_virtio_modern(device))
		rc = rsl_virtio_set(device, RSL_DEVICE_FEATURES_SEL, word);
	if (rc)
		return rc;
	taken = rsl_virtio_read(device, RSL_DEVICE_FEATURES) & (uint32_t)(wanted >> 32 * word);
	device->features |= (uint64_t)taken << 32 * word;
	if (rsl_virtio_modern(device))
		rc = rsl_virtio_set(device, RSL_DRIVER_FEATURES_SEL, word);
	return rc ? rc : rsl_virtio_set(device, RSL_DRIVER_FEATURES, taken);
}

static inline int rsl_virtio_negotiate(struct rsl_virtio *device, uint64_t wanted, uint64_t *taken)
{
	int rc;

	wanted &= ~RSL_F_NOT_HERE;
	device->features = 0;
	rc = rsl_virtio_negotiate_word(device, wanted, 0);
	if (!rc && rsl_virtio_modern(device)) {
		/* The barriers of this file are those that ORDER_PLATFORM asks for. */
		rc = rsl_virtio_negotiate_word(
			device, wanted | RSL_F_VERSION_1 | RSL_F_ORDER_PLATFORM, 1);
		if (!rc && !(device->features & RSL_F_VERSION_1))
			return RSL_REFUSED;
		if (!rc)
			rc = rsl_virtio_set_status(device, RSL_STATUS_FEATURES_OK);
		/* Lost by this one bit: the device does not agree. */
		if (rc == RSL_LOST && rsl_virtio_there(device) &&
		    rsl_virtio_read(device, RSL_STATUS) ==
			    (device->status & ~(uint32_t)RSL_STATUS_FEATURES_OK))
			return RSL_REFUSED;
	}
	*taken = device->features;
	return rc;
}

static inline int rsl_virtio_start(struct rsl_virtio *device)
{
	return rsl_virtio_set_status(device, RSL_STATUS_DRIVER_OK);
}

/* The first offset behind what is used whose address is so aligned; may be behind the end. */
static inline uint64_t rsl_virtio_aligned(const struct rsl_virtio *device, uint32_t align)
{
	uint64_t address = device->remote->address + device->used;

	return ((address + align - 1) & ~((uint64_t)align - 1)) - device->remote->address;
}

static inline uint32_t rsl_virtio_room(const struct rsl_virtio *device, uint32_t align)
{
	uint64_t at = rsl_virtio_aligned(device, align);

	return at < device->end ? device->end - (uint32_t)at : 0;
}

static inline volatile uint8_t *rsl_virtio_alloc(struct rsl_virtio *device, uint32_t size,
						 uint32_t align)
{
	uint32_t at = (uint32_t)rsl_virtio_aligned(device, align);

	if (size > rsl_virtio_room(device, align))
		return NULL;
	device->used = at + size;
	return device->remote->memory + at;
}

static inline int rsl_virtio_config(const struct rsl_virtio *device, uint32_t offset, void *data,
				    uint32_t size)
{
	uint8_t *to = (uint8_t *)data;
	uint32_t generation, n, word = 0, at;
	unsigned int tries;

	if (offset > RSL_CONFIG_SIZE || size > RSL_CONFIG_SIZE - offset)
		return RSL_INVALID;
	for (tries = 0; tries < 100; tries++) {
		generation = rsl_virtio_read(device, RSL_CONFIG_GENERATION);
		rsl_rmb(device->remote);
		for (n = 0; n < size; n++) {
			at = offset + n;
			if (!n || at % 4 == 0)
				word = rsl_virtio_read(device, RSL_CONFIG + (at & ~3U));
			to[n] = (uint8_t)(word >> at % 4 * 8);
		}
		rsl_rmb(device->remote);
		/* It is odd while "rslctl virtio" changes the configuration. */
		if (generation % 2 == 0 &&
		    rsl_virtio_read(device, RSL_CONFIG_GENERATION) == generation)
			return 0;
	}
	return RSL_AGAIN;
}

static inline int rsl_virtio_changed(struct rsl_virtio *device)
{
	int rc;

	if (rsl_virtio_lost(device))
		return RSL_LOST;
	if (!(rsl_virtio_read(device, RSL_INTERRUPT_STATUS) & RSL_INTERRUPT_CONFIG))
		return 0;
	rc = rsl_virtio_set(device, RSL_INTERRUPT_ACK, RSL_INTERRUPT_CONFIG);
	return rc ? rc : 1;
}

/* ---- A queue: split virtqueues (section 2.7) ---- */

#define RSL_DESC_SIZE		16
#define RSL_DESC_NEXT		1
#define RSL_DESC_WRITE		2
#define RSL_AVAIL_NO_INTERRUPT	1
#define RSL_USED_NO_NOTIFY	1

/* Offsets in the rings. */
#define RSL_RING_FLAGS		0
#define RSL_RING_INDEX		2
#define RSL_RING_ENTRIES	4

static inline uint64_t rsl_virtq_address(const struct rsl_virtq *queue, const volatile void *data)
{
	const struct rsl_remote *remote = queue->device->remote;

	return remote->address + ((uintptr_t)data - (uintptr_t)remote->memory);
}

/* Place the rings of a queue, all zero, in the layout of the version. */
static inline int rsl_virtq_place(struct rsl_virtq *queue)
{
	uint32_t align = rsl_virtio_modern(queue->device) ? 64 : RSL_PAGE;
	uint32_t available = RSL_DESC_SIZE * queue->size;
	uint32_t used = available + RSL_RING_ENTRIES + 2 * queue->size + 2;
	uint32_t bytes, n;

	used = (used + align - 1) & ~(align - 1);
	bytes = (used + RSL_RING_ENTRIES + 8 * queue->size + 2 + align - 1) & ~(align - 1);
	queue->desc = rsl_virtio_alloc(queue->device, bytes, align);
	if (!queue->desc)
		return RSL_FULL;
	queue->available = queue->desc + available;
	queue->used = queue->desc + used;
	for (n = 0; n < bytes; n += 4)
		rsl_store32(queue->desc + n, 0);
	return 0;
}

static inline int rsl_virtq_tell_legacy(struct rsl_virtq *queue)
{
	struct rsl_virtio *device = queue->device;
	uint64_t page = rsl_virtq_address(queue, queue->desc) >> RSL_PAGE_SHIFT;
	int rc;

	if (page >> 32)
		return RSL_REFUSED;
	rsl_virtio_write(device, RSL_QUEUE_NUM, queue->size);
	rsl_virtio_write(device, RSL_QUEUE_ALIGN, RSL_PAGE);
	rsl_wmb(device->remote);
	rc = rsl_virtio_set(device, RSL_QUEUE_PFN, (uint32_t)page);
	if (!rc)
		rc = rsl_remote_await(device->remote, device->header + RSL_QUEUE_PFN, RSL_PFN_ACK,
				      RSL_REMOTE_WAIT_MS, device);
	if (rc)
		return rsl_virtio_lost(device) ? RSL_LOST : rc;
	/* The device has it by now; the existing front-end shows it again. */
	rsl_virtio_write(device, RSL_QUEUE_PFN, (uint32_t)page);
	queue->notify_vector = queue->used_vector = RSL_CONTROL_VECTOR;
	return 0;
}

static inline int rsl_virtq_tell_address(struct rsl_virtq *queue, uint32_t offset,
					 const volatile uint8_t *part)
{
	uint64_t address = rsl_virtq_address(queue, part);
	int rc = rsl_virtio_set(queue->device, offset, (uint32_t)address);

	return rc ? rc : rsl_virtio_set(queue->device, offset + 4, (uint32_t)(address >> 32));
}

static inline int rsl_virtq_tell(struct rsl_virtq *queue)
{
	struct rsl_virtio *device = queue->device;
	int rc = rsl_virtio_set(device, RSL_QUEUE_NUM, queue->size);

	if (!rc)
		rc = rsl_virtq_tell_address(queue, RSL_QUEUE_DESC, queue->desc);
	if (!rc)
		rc = rsl_virtq_tell_address(queue, RSL_QUEUE_DRIVER, queue->available);
	if (!rc)
		rc = rsl_virtq_tell_address(queue, RSL_QUEUE_DEVICE, queue->used);
	if (!rc)
		rc = rsl_virtio_set(device, RSL_QUEUE_READY, 1);
	if (rc)
		return rc;
	queue->notify_vector = rsl_virtio_read(device, RSL_QUEUE_NOTIFY_VECTOR);
	queue->used_vector = rsl_virtio_read(device, RSL_QUEUE_KICK_VECTOR);
	if (rsl_virtio_read(device, RSL_QUEUE_READY) != 1 ||
	    queue->notify_vector >= device->remote->vectors ||
	    queue->used_vector >= device->remote->vectors)
		return RSL_REFUSED;
	device->vectors |= 1U << queue->used_vector;
	return 0;
}

static inline int rsl_virtq_setup(struct rsl_virtq *queue, struct rsl_virtio *device,
				  unsigned int index, uint32_t size)
{
	uint32_t largest, n;
	int rc = 0;

	if (!size || size > RSL_VIRTQ_MAX || size & (size - 1))
		return RSL_INVALID;
	if (rsl_virtio_modern(device))
		rc = rsl_virtio_set(device, RSL_QUEUE_SEL, index);
	else
		rsl_virtio_write(device, RSL_QUEUE_SEL, index);
	if (rc)
		return rc;
	largest = rsl_virtio_read(device, RSL_QUEUE_NUM_MAX);
	if (!largest)
		return RSL_ABSENT;
	if (largest & (largest - 1) || largest > 32768)
		return RSL_REFUSED;
	queue->device = device;
	queue->index = index;
	queue->size = rsl_virtio_modern(device) ? rsl_least(size, largest) : largest;
	queue->count = (uint16_t)rsl_least(size, largest);
	queue->free = queue->count;
	queue->first = queue->chains = queue->avail = queue->seen = 0;
	for (n = 0; n < queue->count; n++) {
		queue->next[n] = (uint16_t)(n + 1);
		queue->token[n] = NULL;
		/* Or compilers make a call to memset() of it. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	rc = rsl_virtq_place(queue);
	if (rc)
		return rc;
	return rsl_virtio_modern(device) ? rsl_virtq_tell(queue) : rsl_virtq_tell_legacy(queue);
}

static inline bool rsl_virtq_piece_is_good(const struct rsl_virtq *queue,
					   const struct rsl_virtq_piece *piece)
{
	const struct rsl_remote *remote = queue->device->remote;
	uintptr_t at = (uintptr_t)piece->data - (uintptr_t)remote->memory;

	return piece->size && at < remote->size && piece->size <= remote->size - at;
}

static inline int rsl_virtq_add(struct rsl_virtq *queue, const struct rsl_virtq_piece *pieces,
				unsigned int readable, unsigned int writable, void *token)
{
	unsigned int n, count = readable + writable;
	uint16_t head = queue->first, at = head, flags;
	volatile uint8_t *desc;
	uint32_t room = 0;

	if (!token || !count || readable > queue->count || writable > queue->count - readable)
		return RSL_INVALID;
	for (n = 0; n < count; n++)
		if (!rsl_virtq_piece_is_good(queue, &pieces[n]))
			return RSL_INVALID;
	if (count > queue->free)
		return RSL_AGAIN;
	for (n = 0; n < count; n++) {
		at = n ? queue->next[at] : head;
		flags = n < readable ? 0 : RSL_DESC_WRITE;
		if (n + 1 < count)
			flags |= RSL_DESC_NEXT;
		if (n >= readable)
			room += pieces[n].size;
		desc = queue->desc + RSL_DESC_SIZE * at;
		rsl_store64(desc, rsl_virtq_address(queue, pieces[n].data));
		rsl_store32(desc + 8, pieces[n].size);
		rsl_store16(desc + 12, flags);
		rsl_store16(desc + 14, n + 1 < count ? queue->next[at] : 0);
	}
	queue->first = queue->next[at];
	queue->free = (uint16_t)(queue->free - count);
	queue->chains++;
	queue->pieces[head] = (uint16_t)count;
	queue->room[head] = room;
	queue->token[head] = token;
	rsl_store16(queue->available + RSL_RING_ENTRIES + 2 * (queue->avail & (queue->size - 1)),
		    head);
	rsl_wmb(queue->device->remote);
	rsl_store16(queue->available + RSL_RING_INDEX, ++queue->avail);
	return 0;
}

static inline void rsl_virtq_notify(struct rsl_virtq *queue)
{
	struct rsl_remote *remote = queue->device->remote;

	rsl_mb(remote);
	if (rsl_load16(queue->used + RSL_RING_FLAGS) & RSL_USED_NO_NOTIFY)
		return;
	if (!rsl_virtio_modern(queue->device))
		rsl_virtio_write(queue->device, RSL_QUEUE_NOTIFY, queue->index);
	rsl_remote_ring(remote, queue->notify_vector);
}

static inline int rsl_virtq_break(struct rsl_virtq *queue)
{
	queue->device->broken = true;
	return RSL_LOST;
}

/* Put the descriptors of a chain back to the free ones. */
static inline void rsl_virtq_free(struct rsl_virtq *queue, uint16_t head)
{
	uint16_t n, last = head;

	for (n = 1; n < queue->pieces[head]; n++)
		last = queue->next[last];
	queue->next[last] = queue->first;
	queue->first = head;
	queue->free = (uint16_t)(queue->free + queue->pieces[head]);
	queue->token[head] = NULL;
	queue->chains--;
}

static inline int rsl_virtq_get(struct rsl_virtq *queue, void **token, uint32_t *written)
{
	uint16_t waiting;
	uint32_t id, size;
	const volatile uint8_t *entry;

	waiting = (uint16_t)(rsl_load16(queue->used + RSL_RING_INDEX) - queue->seen);
	if (!waiting)
		return rsl_virtio_lost(queue->device) ? RSL_LOST : RSL_AGAIN;
	if (waiting > queue->chains || queue->device->broken)
		return rsl_virtq_break(queue);
	rsl_rmb(queue->device->remote);
	entry = queue->used + RSL_RING_ENTRIES + 8 * (queue->seen & (queue->size - 1));
	id = rsl_load32(entry);
	size = rsl_load32(entry + 4);
	if (id >= queue->count || !queue->token[id])
		return rsl_virtq_break(queue);
	queue->seen++;
	*token = queue->token[id];
	/* Legacy devices count bytes that they have read, too. */
	*written = rsl_least(size, queue->room[id]);
	rsl_virtq_free(queue, (uint16_t)id);
	return 0;
}

static inline bool rsl_virtq_interrupts(struct rsl_virtq *queue, bool wanted)
{
	rsl_store16(queue->available + RSL_RING_FLAGS, wanted ? 0 : RSL_AVAIL_NO_INTERRUPT);
	rsl_mb(queue->device->remote);
	return rsl_load16(queue->used + RSL_RING_INDEX) != queue->seen;
}

/* ---- Buffers for a direction ---- */

#define RSL_CACHE_LINE		64

/* A queue whose buffers are chains of one piece, or of two with a header. */
static inline int rsl_buffers_queue(struct rsl_buffers *buffers, struct rsl_virtio *device,
				    unsigned int index, uint32_t head)
{
	uint32_t size = 1;
	int rc;

	while (size < 2 * RSL_BUFFERS && size < RSL_VIRTQ_MAX)
		size *= 2;
	rc = rsl_virtq_setup(&buffers->queue, device, index, size);
	if (rc)
		return rc;
	buffers->head = head;
	buffers->body = head ? (head + 15) & ~15U : 0;
	buffers->spares = 0;
	buffers->starved = false;
	return buffers->queue.count < RSL_BUFFERS * (head ? 2U : 1U) ? RSL_REFUSED : 0;
}

static inline int rsl_buffers_alloc(struct rsl_buffers *buffers, uint32_t size)
{
	unsigned int n;

	buffers->size = size;
	buffers->memory = rsl_virtio_alloc(buffers->queue.device, RSL_BUFFERS * size,
					   RSL_CACHE_LINE);
	for (n = 0; n < RSL_BUFFERS; n++)
		buffers->spare[n] = (uint8_t)n;
	buffers->spares = RSL_BUFFERS;
	return buffers->memory ? 0 : RSL_FULL;
}

/* Both directions: queue 0 receives, queue 1 sends; buffers of @least to @most bytes. */
static inline int rsl_buffers_begin(struct rsl_buffers *receive, struct rsl_buffers *send,
				    struct rsl_virtio *device, uint32_t head, uint32_t least,
				    uint32_t most)
{
	uint32_t size;
	int rc = rsl_buffers_queue(receive, device, 0, head);

	if (!rc)
		rc = rsl_buffers_queue(send, device, 1, head);
	if (rc)
		return rc;
	size = rsl_virtio_room(device, RSL_CACHE_LINE) / (2 * RSL_BUFFERS);
	size = rsl_least(size, most) & ~(RSL_CACHE_LINE - 1U);
	if (size < least)
		return RSL_FULL;
	rc = rsl_buffers_alloc(receive, size);
	if (!rc)
		rc = rsl_buffers_alloc(send, size);
	if (rc)
		return rc;
	rsl_virtq_interrupts(&send->queue, false);
	return rsl_virtio_start(device);
}

static inline volatile uint8_t *rsl_buffers_at(const struct rsl_buffers *buffers, unsigned int n)
{
	return buffers->memory + n * buffers->size;
}

/* Give a buffer to the device; @size bytes of it, with the header. */
static inline int rsl_buffers_give(struct rsl_buffers *buffers, unsigned int n, uint32_t size,
				   bool writable)
{
	struct rsl_virtq_piece pieces[2];
	unsigned int count = 0;
	int rc;

	pieces[0].data = rsl_buffers_at(buffers, n);
	pieces[0].size = buffers->head;
	if (buffers->head) {
		count++;
		size -= buffers->head;
	}
	pieces[count].data = rsl_buffers_at(buffers, n) + buffers->body;
	pieces[count].size = size;
	count++;
	rc = rsl_virtq_add(&buffers->queue, pieces, writable ? 0 : count, writable ? count : 0,
			   (void *)&buffers->spare[n]);
	return rc ? rsl_virtq_break(&buffers->queue) : 0;
}

/* Give a buffer to be written by the device. */
static inline int rsl_buffers_offer(struct rsl_buffers *buffers, unsigned int n)
{
	return rsl_buffers_give(buffers, n, buffers->size - buffers->body + buffers->head, true);
}

/* Offer all of them. */
static inline int rsl_buffers_fill(struct rsl_buffers *buffers)
{
	int rc = 0;

	while (!rc && buffers->spares)
		rc = rsl_buffers_offer(buffers, buffers->spare[--buffers->spares]);
	rsl_virtq_notify(&buffers->queue);
	return rc;
}

/* The number of a buffer that came back, with how much was written. */
static inline int rsl_buffers_get(struct rsl_buffers *buffers, unsigned int *n, uint32_t *written)
{
	void *token;
	int rc = rsl_virtq_get(&buffers->queue, &token, written);

	if (!rc)
		*n = (unsigned int)((uint8_t *)token - buffers->spare);
	return rc;
}

/* Take back what was sent. */
static inline int rsl_buffers_reclaim(struct rsl_buffers *buffers)
{
	unsigned int n;
	uint32_t written;
	int rc;

	while (!(rc = rsl_buffers_get(buffers, &n, &written)))
		buffers->spare[buffers->spares++] = (uint8_t)n;
	return rc == RSL_AGAIN ? 0 : rc;
}

/*
 * Take a buffer to send, and leave @reserve ones. Kicks for buffers that were sent are wanted
 * as long as somebody waits for one only.
 */
static inline int rsl_buffers_take(struct rsl_buffers *buffers, unsigned int reserve,
				   unsigned int *n)
{
	int rc = 0;

	if (buffers->spares <= reserve) {
		rc = rsl_buffers_reclaim(buffers);
		if (!rc && buffers->spares <= reserve && !buffers->starved) {
			buffers->starved = true;
			if (rsl_virtq_interrupts(&buffers->queue, true))
				rc = rsl_buffers_reclaim(buffers);
		}
	}
	if (rc)
		return rc;
	if (buffers->spares <= reserve)
		return RSL_AGAIN;
	if (buffers->starved) {
		buffers->starved = false;
		rsl_virtq_interrupts(&buffers->queue, false);
	}
	*n = buffers->spare[--buffers->spares];
	return 0;
}

/* ---- vsock (section 5.10.6) ---- */

#define RSL_VSOCK_HEADER	44
#define RSL_VSOCK_MOST		65536	/* bytes in a packet, as Linux has them */

#define RSL_VSOCK_STREAM	1
#define RSL_VSOCK_OP_FORGET	0	/* no operation: the reset that goes before a request */
#define RSL_VSOCK_OP_REQUEST	1
#define RSL_VSOCK_OP_RESPONSE	2
#define RSL_VSOCK_OP_RST	3
#define RSL_VSOCK_OP_SHUTDOWN	4
#define RSL_VSOCK_OP_RW		5
#define RSL_VSOCK_OP_CREDIT	6
#define RSL_VSOCK_OP_ASK	7	/* for credit */

#define RSL_VSOCK_NO_RECEIVE	1
#define RSL_VSOCK_NO_SEND	2
#define RSL_VSOCK_NEITHER	3

#define RSL_VSOCK_FIRST_PORT	1024
#define RSL_VSOCK_ANY_PORT	0xffffffff

/* A packet's header. */
struct rsl_vsock_packet {
	uint64_t from;
	uint64_t to;
	uint32_t from_port;
	uint32_t to_port;
	uint32_t size;
	uint32_t type;
	uint32_t op;
	uint32_t flags;
	uint32_t room;
	uint32_t taken;
};

static inline void rsl_vsock_read_header(struct rsl_vsock_packet *packet,
					 const volatile uint8_t *at)
{
	uint32_t word = rsl_load32(at + 28);

	packet->from = rsl_load32(at) | (uint64_t)rsl_load32(at + 4) << 32;
	packet->to = rsl_load32(at + 8) | (uint64_t)rsl_load32(at + 12) << 32;
	packet->from_port = rsl_load32(at + 16);
	packet->to_port = rsl_load32(at + 20);
	packet->size = rsl_load32(at + 24);
	packet->type = word & 0xffff;
	packet->op = word >> 16;
	packet->flags = rsl_load32(at + 32);
	packet->room = rsl_load32(at + 36);
	packet->taken = rsl_load32(at + 40);
}

static inline void rsl_vsock_write_header(volatile uint8_t *at,
					  const struct rsl_vsock_packet *packet)
{
	rsl_store64(at, packet->from);
	rsl_store64(at + 8, packet->to);
	rsl_store32(at + 16, packet->from_port);
	rsl_store32(at + 20, packet->to_port);
	rsl_store32(at + 24, packet->size);
	rsl_store32(at + 28, packet->type | packet->op << 16);
	rsl_store32(at + 32, packet->flags);
	rsl_store32(at + 36, packet->room);
	rsl_store32(at + 40, packet->taken);
}

/* Give the device a packet in a buffer that was taken. Every packet tells the credit. */
static inline int rsl_vsock_give(struct rsl_vsock_conn *conn, unsigned int n, uint32_t op,
				 uint32_t flags, uint32_t size)
{
	struct rsl_vsock *vsock = conn->vsock;
	struct rsl_vsock_packet packet;

	packet.from = vsock->cid;
	packet.to = conn->peer;
	packet.from_port = conn->port;
	packet.to_port = conn->peer_port;
	packet.size = size;
	packet.type = RSL_VSOCK_STREAM;
	packet.op = op;
	packet.flags = flags;
	packet.room = vsock->bytes;
	packet.taken = conn->taken;
	conn->told = conn->taken;
	conn->owed &= ~(1U << RSL_VSOCK_OP_CREDIT);
	rsl_vsock_write_header(rsl_buffers_at(&vsock->send, n), &packet);
	return rsl_buffers_give(&vsock->send, n, RSL_VSOCK_HEADER + size, false);
}

/* Send what a connection owes, as far as there is room, in the order of the operations. */
static inline int rsl_vsock_pay(struct rsl_vsock_conn *conn)
{
	static const uint8_t order[] = { RSL_VSOCK_OP_RST, RSL_VSOCK_OP_FORGET,
					 RSL_VSOCK_OP_REQUEST, RSL_VSOCK_OP_RESPONSE,
					 RSL_VSOCK_OP_CREDIT, RSL_VSOCK_OP_ASK,
					 RSL_VSOCK_OP_SHUTDOWN };
	unsigned int n, buffer;
	uint32_t op;
	int rc;

	/* A reset makes all else pointless. */
	if (conn->owed & 1U << RSL_VSOCK_OP_RST)
		conn->owed = 1U << RSL_VSOCK_OP_RST;
	for (n = 0; n < sizeof(order); n++) {
		op = order[n];
		if (!(conn->owed & 1U << op))
			continue;
		rc = rsl_buffers_take(&conn->vsock->send, 0, &buffer);
		if (rc)
			return rc;
		rc = rsl_vsock_give(conn, buffer,
				    op == RSL_VSOCK_OP_FORGET ? RSL_VSOCK_OP_RST : op,
				    op == RSL_VSOCK_OP_SHUTDOWN ? conn->own_shutdown : 0, 0);
		if (rc)
			return rc;
		conn->owed &= ~(1U << op);
		if (op == RSL_VSOCK_OP_RST && conn->state == RSL_VSOCK_CLOSING)
			conn->state = RSL_VSOCK_FREE;
	}
	return 0;
}

/* The same for all connections. */
static inline int rsl_vsock_pay_all(struct rsl_vsock *vsock)
{
	uint16_t before = vsock->send.queue.avail;
	unsigned int n;
	int rc = 0;

	if (!vsock->owing)
		return 0;
	vsock->owing = false;
	for (n = 0; n < vsock->count && !rc; n++)
		if (vsock->table[n].owed)
			rc = rsl_vsock_pay(&vsock->table[n]);
	if (vsock->send.queue.avail != before)
		rsl_virtq_notify(&vsock->send.queue);
	if (rc)
		vsock->owing = true;
	return rc == RSL_AGAIN ? 0 : rc;
}

static inline void rsl_vsock_owe(struct rsl_vsock_conn *conn, uint32_t op)
{
	conn->owed |= 1U << op;
	conn->vsock->owing = true;
}

/*
 * Answer a packet that belongs to no connection. Without a buffer for it the peer finds out by its
 * timeout.
 */
static inline int rsl_vsock_refuse(struct rsl_vsock *vsock, const struct rsl_vsock_packet *packet)
{
	struct rsl_vsock_packet reply;
	unsigned int n;
	int rc;

	if (packet->op == RSL_VSOCK_OP_RST)
		return 0;
	rc = rsl_buffers_take(&vsock->send, 0, &n);
	if (rc)
		return rc == RSL_AGAIN ? 0 : rc;
	reply.from = packet->to;
	reply.to = packet->from;
	reply.from_port = packet->to_port;
	reply.to_port = packet->from_port;
	reply.size = 0;
	reply.type = packet->type;
	reply.op = RSL_VSOCK_OP_RST;
	reply.flags = reply.room = reply.taken = 0;
	rsl_vsock_write_header(rsl_buffers_at(&vsock->send, n), &reply);
	rc = rsl_buffers_give(&vsock->send, n, RSL_VSOCK_HEADER, false);
	rsl_virtq_notify(&vsock->send.queue);
	return rc;
}

/* An entry of the table to make a connection of; NULL if it is full. */
static inline struct rsl_vsock_conn *rsl_vsock_new(struct rsl_vsock *vsock,
						   enum rsl_vsock_state state)
{
	struct rsl_vsock_conn *conn = NULL;
	unsigned int n;

	for (n = 0; n < vsock->count; n++) {
		if (vsock->table[n].state == RSL_VSOCK_FREE) {
			conn = &vsock->table[n];
			break;
		}
		/* Closed, and only the peer's last word is missing. */
		if (vsock->table[n].state == RSL_VSOCK_CLOSING && !vsock->table[n].owed)
			conn = &vsock->table[n];
	}
	if (!conn)
		return NULL;
	conn->state = state;
	conn->accepted = state != RSL_VSOCK_OPEN;
	conn->peer = 0;
	conn->peer_port = conn->port = 0;
	conn->held = conn->at = conn->owed = 0;
	conn->peer_shutdown = conn->own_shutdown = 0;
	conn->peer_room = conn->peer_taken = conn->sent = 0;
	conn->taken = conn->told = 0;
	conn->asked = false;
	return conn;
}

/* The connection that a packet is for. */
static inline struct rsl_vsock_conn *rsl_vsock_of(struct rsl_vsock *vsock,
						  const struct rsl_vsock_packet *packet)
{
	struct rsl_vsock_conn *conn;
	unsigned int n;

	for (n = 0; n < vsock->count; n++) {
		conn = &vsock->table[n];
		if (conn->peer_port == packet->from_port && conn->port == packet->to_port &&
		    conn->peer == packet->from && conn->state >= RSL_VSOCK_CONNECTING &&
		    conn->state <= RSL_VSOCK_CLOSING)
			return conn;
	}
	return NULL;
}

static inline struct rsl_vsock_conn *rsl_vsock_listener(struct rsl_vsock *vsock, uint32_t port)
{
	unsigned int n;

	for (n = 0; n < vsock->count; n++)
		if (vsock->table[n].state == RSL_VSOCK_LISTENING && vsock->table[n].port == port)
			return &vsock->table[n];
	return NULL;
}

/* A peer connects: answered before anybody accepts, as Linux does. */
static inline int rsl_vsock_requested(struct rsl_vsock *vsock,
				      const struct rsl_vsock_packet *packet)
{
	struct rsl_vsock_conn *conn = NULL;

	if (rsl_vsock_listener(vsock, packet->to_port))
		conn = rsl_vsock_new(vsock, RSL_VSOCK_OPEN);
	if (!conn)
		return rsl_vsock_refuse(vsock, packet);
	conn->peer = packet->from;
	conn->peer_port = packet->from_port;
	conn->port = packet->to_port;
	conn->peer_room = packet->room;
	conn->peer_taken = packet->taken;
	rsl_vsock_owe(conn, RSL_VSOCK_OP_RESPONSE);
	return 0;
}

/* The connection is over; the caller may still take what was received. */
static inline void rsl_vsock_over(struct rsl_vsock_conn *conn, bool reset)
{
	/* One that the caller has closed is free once the reset is sent. */
	if (conn->state != RSL_VSOCK_CLOSING)
		conn->state = RSL_VSOCK_ENDED;
	else if (!reset)
		conn->state = RSL_VSOCK_FREE;
	conn->owed = 0;
	if (reset)
		rsl_vsock_owe(conn, RSL_VSOCK_OP_RST);
}

/* A peer that neither sends nor receives waits for a reset, once its bytes are taken. */
static inline void rsl_vsock_end_if_done(struct rsl_vsock_conn *conn)
{
	if (conn->peer_shutdown == RSL_VSOCK_NEITHER &&
	    (conn->state == RSL_VSOCK_CLOSING || (conn->state == RSL_VSOCK_OPEN && !conn->held)))
		rsl_vsock_over(conn, true);
}

/* Hold the bytes of a packet. The peer knows how many it may send. */
static inline void rsl_vsock_hold(struct rsl_vsock_conn *conn, const volatile uint8_t *data,
				  uint32_t size)
{
	uint32_t bytes = conn->vsock->bytes, at, first;

	if (conn->state == RSL_VSOCK_CLOSING)
		return;
	if (size > bytes - conn->held) {
		rsl_vsock_over(conn, true);
		return;
	}
	at = conn->at + conn->held;
	at = at >= bytes ? at - bytes : at;
	first = rsl_least(size, bytes - at);
	rsl_copy_out(conn->buffer + at, data, first);
	rsl_copy_out(conn->buffer, data + first, size - first);
	conn->held += size;
}

/* A packet for a connection that is there. */
static inline void rsl_vsock_handle(struct rsl_vsock_conn *conn,
				    const struct rsl_vsock_packet *packet,
				    const volatile uint8_t *data)
{
	conn->peer_room = packet->room;
	conn->peer_taken = packet->taken;
	conn->asked = false;
	if (packet->op == RSL_VSOCK_OP_RST) {
		rsl_vsock_over(conn, false);
	} else if (conn->state == RSL_VSOCK_CONNECTING) {
		if (packet->op == RSL_VSOCK_OP_RESPONSE)
			conn->state = RSL_VSOCK_OPEN;
		else
			rsl_vsock_over(conn, true);
	} else if (packet->op == RSL_VSOCK_OP_RW) {
		rsl_vsock_hold(conn, data, packet->size);
	} else if (packet->op == RSL_VSOCK_OP_SHUTDOWN) {
		conn->peer_shutdown |= packet->flags & RSL_VSOCK_NEITHER;
		rsl_vsock_end_if_done(conn);
	} else if (packet->op == RSL_VSOCK_OP_ASK) {
		rsl_vsock_owe(conn, RSL_VSOCK_OP_CREDIT);
	} else if (packet->op != RSL_VSOCK_OP_CREDIT) {
		/* Among them a request of a peer that has forgotten this connection. */
		rsl_vsock_over(conn, true);
	}
}

/* A buffer with a packet, of which @written bytes are the device's. */
static inline int rsl_vsock_take(struct rsl_vsock *vsock, const volatile uint8_t *at,
				 uint32_t written)
{
	struct rsl_vsock_packet packet;
	struct rsl_vsock_conn *conn;

	if (written < RSL_VSOCK_HEADER)
		return 0;
	rsl_vsock_read_header(&packet, at);
	if (packet.size > written - RSL_VSOCK_HEADER || packet.to != vsock->cid)
		return 0;
	conn = rsl_vsock_of(vsock, &packet);
	if (packet.type != RSL_VSOCK_STREAM)
		return rsl_vsock_refuse(vsock, &packet);
	if (conn)
		rsl_vsock_handle(conn, &packet, at + RSL_VSOCK_HEADER);
	else if (packet.op == RSL_VSOCK_OP_REQUEST)
		return rsl_vsock_requested(vsock, &packet);
	else
		return rsl_vsock_refuse(vsock, &packet);
	return 0;
}

static inline int rsl_vsock_begin(struct rsl_vsock *vsock, struct rsl_virtio *device,
				  struct rsl_vsock_conn *table, unsigned int count, void *buffers,
				  uint32_t bytes)
{
	unsigned int n;
	uint64_t taken;
	uint8_t cid[8];
	int rc;

	if (!bytes || bytes > 1U << 30)
		return RSL_INVALID;
	vsock->device = device;
	vsock->table = table;
	vsock->count = count;
	vsock->bytes = bytes;
	vsock->next_port = RSL_VSOCK_FIRST_PORT;
	vsock->owing = false;
	for (n = 0; n < count; n++) {
		table[n].vsock = vsock;
		table[n].state = RSL_VSOCK_FREE;
		table[n].port = table[n].owed = 0;
		table[n].buffer = (uint8_t *)buffers + (size_t)n * bytes;
	}
	rc = rsl_virtio_reset(device);
	if (!rc)
		rc = rsl_virtio_negotiate(device, 0, &taken);
	if (!rc)
		rc = rsl_virtio_config(device, 0, cid, sizeof(cid));
	if (!rc)
		rc = rsl_buffers_begin(&vsock->receive, &vsock->send, device, 0,
				       2 * RSL_CACHE_LINE, RSL_VSOCK_MOST + RSL_CACHE_LINE);
	if (rc)
		return rc;
	vsock->cid = rsl_bytes64(cid);
	return rsl_buffers_fill(&vsock->receive);
}

static inline int rsl_vsock_poll(struct rsl_vsock *vsock)
{
	struct rsl_buffers *receive = &vsock->receive;
	uint16_t before = receive->queue.avail;
	uint32_t written;
	unsigned int n;
	int rc = rsl_vsock_pay_all(vsock);

	/*
	 * Also without a buffer for an answer (virtio 1.2, 5.10.6.1.1): the device may take no
	 * packet until it has received its own answers.
	 */
	while (!rc) {
		rc = rsl_buffers_get(receive, &n, &written);
		if (rc)
			break;
		rc = rsl_vsock_take(vsock, rsl_buffers_at(receive, n), written);
		if (!rc)
			rc = rsl_buffers_offer(receive, n);
		if (!rc)
			rc = rsl_vsock_pay_all(vsock);
	}
	if (receive->queue.avail != before)
		rsl_virtq_notify(&receive->queue);
	if (rc == RSL_AGAIN)
		rc = rsl_virtio_lost(vsock->device) ? RSL_LOST : 0;
	return rc;
}

static inline struct rsl_vsock_conn *rsl_vsock_listen(struct rsl_vsock *vsock, uint32_t port)
{
	struct rsl_vsock_conn *listener = NULL;

	if (port != RSL_VSOCK_ANY_PORT && !rsl_vsock_listener(vsock, port))
		listener = rsl_vsock_new(vsock, RSL_VSOCK_LISTENING);
	if (listener)
		listener->port = port;
	return listener;
}

static inline struct rsl_vsock_conn *rsl_vsock_accept(struct rsl_vsock_conn *listener)
{
	struct rsl_vsock *vsock = listener->vsock;
	struct rsl_vsock_conn *conn;
	unsigned int n;

	if (listener->state != RSL_VSOCK_LISTENING || rsl_vsock_poll(vsock))
		return NULL;
	for (n = 0; n < vsock->count; n++) {
		conn = &vsock->table[n];
		if (conn->port == listener->port && !conn->accepted &&
		    (conn->state == RSL_VSOCK_OPEN || conn->state == RSL_VSOCK_ENDED)) {
			conn->accepted = true;
			return conn;
		}
	}
	return NULL;
}

/* A port that no entry of the table has: there are more ports than entries. */
static inline uint32_t rsl_vsock_free_port(struct rsl_vsock *vsock)
{
	unsigned int n = 0;
	uint32_t port = vsock->next_port;

	while (n < vsock->count) {
		if (port < RSL_VSOCK_FIRST_PORT || port == RSL_VSOCK_ANY_PORT)
			port = RSL_VSOCK_FIRST_PORT;
		for (n = 0; n < vsock->count; n++)
			if (vsock->table[n].state != RSL_VSOCK_FREE && vsock->table[n].port == port)
				break;
		port += n < vsock->count;
	}
	vsock->next_port = port + 1;
	return port;
}

static inline struct rsl_vsock_conn *rsl_vsock_connect(struct rsl_vsock *vsock, uint64_t cid,
						       uint32_t port)
{
	uint32_t own = rsl_vsock_free_port(vsock);
	struct rsl_vsock_conn *conn = rsl_vsock_new(vsock, RSL_VSOCK_CONNECTING);

	if (!conn)
		return NULL;
	conn->peer = cid;
	conn->peer_port = port;
	conn->port = own;
	/*
	 * The peer may have a connection of these ports since before this remote began anew. It
	 * takes no request for one, and says nothing.
	 */
	rsl_vsock_owe(conn, RSL_VSOCK_OP_FORGET);
	rsl_vsock_owe(conn, RSL_VSOCK_OP_REQUEST);
	(void)rsl_vsock_pay_all(vsock);
	return conn;
}

static inline int rsl_vsock_connected(struct rsl_vsock_conn *conn)
{
	int rc = rsl_vsock_poll(conn->vsock);

	if (rc)
		return rc;
	if (conn->state == RSL_VSOCK_CONNECTING)
		return RSL_AGAIN;
	return conn->state == RSL_VSOCK_OPEN ? 0 : RSL_CLOSED;
}

/* How many bytes the peer has room for. */
static inline uint32_t rsl_vsock_credit(const struct rsl_vsock_conn *conn)
{
	uint32_t under_way = conn->sent - conn->peer_taken;

	return under_way < conn->peer_room ? conn->peer_room - under_way : 0;
}

/* Send one packet of at most @size bytes: how many it has, or what is wrong. */
static inline int rsl_vsock_send_some(struct rsl_vsock_conn *conn, const uint8_t *data,
				      uint32_t size)
{
	struct rsl_vsock *vsock = conn->vsock;
	unsigned int n;
	int rc;

	size = rsl_least(size, rsl_vsock_credit(conn));
	size = rsl_least(size, rsl_least(vsock->send.size - RSL_VSOCK_HEADER, RSL_VSOCK_MOST));
	if (!size) {
		if (!conn->asked)
			rsl_vsock_owe(conn, RSL_VSOCK_OP_ASK);
		conn->asked = true;
		return RSL_AGAIN;
	}
	/* One is left for answers, without which nothing is received. */
	rc = rsl_buffers_take(&vsock->send, 1, &n);
	if (rc)
		return rc;
	rsl_copy_in(rsl_buffers_at(&vsock->send, n) + RSL_VSOCK_HEADER, data, size);
	conn->sent += size;
	rc = rsl_vsock_give(conn, n, RSL_VSOCK_OP_RW, 0, size);
	return rc ? rc : (int)size;
}

static inline int rsl_vsock_send(struct rsl_vsock_conn *conn, const void *data, uint32_t size)
{
	struct rsl_vsock *vsock = conn->vsock;
	uint32_t done = 0;
	int rc = rsl_vsock_poll(vsock);

	if (rc)
		return rc;
	if (conn->state == RSL_VSOCK_CONNECTING ||
	    conn->owed & (1U << RSL_VSOCK_OP_REQUEST | 1U << RSL_VSOCK_OP_RESPONSE))
		return RSL_AGAIN;
	if (conn->state != RSL_VSOCK_OPEN || conn->own_shutdown & RSL_VSOCK_NO_SEND ||
	    conn->peer_shutdown & RSL_VSOCK_NO_RECEIVE)
		return RSL_CLOSED;
	size = rsl_least(size, 1U << 30);
	while (done < size) {
		rc = rsl_vsock_send_some(conn, (const uint8_t *)data + done, size - done);
		if (rc < 0)
			break;
		done += (uint32_t)rc;
	}
	if (done)
		rsl_virtq_notify(&vsock->send.queue);
	if (rc == RSL_AGAIN && rsl_vsock_pay_all(vsock) == RSL_LOST)
		rc = RSL_LOST;
	return done && rc != RSL_LOST ? (int)done : rc;
}

static inline int rsl_vsock_receive(struct rsl_vsock_conn *conn, void *data, uint32_t size)
{
	struct rsl_vsock *vsock = conn->vsock;
	uint32_t first;
	int rc = rsl_vsock_poll(vsock);

	if (rc)
		return rc;
	if (conn->state != RSL_VSOCK_OPEN && conn->state != RSL_VSOCK_ENDED)
		return conn->state == RSL_VSOCK_CONNECTING ? RSL_AGAIN : RSL_CLOSED;
	if (!conn->held && size)
		return conn->state == RSL_VSOCK_ENDED || conn->peer_shutdown & RSL_VSOCK_NO_SEND ?
			       RSL_CLOSED : RSL_AGAIN;
	size = rsl_least(size, conn->held);
	first = rsl_least(size, vsock->bytes - conn->at);
	rsl_copy_out((uint8_t *)data, conn->buffer + conn->at, first);
	rsl_copy_out((uint8_t *)data + first, conn->buffer, size - first);
	conn->at += size;
	if (conn->at >= vsock->bytes)
		conn->at -= vsock->bytes;
	conn->held -= size;
	conn->taken += size;
	rsl_vsock_end_if_done(conn);
	/* Before the peer stops for want of credit. */
	if (conn->state == RSL_VSOCK_OPEN && conn->taken != conn->told &&
	    conn->taken - conn->told >= vsock->bytes / 2)
		rsl_vsock_owe(conn, RSL_VSOCK_OP_CREDIT);
	return rsl_vsock_pay_all(vsock) == RSL_LOST ? RSL_LOST : (int)size;
}

static inline void rsl_vsock_shutdown(struct rsl_vsock_conn *conn)
{
	if (conn->state != RSL_VSOCK_OPEN || conn->own_shutdown & RSL_VSOCK_NO_SEND)
		return;
	conn->own_shutdown |= RSL_VSOCK_NO_SEND;
	rsl_vsock_owe(conn, RSL_VSOCK_OP_SHUTDOWN);
	(void)rsl_vsock_pay_all(conn->vsock);
}

/* Give one connection back; the caller has it pay. */
static inline void rsl_vsock_let_go(struct rsl_vsock_conn *conn)
{
	enum rsl_vsock_state state = conn->state;
	bool unsent = conn->owed & 1U << RSL_VSOCK_OP_REQUEST;

	conn->state = RSL_VSOCK_CLOSING;
	conn->held = 0;
	if (state == RSL_VSOCK_OPEN) {
		conn->own_shutdown = RSL_VSOCK_NEITHER;
		rsl_vsock_owe(conn, RSL_VSOCK_OP_SHUTDOWN);
		rsl_vsock_end_if_done(conn);
	} else if (state == RSL_VSOCK_CONNECTING && !unsent) {
		rsl_vsock_over(conn, true);
	} else if (state != RSL_VSOCK_CLOSING && !(conn->owed & 1U << RSL_VSOCK_OP_RST)) {
		conn->state = RSL_VSOCK_FREE;
		conn->owed = 0;
	}
}

static inline void rsl_vsock_close(struct rsl_vsock_conn *conn)
{
	struct rsl_vsock *vsock = conn->vsock;
	enum rsl_vsock_state state = conn->state;
	unsigned int n;

	rsl_vsock_let_go(conn);
	for (n = 0; n < vsock->count && state == RSL_VSOCK_LISTENING; n++)
		if (vsock->table[n].port == conn->port && !vsock->table[n].accepted &&
		    (vsock->table[n].state == RSL_VSOCK_OPEN ||
		     vsock->table[n].state == RSL_VSOCK_ENDED))
			rsl_vsock_let_go(&vsock->table[n]);
	(void)rsl_vsock_pay_all(vsock);
}

/* ---- console ---- */

static inline int rsl_console_begin(struct rsl_console *console, struct rsl_virtio *device)
{
	uint64_t taken;
	int rc = rsl_virtio_reset(device);

	console->device = device;
	console->left = 0;
	if (!rc)
		rc = rsl_virtio_negotiate(device, 0, &taken);
	if (!rc)
		rc = rsl_buffers_begin(&console->receive, &console->send, device, 0, RSL_CACHE_LINE,
				       RSL_PAGE);
	return rc ? rc : rsl_buffers_fill(&console->receive);
}

static inline int rsl_console_read(struct rsl_console *console, void *data, uint32_t size)
{
	struct rsl_buffers *receive = &console->receive;
	uint16_t before = receive->queue.avail;
	int rc = 0;

	if (!size)
		return 0;
	while (!rc && !console->left) {
		rc = rsl_buffers_get(receive, &console->current, &console->left);
		console->at = 0;
		if (!rc && !console->left)
			rc = rsl_buffers_offer(receive, console->current);
	}
	if (!rc) {
		size = rsl_least(size, console->left);
		rsl_copy_out((uint8_t *)data,
			     rsl_buffers_at(receive, console->current) + console->at, size);
		console->at += size;
		console->left -= size;
		if (!console->left)
			rc = rsl_buffers_offer(receive, console->current);
	}
	if (receive->queue.avail != before)
		rsl_virtq_notify(&receive->queue);
	return rc ? rc : (int)size;
}

static inline int rsl_console_write(struct rsl_console *console, const void *data, uint32_t size)
{
	struct rsl_buffers *send = &console->send;
	uint32_t done = 0, part;
	unsigned int n;
	int rc = 0;

	if (rsl_virtio_lost(console->device))
		return RSL_LOST;
	size = rsl_least(size, 1U << 30);
	while (!rc && done < size) {
		rc = rsl_buffers_take(send, 0, &n);
		if (rc)
			break;
		part = rsl_least(size - done, send->size);
		rsl_copy_in(rsl_buffers_at(send, n), (const uint8_t *)data + done, part);
		rc = rsl_buffers_give(send, n, part, false);
		done += part;
	}
	if (done)
		rsl_virtq_notify(&send->queue);
	return done && rc != RSL_LOST ? (int)done : rc;
}

/* ---- rng ---- */

static inline int rsl_rng_begin(struct rsl_rng *rng, struct rsl_virtio *device)
{
	uint64_t taken;
	int rc = rsl_virtio_reset(device);

	rng->device = device;
	rng->left = 0;
	rng->asked = false;
	if (!rc)
		rc = rsl_virtio_negotiate(device, 0, &taken);
	if (!rc)
		rc = rsl_virtq_setup(&rng->queue, device, 0, 2);
	if (rc)
		return rc;
	rng->size = rsl_least(rsl_virtio_room(device, RSL_CACHE_LINE), 256);
	rng->buffer = rsl_virtio_alloc(device, rng->size, RSL_CACHE_LINE);
	if (!rng->buffer || !rng->size)
		return RSL_FULL;
	return rsl_virtio_start(device);
}

static inline int rsl_rng_read(struct rsl_rng *rng, void *data, uint32_t size)
{
	struct rsl_virtq_piece piece;
	void *token;
	int rc;

	if (!size)
		return 0;
	if (!rng->left && rng->asked) {
		rc = rsl_virtq_get(&rng->queue, &token, &rng->left);
		if (rc)
			return rc;
		rng->asked = false;
		rng->at = 0;
	}
	if (!rng->left) {
		piece.data = rng->buffer;
		piece.size = rng->size;
		rc = rsl_virtq_add(&rng->queue, &piece, 0, 1, rng);
		if (rc)
			return rsl_virtq_break(&rng->queue);
		rng->asked = true;
		rsl_virtq_notify(&rng->queue);
		return rsl_virtio_lost(rng->device) ? RSL_LOST : RSL_AGAIN;
	}
	size = rsl_least(size, rng->left);
	rsl_copy_out((uint8_t *)data, rng->buffer + rng->at, size);
	rng->at += size;
	rng->left -= size;
	return (int)size;
}

/* ---- net ---- */

#define RSL_NET_F_MAC		((uint64_t)1 << 5)
#define RSL_NET_F_MRG_RXBUF	((uint64_t)1 << 15)
#define RSL_NET_FRAME		1514
#define RSL_NET_NUM_BUFFERS	10	/* offset in the header */
#define RSL_NET_BUFFER		2048

static inline int rsl_net_begin(struct rsl_net *net, struct rsl_virtio *device)
{
	uint64_t taken = 0;
	unsigned int n;
	int rc = rsl_virtio_reset(device);

	net->device = device;
	net->skip = 0;
	if (!rc)
		rc = rsl_virtio_negotiate(device, RSL_NET_F_MAC | RSL_NET_F_MRG_RXBUF, &taken);
	if (rc)
		return rc;
	net->header = taken & (RSL_NET_F_MRG_RXBUF | RSL_F_VERSION_1) ? 12 : 10;
	if (taken & RSL_NET_F_MAC)
		rc = rsl_virtio_config(device, 0, net->mac, sizeof(net->mac));
	for (n = 0; n < sizeof(net->mac) && !(taken & RSL_NET_F_MAC); n++) {
		net->mac[n] = 0;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	if (!rc)
		rc = rsl_buffers_begin(&net->receive, &net->send, device, net->header,
				       16 + RSL_NET_FRAME, RSL_NET_BUFFER);
	return rc ? rc : rsl_buffers_fill(&net->receive);
}

static inline int rsl_net_send(struct rsl_net *net, const void *frame, uint32_t size)
{
	struct rsl_buffers *send = &net->send;
	volatile uint8_t *at;
	unsigned int n;
	uint32_t word;
	int rc;

	if (!size || size > send->size - send->body)
		return RSL_INVALID;
	if (rsl_virtio_lost(net->device))
		return RSL_LOST;
	rc = rsl_buffers_take(send, 0, &n);
	if (rc)
		return rc;
	at = rsl_buffers_at(send, n);
	for (word = 0; word < 12; word += 4)
		rsl_store32(at + word, 0);
	rsl_copy_in(at + send->body, (const uint8_t *)frame, size);
	rc = rsl_buffers_give(send, n, net->header + size, false);
	rsl_virtq_notify(&send->queue);
	return rc;
}

/* The length of the frame in a buffer, 0 if it is to be dropped. */
static inline uint32_t rsl_net_length(struct rsl_net *net, unsigned int n, uint32_t written,
				      uint32_t room)
{
	const volatile uint8_t *at = rsl_buffers_at(&net->receive, n);
	uint32_t buffers = 1;

	if (net->skip) {
		net->skip--;
		return 0;
	}
	if (net->device->features & RSL_NET_F_MRG_RXBUF)
		buffers = rsl_load16(at + RSL_NET_NUM_BUFFERS);
	if (buffers > 1)
		net->skip = buffers - 1;
	if (buffers != 1 || written <= net->header || written - net->header > room)
		return 0;
	return written - net->header;
}

static inline int rsl_net_receive(struct rsl_net *net, void *frame, uint32_t size)
{
	struct rsl_buffers *receive = &net->receive;
	uint16_t before = receive->queue.avail;
	uint32_t written, length = 0;
	unsigned int n;
	int rc = 0;

	while (!rc && !length) {
		rc = rsl_buffers_get(receive, &n, &written);
		if (rc)
			break;
		length = rsl_net_length(net, n, written, size);
		rsl_copy_out((uint8_t *)frame, rsl_buffers_at(receive, n) + receive->body, length);
		rc = rsl_buffers_offer(receive, n);
	}
	if (receive->queue.avail != before)
		rsl_virtq_notify(&receive->queue);
	return rc ? rc : (int)length;
}

/* ---- blk ---- */

#define RSL_BLK_F_RO		((uint64_t)1 << 5)
#define RSL_BLK_F_FLUSH		((uint64_t)1 << 9)
#define RSL_BLK_HEADER		16
#define RSL_BLK_OK		0
#define RSL_BLK_LARGEST		2048	/* sectors: 1 MiB */

static inline int rsl_blk_begin(struct rsl_blk *blk, struct rsl_virtio *device)
{
	uint64_t taken = 0;
	uint8_t capacity[8];
	int rc = rsl_virtio_reset(device);

	blk->device = device;
	blk->busy = false;
	if (!rc)
		rc = rsl_virtio_negotiate(device, RSL_BLK_F_RO | RSL_BLK_F_FLUSH, &taken);
	if (!rc)
		rc = rsl_virtio_config(device, 0, capacity, sizeof(capacity));
	if (!rc)
		rc = rsl_virtq_setup(&blk->queue, device, 0, 4);
	if (rc)
		return rc;
	if (blk->queue.count < 3)
		return RSL_REFUSED;
	blk->capacity = rsl_bytes64(capacity);
	blk->read_only = taken & RSL_BLK_F_RO;
	blk->request = rsl_virtio_alloc(device, RSL_CACHE_LINE, RSL_CACHE_LINE);
	blk->largest = rsl_least(rsl_virtio_room(device, RSL_BLK_SECTOR) / RSL_BLK_SECTOR,
				 RSL_BLK_LARGEST);
	blk->data = rsl_virtio_alloc(device, blk->largest * RSL_BLK_SECTOR, RSL_BLK_SECTOR);
	if (!blk->request || !blk->largest || !blk->data)
		return RSL_FULL;
	return rsl_virtio_start(device);
}

static inline int rsl_blk_start(struct rsl_blk *blk, enum rsl_blk_request kind, uint64_t sector,
				const void *data, uint32_t sectors)
{
	struct rsl_virtq_piece pieces[3];
	unsigned int count = 0;

	if (blk->busy)
		return RSL_AGAIN;
	if (kind == RSL_BLK_FLUSH ? sectors != 0 : !sectors || sectors > blk->largest ||
	    sector > blk->capacity || sectors > blk->capacity - sector)
		return RSL_INVALID;
	if (kind == RSL_BLK_WRITE && blk->read_only)
		return RSL_REFUSED;
	if (rsl_virtio_lost(blk->device))
		return RSL_LOST;
	rsl_store32(blk->request, kind);
	rsl_store32(blk->request + 4, 0);
	rsl_store64(blk->request + 8, sector);
	rsl_store32(blk->request + RSL_BLK_HEADER, 0xff);
	pieces[count].data = blk->request;
	pieces[count++].size = RSL_BLK_HEADER;
	if (sectors) {
		pieces[count].data = blk->data;
		pieces[count++].size = sectors * RSL_BLK_SECTOR;
	}
	pieces[count].data = blk->request + RSL_BLK_HEADER;
	pieces[count++].size = 1;
	if (kind == RSL_BLK_WRITE)
		rsl_copy_in(blk->data, (const uint8_t *)data, sectors * RSL_BLK_SECTOR);
	if (rsl_virtq_add(&blk->queue, pieces, kind == RSL_BLK_READ ? 1 : count - 1,
			  kind == RSL_BLK_READ ? count - 1 : 1, blk))
		return rsl_virtq_break(&blk->queue);
	blk->kind = kind;
	blk->sectors = sectors;
	blk->busy = true;
	rsl_virtq_notify(&blk->queue);
	return 0;
}

static inline int rsl_blk_finish(struct rsl_blk *blk, void *data)
{
	uint32_t written;
	void *token;
	int rc;

	if (!blk->busy)
		return RSL_INVALID;
	rc = rsl_virtq_get(&blk->queue, &token, &written);
	if (rc)
		return rc;
	blk->busy = false;
	if ((rsl_load32(blk->request + RSL_BLK_HEADER) & 0xff) != RSL_BLK_OK)
		return RSL_REFUSED;
	if (blk->kind == RSL_BLK_READ && data)
		rsl_copy_out((uint8_t *)data, blk->data, blk->sectors * RSL_BLK_SECTOR);
	return 0;
}

/* A request of any size, in as many as it takes. */
static inline int rsl_blk_do(struct rsl_blk *blk, enum rsl_blk_request kind, uint64_t sector,
			     uint8_t *in, const uint8_t *out, uint32_t sectors)
{
	uint32_t part;
	uint64_t looks;
	bool patient;
	int rc;

	do {
		part = rsl_least(sectors, blk->largest);
		rc = rsl_blk_start(blk, kind, sector, out, part);
		if (rc)
			return rc;
		for (looks = 0, patient = true; (rc = rsl_blk_finish(blk, in)) == RSL_AGAIN;) {
			if (!patient)
				return RSL_SILENT;
			patient = rsl_remote_patient(blk->device->remote, RSL_REMOTE_WAIT_MS,
						     &looks);
		}
		sector += part;
		sectors -= part;
		in = in ? in + part * RSL_BLK_SECTOR : in;
		out = out ? out + part * RSL_BLK_SECTOR : out;
	} while (!rc && sectors);
	return rc;
}

static inline int rsl_blk_read(struct rsl_blk *blk, uint64_t sector, void *data, uint32_t sectors)
{
	return rsl_blk_do(blk, RSL_BLK_READ, sector, (uint8_t *)data, NULL, sectors);
}

static inline int rsl_blk_write(struct rsl_blk *blk, uint64_t sector, const void *data,
				uint32_t sectors)
{
	return rsl_blk_do(blk, RSL_BLK_WRITE, sector, NULL, (const uint8_t *)data, sectors);
}

static inline int rsl_blk_flush(struct rsl_blk *blk)
{
	/* A device without it writes through. */
	if (!(blk->device->features & RSL_BLK_F_FLUSH))
		return rsl_virtio_lost(blk->device) ? RSL_LOST : 0;
	return rsl_blk_do(blk, RSL_BLK_FLUSH, 0, NULL, NULL, 0);
}

/* ---- fs: FUSE 7 (include/uapi/linux/fuse.h) ---- */

#define RSL_FUSE_LOOKUP		1
#define RSL_FUSE_FORGET		2
#define RSL_FUSE_OPEN		14
#define RSL_FUSE_READ		15
#define RSL_FUSE_RELEASE	18
#define RSL_FUSE_INIT		26
#define RSL_FUSE_OPENDIR	27
#define RSL_FUSE_READDIR	28
#define RSL_FUSE_RELEASEDIR	29

#define RSL_FUSE_IN_HEADER	40
#define RSL_FUSE_OUT_HEADER	16
#define RSL_FUSE_MAJOR		7
#define RSL_FUSE_MINOR		31
#define RSL_FUSE_INIT_OUT	64
#define RSL_FUSE_ENTRY_OUT	128
#define RSL_FUSE_OPEN_OUT	16
#define RSL_FUSE_DIRENT		24

#define RSL_FS_TAG		36	/* bytes of the configuration, then the number of queues */
#define RSL_FS_REQUEST		4096
#define RSL_FS_LARGEST		131072	/* what a session may read at once without more features */

/* Wait for the answer to the request under way, which is @got bytes. */
static inline int rsl_fs_await(struct rsl_fs *fs, uint32_t milliseconds, uint32_t *got)
{
	uint64_t looks = 0;
	bool patient = true;
	void *token;
	int rc;

	while ((rc = rsl_virtq_get(fs->busy, &token, got)) == RSL_AGAIN) {
		if (!patient)
			return milliseconds ? RSL_SILENT : RSL_AGAIN;
		patient = rsl_remote_patient(fs->device->remote, milliseconds, &looks);
	}
	if (!rc)
		fs->busy = NULL;
	return rc;
}

/* Send a request, and wait for its answer of at most @room bytes, header included: @got bytes. */
static inline int rsl_fs_ask(struct rsl_fs *fs, struct rsl_virtq *queue, uint32_t opcode,
			     uint64_t node, const uint8_t *arguments, uint32_t size, uint32_t room,
			     uint32_t *got)
{
	struct rsl_virtq_piece pieces[2];
	volatile uint8_t *at = fs->request;
	uint32_t word;
	int rc = fs->busy ? rsl_fs_await(fs, 0, got) : 0;

	if (rc)
		return rc;
	for (word = 24; word < RSL_FUSE_IN_HEADER; word += 4)
		rsl_store32(at + word, 0);	/* root asks */
	rsl_store32(at, RSL_FUSE_IN_HEADER + size);
	rsl_store32(at + 4, opcode);
	rsl_store64(at + 8, ++fs->unique);
	rsl_store64(at + 16, node);
	rsl_copy_in(at + RSL_FUSE_IN_HEADER, arguments, size);
	pieces[0].data = at;
	pieces[0].size = RSL_FUSE_IN_HEADER + size;
	pieces[1].data = fs->reply;
	pieces[1].size = room;
	if (rsl_virtq_add(queue, pieces, 1, room ? 1 : 0, fs))
		return rsl_virtq_break(queue);
	fs->busy = queue;
	rsl_virtq_notify(queue);
	return rsl_fs_await(fs, RSL_REMOTE_WAIT_MS, got);
}

static inline int rsl_fs_call(struct rsl_fs *fs, uint32_t opcode, uint64_t node,
			      const void *arguments, uint32_t size, void *answer, uint32_t room)
{
	uint32_t got, length, error;
	int rc;

	fs->error = 0;
	if (size > fs->request_size - RSL_FUSE_IN_HEADER ||
	    room > fs->reply_size - RSL_FUSE_OUT_HEADER)
		return RSL_INVALID;
	rc = rsl_fs_ask(fs, &fs->queue, opcode, node, (const uint8_t *)arguments, size,
			RSL_FUSE_OUT_HEADER + room, &got);
	if (rc)
		return rc;
	length = rsl_load32(fs->reply);
	error = rsl_load32(fs->reply + 4);
	if (got < RSL_FUSE_OUT_HEADER || length < RSL_FUSE_OUT_HEADER || length > got ||
	    rsl_load32(fs->reply + 8) != (uint32_t)fs->unique)
		return rsl_virtq_break(&fs->queue);
	if (error) {
		fs->error = 0 - error;
		return RSL_REFUSED;
	}
	length -= RSL_FUSE_OUT_HEADER;
	rsl_copy_out((uint8_t *)answer, fs->reply + RSL_FUSE_OUT_HEADER, length);
	return (int)length;
}

/* The same, for an answer that has so many bytes at least. */
static inline int rsl_fs_call_exactly(struct rsl_fs *fs, uint32_t opcode, uint64_t node,
				      const void *arguments, uint32_t size, void *answer,
				      uint32_t room)
{
	int rc = rsl_fs_call(fs, opcode, node, arguments, size, answer, room);

	if (rc < 0)
		return rc;
	return (uint32_t)rc == room ? 0 : rsl_virtq_break(&fs->queue);
}

static inline int rsl_fs_begin(struct rsl_fs *fs, struct rsl_virtio *device)
{
	uint8_t config[RSL_FS_TAG + 4], request[16], answer[RSL_FUSE_INIT_OUT];
	unsigned int n;
	uint64_t taken;
	int rc = rsl_virtio_reset(device);

	fs->device = device;
	fs->unique = 0;
	fs->error = 0;
	fs->busy = NULL;
	if (!rc)
		rc = rsl_virtio_negotiate(device, 0, &taken);
	if (!rc)
		rc = rsl_virtio_config(device, 0, config, sizeof(config));
	if (!rc)
		rc = rsl_virtq_setup(&fs->urgent, device, 0, 2);
	if (!rc)
		rc = rsl_virtq_setup(&fs->queue, device, 1, 2);
	if (rc)
		return rc;
	if (fs->queue.count < 2 || !rsl_bytes32(config + RSL_FS_TAG))
		return RSL_REFUSED;
	for (n = 0; n < RSL_FS_TAG && config[n]; n++) {
		fs->tag[n] = (char)config[n];
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	fs->tag[n] = '\0';
	fs->request_size = RSL_FS_REQUEST;
	fs->request = rsl_virtio_alloc(device, fs->request_size, RSL_CACHE_LINE);
	fs->reply_size = rsl_least(rsl_virtio_room(device, RSL_CACHE_LINE),
				   RSL_FUSE_OUT_HEADER + RSL_FS_LARGEST);
	fs->reply = rsl_virtio_alloc(device, fs->reply_size, RSL_CACHE_LINE);
	if (!fs->request || !fs->reply || fs->reply_size < RSL_FS_REQUEST)
		return RSL_FULL;
	fs->largest = fs->reply_size - RSL_FUSE_OUT_HEADER;
	rc = rsl_virtio_start(device);
	if (rc)
		return rc;
	rsl_set32(request, RSL_FUSE_MAJOR);
	rsl_set32(request + 4, RSL_FUSE_MINOR);
	rsl_set32(request + 8, 0);	/* bytes to read ahead */
	rsl_set32(request + 12, 0);	/* features */
	rc = rsl_fs_call_exactly(fs, RSL_FUSE_INIT, 0, request, sizeof(request), answer,
				 sizeof(answer));
	return !rc && rsl_bytes32(answer) != RSL_FUSE_MAJOR ? RSL_REFUSED : rc;
}

static inline int rsl_fs_lookup(struct rsl_fs *fs, uint64_t parent, const char *name,
				uint64_t *node, uint64_t *size, uint32_t *mode)
{
	uint8_t answer[RSL_FUSE_ENTRY_OUT];
	uint32_t length = 0;
	int rc;

	while (length < RSL_FS_REQUEST && name[length])
		length++;
	rc = rsl_fs_call_exactly(fs, RSL_FUSE_LOOKUP, parent, name, length + 1, answer,
				 sizeof(answer));
	if (rc)
		return rc;
	*node = rsl_bytes64(answer);
	*size = rsl_bytes64(answer + 48);
	*mode = rsl_bytes32(answer + 100);
	return 0;
}

static inline int rsl_fs_forget(struct rsl_fs *fs, uint64_t node)
{
	uint8_t request[8];
	uint32_t got;

	rsl_set64(request, 1);	/* found once */
	/* Nothing is answered; the urgent queue is the one for it (virtio 1.2, 5.11.6.1). */
	return rsl_fs_ask(fs, &fs->urgent, RSL_FUSE_FORGET, node, request, sizeof(request), 0,
			  &got);
}

static inline int rsl_fs_open(struct rsl_fs *fs, uint64_t node, bool directory, uint64_t *handle)
{
	uint8_t request[8], answer[RSL_FUSE_OPEN_OUT];
	int rc;

	rsl_set64(request, 0);	/* O_RDONLY */
	rc = rsl_fs_call_exactly(fs, directory ? RSL_FUSE_OPENDIR : RSL_FUSE_OPEN, node, request,
				 sizeof(request), answer, sizeof(answer));
	if (!rc)
		*handle = rsl_bytes64(answer);
	return rc;
}

static inline int rsl_fs_read_some(struct rsl_fs *fs, uint32_t opcode, uint64_t node,
				   uint64_t handle, uint64_t offset, void *data, uint32_t size)
{
	uint8_t request[40];

	rsl_set64(request, handle);
	rsl_set64(request + 8, offset);
	rsl_set32(request + 16, size);
	rsl_set32(request + 20, 0);	/* flags of the read */
	rsl_set64(request + 24, 0);	/* owner of a lock */
	rsl_set64(request + 32, 0);	/* O_RDONLY */
	return rsl_fs_call(fs, opcode, node, request, sizeof(request), data, size);
}

static inline int rsl_fs_read(struct rsl_fs *fs, uint64_t node, uint64_t handle, uint64_t offset,
			      void *data, uint32_t size)
{
	return rsl_fs_read_some(fs, RSL_FUSE_READ, node, handle, offset, data,
				rsl_least(size, fs->largest));
}

static inline int rsl_fs_readdir(struct rsl_fs *fs, uint64_t node, uint64_t handle,
				 uint64_t offset, void *data, uint32_t size)
{
	return rsl_fs_read_some(fs, RSL_FUSE_READDIR, node, handle, offset, data,
				rsl_least(size, fs->largest));
}

static inline int rsl_fs_entry(const void *data, uint32_t size, uint32_t at, char *name,
			       uint32_t room, uint64_t *offset)
{
	const uint8_t *entry = (const uint8_t *)data + at;
	uint32_t length, n;

	if (at > size || size - at < RSL_FUSE_DIRENT || !room)
		return RSL_ABSENT;
	length = rsl_bytes32(entry + 16);
	if (!length || length > size - at - RSL_FUSE_DIRENT)
		return RSL_ABSENT;
	*offset = rsl_bytes64(entry + 8);
	for (n = 0; n < length && n < room - 1; n++) {
		name[n] = (char)entry[RSL_FUSE_DIRENT + n];
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	name[n] = '\0';
	/* The last one may lack the bytes that align the next. */
	return (int)rsl_least(at + ((RSL_FUSE_DIRENT + length + 7) & ~7U), size);
}

static inline int rsl_fs_release(struct rsl_fs *fs, uint64_t node, bool directory,
				 uint64_t handle)
{
	uint8_t request[24], none;
	int rc;

	rsl_set64(request, handle);
	rsl_set64(request + 8, 0);	/* flags */
	rsl_set64(request + 16, 0);	/* owner of a lock */
	rc = rsl_fs_call(fs, directory ? RSL_FUSE_RELEASEDIR : RSL_FUSE_RELEASE, node, request,
			 sizeof(request), &none, 0);
	return rc < 0 ? rc : 0;
}

#endif /* RSL_REMOTE_H */
