// SPDX-License-Identifier: BSD-3-Clause
/*
 * daemon [SOCKET]
 *
 * Answers every notification of a link by a kick of the same vector, until SIGTERM or
 * SIGINT. The link comes from "rslctl run", or from the broker whose socket is given.
 *
 *	cc -O2 -I../librsl -o daemon daemon.c
 */
#include <signal.h>
#include <sys/signalfd.h>

#include "rsl.h"

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "daemon: %s: %s\n", what, why);
	return 1;
}

int main(int argc, char **argv)
{
	struct rsl_link link;
	struct pollfd fds[2];
	unsigned long answered = 0;
	uint32_t mask;
	sigset_t signals;
	int rc;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fds[0].fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fds[0].fd < 0)
		return fail("signalfd", strerror(errno));

	if (rsl_receive(&link, argc > 1 ? argv[1] : NULL))
		return fail("no link", rsl_error(&link));
	/* What the daemon serves is in there; this one has nothing to do with it. */
	if (link.memory_size && !rsl_map(&link))
		return fail("no memory", strerror(errno));
	printf("daemon: link %s, %u vectors, %llu bytes of memory\n", link.name, link.vectors,
	       (unsigned long long)link.memory_size);
	fflush(stdout);
	rc = rsl_ready();
	if (rc < 0)
		return fail("not told that it is ready", strerror(-rc));

	fds[1].fd = rsl_fd(&link);
	fds[0].events = fds[1].events = POLLIN;
	while (rc >= 0 && poll(fds, 2, -1) > 0 && !fds[0].revents) {
		rc = rsl_wait(&link, &mask, 0);
		if (rc > 0)
			rc = rsl_kick(&link, mask);
		for (; rc >= 0 && mask; mask &= mask - 1)
			answered++;
	}
	rsl_close(&link);
	printf("daemon: answered %lu notifications\n", answered);
	return rc < 0 ? fail(link.name, strerror(-rc)) : 0;
}
