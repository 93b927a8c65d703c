/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link of rslctl in a daemon: take it over, map its memory, wait and kick.
 *
 * Copy this file into the daemon's source and include it; there is nothing to
 * link with. It is gnu99 and C++11 (with -std=c99, define _DEFAULT_SOURCE) and
 * needs libc and Linux only.
 *
 * A link is shared memory between Linux and one remote, and up to 32 vectors,
 * numbered from 0, in each direction: the remote notifies Linux on a vector,
 * Linux kicks the remote on one. A mask has bit n for vector n. "rslctl run"
 * hands a link over by the environment, "rslctl serve" by a socket; by both it
 * comes as descriptors and a manifest, a JSON document that describes it.
 *
 * No function prints, exits, changes a signal's handling or the environment.
 * A link may be used by several threads: rsl_kick() and the functions that take
 * a const link by any, at any time; rsl_map(), rsl_wait() and rsl_close() by one
 * at a time, the last when nobody uses the link any more.
 */
#ifndef RSL_H
#define RSL_H

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The version of the manifest that this file reads. */
#define RSL_VERSION		1

#define RSL_MAX_VECTORS		32

/* With the terminating NUL. */
#define RSL_NAME_SIZE		32

/* Bytes in a manifest. */
#define RSL_MAX_MANIFEST	65536

/**
 * struct rsl_link - a link that this process was handed
 * @name: name of the link, NUL-terminated
 * @vectors: number of vectors in each direction, 1 to RSL_MAX_VECTORS
 * @memory_base: physical address of the shared memory, as the remote sees it
 * @memory_size: size of the shared memory in bytes, 0 without one
 * @memory_offset: offset of its first byte in the file of @shmem, in bytes
 * @map: what rsl_map() returned, NULL before
 * @shmem: descriptor to map the memory of, -1 without shared memory
 * @mbox: descriptor of the character device, -1 where there are eventfds instead
 * @notify: eventfds that notifications signal, by vector; -1 where there is @mbox
 * @kick: eventfds whose signals kick, by vector; -1 where there is @mbox
 * @wait: epoll descriptor over @notify, -1 where there is @mbox
 * @manifest: text of the manifest, NUL-terminated
 * @manifest_length: its length in bytes without the NUL
 * @error: what rsl_error() returns
 *
 * rsl_receive() fills it in, whatever it held before, and all of it is to be read
 * only. The descriptors, the mapping and the text belong to the link: rsl_close()
 * ends them. To keep a descriptor for longer, dup() it.
 */
struct rsl_link {
	char name[RSL_NAME_SIZE];
	unsigned int vectors;
	uint64_t memory_base;
	uint64_t memory_size;
	uint64_t memory_offset;
	void *map;
	int shmem;
	int mbox;
	int notify[RSL_MAX_VECTORS];
	int kick[RSL_MAX_VECTORS];
	int wait;
	char *manifest;
	size_t manifest_length;
	char error[512];
};

/**
 * rsl_receive() - take over a link
 * @link: to be filled in
 * @socket_path: socket of the broker, such as /run/rsl/rpu0.sock; a '@' first
 *	stands for an abstract one. NULL: take what the environment announces
 *	(LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), which works once in a process.
 *
 * From the environment it takes the descriptors with the names of a link and
 * makes them close on exec; others stay as they are, and the caller's. From a
 * broker it waits for as long as the broker takes to answer.
 *
 * Return: 0, or a negative errno; rsl_error() has a text then, and nothing that
 * was taken stays open, so that no rsl_close() is needed.
 *
 * ENOENT: nothing in the environment, or it is for another process; or no such
 *	socket.
 * EACCES: the broker refuses, and rsl_error() is what it said; or connect() did.
 * EPROTO: no good manifest, a version of it that is not RSL_VERSION, or other
 *	descriptors than it takes.
 * EBADF: the environment names a descriptor that is not open.
 * Others are those of socket(), connect(), recvmsg(), pread() and epoll_ctl().
 */
static inline int rsl_receive(struct rsl_link *link, const char *socket_path);

/**
 * rsl_error() - why rsl_receive() failed
 *
 * Return: one line without a full stop, empty if it did not fail. It is part of
 * @link and stays until @link is received again.
 */
