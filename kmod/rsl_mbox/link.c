// SPDX-License-Identifier: GPL-2.0-only
/*
 * The link itself: its kicks, its notifications, its counters and its end.
 *
 * This file calls no other file of the module. A kick goes to the transport's
 * operations. A notification wakes the readers, and goes to an eventfd by the
 * link's callback "signal". rsl_mbox_link_init() is given both.
 */
#include <linux/bitops.h>
#include <linux/poll.h>
#include <linux/timekeeping.h>
#include <asm/barrier.h>

#include "rsl_mbox.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/**
 * rsl_mbox_link_init() - initialise a link
 * @link: the link, all zero
 * @transport: sends the kicks
 * @vectors: number of vectors, 1 to RSL_MBOX_MAX_VECTORS
 * @signal: signals the eventfd of a binding; see struct rsl_mbox
 */
void rsl_mbox_link_init(struct rsl_mbox *link, const struct rsl_mbox_transport *transport,
			unsigned int vectors,
			void (*signal)(struct rsl_mbox_binding *binding))
{
	link->transport = transport;
	link->vectors = vectors;
	link->signal = signal;
	spin_lock_init(&link->kick_lock);
	spin_lock_init(&link->notify_lock);
	init_waitqueue_head(&link->wait);
	mutex_init(&link->bind_mutex);
}

/**
 * rsl_mbox_kick() - kick vectors of a link
 * @link: the link
 * @mask: the vectors, one bit each; 0 kicks nothing
 *
 * Context: any, interrupts included.
 * Return: 0; -ENODEV if the device is gone; -EINVAL if @mask has a bit for a vector
 * that @link does not have. Nothing is kicked on an error.
 */
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors;
	unsigned long flags;
	unsigned int n;
	u32 coalesced;
	int ret = 0;

	/*
	 * A kick releases: the remote sees what was written to the shared memory before.
	 * This has to hold for a remote outside of the inner shareable domain, and before
	 * a relaxed write of the controller's driver. So smp_wmb() is not enough.
	 */
	wmb();
	spin_lock_irqsave(&link->kick_lock, flags);
	if (link->dead) {
		ret = -ENODEV;
	} else if (mask & ~rsl_mbox_valid_mask(link)) {
		ret = -EINVAL;
	} else {
		coalesced = link->transport->kick(link, mask);
		trace_rsl_mbox_kick(link->id, mask, coalesced);
		vectors = mask;
		for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
			link->vector[n].kicks++;
			link->vector[n].kicks_coalesced += !!(coalesced & BIT(n));
		}
	}
	spin_unlock_irqrestore(&link->kick_lock, flags);
	return ret;
}

/*
 * Wakes every waiter, exclusive ones (EPOLLEXCLUSIVE) as well: all open files share the
 * wait queue, and each of them has an event to report.
 */
static void rsl_mbox_wake(struct rsl_mbox *link, __poll_t events)
{
	__wake_up(&link->wait, TASK_NORMAL, 0, poll_to_key(events));
}

/**
 * rsl_mbox_notify() - take notifications from the remote
 * @link: the link
 * @mask: the notified vectors, one bit each; at least one, and all of them exist
 *
 * A transport calls this once for each interrupt.
 *
 * Context: any, interrupts included.
 */
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors = mask;
	ktime_t now = ktime_get();
	unsigned long flags;
	unsigned int n;
	u64 seq;

	/*
	 * A notification acquires: who is woken sees what the remote wrote to the shared
	 * memory before. The counterpart of the barrier in rsl_mbox_kick().
	 */
	rmb();
	trace_rsl_mbox_notify(link->id, mask);
	spin_lock_irqsave(&link->notify_lock, flags);
	seq = atomic64_read(&link->seq) + 1;
	atomic64_set(&link->seq, seq);
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
		struct rsl_mbox_vector *vector = &link->vector[n];

		vector->notifications++;
		vector->notified_at = now;
		vector->seq = seq;
		if (vector->bound[RSL_MBOX_NOTIFY])
			link->signal(vector->bound[RSL_MBOX_NOTIFY]);
	}
	spin_unlock_irqrestore(&link->notify_lock, flags);
	rsl_mbox_wake(link, EPOLLIN | EPOLLRDNORM);
}

/**
 * rsl_mbox_count() - read the counters of a vector
 * @link: the link
 * @n: number of the vector, which exists
 * @stat: all members but @stat->vector are filled in
 *
 * Context: process.
 */
void rsl_mbox_count(struct rsl_mbox *link, unsigned int n,
		    struct rsl_mbox_vector_stat *stat)
{
	struct rsl_mbox_vector *vector = &link->vector[n];

	spin_lock_irq(&link->kick_lock);
	stat->kicks = vector->kicks;
	stat->kicks_coalesced = vector->kicks_coalesced;
	spin_unlock_irq(&link->kick_lock);

	spin_lock_irq(&link->notify_lock);
	stat->notifications = vector->notifications;
	stat->last_notification = ktime_to_ns(vector->notified_at);
	spin_unlock_irq(&link->notify_lock);
}

/**
 * rsl_mbox_kill() - end a link, because its device is gone
 * @link: the link
 *
 * No kick reaches the transport after this. All readers and pollers wake up.
 * Notifications may still come, until the transport frees its interrupts.
 */
void rsl_mbox_kill(struct rsl_mbox *link)
{
	unsigned long flags;

	spin_lock_irqsave(&link->kick_lock, flags);
	WRITE_ONCE(link->dead, true);
	spin_unlock_irqrestore(&link->kick_lock, flags);

	rsl_mbox_wake(link, EPOLLHUP | EPOLLERR);
}
