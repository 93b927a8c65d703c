/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the rsl_mbox module share.
 *
 * core.c owns the link and its life, chardev.c and sysfs.c are its two faces
 * towards user space, eventfd.c binds eventfds to its vectors, memory.c has its
 * shared memory. doorbell.c and mailbox.c are transports: drivers that create a
 * link and move its kicks and notifications. umb.c is a second face, for daemons
 * of the original user-mailbox module.
 */
#ifndef _RSL_MBOX_H
#define _RSL_MBOX_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "uapi/linux/rsl_mbox.h"

struct platform_driver;
struct rsl_mbox;
struct rsl_mbox_binding;
struct rsl_mbox_vector_attrs;

/**
 * struct rsl_mbox_transport - how a link's kicks get to the remote
 * @name: shown in sysfs
 * @kick: ring the vectors in @mask, all of which exist, and return those of
 *	them whose kick coalesced with one that waits still. Called with the
 *	link's kick_lock held and interrupts off; cannot fail.
 * @stalled_since: CLOCK_MONOTONIC when the oldest kick that the remote has not
 *	taken was sent, 0 if there is none. Called with kick_lock held; NULL
 *	where nobody can tell.
 * @reset: have the transport as after probe, but for kicks that wait, which
 *	are sent. Sleeps; NULL where there is nothing to reset.
 */
struct rsl_mbox_transport {
	const char *name;
	u32 (*kick)(struct rsl_mbox *link, u32 mask);
	ktime_t (*stalled_since)(struct rsl_mbox *link);
	int (*reset)(struct rsl_mbox *link);
};

/**
 * struct rsl_mbox_vector - the state of one vector of a link
 * @kicks: kicks handed to the transport; guarded by kick_lock
 * @kicks_coalesced: those of them that coalesced; guarded by kick_lock
 * @notifications: notifications taken; guarded by notify_lock
 * @notified_at: CLOCK_MONOTONIC of the last one; guarded by notify_lock
 * @bound: eventfds bound, by direction; guarded by notify_lock
 * @seq: value of the link's seq at the last notification; guarded by
 *	notify_lock
 */
struct rsl_mbox_vector {
	u64 kicks;
	u64 kicks_coalesced;
	u64 notifications;
	ktime_t notified_at;
	u64 seq;
	struct rsl_mbox_binding *bound[RSL_MBOX_DIRECTIONS];
};

/**
 * struct rsl_mbox - one link
 * @dev: the device of class rsl_mbox; its reference count is the link's
 * @cdev: the character device
 * @id: the N of /dev/rsl_mboxN
 * @label: name of the link, from the device tree
 * @vectors: number of vectors
 * @transport: set before the link is registered, constant from then on
 * @transport_data: the transport's own; gone once @dead is set
 * @memory_base: physical address of the shared memory
 * @memory_size: size of the shared memory in bytes, 0 without one
 * @memory_cached: the remote is coherent, the memory is mapped cached
 * @open_files: number of open files that may be a daemon's
 * @kick_lock: guards kicks against each other and against removal
 * @dead: the device was removed; written under @kick_lock
 * @notify_lock: guards changes of @seq, what the vectors say of notifications, and
 *	bindings. A transport's interrupt may take it. Signalling an eventfd
 *	under it may kick, so @kick_lock nests in it and never the other way.
 * @seq: number of notifications so far, over all vectors; read without a lock by who
 *	only wants to know whether there is a new one
 * @wait: readers and pollers
 * @bind_mutex: keeps binding apart from unbinding and from the end of the
 *	device
 * @vector: state of each vector
 * @vector_attrs: sysfs attributes of each vector
 * @groups: sysfs groups, one per vector
 */
struct rsl_mbox {
	struct device dev;
	struct cdev cdev;
	int id;
	char label[RSL_MBOX_LABEL_SIZE];
	unsigned int vectors;
	const struct rsl_mbox_transport *transport;
	void *transport_data;
	phys_addr_t memory_base;
	phys_addr_t memory_size;
	bool memory_cached;
	atomic_t open_files;

	spinlock_t kick_lock;	/* guards kicks and dead */
	bool dead;

	spinlock_t notify_lock;	/* guards seq, notifications and bindings */
	atomic64_t seq;
	wait_queue_head_t wait;

	struct mutex bind_mutex;	/* serialises binding and unbinding */

	struct rsl_mbox_vector vector[RSL_MBOX_MAX_VECTORS];
	struct rsl_mbox_vector_attrs *vector_attrs;
	const struct attribute_group *groups[RSL_MBOX_MAX_VECTORS + 1];
};

static inline struct rsl_mbox *to_rsl_mbox(struct device *dev)
{
	return container_of(dev, struct rsl_mbox, dev);
}

static inline u32 rsl_mbox_valid_mask(const struct rsl_mbox *link)
{
	return GENMASK(link->vectors - 1, 0);
}

/* Readers that saw false may still lose the device: kick_lock decides. */
static inline bool rsl_mbox_dead(const struct rsl_mbox *link)
{
	return READ_ONCE(link->dead);
}

/* Whether the file may be a daemon's: who only looks or only kicks is none. */
static inline bool rsl_mbox_serves(const struct file *filp)
{
	return (filp->f_mode & (FMODE_READ | FMODE_WRITE)) == (FMODE_READ | FMODE_WRITE);
}

/* core.c */
struct rsl_mbox *devm_rsl_mbox_alloc(struct device *parent,
				     const struct rsl_mbox_transport *transport,
				     unsigned int vectors);
int devm_rsl_mbox_register(struct device *parent, struct rsl_mbox *link);
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask);
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask);
void rsl_mbox_count(struct rsl_mbox *link, unsigned int n,
		    struct rsl_mbox_vector_stat *stat);

/* chardev.c */
extern const struct file_operations rsl_mbox_fops;

/* eventfd.c */
int rsl_mbox_eventfd_init(void);
void rsl_mbox_eventfd_exit(void);
int rsl_mbox_eventfd_bind(struct rsl_mbox *link, unsigned int vector,
			  unsigned int direction, int fd);
int rsl_mbox_eventfd_unbind(struct rsl_mbox *link, unsigned int vector,
			    unsigned int direction);
void rsl_mbox_eventfd_unbind_all(struct rsl_mbox *link);
void rsl_mbox_eventfd_signal(struct rsl_mbox *link, unsigned int vector);

/* memory.c */
int rsl_mbox_memory_init(struct rsl_mbox *link);
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma);

/* sysfs.c */
extern const struct attribute_group *rsl_mbox_groups[];
int rsl_mbox_sysfs_init(struct rsl_mbox *link);
void rsl_mbox_sysfs_free(struct rsl_mbox *link);

/* doorbell.c */
extern struct platform_driver rsl_mbox_doorbell_driver;

/* mailbox.c */
extern struct platform_driver rsl_mbox_mailbox_driver;

/* umb.c */
int devm_rsl_mbox_umb_register(struct device *parent, struct rsl_mbox *link);

#endif /* _RSL_MBOX_H */