static inline const char *rsl_error(const struct rsl_link *link);

/**
 * rsl_map() - map the shared memory
 *
 * The mapping is shared, for reading and writing, of all memory_size bytes from
 * the memory's first. Called again it returns the same. rsl_close() ends it. It
 * stays valid when the link goes away. What is in the memory is the remote's word:
 * copy what you check before you use it.
 *
 * Return: the first byte, or NULL with errno. ENODEV: the link has no shared
 * memory. EOVERFLOW: too large for this process, or for the file. Others are those of mmap().
 */
static inline void *rsl_map(struct rsl_link *link);

/**
 * rsl_kick() - kick the remote
 * @mask: of vectors; 0 kicks nothing
 *
 * A kick releases: the remote sees what was written to the memory before it.
 *
 * Never blocks. Kicks of one vector coalesce until the remote has seen them, so
 * one that finds another on its way is a success. With eventfds it cannot tell
 * whether the link is still there; rsl_wait() can.
 *
 * Return: 0, or a negative errno. EINVAL: a bit for a vector that the link does not
 * have; nothing is kicked then. ENODEV: the link is gone.
 */
static inline int rsl_kick(struct rsl_link *link, uint32_t mask);

/**
 * rsl_wait() - wait for the remote to notify
 * @mask: out: vectors that were notified since they were last told; 0 unless
 *	the function returns 1
 * @timeout_ms: how long to wait at most in milliseconds; 0 does not wait, a
 *	negative one waits for ever
 *
 * A notification is told once and none is lost; those of one vector coalesce. A
 * signal does not end or lengthen it: to be woken by one, poll rsl_fd() beside a
 * signalfd.
 *
 * Return: 1 with @mask, 0 where the time is over, or a negative errno. ENODEV: the
 * link is gone, for good; told after what was notified before. (With eventfds
 * it is known by the descriptor shmem, so not where that is missing or a memfd.)
 */
static inline int rsl_wait(struct rsl_link *link, uint32_t *mask, int timeout_ms);

/**
 * rsl_fd() - the descriptor to wait for in an event loop of your own
 *
 * Poll it for reading, level-triggered; when it is ready call rsl_wait() with a
 * timeout of 0, which may still find nothing. Do not read it.
 *
 * Return: a descriptor of the link, always the same.
 */
static inline int rsl_fd(const struct rsl_link *link);

/**
 * rsl_ready() - tell the service manager that this daemon is ready
 *
 * It is sd_notify(3) with READY=1, for units of Type=notify.
 *
 * Return: 1, 0 where NOTIFY_SOCKET is unset, as without a service manager, or the
 * negative errno of socket() or sendto(); ENAMETOOLONG: NOTIFY_SOCKET is longer
 * than a socket's name.
 */
static inline int rsl_ready(void);

/**
 * rsl_manifest_number() - a number in the manifest
 * @path: keys and indices with dots between, such as "memory.base" or
 *	"virtio.devices.0.header"; a key has no dot and at most 63 bytes
 * @value: out; untouched on failure
 *
 * Return: 0, or a negative errno. ENOENT: nothing is there. EPROTO: what is there
 * is no whole number from 0 to 2^64 - 1.
 */
static inline int rsl_manifest_number(const struct rsl_link *link, const char *path,
				      uint64_t *value);

/**
 * rsl_manifest_text() - a string in the manifest
 * @path: as for rsl_manifest_number()
 * @buffer: out: UTF-8, NUL-terminated
 * @size: of @buffer in bytes, at least 1
 *
 * Return: 0, or a negative errno. ENOENT: nothing is there. EPROTO: what is there
 * is no string. ENOSPC: @buffer has the beginning of it only.
 */
static inline int rsl_manifest_text(const struct rsl_link *link, const char *path,
				    char *buffer, size_t size);

/**
 * rsl_close() - give a link back
 *
 * Unmaps the memory, closes the descriptors, frees the manifest. Harmless after a
 * rsl_receive() that failed, and when called again.
 */
static inline void rsl_close(struct rsl_link *link);

/* What follows is not for use from outside. */

/* As many arrays and objects may lie in one another. */
#define RSL_JSON_DEPTH		32

