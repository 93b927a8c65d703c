// SPDX-License-Identifier: BSD-3-Clause
/*
 * compat32 DEVICE UMB-DEVICE
 *
 * Makes every call that a link offers to a program, with right and with wrong arguments,
 * and checks each result. The remote has to answer every vector. It is built with 32 bits
 * for a kernel of 64, and with 64 bits: both have to see the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/rsl_mbox.h>

_Static_assert(sizeof(struct rsl_mbox_info) == 96, "rsl_mbox_info");
_Static_assert(offsetof(struct rsl_mbox_info, reserved) == 64, "rsl_mbox_info.reserved");
_Static_assert(sizeof(struct rsl_mbox_vector_stat) == 64, "rsl_mbox_vector_stat");
_Static_assert(offsetof(struct rsl_mbox_vector_stat, kicks) == 8, "rsl_mbox_vector_stat.kicks");
_Static_assert(sizeof(struct rsl_mbox_binding_spec) == 16, "rsl_mbox_binding_spec");
_Static_assert(sizeof(struct rsl_mbox_mask) == 16, "rsl_mbox_mask");
_Static_assert(offsetof(struct rsl_mbox_mask, reserved) == 8, "rsl_mbox_mask.reserved");
_Static_assert(sizeof(struct rsl_mbox_memory) == 32, "rsl_mbox_memory");
_Static_assert(offsetof(struct rsl_mbox_memory, reserved) == 24, "rsl_mbox_memory.reserved");

#define PAGE		4096
#define AT		0x200000	/* in the shared memory, where nobody else writes */
#define HIGH		(1ULL << 32)	/* lost where 64 bits are taken for 32 */

#define ANSWER_MS	10000		/* an answer comes earlier */
#define SILENCE_MS	300		/* no answer comes later */

static unsigned int passed, failed;

static void check(int good, const char *what, int line)
{
	if (good) {
		passed++;
		return;
	}
	failed++;
	printf("line %d: %s (errno now: %s)\n", line, what, strerror(errno));
}

#define CHECK(condition)	check(!!(condition), #condition, __LINE__)

/* The call fails with this error. */
#define FAILS(call, error)	check((errno = 0, (long)(call) == -1 && errno == (error)), \
				      #call " fails with " #error, __LINE__)

static const char *device, *umb_device;
static void *volatile nowhere = (void *)8;	/* what the compiler must not know */
static struct rsl_mbox_info info;

static int open_device(int flags)
{
	int fd = open(device, flags);

	CHECK(fd >= 0);
	return fd;
}

static short events(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&pfd, 1, ms) < 0 ? -1 : pfd.revents;
}

static int readable(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1 && pfd.revents == POLLIN;
}

static int kick(int fd, uint32_t mask)
{
	return write(fd, &mask, sizeof(mask)) == sizeof(mask);
}

/* The vectors that were notified, all of which are waited for; 0 if they do not come. */
static uint32_t notified(int fd, uint32_t mask)
{
	uint32_t part, all = 0;

	while (all != mask && readable(fd, ANSWER_MS) &&
	       read(fd, &part, sizeof(part)) == sizeof(part))
		all |= part;
	return all;
}

static uint64_t count(int efd)
{
	uint64_t value = 0;

	return readable(efd, ANSWER_MS) && read(efd, &value, 8) == 8 ? value : 0;
}

static void check_info(int fd)
{
	unsigned int n;

	CHECK(ioctl(fd, RSL_MBOX_IOC_INFO, &info) == 0);
	CHECK(info.vectors == 4);
	CHECK(info.bindings == RSL_MBOX_MAX_BINDINGS);
	CHECK(info.features & RSL_MBOX_FEATURE_MEMORY);
	CHECK(info.memory_base && info.memory_base % PAGE == 0);
	CHECK(info.memory_size > AT && info.memory_size < HIGH);
	CHECK(!strcmp(info.label, "rpu0"));
	for (n = 0; n < 4; n++)
		CHECK(info.reserved[n] == 0);
	FAILS(ioctl(fd, RSL_MBOX_IOC_INFO, nowhere), EFAULT);
	FAILS(ioctl(fd, _IO(RSL_MBOX_IOC_MAGIC, 0x80), &info), ENOTTY);
	FAILS(ioctl(fd, _IOR(RSL_MBOX_IOC_MAGIC, 0x85, struct rsl_mbox_info), &info), ENOTTY);
}

