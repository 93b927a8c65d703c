// SPDX-License-Identifier: BSD-3-Clause
/*
 * mailbox DEVICE SIMULATOR SAMPLES
 *
 * From the interrupt of a simulated mailbox controller to this process, which sleeps
 * in a read of DEVICE: /dev/rsl_mboxN or /dev/rsl_mbox_deferring. Then interrupts
 * that bring several messages each, and how many of the vectors in them the reader
 * never hears of.
 *
 * Lines: wake (in nanoseconds), sent, lost (messages).
 */
#include "bench.h"

/* For this process to be asleep and the core idle. */
#define DELAY_NS	1000000
#define MESSAGES	3

static int device, simulator;

static uint32_t receive(void)
{
	uint32_t word;

	if (read(device, &word, sizeof(word)) == sizeof(word))
		return word;
	if (errno != EAGAIN)
		die("read");
	return 0;
}

static uint32_t rotated(uint32_t word, unsigned int by)
{
	return by % 32 ? word << by % 32 | word >> (32 - by % 32) : word;
}

/* The first of the vectors moves on with each call. */
static void interrupt(long number, uint32_t messages)
{
	struct sim_burst burst = {
		.delay = DELAY_NS,
		.interrupts = 1,
		.messages = messages,
		.channel = SIM_RX,
		.word = rotated(1, number % 32),
	};

	if (write(simulator, &burst, sizeof(burst)) != sizeof(burst))
		die("arm the interrupt");
}

static void measure(long samples)
{
	double *wake = samples_alloc(samples);
	uint64_t woken, stamp;
	long n;

	for (n = -WARM_UP; n < samples; n++) {
		interrupt(n + WARM_UP, 1);
		if (receive() != rotated(1, (n + WARM_UP) % 32)) {
			fprintf(stderr, "mailbox: another vector than notified\n");
			exit(1);
		}
		woken = now_ns();
		if (ioctl(simulator, SIM_STAMP, &stamp))
			die("stamp");
		if (n >= 0)
			wake[n] = woken - stamp;
	}
	print_samples("wake", wake, samples);
}

static void count_lost(long bursts)
{
	int flags = fcntl(device, F_GETFL);
	uint32_t expected, got, more;
	unsigned int message;
	long n, lost = 0;

	for (n = 0; n < bursts; n++) {
		for (expected = 0, message = 0; message < MESSAGES; message++)
			expected |= rotated(1, n + message);
		interrupt(n, MESSAGES);
		got = receive();
		/* What is late still counts. */
		usleep(1000);
		fcntl(device, F_SETFL, flags | O_NONBLOCK);
		while ((more = receive()))
			got |= more;
		fcntl(device, F_SETFL, flags);
		lost += __builtin_popcount(expected & ~got);
	}
	printf("sent %ld\nlost %ld\n", bursts * MESSAGES, lost);
}

int main(int argc, char **argv)
{
	long samples;

	if (argc != 4)
		return 2;
	begin();
	device = must_open(argv[1], O_RDONLY);
	simulator = must_open(argv[2], O_RDWR);
	samples = strtol(argv[3], NULL, 0);
	measure(samples);
	count_lost(samples / 4 + 1);
	return 0;
}