/* shmem, and notify and kick of all vectors, or mbox; one more is one too many. */
#define RSL_MAX_FDS		66

/* What is left of a document. Nothing at or behind @end is read. */
struct rsl_json {
	const char *at;
	const char *end;
};

static inline int rsl_json_take(struct rsl_json *json, char character)
{
	if (json->at == json->end || *json->at != character)
		return 0;
	json->at++;
	return 1;
}

static inline void rsl_json_space(struct rsl_json *json)
{
	while (rsl_json_take(json, ' ') || rsl_json_take(json, '\t') ||
	       rsl_json_take(json, '\n') || rsl_json_take(json, '\r'))
		;
}

/* How many digits come next. */
static inline size_t rsl_json_digits(struct rsl_json *json)
{
	const char *start = json->at;

	while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
		json->at++;
	return (size_t)(json->at - start);
}

static inline int rsl_json_number(struct rsl_json *json)
{
	rsl_json_take(json, '-');
	if (!rsl_json_take(json, '0') && !rsl_json_digits(json))
		return -EPROTO;
	if (rsl_json_take(json, '.') && !rsl_json_digits(json))
		return -EPROTO;
	if (rsl_json_take(json, 'e') || rsl_json_take(json, 'E')) {
		if (!rsl_json_take(json, '+'))
			rsl_json_take(json, '-');
		if (!rsl_json_digits(json))
			return -EPROTO;
	}
	return 0;
}

static inline long rsl_json_hex(struct rsl_json *json)
{
	long value = 0;
	int n, digit;

	for (n = 0; n < 4; n++) {
		if (json->at == json->end || !isxdigit((unsigned char)*json->at))
			return -EPROTO;
		digit = *json->at++;
		value = value * 16 + (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
	}
	return value;
}

/* The character that an escape stands for, whose backslash is taken. */
static inline long rsl_json_escape(struct rsl_json *json)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;
	long high, low;

	if (rsl_json_take(json, 'u')) {
		high = rsl_json_hex(json);
		if (high < 0xd800 || high > 0xdfff)
			return high;
		if (high > 0xdbff || !rsl_json_take(json, '\\') || !rsl_json_take(json, 'u'))
			return -EPROTO;
		low = rsl_json_hex(json);
		if (low < 0xdc00 || low > 0xdfff)
			return -EPROTO;
		return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
	}
	if (json->at == json->end || !*json->at)
		return -EPROTO;
	name = strchr(names, *json->at++);
	return name ? values[name - names] : -EPROTO;
}

/*
 * The length of the string that comes next; as much of it as fits into the buffer,
 * which is NUL-terminated. A string with a NUL in it is refused.
 */
static inline long rsl_json_string(struct rsl_json *json, char *buffer, size_t size)
{
	static const unsigned char first[] = { 0, 0xc0, 0xe0, 0xf0 };
	size_t length = 0;
	long code, byte;
	int more;

	if (!rsl_json_take(json, '"'))
		return -EPROTO;
	while (!rsl_json_take(json, '"')) {
		if (json->at == json->end || (unsigned char)*json->at < 0x20)
			return -EPROTO;
		code = byte = (unsigned char)*json->at++;
		more = 0;
		if (code == '\\') {
			code = rsl_json_escape(json);
			if (code <= 0)
				return -EPROTO;
			more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
			byte = first[more] | code >> 6 * more;
		}
		for (;;) {
			if (length < size - 1)
				buffer[length] = (char)byte;
			length++;
			if (!more--)
				break;
			byte = 0x80 | (code >> 6 * more & 0x3f);
		}
	}
	buffer[length < size ? length : size - 1] = '\0';
	return (long)length;
}

static inline int rsl_json_skip(struct rsl_json *json, int depth);

/*
 * Pass the array or object that comes next: 0. Or stop at the value in it that has
 * this key or index: 1. A @length that is over any key's finds none.
 */