static void check_read_write(int fd, int reader, int writer)
{
	uint32_t words[2] = { 1 << 1, ~0u };
	int blocking = open_device(O_RDWR);

	FAILS(read(fd, words, 4), EAGAIN);
	FAILS(read(fd, words, 3), EINVAL);
	FAILS(read(writer, words, 4), EBADF);
	CHECK(events(fd, 0) == POLLOUT);
	CHECK(events(reader, 0) == 0);
	FAILS(write(fd, words, 0), EINVAL);
	FAILS(write(fd, words, 3), EINVAL);
	FAILS(write(fd, words, 8), EINVAL);
	FAILS(write(fd, nowhere, 4), EFAULT);
	FAILS(write(reader, words, 4), EBADF);
	words[0] = 1 << info.vectors | 1;
	FAILS(write(fd, words, 4), EINVAL);
	CHECK(kick(fd, 0));
	CHECK(!readable(fd, SILENCE_MS));

	CHECK(kick(writer, 1 << 1));
	CHECK(events(fd, ANSWER_MS) & POLLOUT);
	CHECK(readable(fd, ANSWER_MS));
	CHECK(events(fd, 0) == (POLLIN | POLLOUT));
	FAILS(read(fd, nowhere, 4), EFAULT);
	words[0] = 0;
	CHECK(read(fd, words, sizeof(words)) == 4);
	CHECK(words[0] == 1 << 1 && words[1] == ~0u);
	/* Each file has its own. */
	CHECK(read(blocking, words, 4) == 4 && words[0] == 1 << 1);
	CHECK(notified(reader, 1 << 1) == 1 << 1);
	CHECK(kick(fd, 0xf));
	CHECK(notified(fd, 0xf) == 0xf);
	CHECK(notified(blocking, 0xf) == 0xf);
	CHECK(notified(reader, 0xf) == 0xf);
	close(blocking);
	FAILS(lseek(fd, 0, SEEK_END), ESPIPE);
}

