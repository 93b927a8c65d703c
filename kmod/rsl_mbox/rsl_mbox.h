/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that the files of the rsl_mbox module share.
 *
 * The files of the module, top first:
 *
 *	File		Purpose				May call
 *	main.c		module init and exit		ivshmem doorbell mailbox register eventfd
 *	ivshmem.c	transport: QEMU's ivshmem	register memory link
 *	doorbell.c	transport: registers		register link
 *	mailbox.c	transport: kernel's mailboxes	register mailbox_styles link
 *	register.c	makes and registers links	chardev sysfs umb eventfd memory link
 *	chardev.c	/dev/rsl_mboxN			eventfd memory link
 *	sysfs.c		/sys/class/rsl_mbox		link
 *	umb.c		/dev/umb, /dev/rsl_umbN		memory link
 *	eventfd.c	binds eventfds to vectors	link
 *	memory.c	shared memory			-
 *	mailbox_styles.c	table of controllers	-
 *	link.c		kicks and notifications		-
 *
 * A file calls only files below it (tests/unit/rsl_mbox/test_layers.py). A call
 * upwards goes through a pointer that the lower file was given. link.c has two such
 * pointers: the operations of the transport, and the callback that signals eventfds.
 *
 * A transport is a driver of the platform bus or of PCI. It makes a link, sends the link's
 * kicks and receives its notifications. ivshmem.c is built where PCI has message-signalled
 * interrupts.
 */
#ifndef _RSL_MBOX_H
#define _RSL_MBOX_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "uapi/linux/rsl_mbox.h"

struct inode;
struct mailbox_style;
struct of_phandle_args;
struct page;
struct pci_driver;
struct platform_driver;
struct rsl_mbox;
struct rsl_mbox_vector_attrs;

/**
 * struct rsl_mbox_transport - operations of a transport
 * @name: name of the transport, as sysfs shows it
 * @kick: kicks the vectors in @mask, all of which exist. Returns the vectors whose
 *	kick coalesced with an earlier one that still waits. Called in an RCU read-side
 *	section, by several callers at a time. Cannot fail.
 * @mask: masks the interrupts of the vectors in @masked, and unmasks all others. Called
 *	with the link's lock held and interrupts off. NULL if the transport cannot.
 * @unmasked: lets the remote send again that was not let before, because its vectors
 *	were masked. Called without a lock in an RCU read-side section. NULL if there is
 *	nothing to do.
 * @stalled_since: returns the CLOCK_MONOTONIC time of the oldest kick that the
 *	remote has not taken, 0 if there is none. Called in an RCU read-side section.
 *	NULL if the transport cannot tell.
 * @reset: brings the transport into its state after probe, and then sends the kicks
 *	that wait. May sleep. Returns -EOPNOTSUPP if that could meet an interrupt. NULL
 *	if there is nothing to reset.
 */
struct rsl_mbox_transport {
	const char *name;
	u32 (*kick)(struct rsl_mbox *link, u32 mask);
	void (*mask)(struct rsl_mbox *link, u32 masked);
	void (*unmasked)(struct rsl_mbox *link);
	ktime_t (*stalled_since)(struct rsl_mbox *link);
	int (*reset)(struct rsl_mbox *link);
};

/* What files can want of a vector; see struct rsl_mbox_vector. */
#define RSL_MBOX_WANTED_MASK	0
#define RSL_MBOX_WANTED_ONESHOT	1
#define RSL_MBOX_WANTED_KINDS	2

/**
 * struct rsl_mbox_vector - state of one vector of a link
 * @kicks: number of kicks given to the transport
 * @kicks_coalesced: number of those kicks that coalesced
 * @notifications: number of notifications
 * @notified_at: CLOCK_MONOTONIC time of the last notification
 * @seq: value of the link's seq at the last notification that was delivered
 * @group: the vectors that a storm of this one masks: this one, and all others that
 *	have the same interrupt and no mask of their own. Set by the transport.
 * @delivered: number of notifications that were delivered in the link's window
 * @storms: number of times that the vector was masked because of too many
 * @wanted: number of files that mask the vector, and that have armed it
 * @bindings: the bound eventfds of each direction; an RCU list; written under
 *	bind_mutex
 * @bound: number of elements of @bindings; written under bind_mutex
 *
 * The link's lock guards @notifications to @wanted.
 */
struct rsl_mbox_vector {
	atomic64_t kicks;
	atomic64_t kicks_coalesced;
	u64 notifications;
	ktime_t notified_at;
	u64 seq;
	u32 group;
	u32 delivered;
	u64 storms;
	unsigned int wanted[RSL_MBOX_WANTED_KINDS];
	struct list_head bindings[RSL_MBOX_DIRECTIONS];
	unsigned int bound[RSL_MBOX_DIRECTIONS];
};

/**
 * struct rsl_mbox_masks - what one open file wants of the vectors
 * @masked: vectors that the file has masked
 * @oneshot: vectors that the file has armed
 *
 * The link's lock guards both.
 */
struct rsl_mbox_masks {
	u32 masked;
	u32 oneshot;
};