static inline int rsl_json_enter(struct rsl_json *json, int depth, const char *key,
				 size_t length)
{
	char own[64];
	long own_length;
	unsigned int index;
	int object = rsl_json_take(json, '{');

	if (!depth || (!object && !rsl_json_take(json, '[')))
		return -EPROTO;
	rsl_json_space(json);
	if (rsl_json_take(json, object ? '}' : ']'))
		return 0;
	for (index = 0;; index++) {
		own_length = object ? rsl_json_string(json, own, sizeof(own)) :
				      snprintf(own, sizeof(own), "%u", index);
		if (own_length < 0)
			return -EPROTO;
		rsl_json_space(json);
		if (object && !rsl_json_take(json, ':'))
			return -EPROTO;
		rsl_json_space(json);
		if ((size_t)own_length == length && length < sizeof(own) &&
		    !memcmp(own, key, length))
			return 1;
		if (rsl_json_skip(json, depth - 1))
			return -EPROTO;
		rsl_json_space(json);
		if (rsl_json_take(json, object ? '}' : ']'))
			return 0;
		if (!rsl_json_take(json, ','))
			return -EPROTO;
		rsl_json_space(json);
	}
}

/* Pass the value that comes next. */
static inline int rsl_json_skip(struct rsl_json *json, int depth)
{
	static const char *const words[] = { "true", "false", "null" };
	char none[1];
	size_t n, length;

	if (json->at == json->end)
		return -EPROTO;
	if (*json->at == '{' || *json->at == '[')
		return rsl_json_enter(json, depth, NULL, SIZE_MAX);
	if (*json->at == '"')
		return rsl_json_string(json, none, sizeof(none)) < 0 ? -EPROTO : 0;
	for (n = 0; n < sizeof(words) / sizeof(words[0]); n++) {
		length = strlen(words[n]);
		if ((size_t)(json->end - json->at) >= length &&
		    !memcmp(json->at, words[n], length)) {
			json->at += length;
			return 0;
		}
	}
	return rsl_json_number(json);
}

static inline int rsl_json_whole(const char *text, size_t length)
{
	struct rsl_json json;

	json.at = text;
	json.end = text + length;
	rsl_json_space(&json);
	if (rsl_json_skip(&json, RSL_JSON_DEPTH))
		return -EPROTO;
	rsl_json_space(&json);
	return json.at == json.end ? 0 : -EPROTO;
}

/* Go to the value at @path. */
static inline int rsl_manifest_find(const struct rsl_link *link, const char *path,
				    struct rsl_json *json)
{
	size_t length;
	int rc;

	if (!link->manifest)
		return -ENOENT;
	json->at = link->manifest;
	json->end = json->at + link->manifest_length;
	rsl_json_space(json);
	for (;; path += length + 1) {
		if (json->at == json->end || (*json->at != '{' && *json->at != '['))
			return -ENOENT;
		length = strcspn(path, ".");
		rc = rsl_json_enter(json, RSL_JSON_DEPTH, path, length);
		if (rc <= 0)
			return rc ? rc : -ENOENT;
		if (!path[length])
			return 0;
	}
}

static inline int rsl_manifest_number(const struct rsl_link *link, const char *path,
				      uint64_t *value)
{
	struct rsl_json json;
	const char *digit;
	uint64_t sum = 0;
	unsigned int add;
	int rc = rsl_manifest_find(link, path, &json);

	if (rc)
		return rc;
	digit = json.at;
	if (rsl_json_number(&json))
		return -EPROTO;
	for (; digit < json.at; digit++) {
		if (*digit < '0' || *digit > '9')
			return -EPROTO;
		add = (unsigned int)(*digit - '0');
		if (sum > (UINT64_MAX - add) / 10)
			return -EPROTO;
		sum = sum * 10 + add;
	}
	*value = sum;
	return 0;
}

static inline int rsl_manifest_text(const struct rsl_link *link, const char *path,
				    char *buffer, size_t size)
{
	struct rsl_json json;
	long length;
	int rc = rsl_manifest_find(link, path, &json);

	if (rc)
		return rc;
	length = rsl_json_string(&json, buffer, size);
	if (length < 0)
		return -EPROTO;
	return (size_t)length < size ? 0 : -ENOSPC;
}

__attribute__((format(printf, 3, 4)))
static inline int rsl_fail(struct rsl_link *link, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(link->error, sizeof(link->error), format, arguments);
	va_end(arguments);
	return error;
}

