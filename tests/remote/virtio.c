// SPDX-License-Identifier: BSD-3-Clause
/*
 * The remote of the emulated board that drives virtio devices: a bare-metal program on
 * the second core, on top of tools/librsl/rsl_remote.h. tests/guest/virtio.py is its
 * other side.
 *
 * It begins with each device that a daemon publishes, and again when the daemon or the
 * device comes back. vsock: services.h. net: it answers ARP and pings for 10.0.0.2.
 * console: it answers in capitals. blk, rng and fs: by commands over vsock. As long as
 * there is no daemon it answers kicks as remote.c does.
 */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "gdb.h"
#include "remote_config.h"
#include "remote_ctl.h"
#include "rsl_remote.h"

#define HEADER_MAGIC		0x74726976	/* "virt" in memory */
#define HEADER_SIZE		0x200
#define HEADER_VERSION		0x004
#define HEADER_TRANSACTION	0x0d0

/* How long to sleep at most, in milliseconds: where a device is awaited, and else. */
#define AWAIT_MS		100
#define REST_MS			1000

static const uint32_t kick_values[] = RSL_RPU0_KICK_INTERRUPTS;	/* Linux -> here */
static const uint32_t notify_values[] = RSL_RPU0_NOTIFY_VALUES;	/* here -> Linux */

#define VECTORS			(sizeof(kick_values) / sizeof(kick_values[0]))

static struct remote_ctl *const ctl =
	(struct remote_ctl *)(RSL_RPU0_MEMORY_BASE + RSL_RPU0_MEMORY_SIZE - REMOTE_CTL_SIZE);

_Static_assert(offsetof(struct remote_ctl, begun) == 0x230, "tests/guest/virtio.py has it");

/* All that changes is in .bss: to begin anew is to jump to _start. */
extern void _start(void) __attribute__((noreturn));

static struct rsl_remote remote;
static struct rsl_vsock vsock;
static struct rsl_net net;
static struct rsl_blk blk;
static struct rsl_console console;
static struct rsl_rng rng;
static struct rsl_fs fs;

static uint32_t muted;		/* vectors whose kicks are not answered */
static uint32_t interrupts;	/* that were taken */
static bool nested;		/* what serves the others while something waits */

static struct {
	uint32_t left;
	uint32_t number;
	unsigned long header;
	unsigned long region;
} mad;

/* gcc calls these for copies of structs and of arrays. */
void *memcpy(void *to, const void *from, size_t size)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	while (size--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int value, size_t size)
{
	uint8_t *t = to;

	while (size--)
		*t++ = value;
	return to;
}

/* ---- Devices ---- */

static int begin_net(struct rsl_virtio *device)
{
	return rsl_net_begin(&net, device);
}

static int begin_blk(struct rsl_virtio *device)
{
	return rsl_blk_begin(&blk, device);
}

static int begin_console(struct rsl_virtio *device)
{
	return rsl_console_begin(&console, device);
}

static int begin_rng(struct rsl_virtio *device)
{
	return rsl_rng_begin(&rng, device);
}

static int begin_fs(struct rsl_virtio *device)
{
	return rsl_fs_begin(&fs, device);
}

static int begin_vsock(struct rsl_virtio *device);

enum { VSOCK, NET, BLK, CONSOLE, RNG, FS, UNITS };

static const struct {
	uint32_t id;
	int (*begin)(struct rsl_virtio *device);
} kinds[UNITS] = {
	[VSOCK] = { RSL_ID_VSOCK, begin_vsock },
	[NET] = { RSL_ID_NET, begin_net },
	[BLK] = { RSL_ID_BLK, begin_blk },
	[CONSOLE] = { RSL_ID_CONSOLE, begin_console },
	[RNG] = { RSL_ID_RNG, begin_rng },
	[FS] = { RSL_ID_FS, begin_fs },
};

static struct {
	struct rsl_virtio device;
	bool up;
	uint64_t tried;		/* when, by the counter */
} units[UNITS];

static bool is_up(unsigned int n)
{
	if (units[n].up && rsl_virtio_lost(&units[n].device)) {
		units[n].up = false;
		ctl->running &= ~(1u << n);
	}
	return units[n].up;
}

static uint64_t ticks(uint32_t milliseconds)
{
	uint64_t frequency;

	__asm__("mrs %0, cntfrq_el0" : "=r" (frequency));
	return frequency / 1000 * milliseconds;
}

static bool served(void)
{
	return read32(RSL_RPU0_MEMORY_BASE) == HEADER_MAGIC;
}

static void begin_to_be_mad(uint32_t header)
{
	unsigned int n;

	ctl->placed = 0;
	for (n = 0; n < UNITS; n++) {
		if (!units[n].up || units[n].device.header != header)
			continue;
		mad.number = ctl->arg0 | 1;	/* xorshift stays at 0 */
		mad.header = RSL_RPU0_MEMORY_BASE + header;
		mad.region = RSL_RPU0_MEMORY_BASE + units[n].device.start;
		mad.left = ctl->arg1;
		ctl->flood_left = mad.left;
		ctl->placed = 1;
	}
}

/* Begin with the devices that are there and that nobody has begun with. */
static bool begin_devices(void)
{
	bool all = true;
	unsigned int n;

	for (n = 0; n < UNITS; n++) {
		if (is_up(n))
			continue;
		all = false;
		if (counter() - units[n].tried < ticks(AWAIT_MS) / 2)
			continue;
		units[n].tried = counter();
		if (rsl_remote_find(&remote, kinds[n].id, 0, &units[n].device))
			continue;
		ctl->result[n] = kinds[n].begin(&units[n].device);
		units[n].up = !ctl->result[n];
		if (units[n].up)
			ctl->running |= 1u << n;
	}
	return all;
}

