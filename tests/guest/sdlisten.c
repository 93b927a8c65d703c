// SPDX-License-Identifier: BSD-3-Clause
/*
 * A daemon that knows sd_listen_fds_with_names(3) and the link's device, and nothing of
 * rslctl: as many round trips on vector 0 as its argument says.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	int shmem = -1, mbox = -1, number, at, tries;
	struct pollfd poller;
	uint32_t mask = 1;
	char **names;

	number = sd_listen_fds_with_names(1, &names);
	for (at = 0; at < number; at++) {
		if (!strcmp(names[at], "shmem"))
			shmem = SD_LISTEN_FDS_START + at;
		if (!strcmp(names[at], "mbox"))
			mbox = SD_LISTEN_FDS_START + at;
	}
	if (shmem < 0 || mbox < 0)
		return 3;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shmem, 0) == MAP_FAILED)
		return 4;
	sd_notify(0, "READY=1");
	poller.fd = mbox;
	poller.events = POLLIN;
	/* Until the remote has set itself up, it answers nothing. */
	for (tries = 300, mask = 1; tries; tries--) {
		if (write(mbox, &mask, sizeof(mask)) != sizeof(mask))
			return 5;
		if (poll(&poller, 1, 200) == 1)
			break;
	}
	while (poll(&poller, 1, 500) == 1)
		if (read(mbox, &mask, sizeof(mask)) != sizeof(mask))
			return 6;
	for (at = 0; at < count; at++) {
		mask = 1;
		if (write(mbox, &mask, sizeof(mask)) != sizeof(mask) ||
		    read(mbox, &mask, sizeof(mask)) != sizeof(mask) || mask != 1)
			return 7;
	}
	printf("sdlisten: %ld round trips\n", count);
	return 0;
}
