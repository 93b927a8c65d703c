// SPDX-License-Identifier: BSD-3-Clause
/*
 * driver place FD,FD,... PROGRAM [ARGUMENT]...
 *	Becomes PROGRAM, which has these descriptors from 3 on, LISTEN_PID, and no other.
 * driver link [SOCKET]
 *	Receives a link and does with it what the lines on standard input say.
 * driver child
 *	Receives a link, kicks vector 1, and ends with status 0.
 * driver json
 *	Reads documents, to be cut in pieces by a path.
 *
 * Every answer is one line.
 */
#include <inttypes.h>
#include <signal.h>
#include <sys/time.h>

#include "rsl.h"

static int open_descriptors(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int place(char *list, char **program)
{
	char pid[24];
	int fds[128], n, count = 0;
	char *one;

	for (one = strtok(list, ","); one && count < 128; one = strtok(NULL, ","))
		fds[count++] = fcntl(atoi(one), F_DUPFD, 256);
	for (n = 0; n < count; n++)
		if (dup2(fds[n], 3 + n) < 0)
			return 1;
	for (n = 3 + count; n < 1024; n++)
		close(n);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 0);
	execv(program[0], program);
	return 1;
}

static void answer(const char *verb, int value)
{
	printf("%s %d\n", verb, value);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Signals every 10 ms, or no more of them. */
static void alarms(int on)
{
	struct sigaction action;
	struct itimerval timer;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	memset(&timer, 0, sizeof(timer));
	timer.it_interval.tv_usec = timer.it_value.tv_usec = on ? 10000 : 0;
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void text(const struct rsl_link *link, const char *path, size_t size)
{
	char *buffer = (char *)malloc(size);
	int rc = rsl_manifest_text(link, path, buffer, size);
	size_t n;

	printf("text %d ", rc);
	for (n = 0; (!rc || rc == -ENOSPC) && buffer[n]; n++)
		printf("%02x", (unsigned char)buffer[n]);
	printf("\n");
	free(buffer);
}

static void number(const struct rsl_link *link, const char *path)
{
	uint64_t value = 0;
	int rc = rsl_manifest_number(link, path, &value);

	printf("number %d %" PRIu64 "\n", rc, value);
}

static void wait_for(struct rsl_link *link, const char *verb, int timeout_ms)
{
	uint32_t mask = 99;
	int64_t start = rsl_now_ns();
	int rc = rsl_wait(link, &mask, timeout_ms);

	printf("%s %d %" PRIu32 " %d\n", verb, rc, mask, (int)((rsl_now_ns() - start) / 1000000));
}

/* Start a program that has the link, and wait for its end: its status, or why not. */
static int spawn(const struct rsl_link *link, char *words)
{
	char *argv[8] = { NULL };
	int n, status = 0;
	pid_t pid;

	for (n = 0; n < 7; n++)
		argv[n] = strtok(n ? NULL : words, " \n");
	pid = rsl_spawn(link, argv);
	if (pid < 0)
		return (int)pid;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Receive once more, and close what that gave. */
static int again(void)
{
	struct rsl_link link;
	int rc;

	memset(&link, 0x55, sizeof(link));
	rc = rsl_receive(&link, NULL);
	rsl_close(&link);
	return rc;
}

static void do_line(struct rsl_link *link, const char *verb, const char *word, long value)
{
	unsigned char *memory = (unsigned char *)link->map;
	struct pollfd pfd;

	if (!strcmp(verb, "map")) {
		memory = (unsigned char *)rsl_map(link);
		answer(verb, memory ? 0 : -errno);
	} else if (!strcmp(verb, "poke")) {
		memory[value]++;
		answer(verb, memory[value]);
	} else if (!strcmp(verb, "kick")) {
		answer(verb, rsl_kick(link, (uint32_t)value));
	} else if (!strcmp(verb, "wait")) {
		wait_for(link, verb, (int)value);
	} else if (!strcmp(verb, "alarmed")) {
		alarms(1);
		wait_for(link, verb, (int)value);
		alarms(0);
	} else if (!strcmp(verb, "poll")) {
		pfd.fd = rsl_fd(link);
		pfd.events = POLLIN;
		answer(verb, poll(&pfd, 1, 0));
	} else if (!strcmp(verb, "fd")) {
		answer(verb, rsl_fd(link) < 0 ? -EBADF : 0);
	} else if (!strcmp(verb, "ignore")) {
		answer(verb, rsl_ignore(link, (uint32_t)value));
	} else if (!strcmp(verb, "again")) {
		answer(verb, again());
	} else if (!strcmp(verb, "ready")) {
		answer(verb, rsl_ready());
	} else if (!strcmp(verb, "number")) {
		number(link, word);
	} else if (!strcmp(verb, "text")) {
		text(link, word, 64);
	} else if (!strcmp(verb, "cloexec")) {
		int fd, without = 0;

		for (fd = 3; fd < 1024; fd++)
			without += fcntl(fd, F_GETFD) == 0;
		answer(verb, without);
	} else if (!strcmp(verb, "close")) {
		rsl_close(link);
		rsl_close(link);
		answer(verb, open_descriptors());
	} else {
		answer("unknown", 1);
	}
	fflush(stdout);
}

static int with_link(const char *socket_path)
{
	char line[1024], verb[16], word[64];
	struct rsl_link link;
	int before = open_descriptors(), rc;

	memset(&link, 0x55, sizeof(link));
	rc = rsl_receive(&link, socket_path);
	printf("receive %d %d %s\n", rc, open_descriptors() - before, rsl_error(&link));
	if (!rc)
		printf("link %s %u %#" PRIx64 " %#" PRIx64 " %#" PRIx64 "\n", link.name,
		       link.vectors, link.memory_base, link.memory_size, link.memory_offset);
	fflush(stdout);
	while (!rc && fgets(line, sizeof(line), stdin)) {
		verb[0] = word[0] = '\0';
		sscanf(line, "%15s %63s", verb, word);
		if (!strcmp(verb, "spawn")) {
			answer(verb, spawn(&link, line + strlen("spawn")));
			fflush(stdout);
		} else {
			do_line(&link, verb, word, strtol(word, NULL, 0));
		}
	}
	rsl_close(&link);
	return 0;
}

/*
 * Records are "LENGTH PATH-LENGTH SIZE\n", a document and a path. Answers with
 * rsl_json_whole(), and number and text of what is at the path if that is 0.
 */
static int documents(void)
{
	size_t length, path_length, size;
	struct rsl_link link;
	char line[64], *path;
	int rc;

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%zu %zu %zu", &length, &path_length, &size) != 3)
			return 1;
		memset(&link, 0, sizeof(link));
		/* Of this length exactly, for the sanitizer to see what reads past it. */
		link.manifest = (char *)malloc(length ? length : 1);
		link.manifest_length = length;
		path = (char *)calloc(1, path_length + 1);
		if (fread(link.manifest, 1, length, stdin) != length ||
		    fread(path, 1, path_length, stdin) != path_length)
			return 1;
		rc = rsl_json_whole(link.manifest, length);
		printf("whole %d\n", rc);
		/* Even where it is not whole: that must not crash either. */
		number(&link, path);
		text(&link, path, size);
		fflush(stdout);
		free(link.manifest);
		free(path);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "place"))
		return place(argv[2], argv + 3);
	if (argc > 1 && !strcmp(argv[1], "link"))
		return with_link(argc > 2 ? argv[2] : NULL);
	if (argc > 1 && !strcmp(argv[1], "child")) {
		struct rsl_link link;
		int rc = rsl_receive(&link, NULL) || rsl_kick(&link, 2);

		rsl_close(&link);
		return rc;
	}
	if (argc > 1 && !strcmp(argv[1], "json"))
		return documents();
	return 2;
}
