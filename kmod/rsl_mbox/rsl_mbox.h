/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the rsl_mbox module share.
 *
 * core.c owns the link and its life, chardev.c and sysfs.c are its two faces
 * towards user space, memory.c its shared memory, and doorbell.c a transport:
 * a driver that creates a link and moves its kicks and notifications.
 */
#ifndef _RSL_MBOX_H
#define _RSL_MBOX_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/mm_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "uapi/linux/rsl_mbox.h"

struct platform_driver;
struct rsl_mbox;
struct rsl_mbox_vector_attrs;

/**
 * struct rsl_mbox_transport - how a link's kicks get to the remote
 * @name: shown in sysfs
 * @kick: ring the vectors in @mask, all of which exist. Called with the
 *	link's kick_lock held and interrupts off; cannot fail.
 */
struct rsl_mbox_transport {
	const char *name;
	void (*kick)(struct rsl_mbox *link, u32 mask);
};

/**
 * struct rsl_mbox_vector - the state of one vector of a link
 * @kicks: kicks handed to the transport; guarded by kick_lock
 * @notifications: notifications taken; guarded by notify_lock
 * @seq: value of the link's seq at the last notification; guarded by
 *	notify_lock
 */
struct rsl_mbox_vector {
	u64 kicks;
	u64 notifications;
	u64 seq;
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
 * @open_files: number of open files
 * @kick_lock: guards kicks against each other and against removal
 * @dead: the device was removed; written under @kick_lock
 * @notify_lock: guards @seq and what the vectors say of notifications. A
 *	transport's interrupt may take it; never taken around @kick_lock or
 *	inside it.
 * @seq: number of notifications so far, over all vectors
 * @wait: readers and pollers
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
	atomic_t open_files;

	spinlock_t kick_lock;
	bool dead;

	spinlock_t notify_lock;
	u64 seq;
	wait_queue_head_t wait;

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

/* core.c */
struct rsl_mbox *devm_rsl_mbox_alloc(struct device *parent,
				     const struct rsl_mbox_transport *transport,
				     unsigned int vectors);
int devm_rsl_mbox_register(struct device *parent, struct rsl_mbox *link);
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask);
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask);

/* chardev.c */
extern const struct file_operations rsl_mbox_fops;

/* memory.c */
int rsl_mbox_memory_init(struct rsl_mbox *link);
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma);

/* sysfs.c */
extern const struct attribute_group *rsl_mbox_groups[];
int rsl_mbox_sysfs_init(struct rsl_mbox *link);
void rsl_mbox_sysfs_free(struct rsl_mbox *link);

/* doorbell.c */
extern struct platform_driver rsl_mbox_doorbell_driver;

#endif /* _RSL_MBOX_H */
