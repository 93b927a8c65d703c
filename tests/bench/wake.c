// SPDX-License-Identifier: BSD-3-Clause
/*
 * wake chardev|eventfd|uio LINK CONTROL KICK-VALUE SAMPLES
 *
 * From the remote's interrupt to this process, which sleeps: kicks vector 0 and reads
 * until the answer is there, once with the answer kept back until this core is idle,
 * and once with no delay, for the whole cycle. LINK is /dev/rsl_mboxN or the
 * /dev/uioN of the same platform device, CONTROL the /dev/uioN of the shared memory.
 *
 * Lines: wake (stamp of the remote to the return of read), kick (the call or the
 * store), enable (what UIO takes to have the interrupt again), again (the same write
 * where there is nothing to enable), cycle, in nanoseconds.
 */
#include "bench.h"

#include <sys/eventfd.h>

#include <linux/rsl_mbox.h>

#include "../remote/remote_ctl.h"

#define SHARED_SIZE	0x1000000
#define PAGE		4096
/* Where the register is in its page, as in the device tree of the board. */
#define REGISTER	0x40
/* For this process to be asleep and the core idle. */
#define DELAY_US	1000

static volatile struct remote_ctl *ctl;
static volatile uint32_t *doorbell;
static int link_fd, wait_fd;
static uint32_t kick_value;

static void kick(void)
{
	uint32_t mask = 1;

	if (doorbell) {
		__asm__ volatile("dsb st" ::: "memory");
		*doorbell = kick_value;
	} else if (write(link_fd, &mask, sizeof(mask)) != sizeof(mask)) {
		die("kick");
	}
}

static void wait_for_answer(void)
{
	union {
		uint32_t word;
		uint64_t count;
	} got;
	size_t size = wait_fd == link_fd ? sizeof(got.word) : sizeof(got.count);

	if (read(wait_fd, &got, size) != (ssize_t)size)
		die("read");
}

/* UIO masks the interrupt until it is told. */
static void enable(void)
{
	uint32_t on = 1;

	if (doorbell && write(link_fd, &on, sizeof(on)) != sizeof(on))
		die("enable the interrupt");
}

static void bind_eventfd(void)
{
	struct rsl_mbox_binding_spec spec = { .vector = 0, .direction = RSL_MBOX_NOTIFY };

	wait_fd = eventfd(0, EFD_CLOEXEC);
	spec.fd = wait_fd;
	if (wait_fd < 0 || ioctl(link_fd, RSL_MBOX_IOC_BIND, &spec))
		die("bind an eventfd");
}

int main(int argc, char **argv)
{
	double *wake, *kicked, *enabled, *again, *cycle;
	uint64_t start, sent, woken, on, end;
	long samples, n;

	if (argc != 6)
		return 2;
	begin();
	link_fd = must_open(argv[2], O_RDWR);
	wait_fd = link_fd;
	ctl = must_map(must_open(argv[3], O_RDWR | O_SYNC), SHARED_SIZE, 0) +
	      SHARED_SIZE - REMOTE_CTL_SIZE;
	kick_value = strtoul(argv[4], NULL, 0);
	samples = strtol(argv[5], NULL, 0);
	if (!strcmp(argv[1], "eventfd"))
		bind_eventfd();
	else if (!strcmp(argv[1], "uio"))
		doorbell = must_map(link_fd, PAGE, 0) + REGISTER;
	while (ctl->magic != REMOTE_MAGIC)
		usleep(1000);
	wake = samples_alloc(samples);
	kicked = samples_alloc(samples);
	enabled = samples_alloc(samples);
	again = samples_alloc(samples);
	cycle = samples_alloc(samples);

	ctl->delay = counter_hz() / 1000000 * DELAY_US;
	for (n = -WARM_UP; n < samples; n++) {
		start = counter();
		kick();
		sent = counter();
		wait_for_answer();
		woken = counter();
		enable();
		on = counter();
		enable();
		end = counter();
		if (n < 0)
			continue;
		wake[n] = counter_ns(woken - ctl->stamp);
		kicked[n] = counter_ns(sent - start);
		enabled[n] = counter_ns(on - woken);
		again[n] = counter_ns(end - on);
	}
	ctl->delay = 0;
	for (n = -WARM_UP; n < samples; n++) {
		start = counter();
		kick();
		wait_for_answer();
		enable();
		if (n >= 0)
			cycle[n] = counter_ns(counter() - start);
	}
	print_samples("wake", wake, samples);
	print_samples("kick", kicked, samples);
	if (doorbell) {
		print_samples("enable", enabled, samples);
		print_samples("again", again, samples);
	}
	print_samples("cycle", cycle, samples);
	return 0;
}