/* Where the descriptor with a name belongs, NULL if it is not one of a link's. */
static inline int *rsl_slot(struct rsl_link *link, const char *name)
{
	char numbered[16];
	unsigned int n;

	if (!strcmp(name, "shmem"))
		return &link->shmem;
	if (!strcmp(name, "mbox"))
		return &link->mbox;
	for (n = 0; n < RSL_MAX_VECTORS; n++) {
		snprintf(numbered, sizeof(numbered), "notify%u", n);
		if (!strcmp(name, numbered))
			return &link->notify[n];
		snprintf(numbered, sizeof(numbered), "kick%u", n);
		if (!strcmp(name, numbered))
			return &link->kick[n];
	}
	return NULL;
}

/* Read the manifest, whose text is there, into the other members. */
static inline int rsl_understand(struct rsl_link *link)
{
	uint64_t number;
	int rc;

	if (rsl_json_whole(link->manifest, link->manifest_length))
		return rsl_fail(link, -EPROTO, "the manifest of %zu bytes is not whole, or not JSON",
				link->manifest_length);
	if (rsl_manifest_number(link, "version", &number))
		return rsl_fail(link, -EPROTO, "the manifest has no version");
	if (number != RSL_VERSION)
		return rsl_fail(link, -EPROTO, "the manifest is of version %llu, this reads %d",
				(unsigned long long)number, RSL_VERSION);
	rc = rsl_manifest_text(link, "error", link->error, sizeof(link->error));
	if (!rc || rc == -ENOSPC)
		return -EACCES;
	if (rsl_manifest_text(link, "link", link->name, sizeof(link->name)))
		return rsl_fail(link, -EPROTO, "the manifest has no good name of the link");
	if (rsl_manifest_number(link, "vectors", &number) || !number || number > RSL_MAX_VECTORS)
		return rsl_fail(link, -EPROTO, "the manifest has no good number of vectors");
	link->vectors = (unsigned int)number;
	if (rsl_manifest_number(link, "memory.size", &link->memory_size) == -ENOENT)
		return 0;
	if (!link->memory_size ||
	    rsl_manifest_number(link, "memory.base", &link->memory_base) ||
	    rsl_manifest_number(link, "memory.offset", &link->memory_offset))
		return rsl_fail(link, -EPROTO, "the manifest does not say where the memory is");
	return 0;
}

/* Are all descriptors there? With eventfds, make what to wait with. */
static inline int rsl_complete(struct rsl_link *link)
{
	struct epoll_event event;
	unsigned int n;

	if (!link->memory_size != (link->shmem < 0))
		return rsl_fail(link, -EPROTO, "%s, the manifest has %s", link->shmem < 0 ?
				"no descriptor shmem" : "descriptor shmem",
				link->memory_size ? "memory" : "no memory");
	if (link->mbox >= 0)
		return 0;
	link->wait = epoll_create1(EPOLL_CLOEXEC);
	if (link->wait < 0)
		return rsl_fail(link, -errno, "epoll_create1: %s", strerror(errno));
	memset(&event, 0, sizeof(event));
	event.data.u32 = RSL_MAX_VECTORS;
	/* Tells that the device is gone. A memfd cannot be polled, nor go. */
	if (link->shmem >= 0 &&
	    epoll_ctl(link->wait, EPOLL_CTL_ADD, link->shmem, &event) && errno != EPERM)
		return rsl_fail(link, -errno, "polling shmem: %s", strerror(errno));
	event.events = EPOLLIN;
	for (n = 0; n < link->vectors; n++) {
		if (link->notify[n] < 0 || link->kick[n] < 0)
			return rsl_fail(link, -EPROTO, "descriptor mbox is missing, or %s%u of %u vectors",
					link->notify[n] < 0 ? "notify" : "kick", n, link->vectors);
		event.data.u32 = n;
		if (epoll_ctl(link->wait, EPOLL_CTL_ADD, link->notify[n], &event))
			return rsl_fail(link, -errno, "polling notify%u: %s", n, strerror(errno));
	}
	return 0;
}

static inline int rsl_make_room(struct rsl_link *link)
{
	/* A byte more than a manifest has, to see that it is too long; and the NUL. */
	link->manifest = (char *)calloc(1, RSL_MAX_MANIFEST + 2);
	return link->manifest ? 0 : rsl_fail(link, -ENOMEM, "no memory for the manifest");
}

