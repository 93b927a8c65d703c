/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * User interface of the rsl_mbox character devices, /dev/rsl_mboxN.
 *
 * One device is one link: the shared memory and the notifications between
 * Linux and one remote. A link has up to RSL_MBOX_MAX_VECTORS vectors,
 * numbered from 0, in each direction.
 *
 * write() takes one __u32, a mask of vectors to kick (Linux -> remote). Bit n
 *	stands for vector n; a mask of 0 kicks nothing. It never blocks.
 *	EINVAL: the length is not 4, or the mask has a bit for a vector that the
 *	link does not have; nothing is kicked then.
 *
 * read() returns one __u32, the mask of vectors that were notified
 *	(remote -> Linux) since this open file last read, or since it was
 *	opened. Every open file sees every notification. Notifications of one
 *	vector coalesce until they are read. It blocks while there is none,
 *	or fails with EAGAIN under O_NONBLOCK. Bytes past the fourth are left
 *	alone.
 *	EINVAL: the buffer is shorter than 4 bytes.
 *	EFAULT: the buffer cannot be written; the notifications stay readable.
 *
 * poll() reports POLLIN while a read() would return a mask, POLLOUT always
 *	(only for files opened for writing), and changes nothing.
 *
 * mmap() maps the shared memory of the link. Offset 0 is the memory's first
 *	byte. The mapping is Normal non-cacheable (write-combined), so that
 *	unaligned access and memset() are allowed. It has to be MAP_SHARED and
 *	cannot be executed, and stays valid when the device goes away.
 *	EINVAL: private, or not within the shared memory.
 *	EPERM: PROT_EXEC.
 *	ENODEV: the link has no shared memory.
 *
 * Once the device is gone every call fails with ENODEV and poll() reports
 * POLLHUP and POLLERR; a blocked read() wakes up.
 */
#ifndef _UAPI_LINUX_RSL_MBOX_H
#define _UAPI_LINUX_RSL_MBOX_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Raised when something is added; nothing is ever taken away. */
#define RSL_MBOX_API_VERSION	1

#define RSL_MBOX_MAX_VECTORS	32

/* With the terminating NUL. */
#define RSL_MBOX_LABEL_SIZE	32

/* The link has shared memory: mmap() works. */
#define RSL_MBOX_FEATURE_MEMORY	(1U << 0)

/**
 * struct rsl_mbox_info - what a link has
 * @api_version: RSL_MBOX_API_VERSION of the kernel module
 * @features: RSL_MBOX_FEATURE_* bits
 * @vectors: number of vectors in each direction, 1 to RSL_MBOX_MAX_VECTORS
 * @padding: 0
 * @memory_base: physical address of the shared memory, 0 without one
 * @memory_size: size of the shared memory in bytes, 0 without one
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

#define RSL_MBOX_IOC_MAGIC	'R'

/* Fill in a struct rsl_mbox_info. */
#define RSL_MBOX_IOC_INFO	_IOR(RSL_MBOX_IOC_MAGIC, 0x80, struct rsl_mbox_info)

#endif /* _UAPI_LINUX_RSL_MBOX_H */