static void check_stat(int fd)
{
	struct rsl_mbox_vector_stat before = { .vector = 2 }, after = { .vector = 2 };
	struct timespec now;
	uint64_t ns;

	CHECK(ioctl(fd, RSL_MBOX_IOC_STAT, &before) == 0);
	CHECK(kick(fd, 1 << 2));
	CHECK(notified(fd, 1 << 2) == 1 << 2);
	memset(&after.kicks, 0xff, sizeof(after) - offsetof(struct rsl_mbox_vector_stat, kicks));
	CHECK(ioctl(fd, RSL_MBOX_IOC_STAT, &after) == 0);
	CHECK(after.vector == 2 && after.flags == 0);
	CHECK(after.kicks == before.kicks + 1);
	CHECK(after.kicks_coalesced == before.kicks_coalesced);
	CHECK(after.notifications == before.notifications + 1);
	CHECK(after.storms == 0 && after.reserved[0] == 0 && after.reserved[1] == 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	CHECK(after.last_notification > before.last_notification);
	CHECK(after.last_notification <= ns && ns - after.last_notification < 60000000000ULL);
	after.flags = 1;
	FAILS(ioctl(fd, RSL_MBOX_IOC_STAT, &after), EINVAL);
	after.flags = 0;
	after.vector = info.vectors;
	FAILS(ioctl(fd, RSL_MBOX_IOC_STAT, &after), EINVAL);
	FAILS(ioctl(fd, RSL_MBOX_IOC_STAT, nowhere), EFAULT);
}

static int bind_eventfd(int fd, uint32_t vector, uint32_t direction, int efd, uint32_t flags)
{
	struct rsl_mbox_binding_spec spec = {
		.vector = vector, .direction = direction, .fd = efd, .flags = flags,
	};

	return ioctl(fd, RSL_MBOX_IOC_BIND, &spec);
}

/* Two eventfds on each direction of a vector. */
static void check_bind(int fd, int reader)
{
	const uint32_t end = RSL_MBOX_BIND_DEASSIGN;
	int many[RSL_MBOX_MAX_BINDINGS], notify[2], kicks[2], n;
	uint64_t one = 1;

	for (n = 0; n < 2; n++) {
		notify[n] = eventfd(0, EFD_NONBLOCK);
		kicks[n] = eventfd(0, EFD_NONBLOCK);
		CHECK(bind_eventfd(fd, 2, RSL_MBOX_NOTIFY, notify[n], 0) == 0);
		CHECK(bind_eventfd(fd, 2, RSL_MBOX_KICK, kicks[n], 0) == 0);
	}
	CHECK(kick(fd, 1 << 2));
	CHECK(count(notify[0]) == 1 && count(notify[1]) == 1);
	for (n = 0; n < 2; n++) {
		CHECK(write(kicks[n], &one, 8) == 8);
		CHECK(count(notify[0]) == 1 && count(notify[1]) == 1);
		FAILS(read(kicks[n], &one, 8), EAGAIN);
	}
	FAILS(bind_eventfd(fd, 2, RSL_MBOX_NOTIFY, notify[0], 0), EEXIST);
	FAILS(bind_eventfd(fd, 2, RSL_MBOX_NOTIFY, notify[0], 1 << 1), EINVAL);
	FAILS(bind_eventfd(fd, 2, RSL_MBOX_NOTIFY, notify[0], end | 1u << 31), EINVAL);
	FAILS(bind_eventfd(fd, 2, RSL_MBOX_DIRECTIONS, notify[0], 0), EINVAL);
	FAILS(bind_eventfd(fd, info.vectors, RSL_MBOX_NOTIFY, notify[0], 0), EINVAL);
	FAILS(bind_eventfd(fd, 1, RSL_MBOX_NOTIFY, fd, 0), EINVAL);
	FAILS(bind_eventfd(fd, 1, RSL_MBOX_NOTIFY, -1, 0), EBADF);
	FAILS(bind_eventfd(reader, 1, RSL_MBOX_NOTIFY, notify[0], 0), EBADF);
	FAILS(bind_eventfd(fd, 1, RSL_MBOX_NOTIFY, notify[0], end), ENOENT);
	FAILS(ioctl(fd, RSL_MBOX_IOC_BIND, nowhere), EFAULT);

	CHECK(bind_eventfd(fd, 2, RSL_MBOX_NOTIFY, notify[0], end) == 0);
	FAILS(bind_eventfd(fd, 2, RSL_MBOX_NOTIFY, notify[0], end), ENOENT);
	CHECK(bind_eventfd(fd, 2, RSL_MBOX_KICK, kicks[0], end) == 0);
	CHECK(kick(fd, 1 << 2));
	CHECK(count(notify[1]) == 1);
	CHECK(!readable(notify[0], 0));
	CHECK(write(kicks[0], &one, 8) == 8);
	CHECK(!readable(notify[1], SILENCE_MS));
	for (n = 0; n < 2; n++) {
		close(notify[n]);
		close(kicks[n]);
	}

	notify[0] = eventfd(0, 0);
	for (n = 0; n < RSL_MBOX_MAX_BINDINGS; n++) {
		many[n] = eventfd(0, 0);
		CHECK(bind_eventfd(fd, 3, RSL_MBOX_NOTIFY, many[n], 0) == 0);
	}
	FAILS(bind_eventfd(fd, 3, RSL_MBOX_NOTIFY, notify[0], 0), ENOSPC);
	for (n = 0; n < RSL_MBOX_MAX_BINDINGS; n++)
		close(many[n]);
	close(notify[0]);
	CHECK(notified(fd, 1 << 2) == 1 << 2);
}

static int mask(int fd, uint32_t vectors, uint32_t action, uint64_t reserved)
{
	struct rsl_mbox_mask spec = { vectors, action, reserved };

	return ioctl(fd, RSL_MBOX_IOC_MASK, &spec);
}

static void check_mask(int fd, int reader)
{
	int efd = eventfd(0, EFD_NONBLOCK);

	CHECK(mask(fd, 1 << 1, RSL_MBOX_MASK, 0) == 0);
	CHECK(kick(fd, 1 << 1));
	CHECK(!readable(fd, SILENCE_MS));
	CHECK(mask(fd, 1 << 1, RSL_MBOX_UNMASK, 0) == 0);
	CHECK(notified(fd, 1 << 1) == 1 << 1);

	CHECK(bind_eventfd(fd, 1, RSL_MBOX_NOTIFY, efd, 0) == 0);
	CHECK(mask(fd, 1 << 1, RSL_MBOX_ONESHOT, 0) == 0);
	CHECK(kick(fd, 1 << 1));
	CHECK(count(efd) == 1);
	CHECK(kick(fd, 1 << 1));
	CHECK(!readable(efd, SILENCE_MS));
	CHECK(notified(fd, 1 << 1) == 1 << 1);
	CHECK(count(efd) == 1);
	CHECK(notified(fd, 1 << 1) == 1 << 1);
	CHECK(mask(fd, 1 << 1, RSL_MBOX_CONTINUOUS, 0) == 0);
	CHECK(kick(fd, 1 << 1));
	CHECK(count(efd) == 1);
	CHECK(kick(fd, 1 << 1));
	CHECK(count(efd) == 1);
	CHECK(notified(fd, 1 << 1) == 1 << 1);
	close(efd);

	CHECK(mask(fd, 0, RSL_MBOX_MASK, 0) == 0);
	FAILS(mask(fd, 1, RSL_MBOX_CONTINUOUS + 1, 0), EINVAL);
	FAILS(mask(fd, 1, ~0u, 0), EINVAL);
	FAILS(mask(fd, 1, RSL_MBOX_MASK, 1), EINVAL);
	FAILS(mask(fd, 1, RSL_MBOX_MASK, HIGH), EINVAL);
	FAILS(mask(fd, 1 << info.vectors | 1, RSL_MBOX_MASK, 0), EINVAL);
	FAILS(mask(reader, 1, RSL_MBOX_MASK, 0), EBADF);
	FAILS(ioctl(fd, RSL_MBOX_IOC_MASK, nowhere), EFAULT);
	/* Nothing of this has masked. */
	CHECK(kick(fd, 1));
	CHECK(notified(fd, 1) == 1);
}

static int window(int fd, uint64_t offset, uint64_t size, uint32_t flags, uint32_t padding,
		  uint64_t reserved)
{
	struct rsl_mbox_memory spec = { offset, size, flags, padding, reserved };

	return ioctl(fd, RSL_MBOX_IOC_MEMORY, &spec);
}

static void *map(int fd, size_t size, int protection, uint64_t offset)
{
	return mmap64(NULL, size, protection, MAP_SHARED, fd, offset);
}

/* What mmap() returns, as the number that CHECK and FAILS look at. */
static long mapped(void *address)
{
	return address == MAP_FAILED ? -1 : 0;
}

static void check_mmap(int fd)
{
	unsigned char *all = map(fd, info.memory_size, PROT_READ | PROT_WRITE, 0);
	unsigned char *page = map(fd, PAGE, PROT_READ | PROT_WRITE, AT);

	CHECK(mapped(all) == 0);
	CHECK(mapped(page) == 0);
	if (failed)
		return;
	memset(page + 1, 0xa5, 23);	/* unaligned */
	CHECK(all[AT + 1] == 0xa5 && all[AT + 23] == 0xa5);
	munmap(all, info.memory_size);
	munmap(page, PAGE);
	FAILS(mapped(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)), EINVAL);
	FAILS(mapped(map(fd, PAGE, PROT_READ | PROT_EXEC, 0)), EPERM);
	FAILS(mapped(map(fd, info.memory_size + PAGE, PROT_READ, 0)), EINVAL);
	FAILS(mapped(map(fd, PAGE, PROT_READ, info.memory_size)), EINVAL);
	FAILS(mapped(map(fd, PAGE, PROT_READ, HIGH)), EINVAL);
}