/**
 * struct rsl_mbox - one link
 * @dev: device of class rsl_mbox; its reference count is the link's
 * @cdev: character device
 * @id: the N of /dev/rsl_mboxN
 * @label: name of the link; written under @lock if @label_free
 * @label_free: root can change the label, because no device tree has it
 * @vectors: number of vectors
 * @transport: operations of the transport
 * @signal: signals the eventfds of a vector for notifications
 * @transport_data: data of the transport; not valid once @dead is set
 * @memory_base: physical address of the shared memory
 * @memory_size: size of the shared memory in bytes, 0 if there is none
 * @memory_cached: the memory is mapped cached, because the remote is coherent
 * @memory_inode: has the address space of all mappings of the memory, if it goes with the
 *	device; NULL if the memory stays
 * @memory_spare: the page that such mappings show once the device is gone
 * @memory_lock: guards @memory_gone
 * @memory_gone: the memory went with the device
 * @mask_irqs: the transport can mask the interrupt of each vector
 * @open_files: number of open files that may be a daemon's
 * @lock: guards @dead, the masks, @seq, and what struct rsl_mbox_vector says. Nothing
 *	is sent, signalled or woken under it.
 * @dead: the device was removed. Who has found it false in an RCU read-side section can
 *	use the transport until the end of that section.
 * @masked: vectors that a file has masked
 * @oneshot: vectors that a file has armed
 * @fired: armed vectors that were notified, and not read since
 * @storming: vectors that are masked because of too many notifications
 * @latched: masked vectors that were notified
 * @storm_limit: the most notifications of a vector per second, 0 for no limit
 * @storm_most: the most notifications of a vector in a window
 * @window_end: CLOCK_MONOTONIC time of the end of the window in which notifications that
 *	are delivered are counted
 * @delivered: number of those of all vectors
 * @spent: time that their delivery took
 * @cost: time of the last delivery in which the thread was not switched out
 * @seq: number of deliveries; written under @lock. A reader that only checks for a new
 *	notification needs no lock.
 * @wait: wait queue of readers and pollers
 * @calm_work: ends the masks of a storm
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
	bool label_free;
	unsigned int vectors;
	const struct rsl_mbox_transport *transport;
	void (*signal)(struct rsl_mbox *link, unsigned int vector);
	void *transport_data;
	phys_addr_t memory_base;
	phys_addr_t memory_size;
	bool memory_cached;
	struct inode *memory_inode;
	struct page *memory_spare;
	struct rw_semaphore memory_lock;	/* guards memory_gone */
	bool memory_gone;
	bool mask_irqs;
	atomic_t open_files;

	spinlock_t lock;	/* guards masks, seq and notifications */
	bool dead;
	u32 masked;
	u32 oneshot;
	u32 fired;
	u32 storming;
	u32 latched;
	u32 storm_limit;
	u32 storm_most;
	ktime_t window_end;
	u32 delivered;
	ktime_t spent;
	ktime_t cost;
	atomic64_t seq;
	wait_queue_head_t wait;
	struct delayed_work calm_work;

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
 * The device may go right after this has returned false. The transport stays for a
 * caller in an RCU read-side section.
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

/* ivshmem.c */
extern struct pci_driver rsl_mbox_ivshmem_driver;

/* register.c */
int rsl_mbox_register_init(void);
void rsl_mbox_register_exit(void);
struct rsl_mbox *devm_rsl_mbox_alloc(struct device *parent,
				     const struct rsl_mbox_transport *transport,
				     unsigned int vectors);
struct rsl_mbox *devm_rsl_mbox_alloc_of_node(struct device *parent,
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
			    unsigned int direction, int fd);
void rsl_mbox_eventfd_unbind_all(struct rsl_mbox *link);
void rsl_mbox_eventfd_signal(struct rsl_mbox *link, unsigned int vector);

/* memory.c */
int rsl_mbox_memory_start(void);
void rsl_mbox_memory_stop(void);
int rsl_mbox_memory_of_node(struct rsl_mbox *link);
int rsl_mbox_memory_of_device(struct rsl_mbox *link, phys_addr_t base, phys_addr_t size);
void rsl_mbox_memory_remove(struct rsl_mbox *link);
void rsl_mbox_memory_free(struct rsl_mbox *link);
void rsl_mbox_memory_attach(struct rsl_mbox *link, struct file *filp);
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma);
int rsl_mbox_memory_open(struct rsl_mbox *link, const struct rsl_mbox_memory *window);

/* mailbox_styles.c */
extern const char * const mailbox_payload_names[];
extern const char * const mailbox_tx_done_names[];
extern const char * const mailbox_way_names[];
struct device *mailbox_controller_get(const struct device_node *np);
int mailbox_style_get(struct device *dev, const struct of_phandle_args *args,
		      struct mailbox_style *style);

/* link.c */
void rsl_mbox_link_init(struct rsl_mbox *link, const struct rsl_mbox_transport *transport,
			unsigned int vectors,
			void (*signal)(struct rsl_mbox *link, unsigned int vector));
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask);
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask, ktime_t since);
void rsl_mbox_repeat(struct rsl_mbox *link, u32 mask);
bool rsl_mbox_all_masked(struct rsl_mbox *link, u32 vectors);
void rsl_mbox_mask(struct rsl_mbox *link, struct rsl_mbox_masks *own, u32 vectors,
		   u32 action);
void rsl_mbox_rearm(struct rsl_mbox *link, u32 vectors);
void rsl_mbox_set_storm_limit(struct rsl_mbox *link, u32 limit);
void rsl_mbox_label(struct rsl_mbox *link, char *label);
void rsl_mbox_set_label(struct rsl_mbox *link, const char *label, size_t length);
void rsl_mbox_count(struct rsl_mbox *link, unsigned int n,
		    struct rsl_mbox_vector_stat *stat);
void rsl_mbox_kill(struct rsl_mbox *link);

#endif /* _RSL_MBOX_H */
