/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * User interface of the rsl_mbox character devices, /dev/rsl_mboxN.
 *
 * One device is one link: the shared memory and the notifications between
 * Linux and one remote, which may be another virtual machine. A link has up to
 * RSL_MBOX_MAX_VECTORS vectors in each direction, numbered from 0.
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
 *	memory. The same holds for a file of RSL_MBOX_IOC_MEMORY, whose offset 0 is the
 *	first byte of its window. The mapping is Normal non-cacheable (write-combined), so that
 *	unaligned access and memset() are allowed. It is cached if the remote is
 *	coherent (RSL_MBOX_FEATURE_CACHED). The mapping has to be MAP_SHARED and
 *	cannot be executable. It stays valid when the device goes away. Memory of a PCI
 *	device (ivshmem) goes with it: then the mapping shows memory that the remote does
 *	not see, which is 0 at first, before poll() or any call tells that the device
 *	is gone.
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
 * POLLHUP and POLLERR. A blocked read() wakes up. A file of RSL_MBOX_IOC_MEMORY can still
 * be mapped.
 */
#ifndef _UAPI_LINUX_RSL_MBOX_H
#define _UAPI_LINUX_RSL_MBOX_H

#include <linux/const.h>
#include <linux/ioctl.h>
#include <linux/types.h>

#define RSL_MBOX_MAX_VECTORS	32

/* Eventfds that can be bound to one vector, in each direction. */
#define RSL_MBOX_MAX_BINDINGS	64

/* Includes the terminating NUL. */
#define RSL_MBOX_LABEL_SIZE	32

/* The link has shared memory: mmap() and RSL_MBOX_IOC_MEMORY work. */
#define RSL_MBOX_FEATURE_MEMORY		_BITULL(0)

/*
 * mmap() gives a cached mapping, because the remote is coherent with Linux. Another virtual
 * machine always is.
 */
#define RSL_MBOX_FEATURE_CACHED		_BITULL(1)

/* Masks reach the hardware: a masked vector causes one more interrupt at most. */
#define RSL_MBOX_FEATURE_MASK_IRQ	_BITULL(2)

/**
 * struct rsl_mbox_info - properties of a link
 * @features: RSL_MBOX_FEATURE_* bits. A program ignores bits that it does not know.
 * @memory_base: physical address of the shared memory, 0 if there is none
 * @memory_size: size of the shared memory in bytes, 0 if there is none
 * @vectors: number of vectors in each direction, 1 to RSL_MBOX_MAX_VECTORS
 * @bindings: number of eventfds that can be bound to a vector in each direction
 * @label: name of the link, NUL-terminated
 * @reserved: 0
 */
struct rsl_mbox_info {
	__u64 features;
	__u64 memory_base;
	__u64 memory_size;
	__u32 vectors;
	__u32 bindings;
	char label[RSL_MBOX_LABEL_SIZE];
	__u64 reserved[4];
};

/**
 * struct rsl_mbox_vector_stat - counters of one vector since the device was created
 * @vector: in: number of the vector
 * @flags: in: 0
 * @kicks: number of kicks
 * @kicks_coalesced: number of kicks that coalesced with an earlier one, which still
 *	waited
 * @notifications: number of notifications
 * @last_notification: CLOCK_MONOTONIC time of the last notification in nanoseconds,
 *	taken in the interrupt; 0 if there was none
 * @storms: how often the kernel masked the vector because its notifications came too
 *	fast
 * @reserved: 0
 *
 * EINVAL: @flags is not 0, or the link has no such vector.
 */
struct rsl_mbox_vector_stat {
	__u32 vector;
	__u32 flags;
	__u64 kicks;
	__u64 kicks_coalesced;
	__u64 notifications;
	__u64 last_notification;
	__u64 storms;
	__u64 reserved[2];
};

/* Directions of a binding. */
#define RSL_MBOX_NOTIFY		0	/* a notification signals the eventfd */
#define RSL_MBOX_KICK		1	/* a signal on the eventfd kicks */
#define RSL_MBOX_DIRECTIONS	2

/* Flag of struct rsl_mbox_binding_spec: end the binding instead of making it. */
#define RSL_MBOX_BIND_DEASSIGN	_BITUL(0)

/**
 * struct rsl_mbox_binding_spec - an eventfd and a vector
 * @vector: number of the vector
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @fd: the eventfd
 * @flags: 0, or RSL_MBOX_BIND_DEASSIGN
 *
 * A binding works inside the kernel. A vector can have RSL_MBOX_MAX_BINDINGS bindings
 * in each direction. A notification signals all its eventfds, and a signal on any one
 * kicks.
 *
 * A binding belongs to its eventfd: only who has the eventfd can end it. It lasts as
 * long as any process has the eventfd open, even after the device's file is closed that
 * made it. It ends earlier by RSL_MBOX_BIND_DEASSIGN, or with the device. The kernel
 * module cannot be unloaded while there is a binding.
 *
 * A kick resets the count of the eventfd to 0. An EFD_SEMAPHORE eventfd loses 1 of its
 * count instead. Before Linux 5.11 the count stays, so that an eventfd that is bound again
 * kicks at once. The end of a binding does not change the count.
 *
 * EINVAL: @flags has an unknown bit; there is no such vector or direction; @fd is not
 * an eventfd. EBADF: @fd is not open, or the device's file is not open for reading and
 * writing. EEXIST: the eventfd is bound there already. ENOSPC: the vector has
 * RSL_MBOX_MAX_BINDINGS bindings. ENOENT: there is no such binding to end.
 */
