/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * User interface of the rsl_mbox character devices, /dev/rsl_mboxN.
 *
 * One device is one link: the shared memory and the notifications between
 * Linux and one remote. A link has up to RSL_MBOX_MAX_VECTORS vectors in each
 * direction, numbered from 0.
 *
 * write() takes one __u32, a mask of vectors to kick (Linux -> remote). Bit n
 *	stands for vector n. A mask of 0 kicks nothing. write() never blocks.
 *	EINVAL: the length is not 4, or the mask has a bit for a vector that the
 *	link does not have. Nothing is kicked in both cases.
 *
 * read() returns one __u32, the mask of vectors that were notified
 *	(remote -> Linux) since the last read of this open file, or since it was
 *	opened. Every open file sees every notification. Notifications of one
 *	vector coalesce until they are read. read() blocks while there is no
 *	notification, or fails with EAGAIN under O_NONBLOCK. Bytes of the buffer
 *	past the fourth do not change.
 *	EINVAL: the buffer is shorter than 4 bytes.
 *	EFAULT: the buffer cannot be written. The notifications stay readable.
 *
 * poll() reports POLLIN while a read() would return a mask. It always reports
 *	POLLOUT for files that are open for writing. It changes no state.
 *
 * mmap() maps the shared memory of the link. Offset 0 is the first byte of the
 *	memory. The mapping is Normal non-cacheable (write-combined), so that
 *	unaligned access and memset() are allowed. It is cached if the remote is
 *	coherent (RSL_MBOX_FEATURE_CACHED). The mapping has to be MAP_SHARED and
 *	cannot be executable. It stays valid when the device goes away.
 *	EINVAL: private, or not within the shared memory.
 *	EPERM: PROT_EXEC.
 *	ENODEV: the link has no shared memory.
 *
 * A kick releases, by whatever way it is made: the remote sees what was written to the
 * shared memory before it. A read() and a signalled eventfd acquire: the process sees
 * what the remote wrote to the shared memory before its notification. This holds if the
 * remote orders its own accesses likewise.
 *
 * Once the device is gone every call fails with ENODEV, and poll() reports
 * POLLHUP and POLLERR. A blocked read() wakes up.
 */
#ifndef _UAPI_LINUX_RSL_MBOX_H
#define _UAPI_LINUX_RSL_MBOX_H

#include <linux/const.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/* Grows when something is added. Nothing is ever removed. */
#define RSL_MBOX_API_VERSION	1

#define RSL_MBOX_MAX_VECTORS	32

/* Includes the terminating NUL. */
#define RSL_MBOX_LABEL_SIZE	32

/* The link has shared memory, so that mmap() works. */
#define RSL_MBOX_FEATURE_MEMORY	_BITUL(0)

/* mmap() gives a cached mapping, because the remote is coherent with Linux. */
#define RSL_MBOX_FEATURE_CACHED	_BITUL(1)

/**
 * struct rsl_mbox_info - properties of a link
 * @api_version: RSL_MBOX_API_VERSION of the kernel module
 * @features: RSL_MBOX_FEATURE_* bits
 * @vectors: number of vectors in each direction, 1 to RSL_MBOX_MAX_VECTORS
 * @padding: 0
 * @memory_base: physical address of the shared memory, 0 if there is none
 * @memory_size: size of the shared memory in bytes, 0 if there is none
 * @label: name of the link, NUL-terminated
 * @reserved: 0
 */
struct rsl_mbox_info {
	__u32 api_version;
	__u32 features;
	__u32 vectors;
	__u32 padding;
	__u64 memory_base;
	__u64 memory_size;
	char label[RSL_MBOX_LABEL_SIZE];
	__u32 reserved[8];
};

/**
 * struct rsl_mbox_vector_stat - counters of one vector since the device was created
 * @vector: in: number of the vector
 * @padding: in: 0
 * @kicks: number of kicks
 * @kicks_coalesced: number of kicks that coalesced with an earlier one, which still
 *	waited
 * @notifications: number of notifications
 * @last_notification: CLOCK_MONOTONIC time of the last notification in nanoseconds,
 *	taken in the interrupt; 0 if there was none
 * @reserved: 0
 *
 * EINVAL: @padding is not 0, or the link has no such vector.
 */
struct rsl_mbox_vector_stat {
	__u32 vector;
	__u32 padding;
	__u64 kicks;
	__u64 kicks_coalesced;
	__u64 notifications;
	__u64 last_notification;
	__u64 reserved[3];
};

/* Directions of a binding. */
#define RSL_MBOX_NOTIFY		0	/* a notification signals the eventfd */
#define RSL_MBOX_KICK		1	/* a signal on the eventfd kicks */
#define RSL_MBOX_DIRECTIONS	2

/**
 * struct rsl_mbox_binding_spec - an eventfd and a vector
 * @vector: number of the vector
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @fd: the eventfd; -1 to unbind
 * @padding: 0
 *
 * A binding works inside the kernel. It lasts as long as any process has the eventfd
 * open, even after the device's file is closed that made it. It ends earlier by
 * unbinding, by another binding of the same vector and direction, or with the device.
 * The kernel module cannot be unloaded while there is a binding.
 *
 * A kick resets the count of the eventfd to 0. An EFD_SEMAPHORE eventfd loses 1 of its
 * count instead. The end of a binding does not change the count.
 *
 * EINVAL: @padding is not 0; there is no such vector or direction; @fd is not an
 * eventfd, or not -1 to unbind. EBADF: @fd is not open, or the device's file is not
 * open for reading and writing. ENOENT: there is no binding to unbind.
 */
struct rsl_mbox_binding_spec {
	__u32 vector;
	__u32 direction;
	__s32 fd;
	__u32 padding;
};

#define RSL_MBOX_IOC_MAGIC	'R'

/* Fill in a struct rsl_mbox_info. */
#define RSL_MBOX_IOC_INFO	_IOR(RSL_MBOX_IOC_MAGIC, 0x80, struct rsl_mbox_info)

/* Fill in a struct rsl_mbox_vector_stat for its vector. */
#define RSL_MBOX_IOC_STAT	_IOWR(RSL_MBOX_IOC_MAGIC, 0x81, struct rsl_mbox_vector_stat)

/* Bind an eventfd to a vector, or unbind the eventfd of a vector. */
#define RSL_MBOX_IOC_BIND	_IOW(RSL_MBOX_IOC_MAGIC, 0x82, struct rsl_mbox_binding_spec)
#define RSL_MBOX_IOC_UNBIND	_IOW(RSL_MBOX_IOC_MAGIC, 0x83, struct rsl_mbox_binding_spec)

#endif /* _UAPI_LINUX_RSL_MBOX_H */
