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
 * A link may be used by several threads: rsl_kick(), rsl_wait() and the functions
 * that take a const link by any, at any time; rsl_map() by one at a time;
 * rsl_ignore() and rsl_close() when nobody else uses the link.
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
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
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
 * @ignored: vectors that rsl_ignore() left out of rsl_wait()
 * @manifest: text of the manifest, NUL-terminated
 * @manifest_length: its length in bytes without the NUL
 * @error: what rsl_error() returns
 *
 * rsl_receive() fills it in, whatever it held before, and all of it is to be read
 * only. The descriptors, the mapping and the text belong to the link: rsl_close()
 * ends them. To keep a descriptor for longer, dup() it. No function touches any other
 * descriptor of the process.
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
	uint32_t ignored;
	char *manifest;
	size_t manifest_length;
	char error[512];
};

/**
 * rsl_receive() - take over a link
 * @link: to be filled in
 * @socket_path: socket of the broker, such as /run/rsl/rpu0.sock; a '@' first
 *	stands for an abstract one. NULL: take what the environment announces
 *	(LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), which succeeds once in a process.
 *
 * From the environment it takes the descriptors that the manifest names and makes
 * them close on exec; others stay as they are, and the caller's. From a broker it
 * waits for as long as the broker takes to answer. It makes @mbox non-blocking, so
 * that rsl_wait() keeps its timeout where others read the same file.
 *
 * Return: 0, or a negative errno; rsl_error() has a text then, and no rsl_close()
 * is needed. The descriptors of the environment are as they were before; what came
 * from a broker is closed.
 *
 * ENOENT: nothing in the environment, or it is for another process; or no such
 *	socket.
 * EALREADY: this process has received its link already.
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
 * Return: the first byte, or NULL with errno. EBADF: the link is closed. ENODEV: it has
 * no shared memory. EOVERFLOW: too large for this process, or for the file. Others are those of mmap().
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
 * have; nothing is kicked then. ENODEV: the link is gone. EBADF: it is closed.
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
 * signalfd. Of several threads or processes that wait with the same descriptors, one
 * is told of a notification, and each keeps its timeout.
 *
 * Return: 1 with @mask, 0 where the time is over, or a negative errno. ENODEV: the
 * link is gone, for good; told after what was notified before. (With eventfds
 * it is known by the descriptor shmem, so not where that is missing or a memfd.)
 * EBADF: the link is closed.
 */
static inline int rsl_wait(struct rsl_link *link, uint32_t *mask, int timeout_ms);

/**
 * rsl_ignore() - leave vectors out of rsl_wait(), because another has them
 * @mask: all vectors to leave out from now on; 0 leaves none out
 *
 * For a vector whose eventfd a vhost worker was given, or that another process
 * handles. With eventfds, rsl_wait() and rsl_fd() do not touch those of these vectors:
 * a notification stays in its eventfd for who reads it. With mbox the kernel tells
 * every open file, so that rsl_fd() may be ready for one and rsl_wait() drops it.
 * Processes that share this very file then lose it, too.
 *
 * Return: 0, or a negative errno. EINVAL: a bit for a vector that the link does not
 * have; nothing changes then. EBADF: the link is closed. Others are those of
 * epoll_ctl().
 */
static inline int rsl_ignore(struct rsl_link *link, uint32_t mask);

/**
 * rsl_fd() - the descriptor to wait for in an event loop of your own
 *
 * Poll it for reading, level-triggered; when it is ready call rsl_wait() with a
 * timeout of 0, which may still find nothing. Do not read it.
 *
 * Once the link is gone it stays ready, and rsl_wait() returns -ENODEV each time: take
 * it out of the loop then.
 *
 * Return: a descriptor of the link, always the same; -1 if the link is closed.
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
 * rsl_spawn() - start a program that has the link, too
 * @argv: its name, sought in PATH, and its arguments; NULL ends them
 *
 * The child finds the link in its environment as under "rslctl run", in descriptors from
 * 3 on, and may rsl_receive() it. Other descriptors, the signal mask and the rest of the
 * environment are inherited as by fork() and execvp(). Both processes have the same open
 * files: what one waits for, the other is not told. rsl_close() the link if it is the
 * child's from now on, or rsl_ignore() the vectors that are the child's.
 *
 * Return: the process, to be awaited with waitpid(); or a negative errno, of execvp(),
 * fork() and what comes before them. EBADF: the link is closed.
 */
