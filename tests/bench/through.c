// SPDX-License-Identifier: BSD-3-Clause
/*
 * through vsock CID TRIPS BYTES
 * through net ADDRESS TRIPS BYTES
 *
 * Measures a device of the remote, tests/remote/virtio.c: TRIPS round trips of one byte,
 * one after the other, and then BYTES there and back, as many at a time as there is room
 * for: over a connection to its port 7, or as echo requests (RFC 792) of up to 1400 bytes.
 *
 * Lines: trips and bytes, the nanoseconds of all together; each between two marks for
 * tests/amp/counting.c.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#define PORT		7
#define PIECE		4096
#define PING		1400
/* Echo requests whose answers are not there yet; the tap keeps 500 frames. */
#define WINDOW		16

static uint8_t sent[PIECE], received[65536];
static int device;

/* HINT #0x55 (Arm DDI 0487, C6.2): does nothing. */
static void mark(void)
{
	__asm__ volatile(".inst 0xd5032abf" : : : "memory");
}

static void connect_vsock(const char *cid)
{
	struct sockaddr_vm peer = {
		.svm_family = AF_VSOCK,
		.svm_cid = atoi(cid),
		.svm_port = PORT,
	};

	device = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (device < 0 || connect(device, (struct sockaddr *)&peer, sizeof(peer)))
		die("connect");
}

static void vsock_trip(void)
{
	uint8_t byte = 1;

	if (write(device, &byte, 1) != 1 || read(device, &byte, 1) != 1)
		die("a round trip");
}

static void vsock_bytes(long total)
{
	long out = 0, in = 0;
	struct pollfd wanted = { .fd = device };
	ssize_t done;

	if (fcntl(device, F_SETFL, O_NONBLOCK))
		die("O_NONBLOCK");
	while (in < total) {
		wanted.events = POLLIN | (out < total ? POLLOUT : 0);
		if (poll(&wanted, 1, -1) < 0)
			die("poll");
		if (wanted.revents & POLLIN) {
			done = read(device, received, PIECE);
			if (done <= 0)
				die("read");
			in += done;
		}
		if (wanted.revents & POLLOUT) {
			done = write(device, sent, total - out < PIECE ? total - out : PIECE);
			if (done > 0)
				out += done;
			else if (errno != EAGAIN)
				die("write");
		}
	}
}

static uint16_t checksum(const uint8_t *data, size_t size)
{
	uint32_t sum = 0;
	size_t at;

	for (at = 0; at < size; at += 2)
		sum += data[at] | (at + 1 < size ? data[at + 1] << 8 : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void open_net(const char *address)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };

	device = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (device < 0 || inet_pton(AF_INET, address, &peer.sin_addr) != 1 ||
	    connect(device, (struct sockaddr *)&peer, sizeof(peer)))
		die(address);
}

static void send_request(size_t size)
{
	struct icmphdr *icmp = (struct icmphdr *)sent;

	memset(icmp, 0, sizeof(*icmp));
	icmp->type = ICMP_ECHO;
	icmp->checksum = checksum(sent, sizeof(*icmp) + size);
	if (write(device, sent, sizeof(*icmp) + size) < 0)
		die("send an echo request");
}

static size_t take_answer(void)
{
	ssize_t size;

	do {
		size = read(device, received, sizeof(received));
		if (size < (ssize_t)(sizeof(struct iphdr) + sizeof(struct icmphdr)))
			die("receive an answer");
	} while (((struct icmphdr *)(received + sizeof(struct iphdr)))->type != ICMP_ECHOREPLY);
	return size - sizeof(struct iphdr) - sizeof(struct icmphdr);
}

static void net_trip(void)
{
	send_request(1);
	take_answer();
}

static void net_bytes(long total)
{
	long out = 0, in = 0;

	while (in < total) {
		while (out < total && out - in < WINDOW * PING) {
			send_request(PING);
			out += PING;
		}
		in += take_answer();
	}
}

int main(int argc, char **argv)
{
	long trips, bytes, n;
	void (*trip)(void);
	bool vsock;
	double took;
	uint64_t start;

	if (argc != 5)
		return 2;
	begin();
	vsock = !strcmp(argv[1], "vsock");
	trips = strtol(argv[3], NULL, 10);
	bytes = strtol(argv[4], NULL, 10);
	if (vsock)
		connect_vsock(argv[2]);
	else
		open_net(argv[2]);

	trip = vsock ? vsock_trip : net_trip;
	for (n = 0; n < WARM_UP; n++)
		trip();
	mark();
	start = now_ns();
	for (n = 0; n < trips; n++)
		trip();
	took = now_ns() - start;
	mark();
	print_samples("trips", &took, 1);

	mark();
	start = now_ns();
	if (vsock)
		vsock_bytes(bytes);
	else
		net_bytes(bytes);
	took = now_ns() - start;
	mark();
	print_samples("bytes", &took, 1);
	return 0;
}