/* ---- What comes from Linux outside of the devices ---- */

static void notify(void *ctx, unsigned int n)
{
	(void)ctx;
	ctl->vector[n].notify_sent++;
	ctl->stamp = counter();
	barrier();
	write32(RSL_RPU0_NOTIFY_REGISTER, notify_values[n]);
}

static void take_command(void)
{
	uint32_t command = ctl->command;

	if (command == REMOTE_ANSWER) {
		muted = ~ctl->arg0;
	} else if (command == REMOTE_LOOK) {
		ctl->placed = read32(RSL_RPU0_DT_BASE);
	} else if (command == REMOTE_MAD) {
		begin_to_be_mad(ctl->arg2 * HEADER_SIZE);
	}
	barrier();
	ctl->command = REMOTE_NONE;
	if (command == REMOTE_BEGIN) {
		barrier();
		_start();
	}
}

static void take_kick(unsigned int n)
{
	struct remote_vector *vector = &ctl->vector[n];

	vector->kick_taken++;
	vector->kick_seen = vector->kick_sent;
	barrier();
	if (n == 0 && ctl->command != REMOTE_NONE)
		take_command();
	else if (!served() && !(muted & (1u << n)))
		notify(NULL, n);
}

/* Whether one was there, but for the timer's. */
static bool take_interrupts(void)
{
	uint32_t before = interrupts;
	uint32_t id, n;

	while ((id = gic_take()) < GIC_SPURIOUS) {
		if (id == TIMER_INTERRUPT) {
			stop_timer();
			continue;
		}
		interrupts++;
		for (n = 0; n < VECTORS; n++)
			if (kick_values[n] == id)
				take_kick(n);
	}
	if (ctl->off) {
		ctl->magic = 0;
		core_off();
	}
	return interrupts != before;
}

static bool sleep_for(uint32_t milliseconds)
{
	uint64_t start = counter();

	set_timer(ticks(milliseconds));
	while (!take_interrupts()) {
		if (counter() - start >= ticks(milliseconds))
			return false;
		sleep_until_interrupt();
	}
	return true;
}

static bool serve(void);

/*
 * For what waits for its device. The others are served meanwhile; what is to be done
 * for these counts as an interrupt, because one may have come with it.
 */
static bool wait(void *ctx, uint32_t milliseconds)
{
	bool busy = false;

	(void)ctx;
	if (!nested) {
		nested = true;
		busy = serve();
		nested = false;
	}
	return busy || sleep_for(milliseconds);
}

static const struct rsl_remote_ops ops = {
	.notify = notify,
	.wait = wait,
};

/* ---- A mad remote ---- */

static uint32_t next_number(void)
{
	mad.number ^= mad.number << 13;
	mad.number ^= mad.number >> 17;
	mad.number ^= mad.number << 5;
	return mad.number;
}

static void go_mad(void)
{
	unsigned int n, n_at_once = mad.left < 64 ? mad.left : 64;

	for (n = 0; n < n_at_once; n++) {
		uint32_t what = next_number();
		uint32_t value = next_number();
		uint32_t at = next_number();

		/* Often what could be meant, but no address of what other devices have. */
		if (what & 1)
			value %= 300;
		else if (what & 2 || value >> 24 == RSL_RPU0_MEMORY_BASE >> 24)
			value = mad.region + value % 0x10000;
		if (what & 4) {
			write32(mad.header + at % HEADER_SIZE / 4 * 4, value);
			if (!(what & 8))
				write32(mad.header + HEADER_TRANSACTION,
					at % HEADER_SIZE / 4 * 4 | 4 << 16);
		} else {
			write32(mad.region + at % 0x6000 / 4 * 4, value);
		}
		if ((what >> 4) % 8 == 0)
			notify(NULL, (what >> 8) % VECTORS);
	}
	mad.left -= n_at_once;
	ctl->flood_left = mad.left;
}

#include "services.h"

/* ---- The program ---- */

/*
 * One step of everything that does not wait; whether there was anything to do. What
 * waits in a command or in the beginning of a device has the others served by it.
 */
static bool serve(void)
{
	bool busy = false;

	if (is_up(VSOCK))
		busy |= serve_vsock();
	if (is_up(NET))
		busy |= serve_net();
	if (is_up(CONSOLE))
		busy |= serve_console();
	return busy;
}

void remote_main(void)
{
	unsigned int n;

	reset_ctl(ctl, VECTORS);
	ctl->begun++;
	barrier();
	gic_wait_for_linux();
	for (n = 0; n < VECTORS; n++)
		gic_route(kick_values[n]);
	gic_route(REMOTE_WAKE);
	gic_start();
	barrier();
	ctl->magic = REMOTE_MAGIC;

	for (;;) {
		uint32_t seen, version;
		bool all = true;

		take_interrupts();
		seen = interrupts;
		/* Another daemon can have another version. */
		version = read32(RSL_RPU0_MEMORY_BASE + HEADER_VERSION);
		if (!ctl->running && !mad.left && served() && version != remote.version &&
		    rsl_remote_init(&remote, &ops, NULL, (void *)RSL_RPU0_MEMORY_BASE,
				    RSL_RPU0_MEMORY_BASE, RSL_RPU0_MEMORY_SIZE, version, VECTORS))
			remote.version = 0;
		if (mad.left)
			go_mad();
		else if (remote.version)
			all = begin_devices();
		if (!serve() && !serve_command() && !mad.left && interrupts == seen)
			sleep_for(all ? REST_MS : AWAIT_MS);
	}
}