static inline pid_t rsl_spawn(const struct rsl_link *link, char *const argv[]);

/**
 * rsl_close() - give a link back
 *
 * Unmaps the memory, closes the link's descriptors and no other, frees the manifest.
 * Harmless after a rsl_receive() that failed, and when called again.
 */
static inline void rsl_close(struct rsl_link *link);

/* What follows is not for use from outside. */

/* As many arrays and objects may lie in one another. */
#define RSL_JSON_DEPTH		32

/* shmem, and notify and kick of all vectors, or mbox; one more is one too many. */
#define RSL_MAX_FDS		66

/* The first descriptor that the environment announces. */
#define RSL_FIRST_FD		3

/*
 * Whether this process has received its link from the environment: one variable for all
 * files of the program that include this one.
 */
extern int rsl_received;
__attribute__((weak)) int rsl_received;

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
	int flags;

	if (!link->memory_size != (link->shmem < 0))
		return rsl_fail(link, -EPROTO, "%s, the manifest has %s", link->shmem < 0 ?
				"no descriptor shmem" : "descriptor shmem",
				link->memory_size ? "memory" : "no memory");
	if (link->mbox >= 0) {
		/* Another may read between poll() and read() of rsl_wait(). */
		flags = fcntl(link->mbox, F_GETFL);
		if (flags < 0 || fcntl(link->mbox, F_SETFL, flags | O_NONBLOCK))
			return rsl_fail(link, -errno, "descriptor mbox: %s", strerror(errno));
		return 0;
	}
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

/*
 * The descriptor with this name in LISTEN_FDNAMES: -ENOENT if there is none, -EPROTO if
 * there are two.
 */
static inline int rsl_named(const char *names, const char *name)
{
	size_t length, wanted = strlen(name);
	int n, found = -ENOENT;

	for (n = 0;; n++, names += length + 1) {
		length = strcspn(names, ":");
		if (length == wanted && !memcmp(names, name, length)) {
			if (found >= 0)
				return -EPROTO;
			found = RSL_FIRST_FD + n;
		}
		if (!names[length])
			return found;
	}
}

/* Find the open descriptor with this name; nothing is changed. */
static inline int rsl_find(struct rsl_link *link, const char *names, const char *name, int *fd)
{
	int found = rsl_named(names, name);

	if (found == -EPROTO)
		return rsl_fail(link, -EPROTO, "LISTEN_FDNAMES has %s twice", name);
	if (found < 0)
		return found;
	if (fcntl(found, F_GETFD) < 0)
		return rsl_fail(link, -errno, "descriptor %d, %s of LISTEN_FDNAMES: %s", found,
				name, strerror(errno));
	*fd = found;
	return 0;
}

/* Find the descriptors of the link: those that the manifest names. */
static inline int rsl_find_all(struct rsl_link *link, const char *names)
{
	char path[32], name[16];
	unsigned int n;
	int rc, *slot;

	for (n = 0;; n++) {
		snprintf(path, sizeof(path), "descriptors.%u", n);
		rc = rsl_manifest_text(link, path, name, sizeof(name));
		if (rc == -ENOENT)
			return 0;
		slot = rc ? NULL : rsl_slot(link, name);
		if (!slot)
			continue;
		if (*slot >= 0)
			return rsl_fail(link, -EPROTO, "the manifest names descriptor %s twice", name);
		rc = rsl_find(link, names, name, slot);
		if (rc && rc != -ENOENT)
			return rc;
	}
}

/* Make the descriptors, which are the link's from now on, close on exec. */
static inline void rsl_own(struct rsl_link *link)
{
	unsigned int n;

	/* Those that are not there fail, and do no harm. */
	fcntl(link->shmem, F_SETFD, FD_CLOEXEC);
	fcntl(link->mbox, F_SETFD, FD_CLOEXEC);
	for (n = 0; n < RSL_MAX_VECTORS; n++) {
		fcntl(link->notify[n], F_SETFD, FD_CLOEXEC);
		fcntl(link->kick[n], F_SETFD, FD_CLOEXEC);
	}
}

