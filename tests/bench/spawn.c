// SPDX-License-Identifier: BSD-3-Clause
/*
 * spawn PROGRAM [ARGUMENT]...: runs a program without input and output and prints what it
 * took: wall time in nanoseconds and peak memory in KiB.
 *
 * A program's peak memory begins with that of the process that it was forked from
 * (getrusage(2)), so this one has to be small.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	int64_t began = now();
	struct rusage usage;
	int status, fd;
	pid_t pid;

	if (argc < 2)
		return 2;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(126);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &usage) != pid)
		return 1;
	printf("wall %lld\nmemory %ld\n", (long long)(now() - began), usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
