// SPDX-License-Identifier: BSD-3-Clause
/*
 * A daemon without a right: round trips with the remote over what it was given.
 *
 * roundtrips [--empty] COUNT [SOCKET]
 *
 * Ends with 1 where it has a capability, may gain one, can open a device again, or a
 * kick is not answered on its vector. With --empty it first moves into a mount
 * namespace with nothing in it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "rsl.h"

/* What the remote answers a kick of vector 0 with, before it has set itself up: nothing. */
#define FIRST_ANSWER_MS		200
#define FIRST_TRIES		300
#define ANSWER_MS		10000

static void die(const char *what)
{
	fprintf(stderr, "roundtrips: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void capabilities(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };

	if (syscall(SYS_capget, &header, data))
		die("capget");
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (syscall(SYS_capset, &header, none))
		die("capset");
}

static void put(const char *path, const char *format, unsigned int a, unsigned int b)
{
	int fd = open(path, O_WRONLY);
	char text[64];
	int length = snprintf(text, sizeof(text), format, a, b);

	if (fd < 0 || write(fd, text, length) != length)
		die(path);
	close(fd);
}

/* Into a mount namespace whose root is empty, and without the rights that making it gave. */
static void move_into_nothing(void)
{
	unsigned int uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		die("unshare");
	put("/proc/self/setgroups", "deny", 0, 0);
	put("/proc/self/uid_map", "%u %u 1", uid, uid);
	put("/proc/self/gid_map", "%u %u 1", gid, gid);
	/* The board's root is the kernel's first, which pivot_root(2) does not take. */
	if (mount("none", "/tmp", "tmpfs", 0, "size=4k") || chdir("/tmp") ||
	    mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		die("make an empty root");
	drop_capabilities();
}

static int entries(const char *path)
{
	DIR *directory = opendir(path);
	int count = 0;

	if (!directory)
		die(path);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 2;
}

static void check_rights(const struct rsl_link *link)
{
	struct __user_cap_data_struct data[2];
	char path[64];

	capabilities(data);
	printf("uid %u, CapEff %08x%08x, NoNewPrivs %d\n", getuid(), data[1].effective,
	       data[0].effective, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	if (!getuid() || data[0].effective || data[1].effective ||
	    data[0].permitted || data[1].permitted || !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) {
		fprintf(stderr, "roundtrips: has rights\n");
		exit(1);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", link->shmem);
	if (open(path, O_RDWR) >= 0 || (errno != EACCES && errno != ENOENT && errno != EPERM)) {
		fprintf(stderr, "roundtrips: can open its device again\n");
		exit(1);
	}
}

static void round_trip(struct rsl_link *link, unsigned int vector, int timeout, int tries)
{
	uint32_t mask = 0;
	int ret = 0;

	while (tries-- && !ret) {
		ret = rsl_kick(link, 1u << vector);
		if (!ret)
			ret = rsl_wait(link, &mask, timeout);
		if (ret < 0) {
			errno = -ret;
			die("kick and wait");
		}
	}
	if (!ret || mask != 1u << vector) {
		fprintf(stderr, "roundtrips: a kick of vector %u is answered on %#x\n", vector, mask);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int empty = argc > 1 && !strcmp(argv[1], "--empty");
	struct timespec start, end;
	struct rsl_link link;
	long count, number;

	argc -= empty;
	argv += empty;
	if (argc < 2) {
		fprintf(stderr, "usage: roundtrips [--empty] COUNT [SOCKET]\n");
		return 2;
	}
	count = strtol(argv[1], NULL, 10);
	if (rsl_receive(&link, argc > 2 ? argv[2] : NULL)) {
		fprintf(stderr, "roundtrips: %s\n", rsl_error(&link));
		return 1;
	}
	if (argc > 2)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	check_rights(&link);
	rsl_ready();
	if (empty)
		move_into_nothing();
	check_rights(&link);
	if (!rsl_map(&link))
		die("map the shared memory");
	printf("root has %d entries\n", entries("/"));

	round_trip(&link, 0, FIRST_ANSWER_MS, FIRST_TRIES);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (number = 0; number < count; number++)
		round_trip(&link, number % link.vectors, ANSWER_MS, 1);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%ld round trips on %u vectors, %.0f us each\n", count, link.vectors,
	       ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / 1e3 / count);
	return 0;
}
