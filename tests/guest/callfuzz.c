// SPDX-License-Identifier: BSD-3-Clause
/*
 * callfuzz DEVICE SYSFS-DIRECTORY COUNT SEED DEVICE2 [ATTRIBUTE]
 *
 * Makes COUNT random calls of everything that a link offers to user space. What the
 * calls return does not matter; what the kernel's checkers say of them does.
 * Half of the opened files are DEVICE2's; ATTRIBUTE is written to, where given.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/rsl_mbox.h>

#define FILES		8
#define EVENTFDS	8

static int files[FILES], eventfds[EVENTFDS];
static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

/* Numbers at the edges, small ones, and any. */
static uint32_t number(void)
{
	static const uint32_t edges[] = {
		0, 1, 2, 3, 4, 15, 31, 32, 33, 255, 4096, 0x7fffffff, 0x80000000,
		0xfffffffe, 0xffffffff,
	};

	switch (rnd(3)) {
	case 0:
		return edges[rnd(sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return rnd(8);
	default:
		return rnd(0x7fffffff) << 1 | rnd(2);
	}
}

static int any_fd(void)
{
	switch (rnd(4)) {
	case 0:
		return files[rnd(FILES)];
	case 1:
		return (int)number();
	default:
		return eventfds[rnd(EVENTFDS)];
	}
}

static void *any_pointer(void *good)
{
	return rnd(8) ? good : (void *)(uintptr_t)number();
}

static void fuzz_ioctl(int fd)
{
	static const unsigned long known[] = {
		RSL_MBOX_IOC_INFO, RSL_MBOX_IOC_STAT, RSL_MBOX_IOC_BIND,
		RSL_MBOX_IOC_BIND, RSL_MBOX_IOC_MASK, RSL_MBOX_IOC_MASK,
		RSL_MBOX_IOC_MEMORY,
	};
	unsigned long command = rnd(8) ? known[rnd(7)] : number();
	uint32_t words[64];
	unsigned int n;
	int ret;

	for (n = 0; n < 64; n++)
		words[n] = number();
	if (rnd(4)) {
		words[0] = rnd(5);
		words[1] = rnd(3);
		words[2] = any_fd();
		words[3] = rnd(2);
	}
	if (command == RSL_MBOX_IOC_MASK && rnd(4)) {
		words[0] = rnd(16);
		words[1] = rnd(5);
		words[2] = words[3] = 0;
	}
	if (command == RSL_MBOX_IOC_MEMORY && rnd(4)) {
		memset(words, 0, sizeof(struct rsl_mbox_memory));
		words[0] = rnd(4) * 4096;
		words[2] = rnd(4) * 4096;
		words[4] = rnd(3);
	}
	ret = ioctl(fd, command, any_pointer(words));
	/* A window takes the place of an open file: it gets all calls, too. */
	if (command == RSL_MBOX_IOC_MEMORY && ret >= 0) {
		n = rnd(FILES);
		close(files[n]);
		files[n] = ret;
	}
}

static void fuzz_mmap(int fd)
{
	/* Not so long that the kernel complains before it asks us. */
	size_t length = rnd(4) ? (rnd(4) + 1) * 4096 : number() & 0x3ffffff;
	off_t offset = rnd(4) ? rnd(8192) * 4096 : (off_t)number() << rnd(20);
	void *memory = mmap(NULL, length, rnd(8), rnd(4), fd, offset);

	if (memory == MAP_FAILED)
		return;
	if (!rnd(4))
		mprotect(memory, length, rnd(8));
	munmap(memory, length);
}

static const char *device2, *attribute;

static void fuzz_sysfs(const char *directory)
{
	static const char * const names[] = {
		"kick", "reset", "label", "stalled_ms", "open_files", "vectors",
		"vector0/kicks", "vector3/notifications", "vector1/kicks_coalesced",
		"storm_limit", "vector0/masked", "vector0/storms", "vector0/bound_kick",
	};
	char path[256], data[64];
	size_t length = rnd(sizeof(data));
	unsigned int n;
	int fd;

	for (n = 0; n < length; n++)
		data[n] = rnd(3) ? "0123456789x-\n y"[rnd(15)] : (char)rnd(256);
	snprintf(path, sizeof(path), "%s/%s", directory, names[rnd(13)]);
	fd = open(attribute && rnd(2) ? attribute : path, rnd(2) ? O_RDONLY : O_WRONLY);
	if (fd < 0)
		return;
	if (rnd(2))
		(void)!write(fd, data, length);
	else
		(void)!read(fd, data, length);
	close(fd);
}

static void one_call(const char *device, const char *directory)
{
	int *file = &files[rnd(FILES)], *eventfd_slot = &eventfds[rnd(EVENTFDS)];
	struct pollfd pfd = { .fd = *file, .events = (short)number() };
	uint32_t words[16];

	words[0] = rnd(2) ? rnd(16) : number();
	switch (rnd(12)) {
	case 0:
	case 1:
		fuzz_ioctl(*file);
		break;
	case 2:
	case 3:
		(void)!read(*file, any_pointer(words), rnd(65));
		break;
	case 4:
	case 5:
		(void)!write(*file, any_pointer(words), rnd(2) ? 4 : rnd(65));
		break;
	case 6:
		poll(&pfd, 1, 0);
		break;
	case 7:
		fuzz_mmap(*file);
		break;
	case 8:
		if (!rnd(4))
			fuzz_sysfs(directory);
		break;
	case 9:
		close(*file);
		*file = open(rnd(2) ? device2 : device,
			     rnd(3) | O_NONBLOCK | O_CLOEXEC);
		break;
	case 10:
		close(*eventfd_slot);
		*eventfd_slot = eventfd(rnd(3), EFD_NONBLOCK | (rnd(2) ? EFD_SEMAPHORE : 0));
		break;
	default: {
		uint64_t count = rnd(3);

		if (rnd(2))
			(void)!write(*eventfd_slot, &count, sizeof(count));
		else
			(void)!read(*eventfd_slot, &count, sizeof(count));
	}
	}
}

int main(int argc, char **argv)
{
	unsigned long count;
	int n;

	if (argc != 6 && argc != 7)
		return 2;
	device2 = argv[5];
	attribute = argc == 7 ? argv[6] : NULL;
	count = strtoul(argv[3], NULL, 0);
	seed = strtoull(argv[4], NULL, 0);
	for (n = 0; n < FILES; n++)
		files[n] = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	for (n = 0; n < EVENTFDS; n++)
		eventfds[n] = eventfd(0, EFD_NONBLOCK);
	if (files[0] < 0)
		return 1;
	while (count--)
		one_call(argv[1], argv[2]);
	printf("%s: done\n", argv[1]);
	return 0;
}