/* Count what was read into the manifest; negative: errno says why nothing was. */
static inline int rsl_got(struct rsl_link *link, ssize_t got)
{
	if (got < 0)
		return rsl_fail(link, -errno, "reading the manifest: %s", strerror(errno));
	link->manifest_length += (size_t)got;
	if (link->manifest_length > RSL_MAX_MANIFEST)
		return rsl_fail(link, -EPROTO, "the manifest is longer than %d bytes",
				RSL_MAX_MANIFEST);
	return 0;
}

static inline int rsl_read_manifest(struct rsl_link *link, int fd)
{
	ssize_t got;
	int rc = rsl_make_room(link);

	while (!rc) {
		got = pread(fd, link->manifest + link->manifest_length,
			    RSL_MAX_MANIFEST + 1 - link->manifest_length,
			    (off_t)link->manifest_length);
		if (!got)
			return rsl_understand(link);
		if (got > 0 || errno != EINTR)
			rc = rsl_got(link, got);
	}
	return rc;
}

/* Take the descriptors with the names of a link's, and "manifest". */
static inline int rsl_take_named(struct rsl_link *link, const char *names, unsigned long count,
				 int *manifest)
{
	char name[16];
	unsigned long n;
	size_t length;
	int *slot, fd;

	for (n = 0;; n++, names += length + 1) {
		length = strcspn(names, ":");
		if (n < count && length < sizeof(name)) {
			memcpy(name, names, length);
			name[length] = '\0';
			slot = strcmp(name, "manifest") ? rsl_slot(link, name) : manifest;
			fd = 3 + (int)n;
			if (slot && *slot >= 0)
				return rsl_fail(link, -EPROTO, "LISTEN_FDNAMES has %s twice", name);
			if (slot && fcntl(fd, F_SETFD, FD_CLOEXEC))
				return rsl_fail(link, -errno, "descriptor %d, %s of LISTEN_FDNAMES: %s",
						fd, name, strerror(errno));
			if (slot)
				*slot = fd;
		}
		if (!names[length])
			break;
	}
	if (n + 1 != count)
		return rsl_fail(link, -EPROTO, "LISTEN_FDNAMES has %lu names for LISTEN_FDS=%lu",
				n + 1, count);
	return 0;
}

static inline int rsl_from_environment(struct rsl_link *link)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	char own[24], *end;
	unsigned long count;
	int rc, manifest = -1;

	if (!pid || !fds || !names)
		return rsl_fail(link, -ENOENT, "no descriptors in the environment: use rslctl run");
	snprintf(own, sizeof(own), "%ld", (long)getpid());
	if (strcmp(pid, own))
		return rsl_fail(link, -ENOENT, "the descriptors are for process %s, this is %s",
				pid, own);
	errno = 0;
	count = strtoul(fds, &end, 10);
	if (!isdigit((unsigned char)*fds) || *end || errno)
		return rsl_fail(link, -EPROTO, "LISTEN_FDS=%s is no number", fds);
	rc = rsl_take_named(link, names, count, &manifest);
	if (!rc && manifest < 0)
		rc = rsl_fail(link, -EPROTO, "no descriptor manifest in LISTEN_FDNAMES=%s", names);
	if (!rc)
		rc = rsl_read_manifest(link, manifest);
	if (manifest >= 0)
		close(manifest);
	return rc;
}

/* The address of a Unix socket, or -ENAMETOOLONG. */
static inline int rsl_address(const char *path, struct sockaddr_un *address, socklen_t *length)
{
	size_t size = strlen(path);

	if (size >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, size);
	if (*path == '@')
		address->sun_path[0] = '\0';
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	return 0;
}

