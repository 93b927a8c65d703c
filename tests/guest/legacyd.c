// SPDX-License-Identifier: BSD-3-Clause
/*
 * legacyd [--notify] [--hold FILE] --shmem-addr ADDRESS --shmem-size SIZE ROUNDS
 *
 * Uses a link as the RSL daemon does, call by call (docs/reference/legacy.md): makes its socket in
 * $HOME/.lkvm (kvmtool's kvm-ipc.c, kvm__create_socket), clears the memory, writes a virtio-mmio
 * header, and only then opens /dev/umb; answers ROUNDS events with a kick each, by /dev/umb or,
 * with --notify, by the attribute of that name as the version of 2021. With --hold it is not ready
 * before FILE is there. It leaves out what comes over the socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UIO		"/dev/uio0"
#define UIO_SIZE	"/sys/class/uio/uio0/maps/map0/size"
#define UMB		"/dev/umb"
#define NOTIFY		"/sys/devices/platform/umb/notify"

/* The first registers of a virtio-mmio header, virtio 1.2, 4.2.2. */
#define VIRTIO_MAGIC	0x74726976
#define VIRTIO_VERSION	1

static void fail(const char *what)
{
	fprintf(stderr, "legacyd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_un ipc = { .sun_family = AF_UNIX };

static void make_socket(void)
{
	const char *home = getenv("HOME");
	int fd;

	snprintf(ipc.sun_path, sizeof(ipc.sun_path), "%s/.lkvm", home ? home : "(null)");
	mkdir(ipc.sun_path, 0777);
	snprintf(ipc.sun_path, sizeof(ipc.sun_path), "%s/.lkvm/guest-%d.sock",
		 home ? home : "(null)", getpid());
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ipc, sizeof(ipc)) || listen(fd, 10))
		fail(ipc.sun_path);
}

static unsigned long map_size(void)
{
	FILE *file = fopen(UIO_SIZE, "r");
	unsigned long size;

	if (!file || fscanf(file, "%lx", &size) != 1)
		fail(UIO_SIZE);
	fclose(file);
	return size;
}

static void init_memory(unsigned long size)
{
	volatile uint32_t *header;
	void *memory;
	int fd;

	fd = open(UIO, O_RDWR);
	if (fd < 0)
		fail(UIO);
	if (size > map_size()) {
		fprintf(stderr, "legacyd: --shmem-size %#lx: the map has %#lx\n", size,
			map_size());
		exit(1);
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	memset(memory, 0, size);
	close(fd);
	header = memory;
	header[1] = VIRTIO_VERSION;
	header[0] = VIRTIO_MAGIC;
}

static void kick(int umb, int by_attribute)
{
	int fd = by_attribute ? open(NOTIFY, O_WRONLY) : umb;

	if (fd < 0 || write(fd, "\n", 1) != 1)
		fail("kick");
	if (by_attribute)
		close(fd);
}

/* Wait for an event; returns whether the device said that it is writable. */
static int wait_for_event(int umb)
{
	struct timeval timeout = { .tv_sec = 60 };
	fd_set readable, writable;

	FD_ZERO(&readable);
	FD_ZERO(&writable);
	FD_SET(umb, &readable);
	FD_SET(umb, &writable);
	if (select(umb + 1, &readable, &writable, NULL, &timeout) < 1)
		fail("select");
	return FD_ISSET(umb, &writable);
}

int main(int argc, char **argv)
{
	unsigned long address = 0, size = 0, rounds = 0, left, spins = 0;
	const char *hold = NULL;
	int umb, n, by_attribute = 0;
	char text[20];

	for (n = 1; n < argc; n++) {
		if (!strcmp(argv[n], "--notify"))
			by_attribute = 1;
		else if (!strcmp(argv[n], "--hold") && n + 1 < argc)
			hold = argv[++n];
		else if (!strcmp(argv[n], "--shmem-addr") && n + 1 < argc)
			address = strtoul(argv[++n], NULL, 0);
		else if (!strcmp(argv[n], "--shmem-size") && n + 1 < argc)
			size = strtoul(argv[++n], NULL, 0);
		else
			rounds = strtoul(argv[n], NULL, 0);
	}
	make_socket();
	init_memory(size);
	while (hold && access(hold, F_OK))
		usleep(10000);

	umb = open(UMB, O_RDWR | O_NONBLOCK);
	if (umb < 0)
		fail(UMB);
	for (left = rounds; left; left--) {
		spins += wait_for_event(umb);
		n = read(umb, text, sizeof(text) - 1);
		if (n < 1)
			fail("read");
		text[n] = '\0';
		if (strtoul(text, NULL, 10) < 1) {
			fprintf(stderr, "legacyd: read '%s'\n", text);
			return 1;
		}
		kick(umb, by_attribute);
	}
	printf("%lu rounds, writable %lu times, %#lx bytes at %#lx, uid %u\n", rounds, spins,
	       size, address, getuid());
	unlink(ipc.sun_path);
	return spins != 0;
}