/* Forget the descriptors, which are not the link's. */
static inline void rsl_disown(struct rsl_link *link)
{
	unsigned int n;

	link->shmem = link->mbox = -1;
	for (n = 0; n < RSL_MAX_VECTORS; n++)
		link->notify[n] = link->kick[n] = -1;
}

/* Nothing of the process is changed before all is known to be good. */
static inline int rsl_from_names(struct rsl_link *link, const char *names)
{
	int manifest = -1, rc = rsl_find(link, names, "manifest", &manifest);

	if (rc == -ENOENT)
		return rsl_fail(link, -EPROTO, "no descriptor manifest in LISTEN_FDNAMES=%s", names);
	if (!rc)
		rc = rsl_read_manifest(link, manifest);
	if (!rc)
		rc = rsl_find_all(link, names);
	if (!rc)
		rc = rsl_complete(link);
	if (rc) {
		rsl_disown(link);
		return rc;
	}
	rsl_own(link);
	close(manifest);
	return 0;
}

static inline int rsl_from_environment(struct rsl_link *link)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES"), *at;
	unsigned long count, named = 1;
	char own[24], *end;
	int rc;

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
	for (at = names; *at; at++)
		named += *at == ':';
	if (named != count)
		return rsl_fail(link, -EPROTO, "LISTEN_FDNAMES has %lu names for LISTEN_FDS=%lu",
				named, count);
	if (__atomic_exchange_n(&rsl_received, 1, __ATOMIC_ACQ_REL))
		return rsl_fail(link, -EALREADY, "this process has received its link already");
	rc = rsl_from_names(link, names);
	if (rc)
		__atomic_store_n(&rsl_received, 0, __ATOMIC_RELEASE);
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
	return rc ? rc : rsl_complete(link);
}