/* One recvmsg() of a broker's answer; 0 at its end. */
static inline ssize_t rsl_receive_some(struct rsl_link *link, int sock, int *fds,
				       unsigned int *count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * RSL_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec piece;
	struct msghdr message;
	struct cmsghdr *header;
	size_t n, carried;
	ssize_t got;
	int fd;

	memset(&message, 0, sizeof(message));
	piece.iov_base = link->manifest + link->manifest_length;
	piece.iov_len = RSL_MAX_MANIFEST + 1 - link->manifest_length;
	message.msg_iov = &piece;
	message.msg_iovlen = 1;
	message.msg_control = &control;
	message.msg_controllen = sizeof(control);
	do
		got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return rsl_got(link, got);
	for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		carried = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (n = 0; n < carried; n++) {
			memcpy(&fd, CMSG_DATA(header) + n * sizeof(int), sizeof(int));
			if (*count == RSL_MAX_FDS) {
				close(fd);
				message.msg_flags |= MSG_CTRUNC;
			} else {
				fds[(*count)++] = fd;
			}
		}
	}
	if (message.msg_flags & MSG_CTRUNC)
		return rsl_fail(link, -EPROTO, "more descriptors than this process can take");
	if (rsl_got(link, got))
		return -EPROTO;
	return got;
}

/* Put the descriptors where the manifest says; what is taken leaves -1. */
static inline int rsl_assign(struct rsl_link *link, int *fds, unsigned int count)
{
	char path[32], name[16];
	unsigned int n;
	int rc, *slot;

	for (n = 0;; n++) {
		snprintf(path, sizeof(path), "descriptors.%u", n);
		rc = rsl_manifest_text(link, path, name, sizeof(name));
		if (rc == -ENOENT || n == count)
			break;
		slot = rc ? NULL : rsl_slot(link, name);
		if (slot && *slot >= 0)
			return rsl_fail(link, -EPROTO, "the manifest names descriptor %s twice", name);
		if (slot) {
			*slot = fds[n];
			fds[n] = -1;
		}
	}
	if (rc != -ENOENT || n != count)
		return rsl_fail(link, -EPROTO, "%u descriptors came, the manifest names %s than that",
				count, n < count ? "less" : "more");
	return 0;
}

static inline int rsl_from_broker(struct rsl_link *link, const char *path)
{
	struct sockaddr_un address;
	socklen_t length;
	unsigned int n, count = 0;
	int fds[RSL_MAX_FDS], sock, rc = rsl_address(path, &address, &length);
	ssize_t got;

	if (rc)
		return rsl_fail(link, rc, "%s: %s", path, strerror(-rc));
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return rsl_fail(link, -errno, "socket: %s", strerror(errno));
	do
		rc = connect(sock, (struct sockaddr *)&address, length);
	while (rc && errno == EINTR);
	if (rc)
		rc = rsl_fail(link, -errno, "%s: %s", path, strerror(errno));
	else
		rc = rsl_make_room(link);
	if (!rc) {
		do
			got = rsl_receive_some(link, sock, fds, &count);
		while (got > 0);
		rc = got ? (int)got : rsl_understand(link);
	}
	close(sock);
	if (!rc)
		rc = rsl_assign(link, fds, count);
	for (n = 0; n < count; n++)
		if (fds[n] >= 0)
			close(fds[n]);
	return rc;
}

static inline int rsl_receive(struct rsl_link *link, const char *socket_path)
{
	unsigned int n;
	int rc;

	memset(link, 0, sizeof(*link));
	link->shmem = link->mbox = link->wait = -1;
	for (n = 0; n < RSL_MAX_VECTORS; n++)
		link->notify[n] = link->kick[n] = -1;
	rc = socket_path ? rsl_from_broker(link, socket_path) : rsl_from_environment(link);
	if (!rc)
		rc = rsl_complete(link);
	if (rc)
		rsl_close(link);
	return rc;
}

static inline const char *rsl_error(const struct rsl_link *link)
{
	return link->error;
}

static inline void *rsl_map(struct rsl_link *link)
{
	size_t size = (size_t)link->memory_size;
	off_t offset = (off_t)link->memory_offset;
	struct stat file;
	void *map;

	if (link->map)
		return link->map;
	if (link->shmem < 0 || size != link->memory_size || offset < 0 ||
	    (uint64_t)offset != link->memory_offset) {
		errno = link->shmem < 0 ? ENODEV : EOVERFLOW;
		return NULL;
	}
	/* Behind the end of a file there is nothing but SIGBUS. */
	if (fstat(link->shmem, &file))
		return NULL;
	if (S_ISREG(file.st_mode) && ((uint64_t)file.st_size < link->memory_size ||
				      (uint64_t)file.st_size - link->memory_size < (uint64_t)offset)) {
		errno = EOVERFLOW;
		return NULL;
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, link->shmem, offset);
	if (map == MAP_FAILED)
		return NULL;
	link->map = map;
	return map;
}

