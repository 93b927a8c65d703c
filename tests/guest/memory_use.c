// SPDX-License-Identifier: BSD-3-Clause
/*
 * memory_use DEVICE [dump]
 *
 * Tries what programs do with memory on the memory of a link, and prints what came of it:
 * "NAME 0", or a negative errno. Each is tried on ordinary memory first, so that it is not
 * the kernel or the program that cannot do it. With "dump" it maps the memory and dies.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/rsl_mbox.h>

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

#define SIZE 4096

static uint64_t whole;
static int device;

static int result(long rc)
{
	return rc < 0 ? -errno : 0;
}

static int a_read(char *memory)
{
	int fd = open("/proc/self/exe", O_RDONLY), rc = result(read(fd, memory, SIZE));

	close(fd);
	return rc;
}

static int a_write(char *memory)
{
	int ends[2], rc;

	if (pipe(ends))
		return -1;
	rc = result(write(ends[1], memory, SIZE));
	close(ends[0]);
	close(ends[1]);
	return rc;
}

static int a_vmsplice(char *memory)
{
	struct iovec piece = { memory, SIZE };
	int ends[2], rc;

	if (pipe(ends))
		return -1;
	rc = result(vmsplice(ends[1], &piece, 1, 0));
	close(ends[0]);
	close(ends[1]);
	return rc;
}

static int a_send(char *memory, int flags)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int from, to, rc, one = 1;

	from = socket(AF_INET, SOCK_DGRAM, 0);
	to = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(to, (struct sockaddr *)&address, length) ||
	    getsockname(to, (struct sockaddr *)&address, &length) ||
	    setsockopt(from, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		return -1;
	rc = result(sendto(from, memory, 1024, flags, (struct sockaddr *)&address, length));
	close(from);
	close(to);
	return rc;
}

static int a_zerocopy(char *memory)
{
	return a_send(memory, MSG_ZEROCOPY);
}

static int an_ordinary_send(char *memory)
{
	return a_send(memory, 0);
}

static int a_fixed_buffer(char *memory)
{
	struct io_uring_params params = { 0 };
	struct iovec piece = { memory, SIZE };
	int fd = (int)syscall(__NR_io_uring_setup, 1, &params), rc;

	if (fd < 0)
		return -errno;
	rc = result(syscall(__NR_io_uring_register, fd, IORING_REGISTER_BUFFERS, &piece, 1));
	close(fd);
	return rc;
}

static int a_foreign_read(char *memory)
{
	static char here[SIZE];
	struct iovec ours = { here, SIZE }, theirs = { memory, SIZE };

	return result(process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0));
}

static int a_foreign_write(char *memory)
{
	static char here[SIZE];
	struct iovec ours = { here, SIZE }, theirs = { memory, SIZE };

	return result(process_vm_writev(getpid(), &ours, 1, &theirs, 1, 0));
}

static int a_debugger(char *memory)
{
	char here[64];
	int fd = open("/proc/self/mem", O_RDONLY);
	int rc = result(pread(fd, here, sizeof(here), (off_t)(uintptr_t)memory));

	close(fd);
	return rc;
}

/* Wakes nobody; what is asked is whether the kernel takes the address. */
static int a_futex(char *memory)
{
	return result(syscall(SYS_futex, memory, FUTEX_WAKE, 1, NULL, NULL, 0));
}

static int a_private_futex(char *memory)
{
	return result(syscall(SYS_futex, memory, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

static int a_mlock(char *memory)
{
	return result(mlock(memory, SIZE));
}

static int a_dodump(char *memory)
{
	return result(madvise(memory, SIZE, MADV_DODUMP));
}

/* Whether VmLck grows by a page that is locked. */
static long locked(void)
{
	char line[256];
	long kib = -1;
	FILE *file = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmLck: %ld", &kib);
	fclose(file);
	return kib;
}

static int is_locked(char *memory)
{
	long before = locked();

	munlock(memory, SIZE);
	before = locked();
	if (mlock(memory, SIZE))
		return -errno;
	return locked() > before ? 0 : -1;
}

static char *map(void)
{
	return mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
}

static char *ordinary(void)
{
	return mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* In a child that may lock as much as half of the memory, and has no capability. */
static int limited(int (*call)(void))
{
	struct rlimit limit = { whole / 2, whole / 2 };
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(65534, 65534, 65534))
			_exit(255);
		_exit(-call());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -1;
}

static int lock_then_map(void)
{
	if (mlockall(MCL_FUTURE))
		return -errno;
	return map() == MAP_FAILED ? -errno : 0;
}

static int map_then_lock(void)
{
	if (map() == MAP_FAILED)
		return -1;
	return result(mlockall(MCL_CURRENT));
}

static int map_then_lock_future(void)
{
	if (map() == MAP_FAILED)
		return -1;
	return result(mlockall(MCL_FUTURE));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*call)(char *memory);
	} uses[] = {
		{ "read", a_read },
		{ "write", a_write },
		{ "send", an_ordinary_send },
		{ "zerocopy", a_zerocopy },
		{ "vmsplice", a_vmsplice },
		{ "io_uring", a_fixed_buffer },
		{ "process_vm_readv", a_foreign_read },
		{ "process_vm_writev", a_foreign_write },
		{ "proc_mem", a_debugger },
		{ "futex", a_futex },
		{ "private_futex", a_private_futex },
		{ "mlock", a_mlock },
		{ "locked", is_locked },
		{ "dodump", a_dodump },
	};
	struct rsl_mbox_info info;
	char *memory, *usual;
	unsigned int n;

	device = open(argv[1], O_RDWR);
	if (device < 0 || ioctl(device, RSL_MBOX_IOC_INFO, &info))
		return 1;
	whole = info.memory_size;
	memory = map();
	usual = ordinary();
	if (memory == MAP_FAILED || usual == MAP_FAILED)
		return 1;
	if (argc > 2) {
		memset(usual, 'o', whole);
		memset(memory, 'm', whole);
		abort();
	}
	for (n = 0; n < sizeof(uses) / sizeof(*uses); n++)
		printf("%s %d %d\n", uses[n].name, uses[n].call(usual), uses[n].call(memory));
	munmap(memory, whole);
	munmap(usual, whole);
	printf("lock_then_map %d\n", limited(lock_then_map));
	printf("map_then_lock %d\n", limited(map_then_lock));
	printf("map_then_lock_future %d\n", limited(map_then_lock_future));
	return 0;
}