static void check_memory(int fd, int reader)
{
	int whole = window(fd, 0, 0, 0, 0, 0), part = window(fd, AT, 2 * PAGE, 0, 0, 0);
	int look = window(reader, AT, PAGE, RSL_MBOX_MEMORY_RDONLY, 0, 0);
	unsigned char *theirs = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, AT), *ours, *seen;
	uint32_t word = 1;

	CHECK(whole >= 0 && part >= 0 && look >= 0);
	CHECK(lseek(whole, 0, SEEK_END) == (off_t)info.memory_size);
	CHECK(lseek(part, 0, SEEK_END) == 2 * PAGE);
	CHECK(lseek(part, -PAGE, SEEK_END) == PAGE);
	CHECK(lseek(part, 0, SEEK_SET) == 0);
	CHECK(fcntl(part, F_GETFD) == FD_CLOEXEC);
	CHECK((fcntl(look, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHECK(events(part, 0) == 0);
	ours = map(part, PAGE, PROT_READ | PROT_WRITE, PAGE);
	seen = map(look, PAGE, PROT_READ, 0);
	CHECK(mapped(ours) == 0 && mapped(seen) == 0 && mapped(theirs) == 0);
	if (failed)
		return;
	ours[5] = 0x5a;
	theirs[7] = 0xc3;
	CHECK(theirs[PAGE + 5] == 0x5a && seen[7] == 0xc3);
	munmap(ours, PAGE);
	munmap(seen, PAGE);
	munmap(theirs, 3 * PAGE);
	FAILS(mapped(map(part, PAGE, PROT_READ, 2 * PAGE)), EINVAL);
	FAILS(mapped(map(part, 3 * PAGE, PROT_READ, 0)), EINVAL);
	FAILS(mapped(map(look, PAGE, PROT_READ | PROT_WRITE, 0)), EACCES);
	FAILS(write(part, &word, 4), EINVAL);
	FAILS(read(part, &word, 4), EINVAL);
	FAILS(ioctl(part, RSL_MBOX_IOC_INFO, &info), ENOTTY);
	close(whole);
	close(part);
	close(look);

	FAILS(window(fd, 0, 0, 1 << 1, 0, 0), EINVAL);
	FAILS(window(fd, 0, 0, 1u << 31, 0, 0), EINVAL);
	FAILS(window(fd, 0, 0, 0, 1, 0), EINVAL);
	FAILS(window(fd, 0, 0, 0, 0, 1), EINVAL);
	FAILS(window(fd, 0, 0, 0, 0, HIGH), EINVAL);
	FAILS(window(fd, 1, 0, 0, 0, 0), EINVAL);
	FAILS(window(fd, 0, 1, 0, 0, 0), EINVAL);
	FAILS(window(fd, HIGH, PAGE, 0, 0, 0), EINVAL);
	FAILS(window(fd, 0, HIGH, 0, 0, 0), EINVAL);
	FAILS(window(fd, 0, HIGH + PAGE, 0, 0, 0), EINVAL);
	FAILS(window(fd, info.memory_size, 0, 0, 0, 0), EINVAL);
	FAILS(window(fd, PAGE, info.memory_size, 0, 0, 0), EINVAL);
	FAILS(window(reader, 0, 0, 0, 0, 0), EACCES);
	FAILS(ioctl(fd, RSL_MBOX_IOC_MEMORY, nowhere), EFAULT);
}

/* Each notification is two events, and a write kicks all vectors. */
static void check_umb(int fd)
{
	int umb = open(umb_device, O_RDWR | O_NONBLOCK), n;
	char text[24];
	unsigned char *page;

	CHECK(umb >= 0);
	FAILS(read(umb, text, sizeof(text)), EAGAIN);
	CHECK(events(umb, 0) == 0);
	CHECK(write(umb, "\n", 1) == 1);
	CHECK(notified(fd, 0xf) == 0xf);
	CHECK(events(umb, 0) == POLLIN);
	FAILS(read(umb, nowhere, sizeof(text)), EFAULT);
	for (n = 8; n; n--) {
		memset(text, 0, sizeof(text));
		CHECK(read(umb, text, sizeof(text)) == 2);
		CHECK(text[0] == '0' + n && text[1] == '\n');
	}
	FAILS(read(umb, text, sizeof(text)), EAGAIN);
	page = map(umb, PAGE, PROT_READ | PROT_WRITE, AT);
	CHECK(mapped(page) == 0);
	FAILS(mapped(map(umb, PAGE, PROT_READ, HIGH)), EINVAL);
	FAILS(ioctl(umb, RSL_MBOX_IOC_INFO, &info), ENOTTY);
	close(umb);
}

int main(int argc, char **argv)
{
	int fd, reader, writer;

	if (argc != 3)
		return 2;
	device = argv[1];
	umb_device = argv[2];
	fd = open_device(O_RDWR | O_NONBLOCK);
	reader = open_device(O_RDONLY | O_NONBLOCK);
	writer = open_device(O_WRONLY);
	check_info(fd);
	if (!failed) {
		check_read_write(fd, reader, writer);
		check_stat(fd);
		check_bind(fd, reader);
		check_mask(fd, reader);
		check_mmap(fd);
		check_memory(fd, reader);
		check_umb(fd);
	}
	printf("%u bits: %u checks passed, %u failed\n", (unsigned int)sizeof(void *) * 8, passed,
	       failed);
	return failed != 0;
}
