/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that the files of the rsl_mbox module share.
 *
 * The files of the module, top first:
 *
 *	File		Purpose				May call
 *	main.c		module init and exit		doorbell mailbox register eventfd
 *	doorbell.c	transport: registers		register link
 *	mailbox.c	transport: kernel's mailboxes	register link
 *	register.c	makes and registers links	chardev sysfs umb eventfd memory link
 *	chardev.c	/dev/rsl_mboxN			eventfd memory link
 *	sysfs.c		/sys/class/rsl_mbox		link
 *	umb.c		/dev/umb, /dev/rsl_umbN		memory link
 *	eventfd.c	binds eventfds to vectors	link
 *	memory.c	shared memory			-
 *	link.c		kicks and notifications		-
 *
 * A file calls only files below it (tests/unit/rsl_mbox/test_layers.py). A call
 * upwards goes through a pointer that the lower file was given. link.c has two such
 * pointers: the operations of the transport, and the callback that signals an eventfd.
 *
 * A transport is a platform driver. It makes a link, sends the link's kicks and
 * receives its notifications.
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
 * struct rsl_mbox_transport - operations of a transport
 * @name: name of the transport, as sysfs shows it
 * @kick: kicks the vectors in @mask, all of which exist. Returns the vectors whose
 *	kick coalesced with an earlier one that still waits. Called with the link's
 *	kick_lock held and interrupts off. Cannot fail.
 * @stalled_since: returns the CLOCK_MONOTONIC time of the oldest kick that the
 *	remote has not taken, 0 if there is none. Called with kick_lock held. NULL
 *	if the transport cannot tell.
 * @reset: brings the transport into its state after probe, and then sends the kicks
 *	that wait. May sleep. NULL if there is nothing to reset.
 */
struct rsl_mbox_transport {
	const char *name;
	u32 (*kick)(struct rsl_mbox *link, u32 mask);
	ktime_t (*stalled_since)(struct rsl_mbox *link);
	int (*reset)(struct rsl_mbox *link);
};

/**
 * struct rsl_mbox_vector - state of one vector of a link
 * @kicks: number of kicks given to the transport; guarded by kick_lock
 * @kicks_coalesced: number of those kicks that coalesced; guarded by kick_lock
 * @notifications: number of notifications; guarded by notify_lock
 * @notified_at: CLOCK_MONOTONIC time of the last notification; guarded by
 *	notify_lock
 * @seq: value of the link's seq at the last notification; guarded by notify_lock
 * @bound: the bound eventfd of each direction, or NULL; guarded by notify_lock
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
 * @dev: device of class rsl_mbox; its reference count is the link's
 * @cdev: character device
 * @id: the N of /dev/rsl_mboxN
 * @label: name of the link, from the device tree
 * @vectors: number of vectors
 * @transport: operations of the transport
 * @signal: signals the eventfd of a binding for notifications. Called with
 *	notify_lock held.
 * @transport_data: data of the transport; not valid once @dead is set
 * @memory_base: physical address of the shared memory
 * @memory_size: size of the shared memory in bytes, 0 if there is none
 * @memory_cached: the memory is mapped cached, because the remote is coherent
 * @open_files: number of open files that may be a daemon's
 * @kick_lock: serialises kicks with each other and with removal
 * @dead: the device was removed; written under @kick_lock
 * @notify_lock: guards @seq, and the notifications and bindings of the vectors. A
 *	transport's interrupt may take this lock. @kick_lock nests inside it, never
 *	the other way round, because signalling an eventfd may kick.
 * @seq: number of calls of rsl_mbox_notify(); written under @notify_lock. A reader
 *	that only checks for a new notification needs no lock.
 * @wait: wait queue of readers and pollers
 * @bind_mutex: serialises binding, unbinding and removal
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
	void (*signal)(struct rsl_mbox_binding *binding);
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

/*
 * The device may go right after this has returned false. It stays only for a caller
 * that holds kick_lock.
 */
static inline bool rsl_mbox_dead(const struct rsl_mbox *link)
{
	return READ_ONCE(link->dead);
}

/*
 * A file open for reading and writing may be a daemon's. A file open for only one of
 * them is not.
 */
static inline bool rsl_mbox_serves(const struct file *filp)
{
	return (filp->f_mode & (FMODE_READ | FMODE_WRITE)) == (FMODE_READ | FMODE_WRITE);
}

/* doorbell.c */
extern struct platform_driver rsl_mbox_doorbell_driver;

/* mailbox.c */
extern struct platform_driver rsl_mbox_mailbox_driver;

/* register.c */
int rsl_mbox_register_init(void);
void rsl_mbox_register_exit(void);
struct rsl_mbox *devm_rsl_mbox_alloc(struct device *parent,
				     const struct rsl_mbox_transport *transport,
				     unsigned int vectors);
int devm_rsl_mbox_register(struct device *parent, struct rsl_mbox *link);

/* chardev.c */
extern const struct file_operations rsl_mbox_fops;

/* sysfs.c */
extern const struct attribute_group *rsl_mbox_groups[];
int rsl_mbox_sysfs_init(struct rsl_mbox *link);
void rsl_mbox_sysfs_free(struct rsl_mbox *link);

/* umb.c */
int devm_rsl_mbox_umb_register(struct device *parent, struct rsl_mbox *link);

/* eventfd.c */
int rsl_mbox_eventfd_init(void);
void rsl_mbox_eventfd_exit(void);
int rsl_mbox_eventfd_bind(struct rsl_mbox *link, unsigned int vector,
			  unsigned int direction, int fd);
int rsl_mbox_eventfd_unbind(struct rsl_mbox *link, unsigned int vector,
			    unsigned int direction);
void rsl_mbox_eventfd_unbind_all(struct rsl_mbox *link);
void rsl_mbox_eventfd_signal(struct rsl_mbox_binding *binding);

/* memory.c */
int rsl_mbox_memory_init(struct rsl_mbox *link);
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma);

/* link.c */
void rsl_mbox_link_init(struct rsl_mbox *link, const struct rsl_mbox_transport *transport,
			unsigned int vectors,
			void (*signal)(struct rsl_mbox_binding *binding));
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask);
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask);
void rsl_mbox_count(struct rsl_mbox *link, unsigned int n,
		    struct rsl_mbox_vector_stat *stat);
void rsl_mbox_kill(struct rsl_mbox *link);

#endif /* _RSL_MBOX_H */