static inline int rsl_receive(struct rsl_link *link, const char *socket_path)
{
	int rc;

	memset(link, 0, sizeof(*link));
	link->wait = -1;
	rsl_disown(link);
	rc = socket_path ? rsl_from_broker(link, socket_path) : rsl_from_environment(link);
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
		errno = rsl_fd(link) < 0 ? EBADF : link->shmem < 0 ? ENODEV : EOVERFLOW;
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

	if (rsl_fd(link) < 0)
		return -EBADF;
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
	*mask = word & ~link->ignored;
	return *mask != 0;
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
	if (ready.fd < 0)
		return -EBADF;
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

static inline int rsl_ignore(struct rsl_link *link, uint32_t mask)
{
	struct epoll_event event;
	unsigned int n;
	int operation;

	if (rsl_fd(link) < 0)
		return -EBADF;
	if ((uint64_t)mask >> link->vectors)
		return -EINVAL;
	memset(&event, 0, sizeof(event));
	event.events = EPOLLIN;
	for (n = 0; n < link->vectors; n++) {
		if (!((mask ^ link->ignored) >> n & 1))
			continue;
		operation = mask >> n & 1 ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
		event.data.u32 = n;
		if (link->mbox < 0 && epoll_ctl(link->wait, operation, link->notify[n], &event))
			return -errno;
		link->ignored ^= (uint32_t)1 << n;
	}
	return 0;
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

/* What a child is given: its descriptors from RSL_FIRST_FD on, and its environment. */
struct rsl_child {
	int fds[RSL_MAX_FDS + 1];
	int count;
	char names[1024];
	char announced[32];
	char pid[32];
	char **environment;
	char *const *argv;
};

static inline void rsl_give(struct rsl_child *child, int fd, const char *kind, int number)
{
	size_t used = strlen(child->names);
	const char *colon = child->count ? ":" : "=";

	if (fd < 0)
		return;
	if (number < 0)
		snprintf(child->names + used, sizeof(child->names) - used, "%s%s", colon, kind);
	else
		snprintf(child->names + used, sizeof(child->names) - used, "%s%s%d", colon, kind,
			 number);
	child->fds[child->count++] = fd;
}

/* A file with the manifest, which is at its start. */
static inline int rsl_write_manifest(const struct rsl_link *link)
{
	/* By number, because libc declares memfd_create() and MFD_CLOEXEC for GNU only. */
	int fd = (int)syscall(SYS_memfd_create, "rsl-manifest", 1U);
	size_t done = 0;
	ssize_t rc;

	while (fd >= 0 && done < link->manifest_length) {
		rc = pwrite(fd, link->manifest + done, link->manifest_length - done, (off_t)done);
		if (rc < 0 && errno != EINTR) {
			rc = -errno;
			close(fd);
			return (int)rc;
		}
		done += rc > 0 ? (size_t)rc : 0;
	}
	return fd < 0 ? -errno : fd;
}

/* Is this one of the variables of sd_listen_fds_with_names(3)? */
static inline int rsl_announces(const char *variable)
{
	static const char *const names[] = {
		"LISTEN_FDS=", "LISTEN_FDNAMES=", "LISTEN_PID=", "LISTEN_PIDFDID="
	};
	size_t n;

	for (n = 0; n < sizeof(names) / sizeof(*names); n++)
		if (!strncmp(variable, names[n], strlen(names[n])))
			return 1;
	return 0;
}

/* The environment of this process with the announcement of the descriptors in it. */
static inline int rsl_announce(struct rsl_child *child)
{
	extern char **environ;
	size_t n, kept = 0;

	for (n = 0; environ && environ[n]; n++)
		;
	child->environment = (char **)calloc(n + 4, sizeof(char *));
	if (!child->environment)
		return -ENOMEM;
	for (n = 0; environ && environ[n]; n++)
		if (!rsl_announces(environ[n]))
			child->environment[kept++] = environ[n];
	snprintf(child->announced, sizeof(child->announced), "LISTEN_FDS=%d", child->count);
	strcpy(child->pid, "LISTEN_PID=");
	child->environment[kept++] = child->announced;
	child->environment[kept++] = child->names;
	child->environment[kept] = child->pid;
	return 0;
}

/* In the child: become the program, or tell why not. Calls only what a fork may call. */
static inline void rsl_become(struct rsl_child *child, int parent)
{
	extern char **environ;
	int n, why, teller, behind = RSL_FIRST_FD + child->count;
	long pid = (long)getpid(), digit = 1;
	char *at = child->pid + strlen(child->pid);

	while (pid / digit >= 10)
		digit *= 10;
	for (; digit; digit /= 10)
		*at++ = (char)('0' + pid / digit % 10);
	*at = '\0';
	/* All of them out of the way first. */
	teller = fcntl(parent, F_DUPFD_CLOEXEC, behind);
	for (n = 0; n < child->count && teller >= 0; n++) {
		child->fds[n] = fcntl(child->fds[n], F_DUPFD_CLOEXEC, behind);
		if (child->fds[n] < 0)
			break;
	}
	if (n == child->count) {
		for (n = 0; n < child->count; n++)
			dup2(child->fds[n], RSL_FIRST_FD + n);
		environ = child->environment;
		execvp(child->argv[0], child->argv);
	}
	why = errno;
	_exit(write(teller < 0 ? parent : teller, &why, sizeof(why)) < 0 ? 126 : 127);
}

static inline pid_t rsl_fork(struct rsl_child *child)
{
	int ends[2], why = 0;
	ssize_t got;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	pid = fork();
	if (!pid)
		rsl_become(child, ends[1]);
	if (pid < 0)
		why = errno;
	close(ends[1]);
	do
		got = read(ends[0], &why, sizeof(why));
	while (got < 0 && errno == EINTR);
	close(ends[0]);
	if (pid > 0 && why)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	return why ? -why : pid;
}

static inline pid_t rsl_spawn(const struct rsl_link *link, char *const argv[])
{
	struct rsl_child child;
	int manifest, n;
	pid_t rc;

	if (rsl_fd(link) < 0)
		return -EBADF;
	manifest = rsl_write_manifest(link);
	if (manifest < 0)
		return manifest;
	memset(&child, 0, sizeof(child));
	child.argv = argv;
	strcpy(child.names, "LISTEN_FDNAMES");
	rsl_give(&child, link->shmem, "shmem", -1);
	rsl_give(&child, link->mbox, "mbox", -1);
	for (n = 0; n < RSL_MAX_VECTORS; n++)
		rsl_give(&child, link->notify[n], "notify", n);
	for (n = 0; n < RSL_MAX_VECTORS; n++)
		rsl_give(&child, link->kick[n], "kick", n);
	rsl_give(&child, manifest, "manifest", -1);
	rc = rsl_announce(&child);
	if (!rc)
		rc = rsl_fork(&child);
	free(child.environment);
	close(manifest);
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