struct rsl_mbox_binding_spec {
	__u32 vector;
	__u32 direction;
	__s32 fd;
	__u32 flags;
};

/* Actions of struct rsl_mbox_mask. */
#define RSL_MBOX_MASK		0	/* mask the vectors until RSL_MBOX_UNMASK */
#define RSL_MBOX_UNMASK		1	/* end RSL_MBOX_MASK; let fired vectors fire again */
#define RSL_MBOX_ONESHOT	2	/* arm: a notification masks its vector */
#define RSL_MBOX_CONTINUOUS	3	/* end RSL_MBOX_ONESHOT */

/**
 * struct rsl_mbox_mask - which notifications may come
 * @vectors: the vectors, one bit each
 * @action: RSL_MBOX_MASK, RSL_MBOX_UNMASK, RSL_MBOX_ONESHOT or RSL_MBOX_CONTINUOUS
 * @reserved: 0
 *
 * A masked vector wakes nobody and signals no eventfd; one that came just before may
 * still be on its way to them when the ioctl returns. A notification that comes
 * meanwhile is not lost: it is delivered when the vector is no longer masked. Several
 * of them coalesce. Where the hardware can do it (RSL_MBOX_FEATURE_MASK_IRQ), there is
 * one interrupt at most.
 *
 * A notification of an armed vector is delivered, and masks its vector. The vector can
 * fire again once a file that has armed it reads the notification, or by
 * RSL_MBOX_UNMASK. So a storm of notifications costs one wake-up per read. Look at the
 * shared memory after that, not before.
 *
 * Masks concern all who use the link. Each belongs to the file that made it, and ends
 * when the last descriptor of that file is closed.
 *
 * EINVAL: @action is not known, @reserved is not 0, or the link has not all @vectors.
 * Nothing changes then. EBADF: the file is not open for reading and writing.
 */
struct rsl_mbox_mask {
	__u32 vectors;
	__u32 action;
	__u64 reserved;
};

/* Flag of struct rsl_mbox_memory: the file cannot be mapped for writing. */
#define RSL_MBOX_MEMORY_RDONLY	_BITUL(0)

/**
 * struct rsl_mbox_memory - a window of the shared memory
 * @offset: first byte, counted from the first byte of the shared memory; a multiple of
 *	the page size
 * @size: size in bytes, a multiple of the page size; 0 for all that follows @offset
 * @flags: 0, or RSL_MBOX_MEMORY_RDONLY
 * @padding: 0
 * @reserved: 0
 *
 * The ioctl returns a new descriptor, which is closed on exec. Its file can be mapped
 * and seeked (SEEK_END tells its size). poll() reports POLLHUP and POLLERR once the
 * device is gone, and nothing else. A back-end that is given it can neither kick nor
 * bind, and cannot open the device by it.
 *
 * EINVAL: @flags has an unknown bit, @padding or @reserved is not 0, or the window is
 * not in whole pages or not within the shared memory. EACCES: the file is not open for
 * reading, or not for writing and RSL_MBOX_MEMORY_RDONLY is not set. ENODEV: the link
 * has no shared memory.
 */
struct rsl_mbox_memory {
	__u64 offset;
	__u64 size;
	__u32 flags;
	__u32 padding;
	__u64 reserved;
};

#define RSL_MBOX_IOC_MAGIC	'R'

/* Fill in a struct rsl_mbox_info. */
#define RSL_MBOX_IOC_INFO	_IOR(RSL_MBOX_IOC_MAGIC, 0x80, struct rsl_mbox_info)

/* Fill in a struct rsl_mbox_vector_stat for its vector. */
#define RSL_MBOX_IOC_STAT	_IOWR(RSL_MBOX_IOC_MAGIC, 0x81, struct rsl_mbox_vector_stat)

/* Bind an eventfd to a vector, or end the binding. */
#define RSL_MBOX_IOC_BIND	_IOW(RSL_MBOX_IOC_MAGIC, 0x82, struct rsl_mbox_binding_spec)

/* Mask vectors, or change how they are masked. */
#define RSL_MBOX_IOC_MASK	_IOW(RSL_MBOX_IOC_MAGIC, 0x83, struct rsl_mbox_mask)

/* Return a descriptor of a window of the shared memory. */
#define RSL_MBOX_IOC_MEMORY	_IOW(RSL_MBOX_IOC_MAGIC, 0x84, struct rsl_mbox_memory)

#endif /* _UAPI_LINUX_RSL_MBOX_H */