static inline int rsl_kick(struct rsl_link *link, uint32_t mask)
{
	const uint64_t one = 1;
	unsigned int n;
	int rc = 0;

	if ((uint64_t)mask >> link->vectors)
		return -EINVAL;
	if (link->mbox >= 0)
		return write(link->mbox, &mask, sizeof(mask)) < 0 ? -errno : 0;
	for (n = 0; n < link->vectors; n++)
		/* EAGAIN: the counter is full, so a kick is on its way. */
		if (mask >> n & 1 && write(link->kick[n], &one, sizeof(one)) < 0 &&
		    errno != EAGAIN)
			rc = -errno;
	return rc;
}

/* Read the character device: 1 with a mask, 0 if there is none after all. */
static inline int rsl_take_mbox(struct rsl_link *link, uint32_t *mask, short events)
{
	uint32_t word;
	ssize_t got;

	if (!(events & POLLIN))
		return events & POLLNVAL ? -EBADF : -ENODEV;
	got = read(link->mbox, &word, sizeof(word));
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (got != sizeof(word))
		return -EIO;
	*mask = word;
	return word != 0;
}

/* Read those of the eventfds that are signalled; as rsl_take_mbox(). */
static inline int rsl_take_eventfds(struct rsl_link *link, uint32_t *mask)
{
	struct epoll_event events[RSL_MAX_VECTORS + 1];
	int n, count, rc = 0;
	uint64_t signals;
	uint32_t vector;

	count = epoll_wait(link->wait, events, RSL_MAX_VECTORS + 1, 0);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (n = 0; n < count; n++) {
		vector = events[n].data.u32;
		if (vector == RSL_MAX_VECTORS)
			rc = -ENODEV;
		else if (read(link->notify[vector], &signals, sizeof(signals)) >= 0)
			*mask |= (uint32_t)1 << vector;
		else if (errno != EAGAIN && errno != EINTR)
			rc = -errno;
	}
	/* A failure shows again the next time, a mask would not. */
	return *mask ? 1 : rc;
}

static inline int64_t rsl_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int rsl_wait(struct rsl_link *link, uint32_t *mask, int timeout_ms)
{
	int64_t left, end = rsl_now_ns() + (int64_t)timeout_ms * 1000000;
	struct pollfd ready;
	int rc, wait_ms = timeout_ms;

	*mask = 0;
	ready.fd = rsl_fd(link);
	ready.events = POLLIN;
	for (;;) {
		rc = poll(&ready, 1, wait_ms);
		if (!rc)
			return 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
		if (rc > 0) {
			rc = link->mbox >= 0 ? rsl_take_mbox(link, mask, ready.revents) :
					       rsl_take_eventfds(link, mask);
			if (rc)
				return rc;
		}
		if (timeout_ms >= 0) {
			/* Rounded up, so that it never ends early. */
			left = (end - rsl_now_ns() + 999999) / 1000000;
			wait_ms = left > 0 ? (int)left : 0;
		}
	}
}

static inline int rsl_fd(const struct rsl_link *link)
{
	return link->mbox >= 0 ? link->mbox : link->wait;
}

static inline int rsl_ready(void)
{
	static const char text[] = "READY=1";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length;
	int sock, rc;

	if (!path)
		return 0;
	rc = rsl_address(path, &address, &length);
	if (rc)
		return rc;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	rc = sendto(sock, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
		    length) < 0 ? -errno : 1;
	close(sock);
	return rc;
}

static inline void rsl_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void rsl_close(struct rsl_link *link)
{
	unsigned int n;

	if (link->map)
		munmap(link->map, (size_t)link->memory_size);
	link->map = NULL;
	rsl_close_fd(&link->wait);
	rsl_close_fd(&link->mbox);
	rsl_close_fd(&link->shmem);
	for (n = 0; n < RSL_MAX_VECTORS; n++) {
		rsl_close_fd(&link->notify[n]);
		rsl_close_fd(&link->kick[n]);
	}
	free(link->manifest);
	link->manifest = NULL;
	link->manifest_length = 0;
}

#endif /* RSL_H */
